"""Counts what the charts show, class by class, so that no photo is kept for it."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from allrounder.core.funnel import Addable
from allrounder.report.entries import Entry, host

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
            self.hosts[host(one.raw.url)] += 1
            self.bytes += one.bytes
            if one.clean and one.clean.group:
                groups[one.clean.group] += 1
        self.groups.update(groups.values())
