"""Finds the near-duplicates among many fingerprints.

Close hashes make two photos candidates; what they show when one lies on the other confirms them.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.alignment import THUMB, Box, Floats, Thumbs, similarity
from allrounder.clean.fingerprints import FULL, MIRRORED, PARTS, TRIMMED, Fingerprint

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]
Bands = tuple[tuple[int, int], ...]

MAX_RADIUS = 11
_FEW = 2**14  # up to this many, comparing all with all is faster than an index
_LOOKUPS = 2**18  # at once
_COMPARED_AT_ONCE = 2**18  # pairs of hashes
_BANDS = {  # (first bit, bits) each, up to so many hashes: few lookups, or few hashes a lookup
    2**19: ((0, 16), (16, 16), (32, 16), (48, 16)),
    2**63: ((0, 21), (21, 21), (42, 22)),
}


def close_pairs(left: Hashes, right: Hashes | None, radius: int) -> Pairs:
    """Index pairs (i, j) with left[i] and right[j] at most `radius` bits apart, in (i, j) order.

    Returns shape (pairs, 2). Without `right` they are the pairs i <= j of `left`. Raises ValueError
    for a radius above MAX_RADIUS.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius} is not between 0 and {MAX_RADIUS}")
    numbers = np.concatenate([np.zeros(0, np.int64), *_close_numbers(left, right, radius)])
    others = left if right is None else right
    return np.stack(np.divmod(np.sort(numbers), max(1, len(others))), axis=1)


def _close_numbers(left: Hashes, right: Hashes | None, radius: int) -> Iterator[NDArray[np.int64]]:
    """The same pairs, each once, as i * len(right) + j; about _AT_ONCE at once, these in order."""
    others, upper = (left, True) if right is None else (right, False)
    few = len(left) * len(others) <= _FEW**2
    some, count = list[NDArray[np.int64]](), 0
    for found in (_all_with_all if few else _indexed)(left, others, radius, upper):
        some.append(found)
        count += len(found)
        if count >= _AT_ONCE:
            yield np.sort(np.concatenate(some))
            some, count = [], 0
    yield from [np.sort(np.concatenate(some))] if some else []


