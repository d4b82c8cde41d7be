"""Counts how many photos of a class reached each step, and why the others did not."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from allrounder.core.class_cache import ClassCache, inputs_digest
from allrounder.core.counts import Addable
from allrounder.core.opt_outs import signal_of
from allrounder.core.rows import CleanRow, Match, RawRow, Status
from allrounder.core.tables import read_csv

STEPS = ("listed", "tried", "taken", "valid", "unique", "kept")
"""Candidates listed; requested; downloaded; valid photos; without duplicates, refused licences,
exclusions by hand and photos of known test sets; in the dataset. The splits, which divide the kept
photos, follow.
"""
_UNIQUE = {
    Status.EXACT_DUPLICATE, Status.NEAR_DUPLICATE, Status.CROSS_CLASS, Status.LICENSE,
    Status.EXCLUDED, Status.IN_TEST_SET,
}  # fmt: skip


@dataclass
class Funnel(Addable):
    """Counts by status and split, of a class or of all."""

    raw: Counter[Status] = field(default_factory=Counter)  # without archives' own rows
    clean: Counter[Status] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    opt_outs: Counter[str] = field(default_factory=Counter)  # by signal
    matches: Counter[Match] = field(default_factory=Counter)  # of the photos that are expected
    moved_from: Counter[str] = field(default_factory=Counter)
    """Photos that corrections.csv moved here, by the class that they were listed for."""
    moved_out: int = 0  # photos that it moved to other classes
    rebuilt: int = 0  # photos that are as expected, and in the dataset

    @property
    def moved_in(self) -> int:
        """Photos that corrections.csv moved here."""
        return self.moved_from.total()

    @cached_property
    def lost(self) -> dict[str, dict[Status, int]]:
        """The losses by the step that was not reached, and by status."""
        lost: dict[str, dict[Status, int]] = {step: {} for step in STEPS}
        for status in Status:
            for step, counts in ((raw_step(status), self.raw), (clean_step(status), self.clean)):
                if step and counts[status]:
                    lost[step][status] = counts[status]
        return {step: reasons for step, reasons in lost.items() if reasons}

    @cached_property
    def steps(self) -> dict[str, int]:
        """The photos that reached each step and split; moves count between taken and valid."""
        steps, count = {}, self.raw.total()
        for step in STEPS:
            count = self.clean.total() if step == "valid" else count
            count -= sum(self.lost.get(step, {}).values())
            steps[step] = count
        return steps | self.splits

    def as_metrics(self) -> dict[str, Any]:
        """The counts as data/metrics.json has them."""
        metrics: dict[str, Any] = {**self.steps, "lost": self.lost}
        moves = {"moved_in": self.moved_in, "moved_out": self.moved_out}
        metrics |= {name: count for name, count in moves.items() if count}
        if self.matches:
            counts = {str(match): self.matches[match] for match in Match if match}
            counts = {"listed": self.matches.total(), **counts, "rebuilt": self.rebuilt}
            metrics["expected"] = counts
        return metrics


def raw_step(status: Status) -> str:
    """The step that a candidate of this status did not reach; '' if it was taken.

    Also '' for an archive's own row, which is not a candidate.
    """
    if status in (Status.OK, Status.ARCHIVE):
        return ""
    return "tried" if status is Status.UNUSED else "taken"


def clean_step(status: Status) -> str:
    """The step that a taken photo of this status did not reach; '' if it was kept."""
    if status is Status.KEPT:
        return ""
    if status is Status.SURPLUS:
        return "kept"
    return "unique" if status in _UNIQUE else "valid"


def stage_of(step: str) -> str:
    """The stage that loses the photos which do not reach this step."""
    return "download" if step in ("tried", "taken") else "clean"


def class_funnel(
    raw: Iterable[RawRow], clean: Iterable[CleanRow], by_split: Mapping[str, int]
) -> Funnel:
    """The funnel of a class; `by_split` counts its photos, in the splits' order.

    Its `moved_out` is 0: see `count_moves`.
    """
    funnel = Funnel(splits=Counter(by_split))
    for row in raw:
        funnel.raw[row.status] += 1
        if row.opt_out:
            funnel.opt_outs[signal_of(row.opt_out)] += 1
        if row.match:
            funnel.matches[row.match] += 1
    del funnel.raw[Status.ARCHIVE]
    for photo in clean:
        funnel.clean[photo.status] += 1
        if photo.moved_from:
            funnel.moved_from[photo.moved_from] += 1
        confirmed = photo.match is Match.SAME_PICTURE
        if confirmed:
            funnel.matches[Match.CHANGED] -= 1
            funnel.matches[Match.SAME_PICTURE] += 1
        is_same = confirmed or photo.match is Match.IDENTICAL
        funnel.rebuilt += is_same and photo.status is Status.KEPT
    funnel.matches = +funnel.matches
    return funnel


def count_moves(by_class: Mapping[str, Funnel]) -> None:
    """Set `moved_out` of each class from the `moved_from` of all."""
    moved = sum((one.moved_from for one in by_class.values()), Counter[str]())
    for key, funnel in by_class.items():
        funnel.moved_out = moved[key]


def total_funnel(parts: Iterable[Funnel]) -> Funnel:
    """The funnel of all classes together."""
    total = Funnel()
    for part in parts:
        total.add(part)
    return total


def funnels(
    keys: Collection[str],
    raw: Path,
    clean: Path,
    counts: Mapping[Any, int],
    splits: Sequence[str],
    each: Callable[..., Iterable[Any]] = map,
    cache: ClassCache | None = None,
) -> dict[str, Funnel]:
    """The funnel of each class by key; `counts` has the photos by class and split.

    `each` may be the `map` of a worker pool; `cache` has the funnels of the last run. Raises
    DataError for a damaged table.
    """
    jobs = [
        (key, raw, clean, {split: counts.get((key, split), 0) for split in splits}, cache)
        for key in keys
    ]
    by_class: dict[str, Funnel] = dict(zip(keys, each(_read_funnel, jobs), strict=True))
    count_moves(by_class)
    return by_class


def _read_funnel(job: tuple[str, Path, Path, Mapping[str, int], ClassCache | None]) -> Funnel:
    key, raw, clean, by_split, cache = job
    tables = raw / f"{key}.csv", clean / f"{key}.csv"
    inputs = inputs_digest(*tables, repr(by_split)) if cache else ""
    if cache and (facts := cache.restore(key, inputs)) is not None:
        return Funnel.from_json(facts)
    funnel = class_funnel(read_csv(tables[0], RawRow), read_csv(tables[1], CleanRow), by_split)
    if cache:
        cache.store(key, inputs, (), funnel.as_json())
    return funnel


def ranked(counts: Mapping[str, int], most: int) -> tuple[list[tuple[str, int]], int]:
    """The `most` frequent, by falling count, then by name; and the sum of the others."""
    everything = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return everything[:most], sum(count for _, count in everything[most:])


def short_sentence(kept: Collection[int], per_class: int) -> str:
    """How many of the requested photos there are, and how many classes have too few.

    `kept` has the photos of each class. '' if every class has `per_class`.
    """
    short = sum(count < per_class for count in kept)
    if not short:
        return ""
    classes = "all" if short == len(kept) else f"{short:,} of"
    are = "is" if short == 1 else "are"
    which = f"{classes} {len(kept):,} classes {are}" if len(kept) > 1 else f"the class {are}"
    return f"{sum(kept):,} of {per_class * len(kept):,} photos asked for; {which} short"
