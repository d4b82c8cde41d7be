"""Finds the near-duplicates among many fingerprints.

Close hashes make two photos candidates; a comparison of their aligned thumbnails confirms them.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.alignment import THUMB, Boxes, Floats, Thumbs, similarity
from allrounder.clean.close_hashes import Ints, gathered
from allrounder.clean.close_memory import CloseMemory, Groups, PairKeys, Similarities
from allrounder.clean.fingerprints import FULL, MIRRORED, PARTS, TRIMMED, Fingerprint
from allrounder.clean.search import Candidates, FingerprintColumns, candidates


class Components:
    """The connected components of `count` nodes."""

    def __init__(self, count: int):
        self._parent = np.arange(count)

    def root(self, node: int) -> int:
        """The first node of a node's component."""
        parent = self._parent
        while (above := int(parent[node])) != node:
            parent[node] = parent[above]
            node = int(parent[node])
        return node

    def join(self, one: int, two: int) -> None:
        """Connect two nodes."""
        low, high = sorted((self.root(one), self.root(two)))
        self._parent[high] = low

    def roots(self, nodes: Ints) -> Ints:
        """The first node of each node's component."""
        parents = self._parent[nodes]
        while not np.array_equal(above := self._parent[parents], parents):
            parents = above
        return parents


_CANDIDATES = 50
"""Earlier pictures that one is compared with in a search; few of 3,000 photos have more than 5."""
_ALIGNED = 128  # pairs at once: a part
_FEW = 512  # pairs that are compared faster than they are sent to a pool
_SENT = 32  # parts to the pool at once, so that memory stays small
_FACTORS = tuple(np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))
"""They mix the ids of two pictures into the key of the pair."""
_CONFIRMED = 2**14  # candidates at once at least: large batches are faster
_HORIZONTAL, _BOTH = 1.4, 2.4
"""Bits in which views of copies differ at most, as multiples of the radius: of the horizontal
hash, and of both.
"""
_LAST_PAIRS = 2**12  # that a round after the first compares all
_Side = tuple[Thumbs, Boxes, Floats]
"""Thumbnails that have the views of pictures, the views' boxes, and the thumbnails' aspects."""


class Pictures:
    """Pictures to compare, many of them in a pool of processes."""

    def __init__(
        self,
        columns: FingerprintColumns,
        pool: Executor | None = None,
        memory: CloseMemory | None = None,
    ):
        """`memory`: what an earlier run has found."""
        self._columns, self._pool, self._memory = columns, pool, memory
        self._similarities = memory.recall_similarities() if memory else Similarities()
        self._last_groups = memory.recall_groups() if memory else {}
        self._groups: Groups = {}

    def near_pairs(
        self, rows: Ints, radius: int, similarity: float, remember: bool = False
    ) -> Iterator[tuple[int, int]]:
        """Yield pairs i < j of places in `rows` whose pictures are near-duplicates.

        They are enough to connect each group of them. Candidates are pairs of which two views have
        hashes that differ in few bits, by _HORIZONTAL and _BOTH, and hardly in one of the bands.
        Those of at least this similarity are confirmed, since products on white backgrounds share
        hashes without being the same picture.

        Of pictures with equal thumbnails only the first is compared with others, and pictures that
        are connected already are not compared. `remember`: use the memory, and update it.
        """
        if not len(rows):
            return
        first = firsts(self._columns.thumb_hashes[rows])
        for place in np.flatnonzero(first != np.arange(len(rows))).tolist():
            yield int(first[place]), place
        places = np.flatnonzero(first == np.arange(len(rows)))
        places = places[np.argsort(rows[places])]
        distinct = rows[places]
        del first
        parts = Components(len(distinct))
        limits = int(_HORIZONTAL * radius), int(_BOTH * radius)
        memory = self._memory if remember else None
        for batch in gathered(candidates(self._columns, distinct, limits, memory), _CONFIRMED):
            for pair in _confirmed(self, distinct, Candidates.joined(batch), similarity, parts):
                low, high = sorted(int(places[at]) for at in pair)
                yield low, high

    def pairs_of_class(
        self, rows: Ints, radius: int, similarity: float
    ) -> Sequence[tuple[int, int]]:
        """As `near_pairs`; the same pictures in the same order have the pairs of the last run."""
        shown = self._columns.ids[rows].tobytes(), np.argsort(rows).tobytes()
        rules = f"{radius} {similarity} ".encode()
        key = blake2b(b"".join([rules, *shown]), digest_size=16).hexdigest()
        pairs = self._last_groups.get(key)
        self._groups[key] = [*self.near_pairs(rows, radius, similarity)] if pairs is None else pairs
        return self._groups[key]

    def similarity(self, ones: Ints, twos: Ints, views: Ints) -> Floats:
        """The similarity of pairs, of which these views have close hashes: (pairs, 2)."""
        keys = self._pair_keys(ones, twos, views)
        found = self._similarities.find(keys)
        new = np.flatnonzero(np.isnan(found))
        found[new] = self._measured(ones[new], twos[new], views[new])
        self._similarities.add(keys[new], found[new])
        return found

    def remember(self) -> None:
        """Keep what was needed for the next run."""
        if self._memory:
            self._memory.remember_similarities(self._similarities)
            self._memory.remember_groups(self._groups)

    def _pair_keys(self, ones: Ints, twos: Ints, views: Ints) -> PairKeys:
        ids = self._columns.ids
        both = (views[:, 0] * MIRRORED.stop + views[:, 1]).astype(np.uint64)
        return np.asarray(ids[ones] * _FACTORS[0] + ids[twos] * _FACTORS[1] + both)

    def _measured(self, ones: Ints, twos: Ints, views: Ints) -> Floats:
        found = [np.zeros(0)]
        parts = [slice(at, at + _ALIGNED) for at in range(0, len(ones), _ALIGNED)]
        for start in range(0, len(parts), _SENT):
            sides = (
                (self._side(ones[part], views[part, 0]), self._side(twos[part], views[part, 1]))
                for part in parts[start : start + _SENT]
            )
            if self._pool and len(ones) > _FEW:
                found += self._pool.map(_similarity, sides)
            else:
                found += map(_similarity, sides)
        return np.concatenate(found)

    def _side(self, rows: Ints, views: Ints) -> _Side:
        """One picture of each pair: what its comparison needs."""
        trimmed = views >= TRIMMED.start
        thumbs = np.empty((len(rows), THUMB, THUMB), np.uint8)
        for chosen in (trimmed, ~trimmed):
            if chosen.any():
                thumbs[chosen] = self._columns.thumbs(rows[chosen], chosen is trimmed)
        boxes = _BOXES[views[:1] if (views == views[0]).all() else views]
        return thumbs, boxes, self._columns.aspects[rows, trimmed.astype(np.int64)]


