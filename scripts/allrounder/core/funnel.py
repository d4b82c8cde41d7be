"""Counts how many photos of a class reached each step, and why the others did not."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allrounder.core.rows import CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv

STEPS = ("listed", "tried", "taken", "valid", "unique", "kept")
"""Candidates listed; requested; downloaded; valid photos; without duplicates and refused licences;
in the dataset. The splits, which divide the kept photos, follow.
"""
_UNIQUE = {Status.EXACT_DUPLICATE, Status.NEAR_DUPLICATE, Status.CROSS_CLASS, Status.LICENSE}


@dataclass(frozen=True, slots=True)
class Funnel:
    """Counts by step and split; the losses by the step that was not reached, and by status."""

    steps: dict[str, int]
    lost: dict[str, dict[Status, int]]

    def as_metrics(self) -> dict[str, Any]:
        """Return the counts as data/metrics.json has them."""
        return {**self.steps, "lost": self.lost}


def raw_step(status: Status) -> str:
    """Return the step that a candidate of this status did not reach; '' if it was taken.

    Also '' for an archive's own row, which is not a candidate.
    """
    if status in (Status.OK, Status.ARCHIVE):
        return ""
    return "tried" if status is Status.UNUSED else "taken"


def clean_step(status: Status) -> str:
    """Return the step that a taken photo of this status did not reach; '' if it was kept."""
    if status is Status.KEPT:
        return ""
    if status is Status.SURPLUS:
        return "kept"
    return "unique" if status in _UNIQUE else "valid"


def stage_of(step: str) -> str:
    """Return the stage that loses the photos which do not reach this step."""
    return "download" if step in ("tried", "taken") else "clean"


def class_funnel(
    raw: Iterable[RawRow], clean: Iterable[CleanRow], by_split: Mapping[str, int]
) -> Funnel:
    """Return the funnel of a class; `by_split` counts its photos, in the splits' order."""
    raw_counts: Counter[Status] = Counter(row.status for row in raw)
    del raw_counts[Status.ARCHIVE]
    clean_counts = Counter(row.status for row in clean)
    lost: dict[str, dict[Status, int]] = {}
    for status in Status:
        for step, count in (
            (raw_step(status), raw_counts[status]),
            (clean_step(status), clean_counts[status]),
        ):
            if step and count:
                lost.setdefault(step, {})[status] = count
    steps = {STEPS[0]: raw_counts.total()}
    for step in STEPS[1:]:
        before = clean_counts.total() if step == "valid" else [*steps.values()][-1]
        steps[step] = before - sum(lost.get(step, {}).values())
    return Funnel(steps | dict(by_split), _in_order(lost))


def total_funnel(parts: Sequence[Funnel]) -> Funnel:
    """Return the funnel of all classes together."""
    steps: Counter[str] = Counter()
    lost: dict[str, Counter[Status]] = {}
    for part in parts:
        steps.update(part.steps)
        for step, reasons in part.lost.items():
            lost.setdefault(step, Counter()).update(reasons)
    named = {
        step: {status: reasons[status] for status in Status if reasons[status]}
        for step, reasons in lost.items()
    }
    return Funnel(dict(steps), _in_order(named))


def funnels(
    keys: Iterable[str],
    raw: Path,
    clean: Path,
    manifest: Iterable[ManifestRow],
    splits: Sequence[str],
) -> dict[str, Funnel]:
    """Return the funnel of each class by key. Raises DataError for a damaged table."""
    counts = Counter((row.wnid, row.split) for row in manifest)
    return {
        key: class_funnel(
            read_csv(raw / f"{key}.csv", RawRow),
            read_csv(clean / f"{key}.csv", CleanRow),
            {split: counts[key, split] for split in splits},
        )
        for key in keys
    }


def _in_order(lost: Mapping[str, dict[Status, int]]) -> dict[str, dict[Status, int]]:
    return {step: lost[step] for step in STEPS if step in lost}
