"""Finds the close ones among many hashes: an index of bands, some bits of them each.

Pairs are numbers, i * len(right) + j.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from itertools import combinations, pairwise
from operator import xor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Buckets = NDArray[np.uint32]
Both = tuple[Hashes, Hashes]
"""Both hashes of a view of many pictures."""
Most = tuple[int, int]
"""How many bits of the first hash may differ, and how many of both."""

MAX_RADIUS = 11
AT_ONCE = 2**18  # pairs; so that memory stays small
THREADS = 2
_FEW = 2**12  # up to this many, comparing all with all is faster than an index
_LOOKUPS = 2**16  # at once: they fit into a processor's cache
_MANY = 2**19  # from this many on, few lookups matter more than few hashes a lookup
_WIDTHS = 16, 22  # bits of a bucket's number: about two more than are needed to count the hashes


@dataclass(frozen=True, slots=True)
class Band:
    """Some of the 128 bits of both hashes; of close ones at most `most` of these differ."""

    bits: tuple[int, ...]
    most: int

    def agree(self, first: Hashes, second: Hashes) -> NDArray[np.bool_]:
        """Whether pairs agree here, by what differs in both hashes."""
        masks = (sum(1 << bit % 64 for bit in self.bits if bit // 64 == half) for half in (0, 1))
        one, two = (np.uint64(mask) for mask in masks)
        bits = np.bitwise_count(one & first) + np.bitwise_count(two & second)
        return np.asarray(bits <= self.most)

    def codes(self, width: int) -> list[int]:
        """What each bit adds to a bucket's number: a bit; the last ones two, if it is narrow."""
        places = range(len(self.bits))
        return [1 << at if at < width else 65 << at - width for at in places]

    def flips(self, width: int) -> Iterator[tuple[int, Buckets]]:
        """How all flips of up to `most` bits change the bucket, by the highest bit; none: -1."""
        yield -1, np.zeros(1, np.uint32)
        codes = self.codes(width)
        for at, bit in enumerate(self.bits if self.most else ()):
            chosen = (few for count in range(self.most) for few in combinations(codes[:at], count))
            yield bit, np.array([reduce(xor, few, codes[at]) for few in chosen], np.uint32)


