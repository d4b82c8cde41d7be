"""Compares the manifests of two versions: photos added, removed, moved, relabelled, renamed."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from enum import StrEnum
from itertools import groupby, zip_longest
from typing import Any

from allrounder.core.errors import DataError
from allrounder.core.paths import DATASET, MANIFEST
from allrounder.core.tables import columns
from allrounder.core.text import printable, text_table
from allrounder.history.versions import VersionFiles

_MANIFEST = (DATASET / MANIFEST).as_posix()


class Change(StrEnum):
    """How a photo changed between two versions."""

    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"  # to another split or fold
    RELABELLED = "relabelled"  # to another class, or its class has another VOC label
    RENAMED = "renamed"  # only its file


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo's place and labels in a manifest."""

    sha256: str
    file: str
    split: str
    wnid: str
    label: str
    voc: str
    url: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A change of one photo. `before` is None for an added photo, `after` for a removed one."""

    change: Change
    before: Photo | None
    after: Photo | None
    correction: str = ""  # what corrections.csv has to do with it

    @property
    def photo(self) -> Photo:
        """The photo after the change, or before it if it was removed."""
        photo = self.after or self.before
        assert photo
        return photo


def parse_manifest(manifest: bytes, where: str) -> list[Photo]:
    """The photos of a manifest, which may have other columns too.

    Raises DataError that names `where` if it is not a manifest.
    """
    names = columns(Photo)
    try:
        rows = csv.DictReader(io.StringIO(manifest.decode("utf-8"), newline=""), strict=True)
        if missing := [name for name in names if name not in (rows.fieldnames or ())]:
            raise DataError(
                f"{where}: its manifest has no column {missing[0]}; this project did not write it; "
                "compare another revision"
            )
        photos = [Photo(*(row[name] for name in names)) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where}: its manifest is broken ({error}); see verify.py") from None
    if cut := [number for number, photo in enumerate(photos, 1) if None in astuple(photo)]:
        raise DataError(f"{where}: its manifest is cut off in row {cut[0]}; see verify.py")
    return photos


def photos_of(repo: Any, rev: str | None, where: str = "") -> list[Photo]:
    """The photos of a git revision, or (None) the work tree. Raises DataError, naming `where`."""
    return parse_manifest(VersionFiles(repo, rev).read(_MANIFEST), where or str(rev))


def differences(before: Iterable[Photo], after: Iterable[Photo]) -> list[Difference]:
    """All changes, ordered by class, kind of change and file name."""
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
    """Pairs of photos with the same bytes, matched within a class first, then across classes."""
    left = sorted(after, key=lambda photo: photo.file)
    unmatched = []
    for photo in sorted(before, key=lambda photo: photo.file):
        same = next((one for one in left if one.wnid == photo.wnid), None)
        if same:
            left.remove(same)
            yield photo, same
        else:
            unmatched.append(photo)
    yield from zip_longest(unmatched, left)


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


Corrected = Mapping[str, tuple[str, str]]
"""Of each photo that a version's corrections.csv changed, by SHA-256: the status, the reason."""


def with_corrections(
    found: Iterable[Difference], before: Corrected, after: Corrected
) -> list[Difference]:
    """The differences, and what the corrections of the two versions have to do with them."""
    return [replace(one, correction=_correction(one, before, after)) for one in found]


def _correction(one: Difference, before: Corrected, after: Corrected) -> str:
    if one.change not in (Change.ADDED, Change.REMOVED, Change.RELABELLED):
        return ""
    for version, then in ((after, ""), (before, "no longer ")):
        if made := version.get(one.photo.sha256):
            what, reason = made
            return f"{then}{what}{f': {reason}' if reason else ''}"
    return ""


KINDS = ("added", "removed", "moved", "relabelled in", "relabelled out", "renamed")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions: their names, photos and differences."""

    names: tuple[str, str]
    before: Sequence[Photo]
    after: Sequence[Photo]
    differences: Sequence[Difference]


def by_class(comparison: Comparison) -> dict[str, Counter[str]]:
    """The number of photos before and after, and the counts of `KINDS`, for each class.

    after = before + added - removed + relabelled in - relabelled out.
    """
    keys = sorted({photo.wnid for photo in (*comparison.before, *comparison.after)})
    counts = {key: Counter[str]() for key in keys}
    for photo in comparison.before:
        counts[photo.wnid]["before"] += 1
    for photo in comparison.after:
        counts[photo.wnid]["after"] += 1
    for one in comparison.differences:
        if one.change is Change.RELABELLED and one.before and one.after:
            counts[one.before.wnid]["relabelled out"] += 1
            counts[one.after.wnid]["relabelled in"] += 1
        else:
            counts[one.photo.wnid][one.change] += 1
    return counts


def comparison_lines(comparison: Comparison, most: int | None = None) -> Iterator[str]:
    """The report for people: a table of the classes that differ, then their photos.

    `most` photos of each class and kind of change are listed; None: all.
    """
    counts = by_class(comparison)
    changed = {key: row for key, row in counts.items() if any(row[name] for name in KINDS)}
    before, after = comparison.names
    photos = (*comparison.before, *comparison.after)
    heads = {one.wnid: " ".join(dict.fromkeys((one.wnid, one.label))) for one in photos}
    if changed:
        total = sum(counts.values(), Counter[str]())
        names = ["before", "after", *(name for name in KINDS if total[name])]
        rows = [*((heads[key], row) for key, row in changed.items()), ("all classes", total)]
        header = ["class", before, after, *names[2:]]
        yield from text_table([header, *([name, *(row[n] for n in names)] for name, row in rows)])
    for key, group in groupby(comparison.differences, key=lambda one: one.photo.wnid):
        yield ""
        yield printable(heads[key])
        for change, same_change in groupby(group, key=lambda one: one.change):
            ones = list(same_change)
            for one in ones[:most]:
                correction = f"  ({one.correction})" if one.correction else ""
                yield printable(f"  {change:<10} {_words(one)}{correction}")
            if hidden := len(ones[most:]) if most is not None else 0:
                yield f"  {change:<10} and {hidden} more; --all lists them"
    same = len(comparison.before) - sum(bool(one.before) for one in comparison.differences)
    if not changed:
        yield f"{before} and {after} hold the same {same} photos, in the same places"


def _words(one: Difference) -> str:
    if one.before is None or one.after is None:
        return f"{one.photo.file}  {one.photo.url}"
    if one.change is Change.MOVED:
        return f"{one.before.split} -> {one.after.split}  {one.after.file}"
    if one.change is Change.RELABELLED:
        old, new = ((photo.wnid, photo.voc or "no VOC label") for photo in (one.before, one.after))
        return f"{' '.join(old)} -> {' '.join(new)}  {one.after.file}"
    return f"{one.before.file} -> {one.after.file}"


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The report for programs."""
    names = ("before", "after", *KINDS)
    return {
        "before": {"version": comparison.names[0], "photos": len(comparison.before)},
        "after": {"version": comparison.names[1], "photos": len(comparison.after)},
        "classes": {
            key: {name.replace(" ", "_"): row[name] for name in names}
            for key, row in by_class(comparison).items()
        },
        "changes": [
            {
                "change": str(one.change),
                "sha256": one.photo.sha256,
                "correction": one.correction,
                "before": asdict(one.before) if one.before else None,
                "after": asdict(one.after) if one.after else None,
            }
            for one in comparison.differences
        ],
    }
