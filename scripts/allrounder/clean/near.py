"""Finds pairs of near-duplicates: by perceptual hash, then confirmed by similarity."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.fingerprints import Fingerprint, Similarity

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]

MAX_RADIUS = 11
_FEW = 4_096  # up to here comparing all with all is quicker than an index
_ROWS = 256
_BANDS = ((0, 22), (22, 21), (43, 21))  # (first bit, bits)


def close_pairs(left: Hashes, right: Hashes, radius: int) -> Pairs:
    """Index pairs (i, j) with left[i] and right[j] at most `radius` bits apart, in (i, j) order.

    Shape (pairs, 2). Up to MAX_RADIUS bits: of three bands of a hash, at least one then differs
    in a third of the radius at most, so it is looked up with all flips of so many bits.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius} is not between 0 and {MAX_RADIUS}")
    few = len(left) * len(right) <= _FEW**2
    found = list(_all_with_all(left, right, radius) if few else _indexed(left, right, radius))
    pairs = np.concatenate(found) if found else np.zeros((0, 2), np.int64)
    return np.unique(pairs, axis=0)


def _all_with_all(left: Hashes, right: Hashes, radius: int) -> Iterator[Pairs]:
    for start in range(0, len(left), _ROWS):
        apart = np.bitwise_count(left[start : start + _ROWS, None] ^ right[None, :])
        rows, columns = np.nonzero(apart <= radius)
        yield np.stack([rows + start, columns], axis=1)


def _indexed(left: Hashes, right: Hashes, radius: int) -> Iterator[Pairs]:
    for first, width in _BANDS:
        keys, rows = _sorted_by_band(left, first, width)
        others, columns = (keys, rows) if right is left else _sorted_by_band(right, first, width)
        starts = np.zeros((1 << width) + 1, np.int64)
        np.cumsum(np.bincount(others, minlength=1 << width), out=starts[1:])
        one, two = left[rows], right[columns]  # in order of their bands: near in memory
        for flips in range(radius // len(_BANDS) + 1):
            for bits in combinations(range(width), flips):
                flipped = keys ^ sum(1 << bit for bit in bits)
                found = _matches(one, two, radius, flipped, starts)
                yield np.stack([rows[found[:, 0]], columns[found[:, 1]]], axis=1)


def _sorted_by_band(
    hashes: Hashes, first: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values of a band in ascending order, and whose they are."""
    mask = np.uint64((1 << width) - 1)
    keys = ((hashes >> np.uint64(first)) & mask).astype(np.int64)
    order = np.argsort(keys, kind="stable")
    return keys[order], order


def _matches(
    left: Hashes,
    right: Hashes,
    radius: int,
    keys: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> Pairs:
    """The pairs whose band is just the same once flipped, and that are close as a whole."""
    low = starts[keys]
    counts = starts[keys + 1] - low
    hit = np.nonzero(counts)[0]
    counts = counts[hit]
    rows = np.repeat(hit, counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = np.repeat(low[hit], counts) + within
    close = np.bitwise_count(left[rows] ^ right[columns]) <= radius
    return np.stack([rows[close], columns[close]], axis=1)


def near_pairs(
    looks: Sequence[Fingerprint], radius: int, likeness: float
) -> Iterator[tuple[int, int]]:
    """Yield index pairs (i < j) that are alike; each component of them is connected.

    Candidates are pairs of which any two of their hashes, whole or inner, differ in at most
    `radius` bits. Confirmed are those with at least this likeness, since products on white
    backgrounds share hashes without being the same picture. Of pictures that look just the same
    only the first is compared with others.
    """
    first: dict[bytes, int] = {}
    for index, look in enumerate(looks):
        if first.setdefault(look.thumb, index) != index:
            yield first[look.thumb], index
    places = list(first.values())
    whole = np.array([looks[place].hash for place in places], dtype=np.uint64)
    inner = np.array([looks[place].inner for place in places], dtype=np.uint64)
    sides = ((whole, whole), (inner, whole), (inner, inner))
    found = np.concatenate([close_pairs(left, right, radius) for left, right in sides])
    found = np.unique(np.sort(found, axis=1), axis=0)
    compare = Similarity(looks)
    for one, two in found[found[:, 0] < found[:, 1]].tolist():
        if compare.of(places[one], places[two]) >= likeness:
            yield places[one], places[two]


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of `count` nodes, each in ascending order, by their first node."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for i, j in pairs:
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    found: dict[int, list[int]] = {}
    for node in range(count):
        found.setdefault(root(node), []).append(node)
    return list(found.values())
