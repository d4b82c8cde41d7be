"""Compares the manifests of two versions: photos added, removed, moved, relabelled, renamed.

A photo is its bytes (the SHA-256 in the manifest), whatever it is called. Not for reading them
from git and DVC (lockedouts.py) or for printing (versionreport.py).
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

from allrounder.errors import DataError


class Change(StrEnum):
    """What became of a photo between two versions."""

    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"  # to another side of the split, or another fold
    RELABELLED = "relabelled"  # to another class, or its class to another VOC label
    RENAMED = "renamed"  # just the file


@dataclass(frozen=True, slots=True)
class Photo:
    """What of a manifest's row says where a photo is and what it is said to show."""

    sha256: str
    file: str
    split: str
    wnid: str
    label: str
    voc: str
    url: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A change of one photo; `before` or `after` is None when it was not or is no more there."""

    change: Change
    before: Photo | None
    after: Photo | None

    @property
    def photo(self) -> Photo:
        """The photo as it is now, or was last."""
        photo = self.after or self.before
        assert photo
        return photo


def parse(manifest: bytes, where: str) -> list[Photo]:
    """The photos of a manifest, also of an older one that has other columns besides.

    Raises DataError that names `where` when it is no manifest.
    """
    names = [field.name for field in fields(Photo)]
    try:
        rows = csv.DictReader(io.StringIO(manifest.decode("utf-8"), newline=""), strict=True)
        missing = [name for name in names if name not in (rows.fieldnames or ())]
        if missing:
            raise DataError(f"{where}: its manifest has no column {missing[0]}; it is none of ours")
        cells = [[row[name] for name in names] for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where}: its manifest is broken ({error}); see verify.py") from None
    for number, row in enumerate(cells, start=1):
        if any(cell is None for cell in row):
            raise DataError(f"{where}: its manifest is cut off in row {number}; see verify.py")
    return [Photo(*row) for row in cells]


def differences(before: Iterable[Photo], after: Iterable[Photo]) -> list[Difference]:
    """All changes, in the order of the classes' wnids, of `Change`, and of the files' names."""
    old, new = _by_bytes(before), _by_bytes(after)
    found = [
        difference
        for sha256 in old.keys() | new.keys()
        for pair in _pairs(old.get(sha256, ()), new.get(sha256, ()))
        for difference in _compared(*pair)
    ]
    order = list(Change)
    return sorted(found, key=lambda one: (one.photo.wnid, order.index(one.change), one.photo.file))


def _by_bytes(photos: Iterable[Photo]) -> dict[str, list[Photo]]:
    found = defaultdict(list)
    for photo in photos:
        found[photo.sha256].append(photo)
    return found


def _pairs(
    before: Sequence[Photo], after: Sequence[Photo]
) -> Iterator[tuple[Photo | None, Photo | None]]:
    """Match the same bytes, first within a class; what is left over, across classes."""
    left = sorted(after, key=lambda photo: photo.file)
    unmatched = []
    for photo in sorted(before, key=lambda photo: photo.file):
        same = next((one for one in left if one.wnid == photo.wnid), None)
        if same:
            left.remove(same)
            yield photo, same
        else:
            unmatched.append(photo)
    for number in range(max(len(unmatched), len(left))):
        yield (
            unmatched[number] if number < len(unmatched) else None,
            left[number] if number < len(left) else None,
        )


def _compared(before: Photo | None, after: Photo | None) -> Iterator[Difference]:
    if before is None or after is None:
        yield Difference(Change.ADDED if after else Change.REMOVED, before, after)
        return
    moved = before.split != after.split
    relabelled = (before.wnid, before.voc) != (after.wnid, after.voc)
    if moved:
        yield Difference(Change.MOVED, before, after)
    if relabelled:
        yield Difference(Change.RELABELLED, before, after)
    if before.file != after.file and not moved and not relabelled:
        yield Difference(Change.RENAMED, before, after)