def _similarity(sides: tuple[_Side, _Side]) -> Floats:
    (ones, one_boxes, one_aspects), (twos, two_boxes, two_aspects) = sides
    return similarity(ones, twos, (one_boxes, two_boxes), one_aspects / two_aspects)


def firsts(values: NDArray[Any]) -> Ints:
    """For each place the first place of the same value."""
    _, first, same = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[same])


def _boxes() -> Boxes:
    """The part of a thumbnail that each view shows."""
    ranges = FULL, TRIMMED, MIRRORED
    parts = np.array([PARTS[number] for views in ranges for number in range(len(views))])
    parts[MIRRORED.start :, 2:] = parts[MIRRORED.start :, :1:-1]
    return parts * THUMB


_BOXES = _boxes()


def near_pairs(
    fingerprints: Sequence[Fingerprint], radius: int, similarity: float
) -> Iterator[tuple[int, int]]:
    """Yield index pairs (i < j) of near-duplicates: see Pictures."""
    pictures = Pictures(FingerprintColumns.of(fingerprints))
    return pictures.near_pairs(np.arange(len(fingerprints)), radius, similarity)


def _confirmed(
    pictures: Pictures,
    rows: Ints,
    found: Candidates,
    similarity: float,
    parts: Components,
) -> Iterator[tuple[int, int]]:
    """Connect candidates that are similar enough, and yield them.

    In each round a picture is compared with one earlier picture, the one with the closest hashes
    first. So pairs that are connected by then need no comparison. After the first round, which
    connects most copies, the last pairs are compared at once: a round costs more than they do.
    """
    left = found.chosen(_apart(found, parts))
    search = (left.later * 2**8 + left.views[:, 0]) * 2**8 + left.views[:, 1]
    order = np.lexsort((left.ones, left.distances, search))
    ranks = np.arange(len(order)) - np.searchsorted(search[order], search[order])
    left = left.chosen(order[ranks < _CANDIDATES])
    left = left.chosen(np.lexsort((left.ones, left.distances, left.later)))
    at_once = _ALIGNED  # one part costs as much as a round
    while len(left):
        later = left.later
        is_first = np.r_[True, later[1:] != later[:-1]] | (len(later) <= at_once)
        at_once = _LAST_PAIRS
        now = left.chosen(is_first)
        near = pictures.similarity(rows[now.ones], rows[now.twos], now.views) >= similarity
        for pair in zip(now.ones[near].tolist(), now.twos[near].tolist(), strict=True):
            if parts.root(pair[0]) != parts.root(pair[1]):
                parts.join(*pair)
                yield pair
        left = left.chosen(~is_first & _apart(left, parts))


def _apart(found: Candidates, parts: Components) -> NDArray[np.bool_]:
    """Which pairs are not connected."""
    return np.asarray(parts.roots(found.ones) != parts.roots(found.twos))
