"""Compares the download stage with `curl --parallel` and img2dataset; see README.md.

Exits 1 when a target is missed, 2 when the benchmark itself cannot run.
"""

import argparse
import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

import photos
from contenders import IMG2DATASET, SCRIPTS, install_img2dataset
from measure import BenchError, allow_many_files
from nginx import ensure_tools, serving
from rounds import DELAY, Bench

PARTS = ("speed", "marginal", "latency", "tls", "dead", "start_up")
PARAMS = SCRIPTS.parent / "params.yaml"


def main() -> int:
    """Set up, compare, report."""
    options = _options()
    try:
        ensure_tools()
        program = install_img2dataset(options.cache.absolute())
        allow_many_files()
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.out) as name:
            Path(name).chmod(0o755)  # nginx's workers are another user
            bench = _run(options, Path(name), program)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(*[""] + [target.line() for target in bench.targets], sep="\n")
    if options.json:
        options.json.write_text(json.dumps(_report(options, bench), indent=2) + "\n")
    missed = [target.name for target in bench.targets if not target.met]
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _run(options: argparse.Namespace, folder: Path, program: Path) -> Bench:
    wnids = list(yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["classes"])[:10]
    parts = options.only or PARTS
    per_class = 60 if options.quick else 300
    needed = per_class * (4 if {"marginal", "latency"} & set(parts) else 1)
    print(f"making {needed * len(wnids)} photos")
    made = photos.make(folder / "www", wnids, needed)
    with serving(folder / "www", folder / "nginx", DELAY) as server:
        bench = Bench(
            server, made, folder, program, options.scripts.resolve(), per_class, options.rounds
        )
        if not options.quick and {"speed", "marginal", "tls"} & set(parts):
            bench.choose_settings()
        for part in parts:
            getattr(bench, part)()
        bench.memory()
    return bench


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="600 photos instead of 3,000, one round")
    add("--rounds", type=int, help="turns of each comparison (default: 5, quick: 1)")
    add("--only", nargs="+", choices=PARTS, help="these comparisons only")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="where photos go (default: a fresh folder; try /dev/shm)",
    )
    add("--cache", type=Path, help="where img2dataset is installed")
    add("--scripts", type=Path, default=SCRIPTS, help="the scripts folder to measure")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.cache = options.cache or Path.home() / ".cache" / "imagenet-all-rounder-bench"
    options.out = options.out or Path(tempfile.gettempdir())
    if "marginal" in (options.only or ()) and "speed" not in options.only:
        options.only.insert(0, "speed")  # its first photos are what that one measures
    return options


def _report(options: argparse.Namespace, bench: Bench) -> dict[str, Any]:
    return {
        "machine": machine(),
        "quick": options.quick,
        "rounds": options.rounds,
        "curl": str(shutil.which("curl")),
        "img2dataset": [IMG2DATASET, str(bench.settings)],
        "targets": [vars(target) | {"met": target.met} for target in bench.targets],
        "runs": {name: [run.row() for run in runs] for name, runs in bench.runs.items()},
        "notes": bench.notes,
    }


def machine() -> dict[str, Any]:
    """What this machine is."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [
        line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(models),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
