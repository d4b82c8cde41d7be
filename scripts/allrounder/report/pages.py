"""Divides entries into pages of bounded size, and turns them into the pages' JSON.

The page's own script shows these rows, as text and never as markup.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allrounder.core.rows import Status
from allrounder.report.entries import KEPT, ClassEntries, Entry, PhotoId

COLUMNS = (
    "class", "reason", "split", "id", "url", "sha256", "width", "height", "bytes", "source",
    "license", "author", "landing", "synset", "file", "hash", "detail", "group", "final_url",
    "duplicate_of", "guest", "thumb",
)  # fmt: skip
"""The cells of a row, in order. Empty cells at its end are left out.

`class`, `reason` and `split` are indexes into the page's lists of those names; `source`, `license`,
`author`, `synset`, `detail` and `group` into its list of strings; `duplicate_of` into its rows,
from 1. A guest belongs to another page, and a row of this page repeats it.
"""
_SHARED = ("source", "license", "author", "synset", "detail", "group")
_CELLS = 40  # bytes, about, of a row's numbers and commas


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry and its thumbnail."""

    entry: Entry
    thumb: bytes

    @property
    def size(self) -> int:
        """About how many bytes the entry takes on a page."""
        row = self.entry
        texts = (row.raw.url, row.raw.image_id, row.candidate.landing_url, row.file, row.raw.detail)
        size = _CELLS + sum(len(json.dumps(text)) for text in texts if text)
        if row.raw.final_url != row.raw.url:
            size += len(json.dumps(row.raw.final_url))
        for word in (row.candidate.license, row.candidate.author, row.candidate.source):
            size += min(len(json.dumps(word)), 200)
        return size + len(self.thumb) * 4 // 3 + (90 if row.clean else 0)


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one page, and the photos of other pages that they repeat."""

    rows: list[Shown]
    guests: list[Shown]

    @property
    def reasons(self) -> set[tuple[str, str]]:
        """The class keys and reasons that the page shows."""
        return {(row.entry.key, row.entry.reason) for row in self.rows}


def paginate(shown: Iterable[Shown], limit: int) -> list[Page]:
    """Fill pages of at most about `limit` bytes, in order; guests count for their page."""
    everything = list(shown)
    if sum(one.size for one in everything) <= limit:
        return [Page(everything, [])]
    photos = {one.entry.photo_id: one for one in everything if one.entry.photo_id}
    pages: list[Page] = []
    rows: list[Shown] = []
    guests: dict[PhotoId, Shown] = {}
    size = 0
    for one in everything:
        original = one.entry.duplicate_of
        guest = photos.get(original) if original else None
        more = one.size + (guest.size if guest and original not in guests else 0)
        if rows and size + more > limit:
            pages.append(_page(rows, guests))
            rows, guests, size = [], {}, 0
        rows.append(one)
        if guest and original:
            guests[original] = guest
        size += more
    return [*pages, _page(rows, guests)]


def _page(rows: list[Shown], guests: Mapping[PhotoId, Shown]) -> Page:
    own = {row.entry.photo_id for row in rows}
    return Page(rows, [guest for photo_id, guest in guests.items() if photo_id not in own])


def payload(
    page: Page,
    classes: Sequence[Mapping[str, str]],
    splits: Sequence[str],
    reasons: Sequence[str],
    gathered: Mapping[str, ClassEntries],
) -> dict[str, Any]:
    """Return the data that the page's script reads."""
    shown = [*page.rows, *page.guests]
    places = {one.entry.photo_id: at for at, one in enumerate(shown, start=1) if one.entry.photo_id}
    strings = {"": 0}
    class_at = {one["key"]: at for at, one in enumerate(classes)}
    rows = []
    for at, one in enumerate(shown):
        cells = _cells(one)
        for name in _SHARED:
            cells[name] = strings.setdefault(cells[name], len(strings))
        original = one.entry.duplicate_of
        cells["duplicate_of"] = places.get(original, 0) if original else 0
        cells["guest"] = int(at >= len(page.rows))
        cells["class"] = class_at[one.entry.key]
        cells["reason"] = reasons.index(one.entry.reason)
        cells["split"] = splits.index(one.entry.split) if one.entry.split else -1
        rows.append(_trimmed([cells[name] for name in COLUMNS]))
    left_out = {
        f"{key} {reason}": count
        for key, reason in sorted(page.reasons)
        if (count := gathered[key].left_out[reason])
    }
    return {
        "classes": classes,
        "splits": splits,
        "reasons": reasons,
        "columns": COLUMNS,
        "shared": _SHARED,
        "strings": list(strings),
        "rows": rows,
        "left_out": left_out,
    }


def _cells(one: Shown) -> dict[str, Any]:
    """Return the cells that do not depend on the page."""
    row, clean = one.entry, one.entry.clean
    candidate = row.candidate
    return {
        "id": row.raw.image_id,
        "url": row.raw.url,
        "sha256": clean.sha256 if clean else row.raw.sha256,
        "width": clean.width or 0 if clean else 0,
        "height": clean.height or 0 if clean else 0,
        "bytes": row.bytes or 0,
        "source": candidate.source,
        "license": candidate.license,
        "author": candidate.author,
        "landing": candidate.landing_url,
        "synset": row.synset if row.synset != row.key else "",
        "file": row.file,
        "hash": clean.perceptual_hash if clean else "",
        "detail": clean.detail if clean and clean.detail else row.raw.detail,
        "group": clean.group if clean else "",
        "final_url": row.raw.final_url if row.raw.final_url != row.raw.url else "",
        "thumb": base64.b64encode(one.thumb).decode("ascii"),
    }


def _trimmed(cells: list[Any]) -> list[Any]:
    while cells and cells[-1] in ("", 0):
        cells.pop()
    return cells


def reasons_of(classes: Mapping[str, ClassEntries]) -> list[str]:
    """Return the reasons that occur: first kept, then by stage, in the order of `Status`."""
    seen = {entry.reason for one in classes.values() for entry in one.entries}
    order = [f"{stage}.{status}" for stage in ("download", "clean") for status in Status]
    return [KEPT, *sorted(seen - {KEPT}, key=order.index)]
