"""Searches close pairs among hashes by one method: METHOD HASHES RADIUS OUT, in its environment.

Run by hashes.py, a process for each search, so that its peak memory is the search's own.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PLANTED = 100  # one of so many hashes is planted: a copy of another with `radius` bits flipped
NEIGHBOURS = 16

Hashes = NDArray[np.uint64]
Search = Callable[[Hashes, int], NDArray[np.int64]]


def data(count: int, radius: int) -> tuple[Hashes, NDArray[np.int64]]:
    """Random hashes, among them pairs 0 to `radius` bits apart; and these pairs."""
    rng = np.random.default_rng((count, radius))
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    planted = count // PLANTED
    places = rng.permutation(count)[: 2 * planted].reshape(planted, 2)
    for number, (one, two) in enumerate(places.tolist()):
        flips = rng.choice(64, number % (radius + 1), replace=False)
        hashes[two] = hashes[one] ^ np.uint64(sum(1 << int(bit) for bit in flips))
    return hashes, places


def ours(hashes: Hashes, radius: int) -> NDArray[np.int64]:
    """allrounder.clean.fingerprints.close_pairs: exact."""
    from allrounder.clean.fingerprints import close_pairs

    return close_pairs(hashes, hashes, radius)


def faiss_flat(hashes: Hashes, radius: int) -> NDArray[np.int64]:
    """All with all: exact."""
    import faiss

    return _faiss(faiss.IndexBinaryFlat(64), hashes, radius)


def faiss_multihash(hashes: Hashes, radius: int) -> NDArray[np.int64]:
    """Three tables of 21 bits, with a third of the radius flipped: exact but for one bit."""
    import faiss

    index = faiss.IndexBinaryMultiHash(64, 3, 21)
    index.nflip = radius // 3
    return _faiss(index, hashes, radius)


def usearch(hashes: Hashes, radius: int) -> NDArray[np.int64]:
    """A navigable small world, its default settings: approximate, the nearest few of each."""
    from usearch.index import Index

    index = Index(ndim=64, metric="hamming", dtype="b1")
    codes = _codes(hashes)
    index.add(np.arange(len(hashes)), codes)
    found = index.search(codes, NEIGHBOURS)
    rows = np.repeat(np.arange(len(hashes)), NEIGHBOURS).reshape(-1, NEIGHBOURS)
    close = found.distances <= radius
    return np.stack([rows[close], found.keys[close].astype(np.int64)], axis=1)


def bktree(hashes: Hashes, radius: int) -> NDArray[np.int64]:
    """imagededup's tree, with the distance its own hashers use: exact."""
    from imagededup.handlers.search.bktree import BKTree

    names = {str(number): f"{code:016x}" for number, code in enumerate(hashes.tolist())}
    tree = BKTree(names, lambda one, two: (int(one, 16) ^ int(two, 16)).bit_count())
    found = [
        (int(name), int(other[0]))
        for name, code in names.items()
        for other in tree.search(code, tol=radius)
    ]
    return np.array(found, np.int64)


METHODS: dict[str, Search] = {
    each.__name__: each for each in (ours, faiss_flat, faiss_multihash, usearch, bktree)
}


def _codes(hashes: Hashes) -> NDArray[np.uint8]:
    return np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)


def _faiss(index: object, hashes: Hashes, radius: int) -> NDArray[np.int64]:
    codes = _codes(hashes)
    index.add(codes)
    # Its range is open: below the given distance.
    limits, _, found = index.range_search(codes, radius + 1)
    rows = np.repeat(np.arange(len(hashes)), np.diff(limits.astype(np.int64)))
    return np.stack([rows, found.astype(np.int64)], axis=1)


def main() -> None:
    """Search; write seconds, pairs and how many of the planted are among them."""
    method, count, radius, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    hashes, planted = data(count, radius)
    METHODS[method](hashes[:64], radius)  # imports
    start = time.perf_counter()
    pairs = METHODS[method](hashes, radius)
    seconds = time.perf_counter() - start
    keys = pairs[:, 0] * count + pairs[:, 1]
    recall = np.isin(planted[:, 0] * count + planted[:, 1], keys).mean() if len(planted) else 1
    unlike = int((pairs[:, 0] < pairs[:, 1]).sum())
    result = {"seconds": seconds, "pairs": unlike, "planted": len(planted), "recall": float(recall)}
    out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
