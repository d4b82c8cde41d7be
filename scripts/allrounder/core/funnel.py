"""Counts how many photos of a class reached each step, and why the others did not."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

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


class Addable:
    """A dataclass of counters and numbers, which are added up class by class."""

    def add(self, other: Any) -> None:
        """Add the counts of another class."""
        for name, more in vars(other).items():
            mine = getattr(self, name)
            mine.update(more) if isinstance(mine, Counter) else setattr(self, name, mine + more)


@dataclass(frozen=True)
class Funnel:
    """Counts by status and split, of a class or of all."""

    raw: Counter[Status]  # without archives' own rows
    clean: Counter[Status]
    splits: dict[str, int]
    opt_outs: Counter[str] = field(default_factory=Counter)  # by signal
    matches: Counter[Match] = field(default_factory=Counter)  # of the photos that are expected
    rebuilt: int = 0  # of them in the dataset, and confirmed
    moved_in: int = 0  # photos that corrections.csv moved here from other classes; and away
    moved_out: int = 0

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
    raw: Iterable[RawRow],
    clean: Iterable[CleanRow],
    by_split: Mapping[str, int],
) -> Funnel:
    """The funnel of a class; `by_split` counts its photos, in the splits' order."""
    raw_counts, opt_outs, matches = Counter[Status](), Counter[str](), Counter[Match]()
    for row in raw:
        raw_counts[row.status] += 1
        if row.opt_out:
            opt_outs[signal_of(row.opt_out)] += 1
        if row.match:
            matches[row.match] += 1
    del raw_counts[Status.ARCHIVE]
    clean_counts, rebuilt, moved_in = Counter[Status](), 0, 0
    for photo in clean:
        clean_counts[photo.status] += 1
        moved_in += bool(photo.moved_from)
        confirmed = photo.match is Match.SAME_PICTURE
        if confirmed:
            matches.subtract([Match.CHANGED])
            matches.update([Match.SAME_PICTURE])
        rebuilt += photo.status is Status.KEPT and (confirmed or photo.match is Match.IDENTICAL)
    counts = raw_counts, clean_counts, dict(by_split), opt_outs
    return Funnel(*counts, +matches, rebuilt, moved_in)


def total_funnel(parts: Collection[Funnel]) -> Funnel:
    """The funnel of all classes together."""
    raw, clean = Counter[Status](), Counter[Status]()
    splits, opt_outs, matches = Counter[str](), Counter[str](), Counter[Match]()
    for part in parts:
        raw.update(part.raw)
        clean.update(part.clean)
        splits.update(part.splits)
        opt_outs.update(part.opt_outs)
        matches.update(part.matches)
    numbers = ((part.rebuilt, part.moved_in, part.moved_out) for part in parts)
    rebuilt, moved_in, moved_out = map(sum, zip((0, 0, 0), *numbers, strict=True))
    return Funnel(raw, clean, dict(splits), opt_outs, matches, rebuilt, moved_in, moved_out)


def funnels(
    keys: Iterable[str],
    raw: Path,
    clean: Path,
    counts: Mapping[Any, int],
    splits: Sequence[str],
    each: Callable[..., Iterable[Any]] = map,
) -> dict[str, Funnel]:
    """The funnel of each class by key; `counts` has the photos by class and split.

    `each` may be the `map` of a worker pool. Raises DataError for a damaged table.
    """
    keys, away = list(keys), Counter[str]()
    found: dict[str, Funnel] = {}
    jobs = [
        (key, raw, clean, {split: counts.get((key, split), 0) for split in splits}) for key in keys
    ]
    for key, (funnel, moved) in zip(keys, each(_read_funnel, jobs), strict=True):
        found[key] = funnel
        away.update(moved)
    return {key: replace(one, moved_out=away[key]) for key, one in found.items()}


def _read_funnel(job: tuple[str, Path, Path, Mapping[str, int]]) -> tuple[Funnel, Counter[str]]:
    """A class's funnel without `moved_out`, and how many photos it has from other classes."""
    key, raw, clean, by_split = job
    moved = Counter[str]()

    def noted(rows: Iterable[CleanRow]) -> Iterator[CleanRow]:
        for row in rows:
            if row.moved_from:
                moved[row.moved_from] += 1
            yield row

    rows = noted(read_csv(clean / f"{key}.csv", CleanRow))
    return class_funnel(read_csv(raw / f"{key}.csv", RawRow), rows, by_split), moved


def ranked(counts: Mapping[str, int], most: int) -> tuple[list[tuple[str, int]], int]:
    """The `most` frequent, by falling count, then by name; and the sum of the others."""
    everything = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return everything[:most], sum(count for _, count in everything[most:])


def short_sentence(kept: Collection[int], per_class: int) -> str:
    """How many of the photos asked for there are, and which share of the classes is short.

    `kept` has the photos of each class. '' if every class has `per_class`.
    """
    short = sum(count < per_class for count in kept)
    if not short:
        return ""
    classes = "all" if short == len(kept) else f"{short:,} of"
    are = "is" if short == 1 else "are"
    which = f"{classes} {len(kept):,} classes {are}" if len(kept) > 1 else f"the class {are}"
    return f"{sum(kept):,} of {per_class * len(kept):,} photos asked for; {which} short"
