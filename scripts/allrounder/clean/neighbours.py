"""Finds the pairs of photos that look nearly the same: by hash, then confirmed by a second look.

Not for what follows from a pair: that is curate.py.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from allrounder.clean.hamming import close_pairs
from allrounder.clean.looks import Likeness, Look


def near_pairs(looks: Sequence[Look], radius: int, likeness: float) -> Iterator[tuple[int, int]]:
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
    compare = Likeness(looks)
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
