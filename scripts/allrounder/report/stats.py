"""Counts the report's distributions: bars with labels, for a chart and for a table."""

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from allrounder.core.funnel import ranked
from allrounder.core.rows import Status
from allrounder.report.entries import KEPT, Entry, host
from allrounder.report.words import words

_ASPECTS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.4, 1.6, 1.8, 2.0, 2.5)
_KILOBYTES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096)
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


def distributions(
    entries: Sequence[Entry],
    names: Mapping[str, str],
    splits: Sequence[str],
    failures: Counter[tuple[str, str]],
) -> list[Bars]:
    """All distributions of a dataset; `names` maps class keys to names, in order."""
    kept = [entry for entry in entries if entry.reason == KEPT]
    sizes = [(row.width or 0, row.height or 0) for entry in kept if (row := entry.clean)]
    shorter, longer = [min(size) for size in sizes], [max(size) for size in sizes]
    kilobytes = [entry.bytes / 1024 for entry in kept]
    pixels, photos = "pixels", "photos of the dataset"
    return [
        _classes(kept, names, splits),
        _binned("shorter_pixels", f"Shorter side, {pixels}", photos, shorter, _even(shorter)),
        _binned("longer_pixels", f"Longer side, {pixels}", photos, longer, _even(longer)),
        _binned(
            "width_by_height", "Width / height", photos, [w / max(h, 1) for w, h in sizes], _ASPECTS
        ),
        _binned("size_kib", "File size, KiB", photos, kilobytes, _KILOBYTES),
        _ranked("sources", "Sources", photos, _counted(e.candidate.source for e in kept)),
        _ranked("hosts", "Hosts", photos, _counted(host(e.raw.url) for e in kept)),
        _groups(kept),
        _ranked(
            "failures",
            "Failures by host",
            "candidates requested but not taken, by reason",
            Counter({(at, words(status)): n for (at, status), n in failures.items()}),
            [words(status) for status in Status],
        ),
    ]


def _counted(labels: Iterable[str]) -> Counter[tuple[str, str]]:
    return Counter((label or "unknown", "photos") for label in labels)


def _classes(kept: Sequence[Entry], names: Mapping[str, str], splits: Sequence[str]) -> Bars:
    counts = Counter((entry.key, entry.split) for entry in kept)
    shown, note = [*names], "by split"
    if len(names) > _MAX_CLASSES:
        shown.sort(key=lambda key: sum(counts[key, split] for split in splits))
        del shown[_MAX_CLASSES:]
        note += f"; the {_MAX_CLASSES} smallest of {len(names):,} classes"
    series = {split: [counts[key, split] for key in shown] for split in splits}
    labels = [names[key] for key in shown]
    return Bars("classes", "Photos per class", note, labels, series, True)


def _binned(
    name: str, title: str, note: str, values: Sequence[float], edges: Sequence[float]
) -> Bars:
    """A histogram. A bin includes its lower edge; empty bins at the ends are left out."""
    counts = Counter(bisect_right(edges, value) for value in values)
    bins = range(min(counts, default=0), max(counts, default=-1) + 1)
    labels = [_range(edges, at) for at in bins]
    return Bars(name, title, note, labels, {"photos": [counts[at] for at in bins]}, False)


def _range(edges: Sequence[float], at: int) -> str:
    if at == 0:
        return f"< {edges[0]:g}"
    return f"{edges[at - 1]:g}\u2013{edges[at]:g}" if at < len(edges) else f"≥ {edges[-1]:g}"


def _even(values: Sequence[int]) -> range:
    """Evenly spaced edges around nearly all values; outliers fall beyond the ends."""
    if not values:
        return range(1)
    ranked, beyond = sorted(values), len(values) // 100
    return nice_ticks(ranked[beyond], ranked[-1 - beyond] + 1, 9)


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


def _groups(kept: Sequence[Entry]) -> Bars:
    sizes = Counter(row.group for entry in kept if (row := entry.clean) and row.group)
    counts = Counter(sizes.values())
    labels = [str(size) for size in sorted(counts)]
    note = "groups by their number of photos; a group stays in one split"
    values = [counts[size] for size in sorted(counts)]
    return Bars("groups", "Groups of near-duplicates", note, labels, {"groups": values}, False)
