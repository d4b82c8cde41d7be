"""Words how two versions differ, class by class: for people and for programs.

Not for finding it out: that is versions.py.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from allrounder.verify.reporting import shown, table
from allrounder.verify.versions import Change, Difference, Photo

_COLUMNS = (
    "added",
    "removed",
    "moved",
    "relabelled here",
    "relabelled away",
    "renamed",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions by name, their photos, and how they differ."""

    names: tuple[str, str]
    before: Sequence[Photo]
    after: Sequence[Photo]
    differences: Sequence[Difference]


def by_class(comparison: Comparison) -> dict[str, Counter[str]]:
    """For each class, photos before and after and the counts of `_COLUMNS`.

    after = before + added - removed + relabelled here - relabelled away.
    """
    wnids = sorted({photo.wnid for photo in (*comparison.before, *comparison.after)})
    counts = {wnid: Counter[str]() for wnid in wnids}
    for photo in comparison.before:
        counts[photo.wnid]["before"] += 1
    for photo in comparison.after:
        counts[photo.wnid]["after"] += 1
    for one in comparison.differences:
        if one.change is Change.RELABELLED and one.before and one.after:
            counts[one.before.wnid]["relabelled away"] += 1
            counts[one.after.wnid]["relabelled here"] += 1
        else:
            counts[one.photo.wnid][one.change] += 1
    return counts


def lines(comparison: Comparison, most: int | None = None) -> Iterator[str]:
    """The report for people: a table of the classes that differ, then their photos.

    Of a class, `most` photos of each kind of change are listed; None: all.
    """
    counts = by_class(comparison)
    changed = {wnid: row for wnid, row in counts.items() if any(row[name] for name in _COLUMNS)}
    before, after = comparison.names
    if changed:
        total = sum(counts.values(), Counter[str]())
        columns = [name for name in _COLUMNS if total[name]]
        labels = {photo.wnid: photo.label for photo in (*comparison.before, *comparison.after)}
        rows = [(f"{wnid} {labels[wnid]}", row) for wnid, row in changed.items()]
        rows.append(("all classes", total))
        yield from table(
            [
                ["class", before, after, *columns],
                *(
                    [name, row["before"], row["after"], *map(row.__getitem__, columns)]
                    for name, row in rows
                ),
            ]
        )
    for wnid, group in groupby(comparison.differences, key=lambda one: one.photo.wnid):
        yield ""
        yield shown(f"{wnid} {labels[wnid]}")
        for change, same_change in groupby(group, key=lambda one: one.change):
            ones = list(same_change)
            for one in ones[:most]:
                yield shown(f"  {change:<10} {_words(one)}")
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


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The report for programs."""
    names = ("before", "after", *_COLUMNS)
    return {
        "before": {"version": comparison.names[0], "photos": len(comparison.before)},
        "after": {"version": comparison.names[1], "photos": len(comparison.after)},
        "classes": {
            wnid: {name.replace(" ", "_"): row[name] for name in names}
            for wnid, row in by_class(comparison).items()
        },
        "changes": [
            {
                "change": str(one.change),
                "sha256": one.photo.sha256,
                "before": asdict(one.before) if one.before else None,
                "after": asdict(one.after) if one.after else None,
            }
            for one in comparison.differences
        ],
    }
