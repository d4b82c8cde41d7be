"""Measures the search for close pairs of hashes and what could stand in its place; see README.md.

Exits 1 when a target is missed, 2 when the benchmark itself cannot run.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from clean_venvs import IMAGEDEDUP, SEARCH, installed
from contenders import SCRIPTS
from download import machine
from launch import LIMIT
from measure import BenchError, Target, timed

RADII = (4, 8, 10)
USED = 8  # near_radius as it comes
COUNTS = (3_000, 100_000, 1_000_000)
SECONDS = {3_000: 0.1, 100_000: 5, 1_000_000: 60}
MAX_MB = 2_000
LARGEST = {"faiss_flat": 100_000, "usearch": 100_000, "bktree": 3_000}
"""Beyond so many hashes a method takes many minutes or hours and is left out."""


@dataclass(frozen=True)
class Search:
    """One search: what, among how many, and what it took."""

    method: str
    count: int
    radius: int
    seconds: float
    peak_mb: float
    pairs: int
    recall: float

    def line(self) -> str:
        """The search as it is printed."""
        return (
            f"{self.method:<16} {self.count:>9,} {self.radius:>6} {self.seconds:>9.3f} "
            f"{self.peak_mb:>8.0f} {self.pairs:>8,} {self.recall:>7.4f}"
        )


def main() -> int:
    """Search, compare, report."""
    options = _options()
    try:
        searches = _searches(options)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    targets = _targets(searches)
    print(*[""] + [target.line() for target in targets], sep="\n")
    if options.json:
        report = {
            "machine": machine(),
            "searches": [asdict(search) for search in searches],
            "targets": [vars(target) | {"met": target.met} for target in targets],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    missed = [target.name for target in targets if not target.met]
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _searches(options: argparse.Namespace) -> list[Search]:
    pythons = {"ours": Path(sys.executable)}
    if not options.alone:
        libraries = installed(options.cache, "search", SEARCH)
        imagededup = installed(options.cache, "imagededup", ("numpy",), IMAGEDEDUP)
        pythons |= dict.fromkeys(("faiss_flat", "faiss_multihash", "usearch"), libraries)
        pythons["bktree"] = imagededup
    counts = COUNTS[:2] if options.quick else COUNTS
    print(f"{'':<16} {'hashes':>9} {'radius':>6} {'seconds':>9} {'peak MB':>8} {'pairs':>8} recall")
    found: list[Search] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for count in counts:
            for radius in RADII:
                for method, python in pythons.items():
                    if count > LARGEST.get(method, count) or _too_long(found, method, radius):
                        continue
                    try:
                        found.append(_search(method, python, count, radius, Path(name) / "run"))
                    except BenchError:
                        if count < COUNTS[-1] or (method, radius) == ("ours", USED):
                            raise
                        print(f"{method:<16} {count:>9,} {radius:>6} has not ended in {LIMIT} s")
                        continue
                    print(found[-1].line(), flush=True)
    return found


def _too_long(found: list[Search], method: str, radius: int) -> bool:
    """Whether ten times as many hashes as in the largest search so far would take too long."""
    before = [each.seconds for each in found if (each.method, each.radius) == (method, radius)]
    return bool(before) and before[-1] * 10 > LIMIT


def _search(method: str, python: Path, count: int, radius: int, folder: Path) -> Search:
    folder.mkdir(exist_ok=True)
    out = folder / "found.json"
    helper = Path(__file__).with_name("dup_search.py")
    command = [python, helper, method, str(count), str(radius), out]
    run = timed(method, count, command, folder, {"PYTHONPATH": str(SCRIPTS)})
    result = json.loads(out.read_text(encoding="utf-8"))
    return Search(
        method, count, radius, result["seconds"], run.peak_mb, result["pairs"], result["recall"]
    )


def _targets(searches: list[Search]) -> list[Target]:
    mine = [search for search in searches if search.method == "ours"]
    targets = [Target("planted pairs found, least share", min(each.recall for each in mine), 1)]
    for each in mine:
        if each.radius == USED:
            name = f"{each.count:,} hashes, radius {each.radius}"
            targets.append(Target(f"{name}: seconds", each.seconds, SECONDS[each.count], False))
            targets.append(Target(f"{name}: peak MB", each.peak_mb, MAX_MB, False))
    return targets


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    cache = Path.home() / ".cache" / "imagenet-all-rounder-bench"
    add("--quick", action="store_true", help="no search among 1,000,000")
    add("--alone", action="store_true", help="ours only")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add("--cache", type=Path, default=cache, help="where the others are installed")
    options = parser.parse_args()
    options.cache = options.cache.absolute()
    return options


if __name__ == "__main__":
    sys.exit(main())
