"""Compares the clean stage with cleanvision's search for duplicates alone; see README.md.

Exits 1 when a target is missed, 2 when the benchmark itself cannot run.
"""

import argparse
import csv
import json
import shutil
import statistics
import sys
import tarfile
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

import clean_photos
from clean_group import GroupPeak
from clean_venvs import CLEANVISION, installed
from contenders import SCRIPTS
from download import PARAMS, machine
from measure import BenchError, Run, Target, ratios, table, timed

RATE, TIMES = 1500, 10
_HELPER = Path(__file__).with_name("clean_cleanvision.py")


@dataclass
class Bench:
    """Where the photos lie, as files and as a project, and what the runs took."""

    photos: Path
    project: Path
    cleanvision: Path
    classes: int
    count: int
    groups: dict[str, list[float]]

    def ours(self) -> Run:
        """The clean stage, called as dvc.yaml does."""
        shutil.rmtree(self.project / "data/clean", ignore_errors=True)
        run = self._measured("ours", [sys.executable, "scripts/clean.py"])
        rows: list[dict[str, str]] = []
        members = 0
        for path in sorted((self.project / "data/clean").glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                rows += csv.DictReader(file)
            with tarfile.open(path.with_suffix(".tar")) as tar:
                members += len(tar.getnames())
        found = Counter(row["status"] for row in rows)
        copies = {"exact_duplicate": self.classes, "near_duplicate": self.classes}
        if found != {"kept": self.count - 2 * self.classes, **copies} or members != found["kept"]:
            raise BenchError(f"ours: {dict(found)}, {members} in the tars, of {self.count} photos")
        return run

    def theirs(self) -> Run:
        """cleanvision's search for exact and near duplicates, and for nothing else."""
        out = self.project / "cleanvision.json"
        out.unlink(missing_ok=True)
        run = self._measured("cleanvision", [self.cleanvision, _HELPER, self.photos, out])
        found = json.loads(out.read_text(encoding="utf-8"))
        if found["photos"] != self.count or len(found["exact_duplicates"]) != self.classes:
            raise BenchError(f"cleanvision: {found} of {self.count} photos")
        return run

    def _measured(self, name: str, command: list[str | Path]) -> Run:
        with GroupPeak() as peak:
            run = timed(name, self.count, command, self.project)
        self.groups.setdefault(name, []).append(peak.mb)
        return run


def main() -> int:
    """Set up, compare, report."""
    options = _options()
    try:
        report, targets = _compare(options)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(*[""] + [target.line() for target in targets], sep="\n")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    missed = [target.name for target in targets if not target.met]
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _compare(options: argparse.Namespace) -> tuple[dict[str, object], list[Target]]:
    wnids = list(yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["classes"])[:10]
    per_class = 60 if options.quick else 300
    cleanvision = installed(options.cache, "cleanvision", CLEANVISION)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.out) as name:
        cached = clean_photos.make(options.cache, wnids, per_class)
        photos = Path(shutil.copytree(cached, Path(name) / "photos"))
        project = _project(Path(name) / "project", photos, wnids, per_class, options.scripts)
        count = len(wnids) * per_class
        bench = Bench(photos, project, cleanvision, len(wnids), count, {})
        turns = (bench.ours, bench.theirs)
        rounds = []
        for number in range(options.rounds):
            order = turns if number % 2 == 0 else turns[::-1]
            runs = sorted((turn() for turn in order), key=lambda run: run.name, reverse=True)
            rounds.append(runs)
            peaks = ", ".join(f"{name} {bench.groups[name][-1]:.0f} MB" for name in bench.groups)
            print(f"\nround {number + 1}\n{table(runs)}\nall processes together: {peaks}")
    targets = _targets(rounds)
    report = {
        "machine": machine(),
        "quick": options.quick,
        "targets": [vars(target) | {"met": target.met} for target in targets],
        "runs": [[run.row() for run in runs] for runs in rounds],
        "all_processes_mb": bench.groups,
    }
    return report, targets


def _targets(rounds: list[list[Run]]) -> list[Target]:
    mine, theirs = ([runs[place].rate for runs in rounds] for place in (0, 1))
    spread = ratios(mine, theirs)
    return [
        Target(
            "clean: photos/s of ours",
            statistics.median(mine),
            RATE,
            spread={"min": min(mine), "max": max(mine)},
        ),
        Target("clean: rate of ours / cleanvision", spread["median"], TIMES, spread=spread),
    ]


def _project(folder: Path, photos: Path, wnids: list[str], per_class: int, scripts: Path) -> Path:
    """A project folder whose download stage has just been run."""
    clean_photos.write_raw(photos, folder / "data/raw")
    params = {
        "sources": [{"kind": "folder", "location": "data/sample"}],
        "classes": dict.fromkeys(wnids),
        "per_class": per_class,
        "min_per_class": 1,
        "download": {},
        "clean": {},
        "split": {},
    }
    (folder / "scripts").symlink_to(scripts.resolve())
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    cache = Path.home() / ".cache" / "imagenet-all-rounder-bench"
    shm = Path("/dev/shm")
    add("--quick", action="store_true", help="600 photos instead of 3,000, one round")
    add("--rounds", type=int, help="turns of the comparison (default: 5, quick: 1)")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add("--out", type=Path, metavar="DIR", help="where the project goes (default: /dev/shm)")
    add("--cache", type=Path, default=cache, help="where photos and cleanvision are kept")
    add("--scripts", type=Path, default=SCRIPTS, help="the scripts folder to measure")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.cache = options.cache.absolute()
    options.out = options.out or (shm if shm.is_dir() else Path(tempfile.gettempdir()))
    return options


if __name__ == "__main__":
    sys.exit(main())
