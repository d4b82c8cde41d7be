"""What would a million photos cost? Extrapolated from two smaller builds of local photos."""

import os
import sys
from pathlib import Path

import photos
from harness import WNIDS, Report, Run, main, project, table, timed

STAGES = ("fetch_urls", "download", "clean", "split", "report")
MILLION = 1_000_000


def measure(report: Report, folder: Path) -> None:
    """Build twice, each stage by itself; fit a line through both costs of a stage."""
    sizes = (20, 60) if report.options.quick else (100, 300)
    source = photos.made(report.options.cache, WNIDS, sizes[1])
    builds = [_build(report, folder / f"build{size}", source, size) for size in sizes]
    small, large = (size * len(WNIDS) for size in sizes)
    seconds = 0.0
    for few, many in zip(*builds, strict=True):
        million = _at_million(small, few.seconds, large, many.seconds)
        memory = _at_million(small, few.peak_mb, large, many.peak_mb)
        report.figure(f"{few.name}: seconds for a million", round(million))
        report.figure(f"{few.name}: peak MB for a million", round(memory))
        seconds += million
    report.figure("all stages: hours for a million", seconds / 3600)
    used = [_bytes(folder / f"build{size}/data") for size in sizes]
    report.figure("data: GB for a million", _at_million(small, used[0], large, used[1]) / 1e9)


def _build(report: Report, folder: Path, source: Path, per_class: int) -> list[Run]:
    """Run all stages on the first photos of each class."""
    place = project(folder, report.options.scripts, per_class=per_class)
    for wnid in WNIDS:
        (place / "photos" / wnid).mkdir(parents=True)
        for number in range(per_class):
            path = source / wnid / f"{wnid}_{number}.jpg"
            (place / "photos" / wnid / path.name).symlink_to(path)
    count = per_class * len(WNIDS)
    runs = [timed(s, count, [sys.executable, f"scripts/{s}.py"], place) for s in STAGES]
    print(f"\n{count} photos\n{table(runs)}")
    return runs


def _at_million(small: int, few: float, large: int, many: float) -> float:
    """The value at a million on the line through two measured ones."""
    return many + (many - few) / (large - small) * (MILLION - large)


def _bytes(folder: Path) -> int:
    """Bytes of the files below a folder; hard links count once."""
    found = [os.lstat(path) for path in folder.rglob("*")]
    return sum({(each.st_dev, each.st_ino): each.st_size for each in found}.values())


if __name__ == "__main__":
    sys.exit(main(str(__doc__), measure))
