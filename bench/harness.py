"""Shared by the benchmarks: measures commands in turns, compares them pair by pair, reports."""

import argparse
import contextlib
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each run compiles its modules

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
PEER = Path(__file__).with_name("peer.py")
PARAMS = yaml.safe_load((SCRIPTS.parent / "params.yaml").read_text(encoding="utf-8"))
WNIDS: list[str] = list(PARAMS["classes"])[:10]
CACHE = Path.home() / ".cache/imagenet-all-rounder-bench"
LAUNCH = """
import json, os, signal, sys, time
start = time.perf_counter()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
signal.alarm(int(os.environ.get("BENCH_LIMIT", 600)))
_, status, usage = os.wait4(pid, 0)
taken = {"seconds": time.perf_counter() - start, "cpu": usage.ru_utime + usage.ru_stime}
with open(sys.argv[1], "w") as file:
    json.dump(taken | {"peak_mb": usage.ru_maxrss / 1024}, file)
sys.exit(min(abs(os.waitstatus_to_exitcode(status)), 255))
"""
"""Starts a command from a small process: on Linux, children inherit the peak memory.

It is killed after BENCH_LIMIT seconds.
"""


class BenchError(Exception):
    """The benchmark cannot go on: a tool is missing, or a run did not do its work."""


@dataclass(frozen=True)
class Run:
    """One finished command. `peak_mb` is that of its largest process, `cpu` of all of them."""

    name: str
    photos: int
    seconds: float
    cpu: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Photos a second."""
        return self.photos / self.seconds


class Report:
    """The runs, figures and targets of a benchmark."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self._runs: list[Run] = []
        self._figures: dict[str, Any] = {}
        self._missed: list[str] = []

    def turns(self, title: str, *contenders: Callable[[], Run]) -> list[list[Run]]:
        """Run each contender once a round, in alternating order; return the runs of each."""
        found: list[list[Run]] = [[] for _ in contenders]
        for number in range(self.options.rounds):
            places = range(len(contenders))
            for place in places if number % 2 == 0 else reversed(places):
                found[place].append(contenders[place]())
            print(f"\n{title}, round {number + 1}\n{table([runs[-1] for runs in found])}")
        self._runs += [run for runs in found for run in runs]
        return found

    def figure(self, name: str, value: Any) -> None:
        """Note and print a figure without a target."""
        self._figures[name] = value
        print(f"{name}: {value:,.4g}" if isinstance(value, float) else f"{name}: {value}")

    def target(
        self, name: str, values: Sequence[float], bound: float, at_least: bool = True
    ) -> None:
        """Compare the median of some values with a bound."""
        value = statistics.median(values)
        met, sign = (value >= bound, ">=") if at_least else (value <= bound, "<=")
        self._figures[name] = {"values": list(values), "bound": bound, "met": met}
        spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
        print(f"{'ok    ' if met else 'MISSED'} {name}: {value:.2f}{spread}, {sign} {bound:g}")
        self._missed += [] if met else [name]

    def end(self) -> int:
        """Write the JSON file; return the exit code."""
        if self.options.json:
            machine = {"cores": os.cpu_count(), "system": platform.platform()}
            found = {"machine": machine, "quick": self.options.quick, "figures": self._figures}
            found["runs"] = [asdict(run) | {"rate": run.rate} for run in self._runs]
            self.options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        return 1 if self._missed else 0


def main(doc: str, measure: Callable[[Report, Path], None], **extra: dict[str, Any]) -> int:
    """Parse the options, measure in a fresh folder; `extra` are further options by name."""
    parser = argparse.ArgumentParser(description=doc)
    add = parser.add_argument
    add("--quick", action="store_true", help="few photos, one round: only shows that it works")
    add("--rounds", type=int, help="rounds of each comparison (default: 5, quick: 1)")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add("--out", type=Path, metavar="DIR", help="parent of the run's folder (default: TMPDIR)")
    add("--cache", type=Path, default=CACHE, help="for photos and the peers' environments")
    add("--scripts", type=Path, default=SCRIPTS, help="the scripts folder to measure")
    for name, settings in extra.items():
        add(f"--{name}", **settings)
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.cache, options.scripts = options.cache.absolute(), options.scripts.resolve()
    report = Report(options)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.out) as name:
            Path(name).chmod(0o755)  # web servers run as another user
            measure(report, Path(name))
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return report.end()


def timed(
    name: str,
    photos: int,
    command: Sequence[str | Path],
    folder: Path,
    extra: Mapping[str, str] | None = None,
) -> Run:
    """Run a command in `folder`, its output in `<folder>.log`. Raises BenchError if it fails."""
    log, usage = (folder.with_name(folder.name + suffix) for suffix in (".log", ".usage"))
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, str(usage)]
    with log.open("wb") as output:
        done = subprocess.run(
            [*launcher, *map(str, command)], cwd=folder, env=os.environ | (extra or {}),
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise BenchError(f"{name} ended with {done.returncode}:\n{tail}")
    return Run(name, photos, **json.loads(usage.read_text(encoding="utf-8")))


def ratios(ours: Sequence[Run], theirs: Sequence[Run]) -> list[float]:
    """Rate of ours / rate of theirs, pair by pair."""
    return [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]


def table(runs: Sequence[Run]) -> str:
    """The runs as text, one line each."""
    head = f"{'':<16} {'photos':>7} {'seconds':>8} {'photos/s':>9} {'CPU s':>7} {'peak MB':>8}"
    form = "{:<16} {:>7} {:>8.2f} {:>9.0f} {:>7.2f} {:>8.0f}"
    rows = [(r.name, r.photos, r.seconds, r.rate, r.cpu, r.peak_mb) for r in runs]
    return "\n".join([head, *(form.format(*row) for row in rows)])


def project(folder: Path, scripts: Path, **params: Any) -> Path:
    """Make a new project folder, with params.yaml, no corrections and a link to the scripts."""
    emptied(folder)
    (folder / "scripts").symlink_to(scripts)
    for name in ("corrections.csv", "takedowns.csv"):
        (folder / name).write_text("match,action,class,reason,by\n", encoding="utf-8")
    defaults = {
        "sources": [{"kind": "folder", "location": "photos"}],
        "classes": dict.fromkeys(WNIDS), "per_class": 10, "min_per_class": 1,
        "download": {}, "clean": {}, "split": {}, "dataset": {}, "report": {},
    }  # fmt: skip
    text = yaml.safe_dump(defaults | params, sort_keys=False)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return folder


def emptied(folder: Path) -> Path:
    """The folder, emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def installed(cache: Path, name: str, *packages: str) -> Path:
    """The `bin` folder of a virtual environment with these packages, made on the first call."""
    venv = cache / name
    if not (venv / "complete").exists():
        print(f"installing {' '.join(packages)}", flush=True)
        pip = [venv / "bin/pip", "install", "-q", "--disable-pip-version-check", *packages]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
            subprocess.run(pip, check=True)
        except subprocess.CalledProcessError as error:
            raise BenchError(f"{name} cannot be installed: {error}") from None
        (venv / "complete").touch()
    return venv / "bin"


@contextlib.contextmanager
def running(command: Sequence[str | Path], host: str, port: int) -> Iterator[None]:
    """Run a server until the block ends; the block starts when it accepts connections."""
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL)
    try:
        while not _accepts(host, port):
            if process.poll() is not None:
                raise BenchError(f"{command[0]} does not start")
        yield
    finally:
        process.terminate()
        process.wait()


def _accepts(host: str, port: int) -> bool:
    time.sleep(0.05)
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), 1).close()
        return True
    return False
