"""Divides entries into pages of bounded size, and turns them into the pages' JSON.

The page's own script shows these rows, as text and never as markup.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allrounder.core.corrections import PhotoId
from allrounder.core.rows import FLAGS, CleanRow, Status
from allrounder.report.entries import Entry, words
from allrounder.report.gather import Gathered

COLUMNS = (
    "class", "reason", "split", "id", "url", "sha256", "width", "height", "bytes", "source",
    "license", "author", "landing", "synset", "file", "hash", "detail", "group", "final_url",
    "rescued_from", "moved_from", "duplicate_of", "flags", "suspect", "suspected_class", "guest",
    "thumb",
)  # fmt: skip
"""The cells of a row, in order. Empty cells at its end are left out.

`class`, `reason` and `split` are indexes into the page's lists of those names; the columns in
_SHARED into its list of strings; `duplicate_of` into its rows, from 1. A guest belongs to another
page, and a row of this page repeats it.
"""
_SHARED = (
    "source", "license", "author", "synset", "detail", "group", "flags", "suspected_class",
)  # fmt: skip
_PLACES = 20  # bytes, about, of a row's cells that are places in lists


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one page, and the photos of other pages that they repeat."""

    rows: Sequence[Entry]
    guests: Sequence[Entry]

    @property
    def reasons(self) -> set[tuple[str, str]]:
        """The class keys and reasons that the page shows."""
        return {(row.key, row.reason) for row in self.rows}


def size(row: Entry) -> int:
    """About how many bytes an entry takes on a page."""
    return len(json.dumps([*_cells(row).values()], separators=(",", ":"))) + _PLACES


def paginate(entries: Sequence[Entry], limit: int) -> list[Page]:
    """Fill pages of at most about `limit` bytes, in order; guests count for their page."""
    if sum(map(size, entries)) <= limit:
        return [Page(entries, [])]
    photos: dict[PhotoId | None, Entry] = {one.photo_id: one for one in entries if one.photo_id}
    guests: dict[PhotoId | None, Entry] = {}
    pages, rows, filled = list[Page](), list[Entry](), 0
    for one in entries:
        guest = photos.get(one.duplicate_of)
        more = size(one) + (size(guest) if guest and guest.photo_id not in guests else 0)
        if rows and filled + more > limit:
            pages.append(_page(rows, guests))
            rows, guests, filled = [], {}, 0
        rows.append(one)
        if guest:
            guests[guest.photo_id] = guest
        filled += more
    return [*pages, _page(rows, guests)]


def _page(rows: list[Entry], guests: Mapping[PhotoId | None, Entry]) -> Page:
    own = {row.photo_id for row in rows}
    return Page(rows, [guest for photo_id, guest in guests.items() if photo_id not in own])


def payload(
    page: Page,
    classes: Sequence[Mapping[str, str]],
    splits: Sequence[str],
    gathered: Gathered,
    version: str,
) -> dict[str, Any]:
    """The data that the page's script reads. Marks of the review are kept by `version`."""
    shown = [*page.rows, *page.guests]
    places = {one.photo_id: at for at, one in enumerate(shown, start=1)} | {None: 0}
    strings = {"": 0}
    own = {row.key for row in page.rows}
    class_at = {one["key"]: at for at, one in enumerate(classes)}
    reasons, left, rows = gathered.reasons, gathered.left_out, []
    for at, one in enumerate(shown):
        cells = _cells(one) | {
            "duplicate_of": places.get(one.duplicate_of, 0),
            "guest": int(at >= len(page.rows)),
            "class": class_at[one.key],
            "reason": reasons.index(one.reason),
            "split": splits.index(one.split) if one.split else -1,
        }
        for name in _SHARED:
            cells[name] = strings.setdefault(cells[name], len(strings))
        row = [cells[name] for name in COLUMNS]
        while row and row[-1] in ("", 0):
            row.pop()
        rows.append(row)
    return {
        "version": version,
        "classes": classes,
        "splits": splits,
        "words": {reason: words(reason.rpartition(".")[2]) for reason in reasons},
        "flags": {flag: flag.replace("_", " ") for flag in FLAGS},
        "reasons": reasons,
        "columns": COLUMNS,
        "shared": _SHARED,
        "strings": list(strings),
        "rows": rows,
        "left_out": {" ".join(one): left[one] for one in sorted(left) if one[0] in own},
    }


def _cells(one: Entry) -> dict[str, Any]:
    """The cells that do not depend on the page."""
    raw, candidate = one.raw, one.candidate
    clean = one.clean or CleanRow("", Status.OK, sha256=raw.sha256)
    return {
        "id": raw.image_id,
        "url": raw.url,
        "sha256": clean.sha256,
        "width": clean.width or 0,
        "height": clean.height or 0,
        "bytes": one.bytes,
        "source": candidate.source,
        "license": candidate.license,
        "author": candidate.author,
        "landing": candidate.landing_url,
        "synset": candidate.synset if candidate.synset != one.key else "",
        "file": one.file,
        "hash": clean.perceptual_hash,
        "detail": clean.detail or raw.detail,
        "group": clean.group,
        "final_url": raw.final_url if raw.final_url != raw.url else "",
        "rescued_from": raw.rescued_from,
        "moved_from": clean.moved_from,
        "flags": " ".join(name for name in FLAGS if getattr(clean, name)),
        "suspect": (clean.suspect or 0) if clean.suspected_class else 0,
        "suspected_class": clean.suspected_class,
        "thumb": base64.b64encode(one.thumb).decode("ascii"),
    }
