"""Counts the report's distributions: bars with labels, for a chart and for a table."""

import itertools
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from allrounder.core.funnel import raw_step
from allrounder.core.rows import RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.urls import host_of, is_url
from allrounder.report.entries import KEPT, Entry

_ASPECTS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.4, 1.6, 1.8, 2.0, 2.5)
_KILOBYTES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096)
_MAX_HOSTS = 12  # in a chart; the others share one bar
_MAX_CLASSES = 40  # in a chart; the funnel's table has all
_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,80}", re.ASCII)
LOCAL, MALFORMED, OTHERS = "local files", "malformed", "all others"


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
    """Return evenly spaced ticks from at most `low` to at least `high`, `count` steps at most.

    Each tick is a multiple of the step, the smallest of 1, 2, 5, 10, 20, 50 ... that suffices.
    Needs low < high and count >= 2.
    Source: P. Heckbert, Nice Numbers for Graph Labels, Graphics Gems, 1990 (loose labels).
    """
    steps = (10 ** (n // 3) * (1, 2, 5)[n % 3] for n in itertools.count())
    step = next(step for step in steps if -(-high // step) - low // step <= count)
    return range(low // step * step, -(-high // step) * step + 1, step)


def host(url: str) -> str:
    """Return a URL's host as ASCII text; LOCAL for a path, MALFORMED for anything else."""
    if not is_url(url):
        return MALFORMED if re.match(r"[a-z][a-z0-9+.-]+:", url, re.IGNORECASE) else LOCAL
    name = host_of(url)
    try:
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        return MALFORMED
    return name if _HOST.fullmatch(name) else MALFORMED


def distributions(
    entries: Sequence[Entry],
    names: Mapping[str, str],
    splits: Sequence[str],
    failures: Counter[tuple[str, Status]],
) -> list[Bars]:
    """Return all distributions of a dataset; `names` maps class keys to names, in order."""
    kept = [entry for entry in entries if entry.reason == KEPT]
    sizes = [(row.width or 0, row.height or 0) for entry in kept if (row := entry.clean)]
    shorter, longer = [min(size) for size in sizes], [max(size) for size in sizes]
    kilobytes = [(entry.bytes or 0) / 1024 for entry in kept]
    pixels, photos = "pixels", "photos of the dataset"
    return [
        _classes(kept, names, splits),
        _binned("shorter_pixels", f"Shorter side, {pixels}", photos, shorter, _even(shorter)),
        _binned("longer_pixels", f"Longer side, {pixels}", photos, longer, _even(longer)),
        _binned(
            "width_by_height", "Width / height", photos, [w / max(h, 1) for w, h in sizes], _ASPECTS
        ),
        _binned("size_kib", "File size, KiB", photos, kilobytes, _KILOBYTES),
        _named(
            "sources", "Sources", photos, Counter(e.candidate.source or "unknown" for e in kept)
        ),
        _named("hosts", "Hosts", photos, Counter(host(entry.raw.url) for entry in kept)),
        _groups(kept),
        _failures(failures),
    ]


def failures_by_host(raw: Path, keys: Iterable[str]) -> Counter[tuple[str, Status]]:
    """Count the candidates that were requested and not taken, by host and status."""
    counts: Counter[tuple[str, Status]] = Counter()
    for key in keys:
        for row in read_csv(raw / f"{key}.csv", RawRow):
            if raw_step(row.status) == "taken":
                counts[host(row.url), row.status] += 1
    return counts


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
    """Return a histogram. A bin includes its lower edge; empty bins at the ends are left out."""
    counts = Counter(bisect_right(edges, value) for value in values)
    bins = range(min(counts, default=0), max(counts, default=-1) + 1)
    labels = [_range(edges, at) for at in bins]
    return Bars(name, title, note, labels, {"photos": [counts[at] for at in bins]}, False)


def _range(edges: Sequence[float], at: int) -> str:
    if at == 0:
        return f"< {edges[0]:g}"
    return f"{edges[at - 1]:g}\u2013{edges[at]:g}" if at < len(edges) else f"≥ {edges[-1]:g}"


def _even(values: Sequence[int]) -> range:
    """Return evenly spaced edges around nearly all values; outliers fall beyond the ends."""
    if not values:
        return range(1)
    ranked, beyond = sorted(values), len(values) // 100
    return nice_ticks(ranked[beyond], ranked[-1 - beyond] + 1, 9)


def _named(name: str, title: str, note: str, counts: Counter[str]) -> Bars:
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = ranked[:_MAX_HOSTS]
    if rest := sum(count for _, count in ranked[_MAX_HOSTS:]):
        shown.append((f"{OTHERS} ({len(ranked) - _MAX_HOSTS})", rest))
    labels, values = [label for label, _ in shown], [count for _, count in shown]
    return Bars(name, title, note, labels, {"photos": values}, True)


def _groups(kept: Sequence[Entry]) -> Bars:
    sizes = Counter(row.group for entry in kept if (row := entry.clean) and row.group)
    counts = Counter(sizes.values())
    labels = [str(size) for size in sorted(counts)]
    note = "groups by their number of photos; a group stays in one split"
    values = [counts[size] for size in sorted(counts)]
    return Bars("groups", "Groups of near-duplicates", note, labels, {"groups": values}, False)


def _failures(failures: Counter[tuple[str, Status]]) -> Bars:
    by_host: Counter[str] = Counter()
    for (name, _), count in failures.items():
        by_host[name] += count
    ranked = sorted(by_host, key=lambda name: (-by_host[name], name))
    labels, others = ranked[:_MAX_HOSTS], set(ranked[_MAX_HOSTS:])
    series = {}
    for status in Status:
        row = [failures[name, status] for name in labels]
        rest = sum(
            count for (name, why), count in failures.items() if name in others and why is status
        )
        if others:
            row.append(rest)
        if any(row):
            series[str(status)] = row
    labels += [f"{OTHERS} ({len(others)})"] if others else []
    note = "candidates requested but not taken, by reason"
    return Bars("failures", "Failures by host", note, labels, series, True)
