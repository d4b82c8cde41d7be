"""Finds the pairs of photos that look nearly the same: by hash, then confirmed by a second look.

Not for what follows from a pair: that is curate.py.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from allrounder.hamming import close_pairs
from allrounder.looks import Likeness, Look


def near_pairs(looks: Sequence[Look], radius: int, likeness: float) -> Iterator[tuple[int, int]]:
    """Yield index pairs (i < j) that are alike, in order.

    Candidates are pairs whose hashes, or the hash of one and the inner hash of the other, differ
    in at most `radius` bits. Confirmed are those with at least this likeness, since products on
    white backgrounds share hashes without being the same picture.
    """
    whole = np.array([look.hash for look in looks], dtype=np.uint64)
    inner = np.array([look.inner for look in looks], dtype=np.uint64)
    found = np.concatenate([close_pairs(whole, whole, radius), close_pairs(inner, whole, radius)])
    found = np.unique(np.sort(found, axis=1), axis=0)
    compare = Likeness(looks)
    for i, j in found[found[:, 0] < found[:, 1]].tolist():
        if looks[i].thumb == looks[j].thumb or compare.of(i, j) >= likeness:
            yield i, j


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
