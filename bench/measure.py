"""Runs one command and measures it: seconds, CPU seconds, peak memory; compares runs pair by pair.

Not for what the commands are or whether they did their work: that is contenders.py.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_LAUNCH = Path(__file__).resolve().parent / "launch.py"


class BenchError(Exception):
    """The benchmark itself cannot go on: a tool is missing, or a run did not do its work."""


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

    def row(self) -> dict[str, Any]:
        """The run as it is printed and written as JSON."""
        return asdict(self) | {"rate": self.rate}


@dataclass
class Target:
    """A bound that a measured value must keep."""

    name: str
    value: float
    bound: float
    at_least: bool = True
    spread: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the value keeps the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self) -> str:
        """The target as it is printed."""
        words = "at least" if self.at_least else "at most"
        spread = f" ({self.spread['min']:.2f} to {self.spread['max']:.2f})" if self.spread else ""
        verdict = "ok    " if self.met else "MISSED"
        return f"{verdict} {self.name}: {self.value:.2f}{spread}, {words} {self.bound:.2f}"


def timed(
    name: str,
    photos: int,
    command: Sequence[str | Path],
    folder: Path,
    extra: Mapping[str, str] | None = None,
) -> Run:
    """Run a command in `folder` to its end. Raises BenchError when it fails.

    What it prints goes to `<folder>.log`.
    """
    log, usage = (folder.with_name(folder.name + suffix) for suffix in (".log", ".usage"))
    launcher = [sys.executable, "-I", "-S", str(_LAUNCH), str(usage)]
    with log.open("wb") as output:
        done = subprocess.run(
            [*launcher, *map(str, command)],
            cwd=folder,
            env={**os.environ, **(extra or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise BenchError(f"{name} ended with {done.returncode}:\n{tail}")
    return Run(name, photos, **json.loads(usage.read_text(encoding="utf-8")))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum of ours / theirs, pair by pair."""
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(pairs), "min": min(pairs), "max": max(pairs)}


def table(runs: Sequence[Run]) -> str:
    """The runs as text, one line each."""
    head = f"{'':<14} {'photos':>7} {'seconds':>8} {'photos/s':>9} {'CPU s':>7} {'peak MB':>8}"
    lines = [
        f"{run.name:<14} {run.photos:>7} {run.seconds:>8.2f} {run.rate:>9.0f} "
        f"{run.cpu:>7.2f} {run.peak_mb:>8.0f}"
        for run in runs
    ]
    return "\n".join([head, *lines])


def allow_many_files(count: int = 4096) -> None:
    """Raise this process's limit of open files (its children inherit it) as far as it may go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