def _diagonal_bands() -> Iterator[Band]:
    cells = [(16 * (at % 8 + 1), 9 * (2 * (at // 8) + 1), 63 - at) for at in range(64)]
    cells += [(8 * (2 * (at % 9) + 1), 18 * (at // 9 + 1), 127 - at) for at in range(63)]
    for sign in (1, -1):
        bits = [bit for *_, bit in sorted(cells, key=lambda cell: (cell[0] + sign * cell[1], cell))]
        edges = np.linspace(0, len(bits), 6).round().astype(int).tolist()
        yield from (Band(tuple(bits[start:end]), 1) for start, end in pairwise(edges))


DIAGONAL = tuple(_diagonal_bands())
"""Both hashes' bits, cut five times across the picture, in both diagonal directions.

What is added to a copy or cut from it is in few places, so it hardly changes one of these bands.
"""


def _exact_bands(count: int, radius: int) -> tuple[Band, ...]:
    """Bands of the first hash that miss no pair within a radius.

    If two hashes differ in at most `radius` bits, then for one n the band with number n, of N,
    differs in at most (radius - n) // N of them: else they would differ in more.
    """
    edges = (0, 16, 32, 48, 64) if count <= _MANY else (0, 21, 42, 64)
    parts = enumerate(pairwise(edges))
    return tuple(Band((*range(*part),), (radius - at) // (len(edges) - 1)) for at, part in parts)


def close_pairs(left: Hashes, right: Hashes | None, radius: int) -> Ints:
    """Index pairs (i, j) with left[i] and right[j] at most `radius` bits apart, in (i, j) order.

    Returns shape (pairs, 2). Without `right` they are the pairs i <= j of `left`. Raises ValueError
    for a radius above MAX_RADIUS.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius} is not between 0 and {MAX_RADIUS}")
    one, two = (left, np.zeros_like(left)), None if right is None else (right, np.zeros_like(right))
    others = left if right is None else right
    bands = _exact_bands(len(others), radius)
    found = [np.zeros(0, np.int64), *close_numbers(one, two, (radius, radius), bands)]
    return np.stack(np.divmod(np.sort(np.concatenate(found)), max(1, len(others))), axis=1)


def close_numbers(
    left: Both, right: Both | None, most: Most, bands: Sequence[Band]
) -> Iterator[Ints]:
    """The pairs that differ in at most `most` bits and agree in a band.

    Each is yielded once, about AT_ONCE at once, these in order.
    """
    others, upper = (left, True) if right is None else (right, False)
    few = len(left[0]) * len(others[0]) <= _FEW**2
    some, count = list[Ints](), 0
    for found in (_all_with_all if few else _indexed)(left, others, most, bands, upper):
        some.append(found)
        count += len(found)
        if count >= AT_ONCE:
            yield np.sort(np.concatenate(some))
            some, count = [], 0
    yield from [np.sort(np.concatenate(some))] if some else []


def _all_with_all(
    left: Both, right: Both, most: Most, bands: Sequence[Band], upper: bool
) -> Iterator[Ints]:
    width = len(right[0])
    step = max(1, AT_ONCE // max(1, width))
    for start in range(0, len(left[0]), step):
        first = start if upper else 0
        apart = left[0][start : start + step, None] ^ right[0][None, first:]
        near = np.flatnonzero(np.bitwise_count(apart) <= most[0])
        i, j = np.divmod(near, max(1, width - first))
        i, j = i + start, j + first
        both = apart.ravel()[near], left[1][i] ^ right[1][j]
        agree = np.any([band.agree(*both) for band in bands], axis=0)
        kept = agree & (_bits(both) <= most[1]) & (not upper or i <= j)
        yield i[kept] * width + j[kept]


def _bits(apart: Both) -> NDArray[np.uint8]:
    return np.bitwise_count(apart[0]) + np.bitwise_count(apart[1])


def _indexed(
    left: Both, right: Both, most: Most, bands: Sequence[Band], upper: bool
) -> Iterator[Ints]:
    """Look up the hashes by one band after the other, with all flips of so many bits.

    Two threads share the work, since numpy lets others run.
    """
    width = min(max(len(right[0]).bit_length() + 2, _WIDTHS[0]), _WIDTHS[1])
    with ThreadPoolExecutor(THREADS) as pool:
        for number, band in enumerate(bands):
            if band.most < 0:
                continue
            wide = width if band.most == 1 else len(band.bits)  # no two flips give one bucket
            sides = (left,) if upper else (left, right)
            one, *others = pool.map(partial(_Sorted.of, band, wide), sides)
            index = _Index.of((others or [one])[0], wide)
            look_up = partial(_looked_up, one, index, most, bands[: number + 1], upper)
            yield from pool.map(look_up, band.flips(wide))


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Hashes in the order of their buckets, so that close ones are close in memory."""

    hashes: Both  # not sorted
    buckets: Buckets
    rows: Buckets  # the place of each in `hashes`
    first: Hashes

    @classmethod
    def of(cls, band: Band, width: int, hashes: Both) -> "_Sorted":
        keys = np.zeros(len(hashes[0]), np.uint32)
        values, codes = np.arange(256), dict(zip(band.bits, band.codes(width), strict=True))
        for start in {bit // 8 * 8 for bit in band.bits}:
            added = np.zeros(256, np.uint32)
            for bit in range(start, start + 8):
                added[values >> bit - start & 1 == 1] ^= np.uint32(codes.get(bit, 0))
            keys ^= added[(hashes[start // 64] >> np.uint64(start % 64)).astype(np.uint8)]
        order = keys.astype(np.uint64)
        order <<= np.uint64(32)
        order |= np.arange(len(keys), dtype=np.uint32)
        order.sort()
        rows = order.astype(np.uint32)
        order >>= np.uint64(32)
        return cls(hashes, order.astype(np.uint32), rows, hashes[0][rows])

    def half(self, bit: int) -> Buckets:
        """The places in the order of the hashes that do not have this bit."""
        words = self.hashes[bit // 64] >> np.uint64(bit % 64)
        return np.flatnonzero((words.astype(np.uint8) & 1 == 0)[self.rows]).astype(np.uint32)


@dataclass(frozen=True, slots=True)
class _Index:
    """Where each bucket's hashes start, how many they are, and whether there are any."""

    hashes: _Sorted
    starts: NDArray[np.int32]
    counts: NDArray[np.int32]
    there: NDArray[np.bool_]

    @classmethod
    def of(cls, hashes: _Sorted, width: int) -> "_Index":
        keys = hashes.buckets
        edges = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]][: len(keys)])
        starts, counts = (np.zeros(1 << width, np.int32) for _ in range(2))
        starts[keys[edges]], counts[keys[edges]] = edges, np.diff(np.r_[edges, len(keys)])
        return cls(hashes, starts, counts, counts > 0)


def _looked_up(
    left: _Sorted,
    index: _Index,
    most: Most,
    bands: Sequence[Band],
    upper: bool,
    flips: tuple[int, Buckets],
) -> Ints:
    """The pairs of which the last one of the bands differs by one of the flips, and none before it.

    Of `upper` pairs from the side that does not have the highest of the bits.
    """
    right, found = index.hashes, [np.zeros(0, np.int64)]
    halved = upper and flips[0] >= 0
    own = left.half(flips[0]) if halved else np.arange(len(left.rows), dtype=np.uint32)
    for some in np.split(own, range(_LOOKUPS, len(own), _LOOKUPS)):
        for flip in flips[1]:
            wanted = left.buckets[some] ^ flip
            hit = np.flatnonzero(index.there[wanted])
            wanted, here = wanted[hit], some[hit]
            many = index.counts[wanted]
            ends = np.cumsum(many)
            for start, end in slices(many, _LOOKUPS) if len(many) else ():
                of = np.repeat(np.arange(start, end), many[start:end])
                twos = (index.starts[wanted] - ends + many)[of]
                twos += np.arange(ends[start] - many[start], ends[end - 1])
                ones = here[of]
                apart = left.first[ones] ^ right.first[twos]
                near = np.flatnonzero(np.bitwise_count(apart) <= most[0])
                i, j = left.rows[ones[near]].astype(np.int64), right.rows[twos[near]]
                both = apart[near], left.hashes[1][i] ^ right.hashes[1][j]
                kept = (_bits(both) <= most[1]) & (halved or not upper or i <= j)
                kept &= bands[-1].agree(*both)
                i, j, both = i[kept], j[kept].astype(np.int64), (both[0][kept], both[1][kept])
                new = ~np.any([band.agree(*both) for band in bands[:-1]] or [i < 0], axis=0)
                i, j = (np.minimum(i, j), np.maximum(i, j)) if upper else (i, j)
                found.append((i * len(right.rows) + j)[new])
    return np.concatenate(found)


def slices(sizes: NDArray[Any], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of about so many in sum."""
    ends = np.cumsum(sizes, dtype=np.int64) // most
    edges = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), len(sizes)]
    yield from pairwise(edges)
