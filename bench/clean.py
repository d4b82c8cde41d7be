"""How fast is the clean stage, compared with cleanvision's search for duplicates alone?"""

import csv
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import photos
from harness import PEER, WNIDS, BenchError, Report, Run, installed, main, project, ratios, timed

CLEANVISION = ("cleanvision==0.3.7", "ImageHash==4.3.2")
TIMES = 3  # cleanvision's rate


def measure(report: Report, folder: Path) -> None:
    """Compare the two on the same photos."""
    options = report.options
    per_class = 60 if options.quick else 300
    python = installed(options.cache, "cleanvision", *CLEANVISION) / "python"
    place = project(folder / "project", options.scripts, per_class=per_class)
    cached = photos.made(options.cache, WNIDS, per_class, copies=True)
    shutil.copytree(cached, place / "photos")
    count = len(WNIDS) * per_class
    for stage in ("fetch_urls", "download"):
        timed(stage, count, [sys.executable, f"scripts/{stage}.py"], place)

    def ours() -> Run:
        for results in ("data/clean", ".allrounder/decoded"):  # what an earlier run decoded
            shutil.rmtree(place / results, ignore_errors=True)
        run = timed("clean", count - len(WNIDS), [sys.executable, "scripts/clean.py"], place)
        _check(place / "data/clean", count)
        return run

    def theirs() -> Run:
        out = folder / "found.json"
        command = [python, PEER, out, place / "photos"]
        run = timed("cleanvision", count, command, place)
        found = json.loads(out.read_text(encoding="utf-8"))
        if found["photos"] != count or len(found["exact_duplicates"]) != len(WNIDS):
            raise BenchError(f"cleanvision saw {found['photos']} of {count} photos")
        return run

    mine, other = report.turns("clean", ours, theirs)
    report.target("clean: rate / cleanvision's", ratios(mine, other), TIMES)


def _check(clean: Path, count: int) -> None:
    """Raise BenchError unless the planted near-duplicates, and only these, were dropped.

    The download has dropped the exact duplicates.
    """
    found: Counter[str] = Counter()
    for path in (clean / f"{wnid}.csv" for wnid in WNIDS):
        with path.open(encoding="utf-8", newline="") as file:
            found.update(row["status"] for row in csv.DictReader(file))
    if found != {"kept": count - 2 * len(WNIDS), "near_duplicate": len(WNIDS)}:
        raise BenchError(f"clean: {dict(found)} of {count} photos")


if __name__ == "__main__":
    sys.exit(main(str(__doc__), measure))
