"""The methods under comparison: which pairs of photos each takes for duplicates.

Not for making copies (dup_copies.py) or for reckoning (duplicates.py).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clean_venvs import CLEANVISION, installed
from contenders import SCRIPTS
from measure import BenchError

sys.path.insert(0, str(SCRIPTS))
from allrounder.clean.curate import SAME
from allrounder.clean.decode import normalize
from allrounder.clean.fingerprints import Fingerprint, close_pairs, near_pairs
from allrounder.params.schema import Clean

Pairs = set[tuple[Path, Path]]  # the smaller path first
Finder = Callable[[Sequence[Path]], Pairs]
_HERE = Path(__file__).parent


class Hashed(NamedTuple):
    """A hash of imagehash, by its place in the helper's answer, and how near counts as the same."""

    place: int
    radius: int


HASHES = {
    "pHash <= 10": Hashed(0, 10),
    "dHash <= 5": Hashed(1, 5),
    "dHash <= 10": Hashed(1, 10),
}


def pair(one: Path, two: Path) -> tuple[Path, Path]:
    """Two paths in the order that Pairs have."""
    return (one, two) if one < two else (two, one)


class Ours:
    """What the clean stage does, with params as they come; looks are kept for the next call."""

    def __init__(self) -> None:
        self._looks: dict[Path, Fingerprint | None] = {}

    def __call__(self, paths: Sequence[Path]) -> Pairs:
        """The pairs among these photos."""
        fresh = [path for path in paths if path not in self._looks]
        if fresh:
            with ProcessPoolExecutor() as pool:
                found = pool.map(_look, fresh, chunksize=50)
                self._looks.update(zip(fresh, found, strict=True))
        seen = [(path, look) for path in paths if (look := self._looks[path]) is not None]
        looks = [look for _, look in seen]
        near = near_pairs(looks, Clean().near_radius, SAME)  # type: ignore[call-arg]
        return {pair(seen[i][0], seen[j][0]) for i, j in near}


def _look(path: Path) -> Fingerprint | None:
    return normalize(path.read_bytes(), Clean()).fingerprint  # type: ignore[call-arg]


class Hashes:
    """imagehash's hashes of all photos, made once."""

    def __init__(self, python: Path, work: Path, paths: Sequence[Path]):
        listed, out = work / "paths.txt", work / "hashes.json"
        listed.write_text("\n".join(map(str, paths)) + "\n", encoding="utf-8")
        subprocess.run([python, _HERE / "dup_imagehash.py", listed, out], check=True)
        self._found = json.loads(out.read_text(encoding="utf-8"))

    def finder(self, kind: Hashed) -> Finder:
        """Finds the pairs whose hashes are near."""

        def find(paths: Sequence[Path]) -> Pairs:
            seen = [path for path in paths if self._found[str(path)]]
            codes = [int(self._found[str(path)][kind.place], 16) for path in seen]
            hashes = np.array(codes, np.uint64)
            near = close_pairs(hashes, hashes, kind.radius).tolist()
            return {pair(seen[i], seen[j]) for i, j in near if i < j}

        return find


class Cleanvision:
    """cleanvision's exact and near duplicates; it takes a folder, so each is searched once."""

    def __init__(self, python: Path, work: Path, folders: Sequence[Path]):
        self._found: Pairs = set()
        out = work / "cleanvision.json"
        for folder in folders:
            command = [python, _HERE / "clean_cleanvision.py", folder, out]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchError(f"cleanvision: {done.stderr[-2000:]}")
            found = json.loads(out.read_text(encoding="utf-8"))
            for part in found["exact_duplicates"] + found["near_duplicates"]:
                named = [folder / name for name in part]
                self._found |= {pair(one, two) for one, two in combinations(named, 2)}

    def __call__(self, paths: Sequence[Path]) -> Pairs:
        """The pairs among these photos."""
        wanted = set(paths)
        return {(one, two) for one, two in self._found if one in wanted and two in wanted}


def methods(
    cache: Path, work: Path, paths: Sequence[Path], folders: Sequence[Path]
) -> dict[str, Finder]:
    """All methods, ours first; `paths` are all the photos of `folders`."""
    python = installed(cache, "cleanvision", CLEANVISION)
    hashes = Hashes(python, work, paths)
    found: dict[str, Finder] = {"ours": Ours()}
    found |= {name: hashes.finder(kind) for name, kind in HASHES.items()}
    found["cleanvision"] = Cleanvision(python, work, folders)
    return found
