"""Counts the funnel: how many photos of a class reached each step, and why the others did not."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allrounder.core.rows import CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv

STEPS = ("listed", "tried", "taken", "valid", "unique", "kept")
"""Candidates listed; of them asked for; photos taken; whole and normal; no copies and under a
licence that will do; in the dataset.

After them comes each split, which parts the kept ones.
"""
_UNIQUE = {Status.EXACT_DUPLICATE, Status.NEAR_DUPLICATE, Status.CROSS_CLASS, Status.LICENSE}


@dataclass(frozen=True, slots=True)
class Funnel:
    """Counts by step (and split), and by the step that photos did not come to, by reason."""

    steps: dict[str, int]
    lost: dict[str, dict[Status, int]]

    def as_metrics(self) -> dict[str, Any]:
        """As data/metrics.json has it."""
        return {**self.steps, "lost": self.lost}


def raw_step(status: Status) -> str:
    """The step that a candidate of this status did not reach; '' when it was taken.

    Also '' for an archive's own row, which is no candidate.
    """
    if status in (Status.OK, Status.ARCHIVE):
        return ""
    return "tried" if status is Status.UNUSED else "taken"


def clean_step(status: Status) -> str:
    """The step that a taken photo of this status did not come to; '' when it was kept."""
    if status is Status.KEPT:
        return ""
    if status is Status.SURPLUS:
        return "kept"
    return "unique" if status in _UNIQUE else "valid"


def stage_of(step: str) -> str:
    """The stage in which photos are lost that do not come to this step."""
    return "download" if step in ("tried", "taken") else "clean"


def class_funnel(
    raw: Iterable[RawRow], clean: Iterable[CleanRow], parted: Mapping[str, int]
) -> Funnel:
    """The funnel of a class; `parted` counts its photos by split, in the splits' order."""
    fates: Counter[Status] = Counter(row.status for row in raw)
    del fates[Status.ARCHIVE]
    verdicts = Counter(row.status for row in clean)
    lost: dict[str, dict[Status, int]] = {}
    for status in Status:
        for step, count in (
            (raw_step(status), fates[status]),
            (clean_step(status), verdicts[status]),
        ):
            if step and count:
                lost.setdefault(step, {})[status] = count
    steps = {STEPS[0]: sum(fates.values())}
    for step in STEPS[1:]:
        before = sum(verdicts.values()) if step == "valid" else [*steps.values()][-1]
        steps[step] = before - sum(lost.get(step, {}).values())
    return Funnel(steps | dict(parted), _in_order(lost))


def total_funnel(parts: Sequence[Funnel]) -> Funnel:
    """The funnel of all classes together."""
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
    wnids: Iterable[str],
    raw: Path,
    clean: Path,
    manifest: Iterable[ManifestRow],
    sides: Sequence[str],
) -> dict[str, Funnel]:
    """The funnel of each class, from the stages' folders. Raises DataError for a broken table."""
    parted = Counter((row.wnid, row.split) for row in manifest)
    return {
        wnid: class_funnel(
            read_csv(raw / f"{wnid}.csv", RawRow),
            read_csv(clean / f"{wnid}.csv", CleanRow),
            {side: parted[wnid, side] for side in sides},
        )
        for wnid in wnids
    }


def _in_order(lost: Mapping[str, dict[Status, int]]) -> dict[str, dict[Status, int]]:
    return {step: lost[step] for step in STEPS if step in lost}