def _all_with_all(
    left: Hashes, right: Hashes, radius: int, upper: bool
) -> Iterator[NDArray[np.int64]]:
    step = max(1, _COMPARED_AT_ONCE // max(1, len(right)))
    for start in range(0, len(left), step):
        first = start if upper else 0
        apart = np.bitwise_count(left[start : start + step, None] ^ right[None, first:])
        i, j = np.divmod(np.flatnonzero(apart <= radius), max(1, len(right) - first))
        i, j = i + start, j + first
        numbers = i * len(right) + j
        yield numbers[i <= j] if upper else numbers


def _indexed(left: Hashes, right: Hashes, radius: int, upper: bool) -> Iterator[NDArray[np.int64]]:
    """Look up hashes by their bands.

    If two hashes differ in at most `radius` bits, then for one n the band with number n, of N,
    differs in at most (radius - n) // N of them: else they would differ in more. So each band is
    looked up with all flips of so many bits; of `upper` pairs from the side where the highest of
    these is 0.
    """
    bands = next(bands for most, bands in _BANDS.items() if len(right) <= most)
    for number, (first, width) in enumerate(bands):
        keys, rows = _sorted_by_band(left, first, width)
        others, columns = (keys, rows) if upper else _sorted_by_band(right, first, width)
        counts = np.bincount(others, minlength=1 << width).astype(np.int32)
        starts = (np.cumsum(counts) - counts).astype(np.int32)
        there = counts > 0
        one, two = left[rows], right[columns]  # in the order of their bands, so close in memory
        for highest, flips in _flips(width, (radius - number) // len(bands)):
            halved = upper and highest >= 0
            own = np.flatnonzero(keys >> highest & 1 == 0) if halved else np.arange(len(keys))
            step = max(1, _LOOKUPS // max(1, len(own)))
            for some in (flips[at : at + step] for at in range(0, len(flips), step)):
                wanted = (keys[own] ^ some[:, None]).ravel()
                hit = np.flatnonzero(there[wanted])
                wanted, found = wanted[hit], own[hit % len(own) if len(some) > 1 else hit]
                for start, end in _slices(counts[wanted]):
                    many, ones = counts[wanted[start:end]], found[start:end]
                    shift = starts[wanted[start:end]] - np.cumsum(many) + many
                    ones = np.repeat(ones, many)
                    twos = np.repeat(shift, many) + np.arange(len(ones))
                    close = _new(one[ones] ^ two[twos], radius, bands, number)
                    ones, twos = ones[close], twos[close]
                    i, j = rows[ones], columns[twos]
                    if upper:
                        once = halved | (ones <= twos)
                        i, j = np.minimum(i, j)[once], np.maximum(i, j)[once]
                    yield i * len(right) + j


def _new(apart: Hashes, radius: int, bands: Bands, number: int) -> NDArray[np.int64]:
    """Which pairs are close and are found by no band before this one, by what differs in them."""
    close = np.flatnonzero(np.bitwise_count(apart) <= radius)
    for at, (first, width) in enumerate(bands[:number]):
        band = apart[close] >> np.uint64(first) & np.uint64((1 << width) - 1)
        close = close[np.bitwise_count(band) > (radius - at) // len(bands)]
    return close


def _flips(width: int, most: int) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """All ways to flip up to `most` bits of a band, by the highest bit; none: -1."""
    for highest in range(-1, width if most > 0 else most):
        counts = range(max(most, 1))
        chosen = (bits for count in counts for bits in combinations(range(highest), count))
        flips = [sum(1 << bit for bit in (*bits, highest) if bit >= 0) for bits in chosen]
        yield highest, np.array(flips, np.int32)


def _sorted_by_band(
    hashes: Hashes, first: int, width: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The values of a band in ascending order, and the index of each one's hash."""
    mask = np.uint64((1 << width) - 1)
    keys = ((hashes >> np.uint64(first)) & mask).astype(np.int32)
    order = np.argsort(keys, kind="stable")
    return keys[order], order


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

    def roots(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first node of each node's component."""
        found = self._parent[nodes]
        while not np.array_equal(further := self._parent[found], found):
            found = further
        return found


SEARCHES = (
    *((view, view) for view in (*FULL, *TRIMMED)),
    *((TRIMMED[0], view) for view in (FULL[0], *TRIMMED[1:])),
    *zip(MIRRORED, TRIMMED[: len(MIRRORED)], strict=True),
)
"""The pairs of views whose hashes are compared."""
_MOST = 50
"""Pictures that one is compared with in a search; of 3,000 photos few have more than 5."""
_AT_ONCE = 2**18  # pairs; so that memory stays small
_LAID_AT_ONCE = 256
_BITS_APART = 26
"""Bits of 127 by which both hashes of copies' views differ at most.

Of 75,600 copies of real photos that are found without it, altered in 26 ways, it loses 4 in 10,000;
of pairs that share the first hash by chance it leaves one in 19.
"""
_THREADS = 2
_FEW_LEFT = 256
_SAME_KIND = 512


@dataclass(frozen=True, slots=True)
class FingerprintColumns:
    """Fingerprints as columns, a row a picture."""

    views: Hashes  # (pictures, views)
    downs: Hashes  # the second hashes of these
    names: NDArray[Any]  # the same for equal thumbnails
    aspects: Floats  # (pictures, 2)
    thumbs: Callable[[NDArray[np.int64], bool], Thumbs]  # of rows, as they are or trimmed

    @classmethod
    def of(cls, fingerprints: Sequence[Fingerprint]) -> "FingerprintColumns":
        """The columns of a few fingerprints."""
        count = len(fingerprints)
        full = np.frombuffer(b"".join(one.thumb for one in fingerprints), np.uint8)
        inner = np.frombuffer(b"".join(one.trimmed for one in fingerprints), np.uint8)
        shapes = [each.reshape(count, THUMB, THUMB) for each in (full, inner)]
        hashes = np.array([(one.views, one.downs) for one in fingerprints], np.uint64)
        hashes = hashes.reshape(count, 2, MIRRORED.stop)
        return cls(
            hashes[:, 0],
            hashes[:, 1],
            np.frombuffer(full, f"V{THUMB**2}"),
            np.array([one.aspects for one in fingerprints]).reshape(count, 2),
            lambda rows, trimmed: shapes[trimmed][rows],
        )


class Pictures:
    """Pictures to compare."""

    def __init__(self, columns: FingerprintColumns):
        self._columns = columns

    def near_pairs(
        self, rows: NDArray[np.int64], radius: int, similarity: float
    ) -> Iterator[tuple[int, int]]:
        """Yield pairs i < j of places in `rows` whose pictures are near-duplicates.

        They are enough to connect each group of them. Candidates are pairs of which two views have
        hashes that differ in at most `radius` bits, both in _BITS_APART. Those this similar are
        confirmed, since products on white backgrounds share hashes without being the same picture.
        Of pictures with equal thumbnails only the first is compared with others, and pictures that
        are connected already are not compared.
        """
        if not len(rows):
            return
        names = np.unique(self._columns.names[rows], return_inverse=True)[1].reshape(-1)
        _, first, same = np.unique(names, return_index=True, return_inverse=True)
        first = first[same]
        for place in np.flatnonzero(first != np.arange(len(rows))).tolist():
            yield int(first[place]), place
        places = np.flatnonzero(first == np.arange(len(rows)))
        places = places[np.argsort(rows[places])]
        distinct = rows[places]
        parts = Components(len(distinct))
        for search in SEARCHES if len(distinct) > 1 else ():
            views = [self._columns.views[distinct, view] for view in search]
            downs = [self._columns.downs[distinct, view] for view in search]
            for ones, twos in _candidates(views[0], views[1], search, radius):
                bits = np.bitwise_count(views[0][ones] ^ views[1][twos])
                bits += np.bitwise_count(downs[0][ones] ^ downs[1][twos])
                near = np.flatnonzero(bits <= _BITS_APART)
                pairs = ones[near], twos[near], bits[near]
                for one, two in _confirmed(self, distinct, *pairs, search, similarity, parts):
                    low, high = sorted((int(places[one]), int(places[two])))
                    yield low, high

    def similarity(
        self, ones: NDArray[np.int64], twos: NDArray[np.int64], search: tuple[int, int]
    ) -> Floats:
        """The similarity of pairs whose views of a search are alike."""
        if not len(ones):
            return np.zeros(0)
        starts = range(0, len(ones), _LAID_AT_ONCE)
        batches = [(ones[at : at + _LAID_AT_ONCE], twos[at : at + _LAID_AT_ONCE]) for at in starts]
        if len(batches) == 1:
            return self._laid_batch(*batches[0], search)
        with ThreadPoolExecutor(_THREADS) as pool:  # numpy lets other threads run
            found = list(pool.map(lambda pair: self._laid_batch(pair[0], pair[1], search), batches))
        return np.concatenate(found)

    def _laid_batch(
        self, ones: NDArray[np.int64], twos: NDArray[np.int64], search: tuple[int, int]
    ) -> Floats:
        (one, first), (two, second) = (
            self._shown(rows, view) for rows, view in zip((ones, twos), search, strict=True)
        )
        return similarity(one, two, (_box(search[0]), _box(search[1])), first / second)

    def _shown(self, rows: NDArray[np.int64], view: int) -> tuple[NDArray[np.uint8], Floats]:
        """The thumbnails that have a view, and their aspects."""
        trimmed = view not in FULL
        aspects = self._columns.aspects[rows, int(trimmed)]
        return self._columns.thumbs(rows, trimmed), aspects


def _box(view: int) -> Box:
    """The part of a thumbnail that a view shows, in pixels."""
    mirrored = view in MIRRORED
    kind = next(kind for kind in (FULL, TRIMMED, MIRRORED) if view in kind)
    top, bottom, left, right = (THUMB * edge for edge in PARTS[kind.index(view)])
    return (top, bottom, right, left) if mirrored else (top, bottom, left, right)


def near_pairs(
    fingerprints: Sequence[Fingerprint], radius: int, similarity: float
) -> Iterator[tuple[int, int]]:
    """Yield index pairs (i < j) of near-duplicates: see Pictures."""
    pictures = Pictures(FingerprintColumns.of(fingerprints))
    return pictures.near_pairs(np.arange(len(fingerprints)), radius, similarity)


def _confirmed(
    pictures: Pictures,
    rows: NDArray[np.int64],
    ones: NDArray[np.int64],
    twos: NDArray[np.int64],
    bits: NDArray[np.uint8],
    search: tuple[int, int],
    similarity: float,
    parts: Components,
) -> Iterator[tuple[int, int]]:
    """Connect candidates that are alike, and yield them.

    Each picture is compared with one earlier one at a time, the one with the fewest `bits` that
    differ first; the last few pairs are compared at once, which is faster.
    """
    left = _apart(parts, ones, twos)
    ones, twos, bits = ones[left], twos[left], bits[left]
    later = np.maximum(ones, twos)
    order = np.lexsort((ones, bits, later))
    later = later[order]
    some = order[np.arange(len(order)) - np.searchsorted(later, later) < _MOST]
    ones, twos = ones[some], twos[some]
    while len(ones):
        later = np.maximum(ones, twos)
        leads = np.r_[True, later[1:] != later[:-1]] | (len(ones) <= _FEW_LEFT)
        alike = pictures.similarity(rows[ones[leads]], rows[twos[leads]], search) >= similarity
        for one, two in zip(ones[leads][alike].tolist(), twos[leads][alike].tolist(), strict=True):
            if parts.root(one) != parts.root(two):
                parts.join(one, two)
                yield one, two
        left = ~leads & _apart(parts, ones, twos)
        ones, twos = ones[left], twos[left]


def _apart(
    parts: Components, ones: NDArray[np.int64], twos: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which pairs are not connected."""
    return np.asarray(parts.roots(ones) != parts.roots(twos))


def _candidates(
    one: Hashes, two: Hashes, search: tuple[int, int], radius: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of pictures of which the views of a search have close hashes, some at a time.

    Pictures with the same hash share their neighbours, or a hash that thousands of pictures have
    would take memory for millions of pairs.
    """
    left, right = _kinds(one), _kinds(two)
    same = search[0] == search[1]
    for numbers in _close_numbers(left.hashes, None if same else right.hashes, radius):
        i, j = np.divmod(numbers, len(right.hashes))
        widths = right.counts[j]
        sizes = left.counts[i] * widths
        for start, end in _slices(sizes):
            some = np.repeat(np.arange(start, end), sizes[start:end])
            within = np.arange(len(some)) - np.repeat(
                np.cumsum(sizes[start:end]) - sizes[start:end], sizes[start:end]
            )
            ones = left.members[left.starts[i[some]] + within // widths[some]]
            twos = right.members[right.starts[j[some]] + within % widths[some]]
            apart = ones != twos
            yield ones[apart], twos[apart]


def _slices(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of about _AT_ONCE in sum."""
    ends = np.cumsum(sizes) // _AT_ONCE
    edges = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), len(sizes)]
    yield from pairwise(edges)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Hashes, and the pictures that have each: some of them, if they are many."""

    hashes: Hashes
    members: NDArray[np.int64]  # of all kinds, one after the other
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]


def _kinds(hashes: Hashes) -> _Kinds:
    members = np.argsort(hashes, kind="stable")
    ordered = hashes[members]
    place = np.arange(len(ordered))
    first = np.searchsorted(ordered, ordered)
    starts = np.flatnonzero((place - first) % _SAME_KIND == 0)
    return _Kinds(ordered[starts], members, starts, np.diff(np.r_[starts, len(ordered)]))
