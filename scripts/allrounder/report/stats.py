"""Counts the report's distributions: each is bars with labels, for a chart and for a table.

Not for drawing them (charts.py) or for the funnel (../funnel.py).
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from matplotlib.ticker import MaxNLocator

from allrounder.core.funnel import raw_step
from allrounder.core.rows import RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.urls import is_url
from allrounder.report.entries import KEPT, Entry

_ASPECTS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.4, 1.6, 1.8, 2.0, 2.5)
_KILOBYTES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096)
_MOST = 12  # hosts in a chart; the others are one bar
_CLASSES = 40  # in a chart; the funnel's table has all
_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,80}", re.ASCII)
HERE, MALFORMED, OTHERS = "files here", "malformed", "all others"


@dataclass(frozen=True, slots=True)
class Bars:
    """A distribution: a count for each label in each series; the series add up."""

    name: str  # a word, for ids and file names
    title: str
    note: str  # what is counted
    labels: list[str]
    series: dict[str, list[int]]
    lying: bool  # labels are names: bars lie

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not any(any(counts) for counts in self.series.values())


def host(url: str) -> str:
    """The host of a URL in plain letters; HERE for a path, MALFORMED for what is neither."""
    if not is_url(url):
        return MALFORMED if re.match(r"[a-z][a-z0-9+.-]+:", url, re.IGNORECASE) else HERE
    try:
        name = urlsplit(url).hostname or ""
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except ValueError:  # UnicodeError is one
        return MALFORMED
    return name if _HOST.fullmatch(name) else MALFORMED


def distributions(
    entries: Sequence[Entry],
    names: Mapping[str, str],
    sides: Sequence[str],
    failures: Counter[tuple[str, Status]],
) -> list[Bars]:
    """All distributions of a dataset; `names` are the classes' by wnid, in order."""
    kept = [entry for entry in entries if entry.reason == KEPT]
    sizes = [(row.width or 0, row.height or 0) for entry in kept if (row := entry.clean)]
    shorter, longer = [min(size) for size in sizes], [max(size) for size in sizes]
    kilobytes = [(entry.bytes or 0) / 1024 for entry in kept]
    pixels, photos = "pixels", "photos of the dataset"
    return [
        _classes(kept, names, sides),
        _binned("shorter_pixels", f"Shorter side, {pixels}", photos, shorter, _even(shorter)),
        _binned("longer_pixels", f"Longer side, {pixels}", photos, longer, _even(longer)),
        _binned(
            "width_by_height", "Width / height", photos, [w / max(h, 1) for w, h in sizes], _ASPECTS
        ),
        _binned("size_kib", "Size of the file, KiB", photos, kilobytes, _KILOBYTES),
        _named("sources", "Sources", photos, Counter(e.origin.source or "unknown" for e in kept)),
        _named("hosts", "Hosts", photos, Counter(host(entry.raw.url) for entry in kept)),
        _groups(kept),
        _failures(failures),
    ]


def failures_by_host(raw: Path, wnids: Iterable[str]) -> Counter[tuple[str, Status]]:
    """How many candidates were asked for and not taken, by the host of their URL and reason."""
    counts: Counter[tuple[str, Status]] = Counter()
    for wnid in wnids:
        for row in read_csv(raw / f"{wnid}.csv", RawRow):
            if raw_step(row.status) == "taken":
                counts[host(row.url), row.status] += 1
    return counts


def _classes(kept: Sequence[Entry], names: Mapping[str, str], sides: Sequence[str]) -> Bars:
    counts = Counter((entry.wnid, entry.split) for entry in kept)
    shown, note = [*names], "by split"
    if len(names) > _CLASSES:
        shown.sort(key=lambda wnid: sum(counts[wnid, side] for side in sides))
        del shown[_CLASSES:]
        note += f"; the {_CLASSES} of {len(names):,} classes that have fewest"
    series = {side: [counts[wnid, side] for wnid in shown] for side in sides}
    labels = [names[wnid] for wnid in shown]
    return Bars("classes", "Photos a class", note, labels, series, True)


def _binned(
    name: str, title: str, note: str, values: Sequence[float], edges: Sequence[float]
) -> Bars:
    """A histogram. A bin holds its lower edge, not its upper; empty ends are left out."""
    counts = Counter(bisect_right(edges, value) for value in values)
    bins = range(min(counts, default=0), max(counts, default=-1) + 1)
    labels = [_range(edges, at) for at in bins]
    return Bars(name, title, note, labels, {"photos": [counts[at] for at in bins]}, False)


def _range(edges: Sequence[float], at: int) -> str:
    if at == 0:
        return f"< {edges[0]:g}"
    return f"{edges[at - 1]:g}\u2013{edges[at]:g}" if at < len(edges) else f"≥ {edges[-1]:g}"


def _even(values: Sequence[int]) -> list[float]:
    """Round edges at even steps that take in nearly all values; the rest are beyond the last."""
    if not values:
        return [0]
    ranked = sorted(values)
    low, high = ranked[len(ranked) // 100], ranked[-1 - len(ranked) // 100]
    high = max(high, low + 1)  # all the same: still a step wide
    return [float(edge) for edge in MaxNLocator(9, integer=True).tick_values(low, high)]


def _named(name: str, title: str, note: str, counts: Counter[str]) -> Bars:
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = ranked[:_MOST]
    if rest := sum(count for _, count in ranked[_MOST:]):
        shown.append((f"{OTHERS} ({len(ranked) - _MOST})", rest))
    labels, values = [label for label, _ in shown], [count for _, count in shown]
    return Bars(name, title, note, labels, {"photos": values}, True)


def _groups(kept: Sequence[Entry]) -> Bars:
    sizes = Counter(row.group for entry in kept if (row := entry.clean) and row.group)
    counts = Counter(sizes.values())
    labels = [str(size) for size in sorted(counts)]
    note = "groups by their number of photos; a group stays on one side of the split"
    values = [counts[size] for size in sorted(counts)]
    return Bars("groups", "Groups of near-duplicates", note, labels, {"groups": values}, False)


def _failures(failures: Counter[tuple[str, Status]]) -> Bars:
    by_host: Counter[str] = Counter()
    for (name, _), count in failures.items():
        by_host[name] += count
    ranked = sorted(by_host, key=lambda name: (-by_host[name], name))
    labels, others = ranked[:_MOST], set(ranked[_MOST:])
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
    note = "candidates asked for and not taken, by reason"
    return Bars("failures", "Failures by host", note, labels, series, True)
