"""What does the whole search for near-duplicates among many pictures cost, as clean runs it?"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness import BenchError, Report, main, timed

RADIUS = 10  # clean.near_radius by default
PLANTED = 100  # one picture of so many is a brighter copy of the one before
SECONDS = {3_000: 0.1, 100_000: 5.0, 1_000_000: 60.0}
MAX_MB = 2_000
FIELDS, FIELD, SIDE = 256, 128, 64
AT_ONCE = 1_000


def measure(report: Report, folder: Path) -> None:
    """Search among more and more pictures, in a process a search."""
    (folder / "run").mkdir()
    for count, seconds in list(SECONDS.items())[: 1 if report.options.quick else None]:
        out = folder / "found.json"
        command = [sys.executable, __file__, "search", str(count), out]
        extra = {"PYTHONPATH": str(report.options.scripts)}
        run = timed("search", count, command, folder / "run", extra)
        found = json.loads(out.read_text(encoding="utf-8"))
        if found["recall"] < 1:
            raise BenchError(f"only {found['recall']:.4f} of the planted pairs were found")
        report.target(f"{count:,} pictures: seconds", [found["seconds"]], seconds, False)
        report.target(f"{count:,} pictures: peak MB", [run.peak_mb], MAX_MB, False)
        report.figure(f"{count:,} pictures: CPU s", round(found["cpu"], 1))
        report.figure(f"{count:,} pictures: pairs by chance", found["wrong"])


def search(count: int) -> dict[str, float]:
    """Search among drawn pictures; the share of the planted pairs found, and how many others."""
    from allrounder.clean.curate import SAME
    from allrounder.clean.neighbours import Pictures
    from allrounder.clean.search import FingerprintColumns
    from allrounder.core.workers import cores, worker_pool

    with ProcessPoolExecutor() as pool:
        parts = list(pool.map(_hashes, range(0, count, AT_ONCE)))
    hashes = np.concatenate(parts)[:count]
    show, rows = _drawn(), np.arange(count)
    columns = FingerprintColumns(
        lambda some, view: (hashes[some, 0, view], hashes[some, 1, view]),
        rows,
        np.ones((count, 2)),
        lambda some, trimmed: show(some),
    )
    cpu = sum(os.times()[:4])
    with worker_pool(cores()) as pool:
        start = time.perf_counter()
        found = set(Pictures(columns, pool).near_pairs(rows, RADIUS, SAME))
        seconds = time.perf_counter() - start
    cpu = sum(os.times()[:4]) - cpu  # with the workers', which have ended
    planted = {(row - 1, row) for row in range(PLANTED - 1, count, PLANTED)}
    recall = len(found & planted) / len(planted)
    return {"seconds": seconds, "cpu": cpu, "recall": recall, "wrong": len(found - planted)}


def _hashes(start: int) -> Any:
    """Both hashes of all views of some pictures."""
    from allrounder.clean.fingerprints import fingerprint

    shown = _drawn()(np.arange(start, start + AT_ONCE))
    prints = [fingerprint(Image.fromarray(grey)) for grey in shown]
    return np.array([(one.horizontal, one.vertical) for one in prints], np.uint64)


def _drawn() -> Callable[[Any], Any]:
    """Draws the grey pictures with these numbers, the same ones each time.

    Each is a blend of windows of two fields of noise that has the spectrum of photos.
    """
    rng = np.random.default_rng(1)
    away = np.hypot(*np.meshgrid(np.fft.fftfreq(FIELD), np.fft.fftfreq(FIELD)))
    noise = (
        np.fft.fft2(rng.normal(size=(FIELDS, FIELD, FIELD))) / np.maximum(away, 1 / FIELD) ** 1.2
    )
    fields = np.fft.ifft2(noise).real
    fields = (fields / fields.std(axis=(1, 2), keepdims=True)).astype(np.float32)

    def drawn(numbers: Any) -> Any:
        of = numbers - (numbers % PLANTED == PLANTED - 1)
        found: Any = 0
        for half in (1, 2):  # a hash of the number, so that any number can be drawn alone
            mixed = (of.astype(np.uint64) + np.uint64(half << 40)) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ mixed >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
            mixed ^= mixed >> np.uint64(32)
            field, row, column = (
                (mixed >> np.uint64(bits)).astype(np.int64)[:, None, None] for bits in (0, 20, 40)
            )
            edge = np.arange(SIDE)
            found = (
                found + (fields[field % FIELDS, row % SIDE + edge[:, None], column % SIDE + edge])
            )
        gain = np.where(of == numbers, 1, 1.1)[:, None, None]
        return ((110 + 30 * found) * gain).clip(0, 255).astype(np.uint8)

    return drawn


if __name__ == "__main__":
    if sys.argv[1:2] == ["search"]:
        Path(sys.argv[3]).write_text(json.dumps(search(int(sys.argv[2]))), encoding="utf-8")
    else:
        sys.exit(main(str(__doc__), measure))
