"""Finds the near-duplicates among many fingerprints.

Close hashes make two photos candidates; what they show when one lies on the other confirms them.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, pairwise
from operator import xor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.alignment import THUMB, Box, Floats, Thumbs, similarity
from allrounder.clean.fingerprints import FULL, MIRRORED, PARTS, TRIMMED, Fingerprint

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Pairs = Ints
Both = tuple[Hashes, Hashes]
"""Both hashes of a view of many pictures."""
Most = tuple[int, int]
"""How many bits of the first hash may differ, and how many of both."""

MAX_RADIUS = 11
_FEW = 2**12  # up to this many, comparing all with all is faster than an index
_LOOKUPS = 2**16  # at once: they fit into a processor's cache
_COMPARED_AT_ONCE = 2**18  # pairs of hashes
_MANY = 2**19  # from this many on, few lookups matter more than few hashes a lookup
_WIDTHS = 16, 22  # bits of a bucket's number: about two more than are needed to count the hashes


@dataclass(frozen=True, slots=True)
class Band:
    """Some of the 128 bits of both hashes; of close ones at most `most` of these differ."""

    bits: tuple[int, ...]
    most: int

    def near(self, first: Hashes, second: Hashes) -> NDArray[np.bool_]:
        """Whether two pictures agree here, by what differs in both hashes."""
        masks = (sum(1 << bit % 64 for bit in self.bits if bit // 64 == half) for half in (0, 1))
        one, two = (
            np.bitwise_count(np.uint64(mask) & each)
            for mask, each in zip(masks, (first, second), strict=True)
        )
        return np.asarray(one + two <= self.most)


def _diagonal_bands() -> tuple[Band, ...]:
    """The bits of both hashes, cut five times across the picture, in both diagonal directions.

    What is added to a copy or cut from it is in a few places, so it leaves one of them as it is.
    """
    cells = [(16 * (at % 8 + 1), 9 * (2 * (at // 8) + 1), 63 - at) for at in range(64)]
    cells += [(8 * (2 * (at % 9) + 1), 18 * (at // 9 + 1), 127 - at) for at in range(63)]
    bands = []
    for sign in (1, -1):
        bits = [bit for *_, bit in sorted(cells, key=lambda cell: (cell[0] + sign * cell[1], cell))]
        edges = np.linspace(0, len(bits), 6).round().astype(int).tolist()
        bands += [Band(tuple(bits[start:end]), 1) for start, end in pairwise(edges)]
    return tuple(bands)


DIAGONAL = _diagonal_bands()


def _exact_bands(count: int, radius: int) -> tuple[Band, ...]:
    """Bands of the first hash that miss no pair within a radius.

    If two hashes differ in at most `radius` bits, then for one n the band with number n, of N,
    differs in at most (radius - n) // N of them: else they would differ in more.
    """
    edges = (0, 16, 32, 48, 64) if count <= _MANY else (0, 21, 42, 64)
    parts = enumerate(pairwise(edges))
    return tuple(Band((*range(*part),), (radius - at) // (len(edges) - 1)) for at, part in parts)


def close_pairs(left: Hashes, right: Hashes | None, radius: int) -> Pairs:
    """Index pairs (i, j) with left[i] and right[j] at most `radius` bits apart, in (i, j) order.

    Returns shape (pairs, 2). Without `right` they are the pairs i <= j of `left`. Raises ValueError
    for a radius above MAX_RADIUS.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius} is not between 0 and {MAX_RADIUS}")
    one, two = (left, np.zeros_like(left)), None if right is None else (right, np.zeros_like(right))
    others = left if right is None else right
    bands = _exact_bands(len(others), radius)
    found = [np.zeros(0, np.int64), *_close_numbers(one, two, (radius, radius), bands)]
    return np.stack(np.divmod(np.sort(np.concatenate(found)), max(1, len(others))), axis=1)


def _close_numbers(
    left: Both, right: Both | None, most: Most, bands: Sequence[Band]
) -> Iterator[Ints]:
    """The pairs that differ in at most `most` bits and agree in a band, as i * len(right) + j.

    Each is yielded once, about _AT_ONCE at once, these in order.
    """
    others, upper = (left, True) if right is None else (right, False)
    few = len(left[0]) * len(others[0]) <= _FEW**2
    some, count = list[Ints](), 0
    for found in (_all_with_all if few else _indexed)(left, others, most, bands, upper):
        some.append(found)
        count += len(found)
        if count >= _AT_ONCE:
            yield np.sort(np.concatenate(some))
            some, count = [], 0
    yield from [np.sort(np.concatenate(some))] if some else []


