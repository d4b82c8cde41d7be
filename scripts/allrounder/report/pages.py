"""Parts entries into pages that are small enough, and turns them into the pages' JSON.

Not for HTML (render.py): the page's own script shows these rows, as text and never as markup.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allrounder.core.rows import Status
from allrounder.report.entries import KEPT, ClassEntries, Entry, Key

COLUMNS = (
    "class", "reason", "split", "id", "url", "sha256", "width", "height", "bytes", "source",
    "license", "author", "landing", "synset", "file", "hash", "detail", "group", "final_url",
    "twin", "guest", "thumb",
)  # fmt: skip
"""What a row holds, in order. Empty cells at its end are left out.

`class`, `reason` and `split` are indexes of the page's lists; `source`, `license`, `author`,
`synset`, `detail` and `group` of its list of words; `twin` of its rows. A guest belongs to
another page and is here as the twin of a row.
"""
_WORDS = ("source", "license", "author", "synset", "detail", "group")
_CELLS = 40  # bytes, about, of a row's numbers and commas


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry and its thumbnail."""

    entry: Entry
    thumb: bytes

    @property
    def size(self) -> int:
        """About how many bytes it takes on a page."""
        row = self.entry
        texts = (row.raw.url, row.raw.image_id, row.origin.landing_url, row.file, row.raw.detail)
        size = _CELLS + sum(len(json.dumps(text)) for text in texts if text)
        if row.raw.final_url != row.raw.url:
            size += len(json.dumps(row.raw.final_url))
        for word in (row.origin.license, row.origin.author, row.origin.source):
            size += min(len(json.dumps(word)), 200)
        return size + len(self.thumb) * 4 // 3 + (90 if row.clean else 0)


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one page, and the guests that stand beside them."""

    rows: list[Shown]
    guests: list[Shown]

    @property
    def reasons(self) -> set[tuple[str, str]]:
        """The classes and reasons that it shows."""
        return {(row.entry.wnid, row.entry.reason) for row in self.rows}


def part(shown: Iterable[Shown], limit: int) -> list[Page]:
    """Fill pages of about `limit` bytes at most, in order; the twin of a row comes with it."""
    everything = list(shown)
    if sum(one.size for one in everything) <= limit:
        return [Page(everything, [])]
    by_key = {one.entry.key: one for one in everything if one.entry.key}
    pages: list[Page] = []
    rows: list[Shown] = []
    guests: dict[Key, Shown] = {}
    size = 0
    for one in everything:
        twin = by_key.get(one.entry.twin) if one.entry.twin else None
        more = one.size + (twin.size if twin and one.entry.twin not in guests else 0)
        if rows and size + more > limit:
            pages.append(_page(rows, guests))
            rows, guests, size = [], {}, 0
        rows.append(one)
        if twin and twin.entry.key:
            guests[twin.entry.key] = twin
        size += more
    return [*pages, _page(rows, guests)]


def _page(rows: list[Shown], guests: Mapping[Key, Shown]) -> Page:
    own = {row.entry.key for row in rows}
    return Page(rows, [guest for key, guest in guests.items() if key not in own])


class _Words:
    """A list of the words that rows use, each once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {"": 0}

    def place(self, word: str) -> int:
        return self._places.setdefault(word, len(self._places))

    @property
    def all(self) -> list[str]:
        return [*self._places]


def payload(
    page: Page,
    classes: Sequence[Mapping[str, str]],
    sides: Sequence[str],
    reasons: Sequence[str],
    known: Mapping[str, ClassEntries],
) -> dict[str, Any]:
    """What the page's script reads. `known` says how many candidates are not shown at all."""
    shown = [*page.rows, *page.guests]
    places = {one.entry.key: at for at, one in enumerate(shown) if one.entry.key}
    words = _Words()
    class_at = {one["wnid"]: at for at, one in enumerate(classes)}
    rows = []
    for at, one in enumerate(shown):
        cells = _cells(one, at >= len(page.rows), places, words)
        cells["class"] = class_at[one.entry.wnid]
        cells["reason"] = reasons.index(one.entry.reason)
        cells["split"] = sides.index(one.entry.split) if one.entry.split else -1
        rows.append(_trimmed([cells[name] for name in COLUMNS]))
    left: Counter[str] = Counter()
    for wnid, reason in page.reasons:
        if more := known[wnid].left_out[reason]:
            left[f"{wnid} {reason}"] = more
    return {
        "classes": classes,
        "splits": sides,
        "reasons": reasons,
        "columns": COLUMNS,
        "worded": _WORDS,
        "words": words.all,
        "rows": rows,
        "left_out": dict(sorted(left.items())),
    }


def _cells(one: Shown, guest: bool, places: Mapping[Key, int], words: _Words) -> dict[str, Any]:
    row, clean = one.entry, one.entry.clean
    detail = clean.detail if clean and clean.detail else row.raw.detail
    return {
        "id": row.raw.image_id,
        "url": row.raw.url,
        "sha256": clean.sha256 if clean else row.raw.sha256,
        "width": clean.width or 0 if clean else 0,
        "height": clean.height or 0 if clean else 0,
        "bytes": row.bytes or 0,
        "source": words.place(row.origin.source),
        "license": words.place(row.origin.license),
        "author": words.place(row.origin.author),
        "landing": row.origin.landing_url,
        "synset": words.place(row.synset if row.synset != row.wnid else ""),
        "file": row.file,
        "hash": clean.perceptual_hash if clean else "",
        "detail": words.place(detail),
        "group": words.place(clean.group if clean else ""),
        "final_url": row.raw.final_url if row.raw.final_url != row.raw.url else "",
        "twin": places[row.twin] + 1 if row.twin and row.twin in places else 0,
        "guest": int(guest),
        "thumb": base64.b64encode(one.thumb).decode("ascii"),
    }


def _trimmed(cells: list[Any]) -> list[Any]:
    while cells and cells[-1] in ("", 0):
        cells.pop()
    return cells


def reasons_of(classes: Mapping[str, ClassEntries]) -> list[str]:
    """The reasons that occur: first kept, then by stage, in the order of `Status`."""
    seen = {entry.reason for one in classes.values() for entry in one.entries}
    order = [f"{stage}.{status}" for stage in ("download", "clean") for status in Status]
    return [KEPT, *sorted(seen - {KEPT}, key=order.index)]
