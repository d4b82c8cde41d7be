"""Finds pairs of near-duplicates: by perceptual hash, then confirmed by similarity."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.fingerprints import Fingerprint, Similarity

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]

MAX_RADIUS = 11
_FEW = 4_096  # up to this many, comparing all with all is faster than an index
_ROWS = 256
_BANDS = ((0, 22), (22, 21), (43, 21))  # (first bit, bits)


def close_pairs(left: Hashes, right: Hashes, radius: int) -> Pairs:
    """Index pairs (i, j) with left[i] and right[j] at most `radius` bits apart, in (i, j) order.

    Returns shape (pairs, 2). A hash has three bands, so at least one band of a close pair differs
    in at most a third of the radius. Each band is looked up with all flips of so many bits.
    Raises ValueError for a radius above MAX_RADIUS.
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
        one, two = left[rows], right[columns]  # in the order of their bands, so close in memory
        for flips in range(radius // len(_BANDS) + 1):
            for bits in combinations(range(width), flips):
                flipped = keys ^ sum(1 << bit for bit in bits)
                found = _matches(one, two, radius, flipped, starts)
                yield np.stack([rows[found[:, 0]], columns[found[:, 1]]], axis=1)


def _sorted_by_band(
    hashes: Hashes, first: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values of a band in ascending order, and the index of each one's hash."""
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
    """The pairs whose flipped bands are equal and whose whole hashes are close."""
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
    fingerprints: Sequence[Fingerprint], radius: int, similarity: float
) -> Iterator[tuple[int, int]]:
    """Yield index pairs (i < j) of near-duplicates, enough to connect each group of them.

    Candidates are pairs in which two of their hashes, whole or inner, differ in at most `radius`
    bits. Those with at least this similarity are confirmed, since products on white backgrounds
    share hashes without being the same picture. Of pictures with equal thumbnails only the first
    is compared with others.
    """
    first: dict[bytes, int] = {}
    for index, picture in enumerate(fingerprints):
        if first.setdefault(picture.thumb, index) != index:
            yield first[picture.thumb], index
    distinct = list(first.values())
    whole = np.array([fingerprints[index].hash for index in distinct], dtype=np.uint64)
    inner = np.array([fingerprints[index].inner for index in distinct], dtype=np.uint64)
    sides = ((whole, whole), (inner, whole), (inner, inner))
    found = np.concatenate([close_pairs(left, right, radius) for left, right in sides])
    found = np.unique(np.sort(found, axis=1), axis=0)
    compare = Similarity(fingerprints)
    for one, two in found[found[:, 0] < found[:, 1]].tolist():
        if compare.of(distinct[one], distinct[two]) >= similarity:
            yield distinct[one], distinct[two]


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
