"""What does the search for close pairs among many perceptual hashes cost?"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from harness import BenchError, Report, main, timed

RADIUS = 10  # clean.near_radius by default
PLANTED = 100  # one hash of so many is a copy of another one with up to RADIUS bits flipped
SECONDS = {3_000: 0.1, 100_000: 5.0, 1_000_000: 60.0}
MAX_MB = 2_000


def measure(report: Report, folder: Path) -> None:
    """Search among more and more hashes, in a process a search."""
    (folder / "run").mkdir()
    for count, seconds in list(SECONDS.items())[: 2 if report.options.quick else None]:
        out = folder / "found.json"
        command = [sys.executable, __file__, "search", str(count), out]
        extra = {"PYTHONPATH": str(report.options.scripts)}
        run = timed("search", count, command, folder / "run", extra)
        found = json.loads(out.read_text(encoding="utf-8"))
        if found["recall"] < 1:
            raise BenchError(f"only {found['recall']:.4f} of the planted pairs were found")
        report.target(f"{count:,} hashes: seconds", [found["seconds"]], seconds, False)
        report.target(f"{count:,} hashes: peak MB", [run.peak_mb], MAX_MB, False)


def search(count: int) -> dict[str, float]:
    """Search random 64-bit hashes; return seconds and the share of the planted pairs found."""
    from allrounder.clean.neighbours import close_pairs

    rng = np.random.default_rng(count)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    places = rng.permutation(count)[: 2 * (count // PLANTED)].reshape(-1, 2)
    for number, (one, two) in enumerate(places.tolist()):
        flips = rng.choice(64, number % (RADIUS + 1), replace=False)
        hashes[two] = hashes[one] ^ np.uint64(sum(1 << int(bit) for bit in flips))
    start = time.perf_counter()
    pairs = close_pairs(hashes, hashes, RADIUS)
    seconds = time.perf_counter() - start
    found = np.isin(places[:, 0] * count + places[:, 1], pairs[:, 0] * count + pairs[:, 1])
    return {"seconds": seconds, "recall": float(found.mean())}


if __name__ == "__main__":
    if sys.argv[1:2] == ["search"]:
        Path(sys.argv[3]).write_text(json.dumps(search(int(sys.argv[2]))), encoding="utf-8")
    else:
        sys.exit(main(str(__doc__), measure))
