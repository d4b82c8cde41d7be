"""Finds pairs of photos that look nearly the same, by hash and then by a second look.

Not for what follows from a pair: that is curate.py.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from allrounder.pixels import Look

_ROWS = 512


def near_pairs(looks: Sequence[Look], radius: int, correlation: float) -> Iterator[tuple[int, int]]:
    """Yield index pairs (i < j) whose hashes differ in at most `radius` bits, confirmed.

    Confirmed means that their thumbnails correlate at least so well: products on white
    backgrounds share 64-bit hashes without being the same picture.
    """
    hashes = np.array([look.hash for look in looks], dtype=np.uint64)
    thumbs = _centred(looks)
    for start in range(0, len(hashes), _ROWS):
        block = hashes[start : start + _ROWS, None] ^ hashes[None, :]
        rows, columns = np.nonzero(np.bitwise_count(block) <= radius)
        for i, j in zip(rows + start, columns, strict=True):
            if i < j and float(thumbs[i] @ thumbs[j]) >= correlation:
                yield int(i), int(j)


def _centred(looks: Sequence[Look]) -> NDArray[np.float64]:
    """Thumbnails as unit vectors around their mean: their dot product is the correlation."""
    if not looks:
        return np.zeros((0, 1))
    grey = np.frombuffer(b"".join(look.thumb for look in looks), dtype=np.uint8)
    grey = grey.reshape(len(looks), -1).astype(np.float64)
    grey -= grey.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(grey, axis=1, keepdims=True)
    return np.asarray(np.divide(grey, norm, out=np.zeros_like(grey), where=norm > 0))


def components(count: int, pairs: Iterator[tuple[int, int]]) -> list[list[int]]:
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