def _all_with_all(
    left: Both, right: Both, most: Most, bands: Sequence[Band], upper: bool
) -> Iterator[Ints]:
    width = len(right[0])
    step = max(1, _COMPARED_AT_ONCE // max(1, width))
    for start in range(0, len(left[0]), step):
        first = start if upper else 0
        apart = left[0][start : start + step, None] ^ right[0][None, first:]
        near = np.flatnonzero(np.bitwise_count(apart) <= most[0])
        i, j = np.divmod(near, max(1, width - first))
        i, j = i + start, j + first
        kept = _close(apart.ravel()[near], left[1][i] ^ right[1][j], most, bands)
        i, j = i[kept], j[kept]
        numbers = i * width + j
        yield numbers[i <= j] if upper else numbers


def _close(
    first: Hashes, second: Hashes, most: Most, bands: Sequence[Band], found: int | None = None
) -> Ints:
    """Which pairs are close, by what differs in their hashes; of those that a band has `found`
    the ones that no band before it finds."""
    bits = np.bitwise_count(first) + np.bitwise_count(second)
    close = np.flatnonzero(bits <= most[1])
    first, second = first[close], second[close]
    agree = np.stack(
        [band.near(first, second) for band in bands[: None if found is None else found + 1]]
    )
    return close[agree.any(axis=0) if found is None else agree[-1] & ~agree[:-1].any(axis=0)]


def _indexed(
    left: Both, right: Both, most: Most, bands: Sequence[Band], upper: bool
) -> Iterator[Ints]:
    """Look up hashes by their bands, each with all flips of so many bits.

    Of `upper` pairs from the side where the highest of these is 0. Two bands are looked up at once:
    numpy lets other threads run.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(bands), _THREADS):
            numbers = range(start, min(start + _THREADS, len(bands)))
            yield from pool.map(
                lambda number: np.concatenate(
                    [np.zeros(0, np.int64), *_of_band(left, right, most, bands, number, upper)]
                ),
                numbers,
            )


def _of_band(
    left: Both, right: Both, most: Most, bands: Sequence[Band], number: int, upper: bool
) -> Iterator[Ints]:
    band = bands[number]
    width = min(max(len(right[0]).bit_length() + 2, _WIDTHS[0]), _WIDTHS[1])
    if band.most > 1:
        width = len(band.bits)  # else two flips could look like another one
    keys, rows = _sorted_by_bucket(left, band, width)
    others, columns = (keys, rows) if upper else _sorted_by_bucket(right, band, width)
    edges = np.flatnonzero(np.r_[True, others[1:] != others[:-1]][: len(others)])
    starts, counts = (np.zeros(1 << width, np.int32) for _ in range(2))
    starts[others[edges]], counts[others[edges]] = edges, np.diff(np.r_[edges, len(others)])
    there = counts > 0
    one, two = left[0][rows], right[0][columns]  # in the order of their buckets: close in memory
    for highest, flips in _flips(band, width):
        own = np.arange(len(keys))
        if halved := upper and highest is not None:
            half, bit = divmod(highest or 0, 64)
            own = np.flatnonzero((left[half][rows] >> np.uint64(bit)) & np.uint64(1) == 0)
        for some in np.split(own, range(_LOOKUPS, len(own), _LOOKUPS)):
            mine = keys[some]
            for flip in flips:
                wanted = mine ^ flip
                hit = np.flatnonzero(there[wanted])
                wanted, found = wanted[hit], some[hit]
                many = counts[wanted]
                for start, end in _slices(many, _LOOKUPS):
                    of = np.repeat(np.arange(start, end), many[start:end])
                    twos = (starts[wanted] - np.cumsum(many) + many)[of]
                    twos += np.arange(many[:start].sum(), many[:end].sum(), dtype=twos.dtype)
                    apart = two[twos] ^ one[found][of]
                    near = np.flatnonzero(np.bitwise_count(apart) <= most[0])
                    i, j = rows[found[of[near]]], columns[twos[near]]
                    kept = _close(apart[near], left[1][i] ^ right[1][j], most, bands, number)
                    i, j = i[kept], j[kept]
                    if upper:
                        once = halved | (i <= j)
                        i, j = np.minimum(i, j)[once], np.maximum(i, j)[once]
                    yield i.astype(np.int64) * len(right[0]) + j


def _codes(band: Band, width: int) -> list[int]:
    """What each bit of a band adds to a bucket's number: a bit, or two of them if it is narrow."""
    folds = (
        (1 << at) if at < width else 1 << at - width | 1 << at - width + 6
        for at in range(len(band.bits))
    )
    return list(folds)


def _flips(band: Band, width: int) -> Iterator[tuple[int | None, NDArray[np.uint32]]]:
    """How all flips of up to `most` bits of a band change the bucket, by the highest one."""
    yield None, np.zeros(1, np.uint32)
    codes = _codes(band, width)
    for at, bit in enumerate(band.bits if band.most else ()):
        chosen = (some for count in range(band.most) for some in combinations(codes[:at], count))
        yield bit, np.array([reduce(xor, some, codes[at]) for some in chosen], np.uint32)


def _sorted_by_bucket(
    hashes: Both, band: Band, width: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The buckets of hashes in ascending order, and the index of each one's hash."""
    keys = np.zeros(len(hashes[0]), np.uint32)
    codes = dict(zip(band.bits, _codes(band, width), strict=True))
    values = np.arange(256)
    for start in range(0, 128, 8):
        if mine := [bit for bit in range(start, start + 8) if bit in codes]:
            added = np.zeros(256, np.uint32)
            for bit in mine:
                added[values >> bit - start & 1 == 1] ^= np.uint32(codes[bit])
            half, shift = divmod(start, 64)
            keys ^= added[(hashes[half] >> np.uint64(shift)).astype(np.uint8)]
    order = np.sort(keys.astype(np.uint64) << np.uint64(32) | np.arange(len(keys), dtype=np.uint64))
    return (order >> np.uint64(32)).astype(np.uint32), order.astype(np.uint32)


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
        found = self._parent[nodes]
        while not np.array_equal(further := self._parent[found], found):
            found = further
        return found


SEARCHES = (
    *((view, view) for view in (*FULL, *TRIMMED[:3], TRIMMED[4])),
    *((TRIMMED[0], view) for view in (FULL[0], *TRIMMED[1:])),
    *zip(MIRRORED, TRIMMED[: len(MIRRORED)], strict=True),
)
"""The pairs of views whose hashes are compared: others would find two copies in 10,000 more."""
_MOST = 50
"""Pictures that one is compared with in a search; of 3,000 photos few have more than 5."""
_AT_ONCE = 2**18  # pairs; so that memory stays small
_LAID_AT_ONCE = 256
_FIRST, _BOTH = 1.4, 2.4
"""Bits of views of copies that differ at most: of the first hash and of both, times the radius."""
_THREADS = 2
_FEW_LEFT = 256
_SAME_KIND = 512
_ODD = np.uint64(0x9E3779B97F4A7C15)  # mixes two hashes, so that pairs can be sorted


@dataclass(frozen=True, slots=True)
class FingerprintColumns:
    """Fingerprints as columns, a row a picture."""

    hashes: Callable[[Ints, int], Both]  # of a view of rows
    names: NDArray[Any]  # the same for equal thumbnails
    aspects: Floats  # (pictures, 2)
    thumbs: Callable[[Ints, bool], Thumbs]  # of rows, as they are or trimmed

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
            lambda rows, view: (hashes[rows, 0, view], hashes[rows, 1, view]),
            np.frombuffer(full, f"V{THUMB**2}"),
            np.array([one.aspects for one in fingerprints]).reshape(count, 2),
            lambda rows, trimmed: shapes[trimmed][rows],
        )


class Pictures:
    """Pictures to compare."""

    def __init__(self, columns: FingerprintColumns):
        self._columns = columns

    def near_pairs(self, rows: Ints, radius: int, similarity: float) -> Iterator[tuple[int, int]]:
        """Yield pairs i < j of places in `rows` whose pictures are near-duplicates.

        They are enough to connect each group of them. Candidates are pairs of which two views have
        hashes that differ in few bits, by _FIRST and _BOTH, and hardly in one of the bands. Those
        this similar are confirmed, since products on white backgrounds share hashes without being
        the same picture.
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
        most = int(_FIRST * radius), int(_BOTH * radius)
        for search in SEARCHES if len(distinct) > 1 else ():
            lefts, rights = self._sides(distinct, search)
            left, right = self._kinds(distinct, lefts, search[0]), None
            if lefts is not rights or search[0] != search[1]:
                right = self._kinds(distinct, rights, search[1])
            for candidates in _candidates(left, right, most):
                for pair in _confirmed(self, distinct, *candidates, search, similarity, parts):
                    low, high = sorted(int(places[at]) for at in pair)
                    yield low, high

    def _kinds(self, rows: Ints, places: Ints, view: int) -> "_Kinds":
        return _kinds(self._columns.hashes(rows[places], view), places)

    def _sides(self, rows: Ints, search: tuple[int, int]) -> tuple[Ints, Ints]:
        """The places of the pictures whose views are compared.

        A picture without a border is its own trimmed picture, which other searches compare.
        """
        everything = np.arange(len(rows))
        full = [view in FULL for view in search]
        if not any(full):
            return everything, everything
        aspects = self._columns.aspects[rows]
        bordered = aspects[:, 0] != aspects[:, 1]
        for views in zip(FULL, TRIMMED, strict=False):
            whole, inner = (self._columns.hashes(rows, view) for view in views)
            bordered |= (whole[0] != inner[0]) | (whole[1] != inner[1])
        some = np.flatnonzero(bordered)
        return some, everything if all(full) else some

    def similarity(self, ones: Ints, twos: Ints, search: tuple[int, int]) -> Floats:
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

    def _laid_batch(self, ones: Ints, twos: Ints, search: tuple[int, int]) -> Floats:
        (one, first), (two, second) = (
            self._shown(rows, view) for rows, view in zip((ones, twos), search, strict=True)
        )
        return similarity(one, two, (_box(search[0]), _box(search[1])), first / second)

    def _shown(self, rows: Ints, view: int) -> tuple[NDArray[np.uint8], Floats]:
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
    rows: Ints,
    ones: Ints,
    twos: Ints,
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


def _apart(parts: Components, ones: Ints, twos: Ints) -> NDArray[np.bool_]:
    """Which pairs are not connected."""
    return np.asarray(parts.roots(ones) != parts.roots(twos))


def _candidates(
    left: "_Kinds", right: "_Kinds | None", most: Most
) -> Iterator[tuple[Ints, Ints, NDArray[np.uint8]]]:
    """Yield pairs of pictures whose hashes are close and the bits that differ, some at a time.

    Without `right` of `left` alone. Pictures with the same hashes share their neighbours, or hashes
    that thousands of pictures have would take memory for millions of pairs.
    """
    others = left if right is None else right
    hashes = None if right is None else right.hashes
    for numbers in _close_numbers(left.hashes, hashes, most, DIAGONAL):
        i, j = np.divmod(numbers, len(others.starts))
        pairs = zip(left.hashes, others.hashes, strict=True)
        first, second = (np.bitwise_count(one[i] ^ two[j]) for one, two in pairs)
        widths = others.counts[j]
        sizes = left.counts[i] * widths
        for start, end in _slices(sizes, _AT_ONCE):
            some = np.repeat(np.arange(start, end), sizes[start:end])
            within = np.arange(len(some)) - np.repeat(
                np.cumsum(sizes[start:end]) - sizes[start:end], sizes[start:end]
            )
            ones = left.members[left.starts[i[some]] + within // widths[some]]
            twos = others.members[others.starts[j[some]] + within % widths[some]]
            apart = ones != twos
            yield ones[apart], twos[apart], (first + second)[some[apart]]


def _slices(sizes: NDArray[Any], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of about so many in sum."""
    ends = np.cumsum(sizes, dtype=np.int64) // most
    edges = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), len(sizes)]
    yield from pairwise(edges)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Pairs of hashes, and the pictures that have each: some of them, if they are many."""

    hashes: Both
    members: Ints  # of all kinds, one after the other
    starts: Ints
    counts: Ints


def _kinds(hashes: Both, places: Ints) -> _Kinds:
    first, second = hashes
    order = np.argsort(first ^ second * _ODD, kind="stable")
    first, second = first[order], second[order]
    new = np.r_[True, (first[1:] != first[:-1]) | (second[1:] != second[:-1])][: len(order)]
    place = np.arange(len(order))
    place -= np.maximum.accumulate(np.where(new, place, 0))
    starts = np.flatnonzero(place % _SAME_KIND == 0)
    counts = np.diff(np.r_[starts, len(order)])
    return _Kinds((first[starts], second[starts]), places[order], starts, counts)
