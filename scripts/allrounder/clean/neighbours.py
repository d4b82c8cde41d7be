"""Finds the near-duplicates among many fingerprints.

Close hashes make two photos candidates; a comparison of their aligned thumbnails confirms them.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.alignment import THUMB, Boxes, Floats, Thumbs, similarity
from allrounder.clean.close_hashes import (
    BATCH,
    DIAGONAL,
    BothHashes,
    Ints,
    Limits,
    batches,
    close_pair_numbers,
    close_places,
    distance,
    gathered,
)
from allrounder.clean.fingerprints import FULL, MIRRORED, PARTS, TRIMMED, Fingerprint


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


SEARCHES = (
    *((view, view) for view in (*FULL, *TRIMMED[:3], TRIMMED[4])),
    *((TRIMMED[0], view) for view in (FULL[0], *TRIMMED[1:])),
    *zip(MIRRORED, TRIMMED[: len(MIRRORED)], strict=True),
)
"""The pairs of views whose hashes are compared: others would find two copies in 10,000 more."""
_CANDIDATES = 50
"""Earlier pictures that one is compared with in a search; few of 3,000 photos have more than 5."""
_ALIGNED = 128  # pairs at once: a part
_FEW = 512  # pairs that are compared faster than they are sent to a pool
_SENT = 32  # parts to the pool at once, so that memory stays small
_REMEMBERED = 2**14  # similarities: a search for groups meets the pairs of the search for copies
_CONFIRMED = 2**14  # candidates at once at least: large batches are faster
_HORIZONTAL, _BOTH = 1.4, 2.4
"""Bits in which views of copies differ at most, as multiples of the radius: of the horizontal
hash, and of both.
"""
_LAST_PAIRS = 2**12  # that a round after the first compares all
_SMALL = 2**8
"""Up to so many pictures all are compared with all: for the classes of a large dataset."""
_SHARED = 512  # pictures of one row of hashes at most: two rows have no more than BATCH pairs
_Side = tuple[Thumbs, Boxes, Floats]
"""Thumbnails that have the views of pictures, the views' boxes, and the thumbnails' aspects."""
_ODD = np.uint64(0x9E3779B97F4A7C15)  # mixes two hashes into one number to sort by


@dataclass(frozen=True, slots=True)
class FingerprintColumns:
    """Fingerprints as columns, a row a picture."""

    hashes: Callable[[Ints, int], BothHashes]  # of a view of rows
    thumb_hashes: NDArray[Any]  # the same for equal thumbnails
    aspects: Floats  # (pictures, 2)
    thumbs: Callable[[Ints, bool], Thumbs]  # of rows, as they are or trimmed

    @classmethod
    def of(cls, fingerprints: Sequence[Fingerprint]) -> "FingerprintColumns":
        """The columns of a few fingerprints."""
        count = len(fingerprints)
        full = np.frombuffer(b"".join(one.thumb for one in fingerprints), np.uint8)
        inner = np.frombuffer(b"".join(one.trimmed for one in fingerprints), np.uint8)
        shapes = [each.reshape(count, THUMB, THUMB) for each in (full, inner)]
        hashes = np.array([(one.horizontal, one.vertical) for one in fingerprints], np.uint64)
        hashes = hashes.reshape(count, 2, MIRRORED.stop)
        return cls(
            lambda rows, view: (hashes[rows, 0, view], hashes[rows, 1, view]),
            np.frombuffer(full, f"V{THUMB**2}"),
            np.array([one.aspects for one in fingerprints]).reshape(count, 2),
            lambda rows, trimmed: shapes[trimmed][rows],
        )


class Pictures:
    """Pictures to compare, many of them in a pool of processes."""

    def __init__(self, columns: FingerprintColumns, pool: Executor | None = None):
        self._columns, self._pool = columns, pool
        self._similarities = dict[tuple[int, ...], float]()

    def near_pairs(self, rows: Ints, radius: int, similarity: float) -> Iterator[tuple[int, int]]:
        """Yield pairs i < j of places in `rows` whose pictures are near-duplicates.

        They are enough to connect each group of them. Candidates are pairs of which two views have
        hashes that differ in few bits, by _HORIZONTAL and _BOTH, and hardly in one of the bands.
        Those of at least this similarity are confirmed, since products on white backgrounds share
        hashes without being the same picture.

        Of pictures with equal thumbnails only the first is compared with others, and pictures that
        are connected already are not compared.
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
        for batch in gathered(self._candidates(distinct, limits), _CONFIRMED):
            for pair in _confirmed(self, distinct, _joined(batch), similarity, parts):
                low, high = sorted(int(places[at]) for at in pair)
                yield low, high

    def _candidates(self, rows: Ints, limits: Limits) -> Iterator["_Candidates"]:
        """The candidates of all searches, in batches."""
        if len(rows) <= _SMALL:
            yield self._candidates_of_few(rows, limits)
            return
        for search in SEARCHES:
            lefts, rights = self._sides(rows, search)
            left, right = self._distinct(rows, lefts, search[0]), None
            if lefts is not rights or search[0] != search[1]:
                right = self._distinct(rows, rights, search[1])
            for ones, twos, bits in _close_pictures(left, right, limits):
                views = np.tile(search, (len(ones), 1))
                yield _Candidates(ones, twos, bits, views)

    def _candidates_of_few(self, rows: Ints, limits: Limits) -> "_Candidates":
        """The candidates of all searches among few pictures: all are compared with all at once."""
        views = [self._columns.hashes(rows, view) for view in range(MIRRORED.stop)]
        horizontal, vertical = (np.array(column) for column in zip(*views, strict=True))
        left, right = np.array(SEARCHES).T
        differing = horizontal[left][:, :, None] ^ horizontal[right][:, None]
        search, i, j = np.nonzero(np.bitwise_count(differing) <= limits[0])
        both = differing[search, i, j], vertical[left[search], i] ^ vertical[right[search], j]
        one_full, both_full = (
            np.array([how(view in FULL for view in views) for views in SEARCHES])[search]
            for how in (any, all)
        )
        bordered = self._bordered(rows)
        chosen = ~one_full | (bordered[i] & (both_full | bordered[j]))  # as in _sides
        chosen &= (i < j) | ((i > j) & (one_full | (left != right)[search]))
        close = close_places(both, limits, DIAGONAL, chosen)
        views_of_pairs = np.array(SEARCHES)[search[close]]
        return _Candidates(i[close], j[close], distance(both)[close], views_of_pairs)

    def _distinct(self, rows: Ints, places: Ints, view: int) -> "_DistinctHashes":
        return _DistinctHashes.of(self._columns.hashes(rows[places], view), places)

    def _sides(self, rows: Ints, search: tuple[int, int]) -> tuple[Ints, Ints]:
        """The places of the pictures whose views are compared.

        A picture without a border is its own trimmed picture, which other searches compare.
        """
        everything = np.arange(len(rows))
        full = [view in FULL for view in search]
        if not any(full):
            return everything, everything
        chosen = np.flatnonzero(self._bordered(rows))
        return chosen, everything if all(full) else chosen

    def _bordered(self, rows: Ints) -> NDArray[np.bool_]:
        """Which pictures have a border, or other hashes without it."""
        aspects = self._columns.aspects[rows]
        bordered = aspects[:, 0] != aspects[:, 1]
        for views in zip(FULL, TRIMMED, strict=False):
            whole, inner = (self._columns.hashes(rows, view) for view in views)
            bordered |= (whole[0] != inner[0]) | (whole[1] != inner[1])
        return np.asarray(bordered)

    def similarity(self, ones: Ints, twos: Ints, views: Ints) -> Floats:
        """The similarity of pairs, of which these views have close hashes: (pairs, 2)."""
        keys = list(zip(ones.tolist(), twos.tolist(), *views.T.tolist(), strict=True))
        new = [at for at, key in enumerate(keys) if key not in self._similarities]
        measured = self._measured(ones[new], twos[new], views[new]).tolist()
        added = dict(zip([keys[at] for at in new], measured, strict=True))
        similarities = [added[key] if key in added else self._similarities[key] for key in keys]
        if len(self._similarities) + len(added) <= _REMEMBERED:
            self._similarities |= added
        return np.array(similarities)

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


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Pairs of pictures with close hashes."""

    ones: Ints
    twos: Ints
    distances: NDArray[np.uint8]  # of both hashes, in bits
    views: Ints  # (pairs, 2): what was compared

    def __len__(self) -> int:
        return len(self.ones)

    @property
    def later(self) -> Ints:
        """The later picture of each pair."""
        return np.maximum(self.ones, self.twos)

    def chosen(self, where: NDArray[Any]) -> "_Candidates":
        """Those that a mask or places name."""
        return _Candidates(*(getattr(self, name)[where] for name in self.__slots__))

    def apart(self, parts: Components) -> NDArray[np.bool_]:
        """Which pairs are not connected."""
        return np.asarray(parts.roots(self.ones) != parts.roots(self.twos))


def _joined(parts: Sequence[_Candidates]) -> _Candidates:
    names = _Candidates.__slots__
    return _Candidates(*(np.concatenate([getattr(one, name) for one in parts]) for name in names))


def _confirmed(
    pictures: Pictures,
    rows: Ints,
    candidates: _Candidates,
    similarity: float,
    parts: Components,
) -> Iterator[tuple[int, int]]:
    """Connect candidates that are similar enough, and yield them.

    In each round a picture is compared with one earlier picture, the one with the closest hashes
    first. So pairs that are connected by then need no comparison. After the first round, which
    connects most copies, the last pairs are compared at once: a round costs more than they do.
    """
    left = candidates.chosen(candidates.apart(parts))
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
        left = left.chosen(~is_first & left.apart(parts))


def _close_pictures(
    left: "_DistinctHashes", right: "_DistinctHashes | None", limits: Limits
) -> Iterator[tuple[Ints, Ints, NDArray[np.uint8]]]:
    """Yield, in batches, pairs of pictures with close hashes, and the bits that differ.

    Without `right` those of `left`. A pair of hashes is looked up once for all pictures that have
    them: thousands with the same hashes would take memory for millions of pairs.
    """
    others, hashes = (right, right.hashes) if right else (left, None)
    for numbers in close_pair_numbers(left.hashes, hashes, limits, DIAGONAL):
        i, j = np.divmod(numbers, len(others.starts))
        pairs = zip(left.hashes, others.hashes, strict=True)
        horizontal, vertical = (np.bitwise_count(one[i] ^ two[j]) for one, two in pairs)
        widths = others.counts[j]
        sizes = left.counts[i] * widths
        for start, end in batches(sizes, BATCH):
            of_pair = np.repeat(np.arange(start, end), sizes[start:end])
            within = np.arange(len(of_pair)) - np.repeat(
                np.cumsum(sizes[start:end]) - sizes[start:end], sizes[start:end]
            )
            ones = left.members[left.starts[i[of_pair]] + within // widths[of_pair]]
            twos = others.members[others.starts[j[of_pair]] + within % widths[of_pair]]
            differ = ones != twos  # not a picture and itself
            yield ones[differ], twos[differ], (horizontal + vertical)[of_pair[differ]]


@dataclass(frozen=True, slots=True)
class _DistinctHashes:
    """Hashes, a row each, and the pictures that have them; a new row after _SHARED pictures."""

    hashes: BothHashes
    members: NDArray[np.int32]  # of all rows, one after the other
    starts: NDArray[np.int32]
    counts: NDArray[np.int32]

    @classmethod
    def of(cls, hashes: BothHashes, places: Ints) -> "_DistinctHashes":
        horizontal, vertical = hashes
        order = np.argsort(horizontal ^ vertical * _ODD, kind="stable")
        horizontal, vertical = horizontal[order], vertical[order]
        new = np.r_[True, (np.diff(horizontal) != 0) | (np.diff(vertical) != 0)][: len(order)]
        place = np.arange(len(order))
        place -= np.maximum.accumulate(np.where(new, place, 0))
        starts = np.flatnonzero(place % _SHARED == 0)
        counts = np.diff(np.r_[starts, len(order)])
        numbers = (each.astype(np.int32) for each in (places[order], starts, counts))
        return cls((horizontal[starts], vertical[starts]), *numbers)
