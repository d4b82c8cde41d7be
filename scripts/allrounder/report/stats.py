"""Counts what the charts show, class by class, and makes labelled bars of it."""

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from allrounder.core.counts import Addable
from allrounder.core.funnel import ranked
from allrounder.core.rows import Status
from allrounder.core.urls import shown_host
from allrounder.report.entries import Entry, words

ASPECTS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.4, 1.6, 1.8, 2.0, 2.5)
KILOBYTES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096)


@dataclass
class Counts(Addable):
    """Counts of the dataset's photos, and of candidates without one."""

    splits: Counter[tuple[str, str]] = field(default_factory=Counter)  # by class and split
    shorter: Counter[int] = field(default_factory=Counter)  # by pixels of the shorter side
    longer: Counter[int] = field(default_factory=Counter)
    aspects: Counter[int] = field(default_factory=Counter)  # by place among ASPECTS
    kilobytes: Counter[int] = field(default_factory=Counter)  # by place among KILOBYTES
    sources: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    groups: Counter[int] = field(default_factory=Counter)  # by number of photos
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Candidates that were requested and not taken, by host and status."""
    bytes: int = 0

    def add_photos(self, kept: Iterable[Entry]) -> None:
        """Count the kept photos of a class; groups are always within one."""
        groups = Counter[str]()
        for one in kept:
            width, height = (one.clean.width or 0, one.clean.height or 0) if one.clean else (0, 0)
            self.splits[one.key, one.split] += 1
            self.shorter[min(width, height)] += 1
            self.longer[max(width, height)] += 1
            self.aspects[bisect_right(ASPECTS, width / max(height, 1))] += 1
            self.kilobytes[bisect_right(KILOBYTES, one.bytes / 1024)] += 1
            self.sources[one.candidate.source or "unknown"] += 1
            self.hosts[shown_host(one.raw.url)] += 1
            self.bytes += one.bytes
            if one.clean and one.clean.group:
                groups[one.clean.group] += 1
        self.groups.update(groups.values())


_MAX_HOSTS = 12  # in a chart; the others share one bar
_MAX_CLASSES = 40  # in a chart; the funnel's table has all
OTHERS = "all others"


@dataclass(frozen=True, slots=True)
class Bars:
    """A distribution: a count for each label in each series; a label's bar stacks the series."""

    name: str  # for ids and file names
    title: str
    note: str  # what is counted
    labels: list[str]
    series: dict[str, list[int]]
    horizontal: bool  # for labels that are names

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not any(any(counts) for counts in self.series.values())


def nice_ticks(low: int, high: int, count: int) -> range:
    """Evenly spaced ticks from at most `low` to at least `high`, `count` steps at most.

    Each tick is a multiple of the step, the smallest of 1, 2, 5, 10, 20, 50 ... that suffices.
    Needs low < high and count >= 2.
    Source: P. Heckbert, Nice Numbers for Graph Labels, Graphics Gems, 1990 (loose labels).
    """
    steps = (10 ** (n // 3) * (1, 2, 5)[n % 3] for n in itertools.count())
    step = next(step for step in steps if -(-high // step) - low // step <= count)
    return range(low // step * step, -(-high // step) * step + 1, step)


def distributions(counts: Counts, names: Mapping[str, str], splits: Sequence[str]) -> list[Bars]:
    """All distributions of a dataset; `names` maps class keys to names, in order."""
    pixels, photos = "pixels", "photos of the dataset"
    sides = [
        _binned(f"{side}_pixels", f"{side.capitalize()} side, {pixels}", photos, *_even(values))
        for side, values in (("shorter", counts.shorter), ("longer", counts.longer))
    ]
    note = "groups by their number of photos; a group stays in one split"
    sizes = sorted(counts.groups)
    of_size = {"groups": [counts.groups[size] for size in sizes]}
    return [
        _classes(counts.splits, names, splits),
        *sides,
        _binned("width_by_height", "Width / height", photos, counts.aspects, ASPECTS),
        _binned("size_kib", "File size, KiB", photos, counts.kilobytes, KILOBYTES),
        _ranked("sources", "Sources", photos, _photos(counts.sources)),
        _ranked("hosts", "Hosts", photos, _photos(counts.hosts)),
        Bars("groups", "Groups of near-duplicates", note, [*map(str, sizes)], of_size, False),
        _ranked(
            "failures",
            "Failures by host",
            "candidates requested but not taken, by reason",
            Counter({(at, words(status)): n for (at, status), n in counts.failures.items()}),
            [words(status) for status in Status],
        ),
    ]


def _photos(counts: Counter[str]) -> Counter[tuple[str, str]]:
    return Counter({(label, "photos"): n for label, n in counts.items()})


def _classes(
    counts: Counter[tuple[str, str]], names: Mapping[str, str], splits: Sequence[str]
) -> Bars:
    shown, note = [*names], "by split"
    if len(names) > _MAX_CLASSES:
        shown.sort(key=lambda key: sum(counts[key, split] for split in splits))
        del shown[_MAX_CLASSES:]
        note += f"; the {_MAX_CLASSES} smallest of {len(names):,} classes"
    series = {split: [counts[key, split] for key in shown] for split in splits}
    labels = [names[key] for key in shown]
    return Bars("classes", "Photos per class", note, labels, series, True)


def _binned(name: str, title: str, note: str, counts: Counter[int], edges: Sequence[float]) -> Bars:
    """A histogram of counts by place among the edges.

    A bin includes its lower edge; empty bins at the ends are left out.
    """
    bins = range(min(counts, default=0), max(counts, default=-1) + 1)
    labels = [_range(edges, at) for at in bins]
    return Bars(name, title, note, labels, {"photos": [counts[at] for at in bins]}, False)


def _range(edges: Sequence[float], at: int) -> str:
    if at == 0:
        return f"< {edges[0]:g}"
    return f"{edges[at - 1]:g}\u2013{edges[at]:g}" if at < len(edges) else f"≥ {edges[-1]:g}"


def _even(values: Counter[int]) -> tuple[Counter[int], range]:
    """Counts by bin, and evenly spaced edges around nearly all values.

    Outliers fall beyond the ends.
    """
    if not values:
        return Counter(), range(1)
    ranked, beyond = sorted(values), values.total() // 100
    before = [*itertools.accumulate(values[one] for one in ranked)]
    low = ranked[bisect_right(before, beyond)]
    high = ranked[bisect_right(before, values.total() - 1 - beyond)]
    edges = nice_ticks(low, high + 1, 9)
    bins = Counter[int]()
    for value, count in values.items():
        bins[bisect_right(edges, value)] += count
    return bins, edges


def _ranked(
    name: str,
    title: str,
    note: str,
    counts: Counter[tuple[str, str]],
    series: Iterable[str] = ("photos",),
) -> Bars:
    """The most frequent labels of counts by label and series; others share one bar."""
    totals: Counter[str] = Counter()
    for (label, _), count in counts.items():
        totals[label] += count
    named, rest = ranked(totals, _MAX_HOSTS)
    labels = [label for label, _ in named]
    found: dict[str, list[int]] = {}
    for one in series:
        row = [counts[label, one] for label in labels]
        if rest:
            row.append(sum(n for (_, at), n in counts.items() if at == one) - sum(row))
        if any(row) or one == "photos":
            found[str(one)] = row
    labels += [f"{OTHERS} ({len(totals) - len(named)})"] if rest else []
    return Bars(name, title, note, labels, found, True)
