"""Finds pairs of close hashes among many: multi-index hashing, with an index for each band of bits.

A pair (i, j) travels as one number, i * len(right) + j. Source: M. Norouzi, A. Punjani, D. Fleet,
"Fast Search in Hamming Space with Multi-Index Hashing", 2012.
"""

from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from itertools import combinations, pairwise
from operator import xor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Buckets = NDArray[np.uint32]
Part = TypeVar("Part", bound=Sized)
BothHashes = tuple[Hashes, Hashes]
"""The horizontal and the vertical hashes of many pictures; or the XOR of those of many pairs."""
Limits = tuple[int, int]
"""How many bits of the horizontal hashes may differ, and how many of both."""

MAX_RADIUS = 11
BATCH = 2**18  # pairs at once, so that memory stays small
THREADS = 2
_BRUTE_FORCE = 2**12  # up to this many hashes, comparing all with all is faster than an index
_PROBES = 2**16  # at once: they fit into a processor's cache
_FOUR_BANDS = 2**19  # up to this many hashes; for more, three: smaller buckets, but more probes
_BUCKET_BITS = 16, 22  # least and most; in between two more than are needed to count the hashes


@dataclass(frozen=True)
class Band:
    """Some of the 128 bits of both hashes. Close hashes differ in at most `radius` of them."""

    bits: tuple[int, ...]  # 0 to 63: of the horizontal hash; 64 to 127: of the vertical one
    radius: int

    @cached_property
    def _masks(self) -> tuple[np.uint64, np.uint64]:
        """The bits of the band in the horizontal and in the vertical hash."""
        horizontal, vertical = (
            sum(1 << bit % 64 for bit in self.bits if bit // 64 == half) for half in (0, 1)
        )
        return np.uint64(horizontal), np.uint64(vertical)

    def agree(self, horizontal: Hashes, vertical: Hashes) -> NDArray[np.bool_]:
        """Whether pairs are within the radius in this band, by the XOR of their hashes."""
        one, two = self._masks
        bits = np.bitwise_count(one & horizontal) + np.bitwise_count(two & vertical)
        return np.asarray(bits <= self.radius)

    def bucket_masks(self, width: int) -> list[int]:
        """What each bit flips in a bucket's number: one bit, or two for bits beyond its width."""
        return [1 << at if at < width else 65 << at - width for at in range(len(self.bits))]

    def probes(self, width: int) -> Iterator[tuple[int, Buckets]]:
        """The masks that lead from a bucket to all within the radius, by the highest bit flipped.

        The first one, with bit -1, leads to the bucket itself.
        """
        yield -1, np.zeros(1, np.uint32)
        masks = self.bucket_masks(width)
        for at, bit in enumerate(self.bits if self.radius else ()):
            flipped = (few for n in range(self.radius) for few in combinations(masks[:at], n))
            yield bit, np.array([reduce(xor, few, masks[at]) for few in flipped], np.uint32)


def _diagonal_bands() -> Iterator[Band]:
    # Where each bit compares two cells (x, y in 1/144 of the picture's sides), and its number.
    edges = [(16 * (at % 8 + 1), 9 * (2 * (at // 8) + 1), 63 - at) for at in range(64)]
    edges += [(8 * (2 * (at % 9) + 1), 18 * (at // 9 + 1), 127 - at) for at in range(63)]
    for sign in (1, -1):
        bits = [bit for *_, bit in sorted(edges, key=lambda edge: (edge[0] + sign * edge[1], edge))]
        cuts = np.linspace(0, len(bits), 6).round().astype(int).tolist()
        yield from (Band(tuple(bits[start:end]), 1) for start, end in pairwise(cuts))


DIAGONAL = tuple(_diagonal_bands())
"""Both hashes' bits in five diagonal strips of the picture, in both diagonal directions.

What is added to a copy or cut from it is in few places, so it hardly changes one of these bands.
"""


def _exact_bands(count: int, radius: int) -> tuple[Band, ...]:
    """Bands of the horizontal hash that miss no pair within a radius.

    If two hashes differ in at most `radius` bits, then for one n the band with number n, of N,
    differs in at most (radius - n) // N of them: else they would differ in more.
    """
    edges = (0, 16, 32, 48, 64) if count <= _FOUR_BANDS else (0, 21, 42, 64)
    parts = enumerate(pairwise(edges))
    return tuple(Band((*range(*part),), (radius - n) // (len(edges) - 1)) for n, part in parts)


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
    pairs = [np.zeros(0, np.int64), *close_pair_numbers(one, two, (radius, radius), bands)]
    return np.stack(np.divmod(np.sort(np.concatenate(pairs)), max(1, len(others))), axis=1)


def close_pair_numbers(
    left: BothHashes, right: BothHashes | None, limits: Limits, bands: Sequence[Band]
) -> Iterator[Ints]:
    """The pairs that are within the limits and agree in a band; without `right` those of `left`.

    Each is yielded once, in sorted batches of about BATCH.
    """
    others, upper = (left, True) if right is None else (right, False)
    search = _compared if len(left[0]) * len(others[0]) <= _BRUTE_FORCE**2 else _indexed
    for batch in gathered(search(left, others, limits, bands, upper), BATCH):
        yield np.sort(np.concatenate(batch))


def gathered(parts: Iterable[Part], least: int) -> Iterator[list[Part]]:
    """Consecutive parts whose lengths are at least this in sum; the last ones may be less."""
    batch, count = list[Part](), 0
    for part in parts:
        batch.append(part)
        count += len(part)
        if count >= least:
            yield batch
            batch, count = [], 0
    yield from [batch] if batch else []


def _compared(
    left: BothHashes, right: BothHashes, limits: Limits, bands: Sequence[Band], upper: bool
) -> Iterator[Ints]:
    """Compare all hashes with all; `upper`: those of one side, for the pairs i <= j."""
    width = len(right[0])
    step = max(1, BATCH // max(1, width))
    for start in range(0, len(left[0]), step):
        first = start if upper else 0
        differing = left[0][start : start + step, None] ^ right[0][None, first:]
        near = np.flatnonzero(np.bitwise_count(differing) <= limits[0])
        i, j = np.divmod(near, max(1, width - first))
        i, j = i + start, j + first
        both = differing.ravel()[near], left[1][i] ^ right[1][j]
        close = close_places(both, limits, bands, not upper or i <= j)
        yield i[close] * width + j[close]


def close_places(
    both: BothHashes, limits: Limits, bands: Sequence[Band], chosen: NDArray[np.bool_] | bool
) -> Ints:
    """Which chosen pairs, by the XOR of their hashes, are close in both and agree in a band."""
    close = np.flatnonzero((distance(both) <= limits[1]) & chosen)
    both = both[0][close], both[1][close]
    return close[np.any([band.agree(*both) for band in bands], axis=0)]


def distance(differing: BothHashes) -> NDArray[np.uint8]:
    """The bits in which pairs differ, by the XOR of their hashes."""
    return np.bitwise_count(differing[0]) + np.bitwise_count(differing[1])


def _indexed(
    left: BothHashes, right: BothHashes, limits: Limits, bands: Sequence[Band], upper: bool
) -> Iterator[Ints]:
    """Look the left hashes up in an index of the right ones, by one band after the other.

    Two threads share the work, since numpy lets others run.
    """
    width = min(max(len(right[0]).bit_length() + 2, _BUCKET_BITS[0]), _BUCKET_BITS[1])
    with ThreadPoolExecutor(THREADS) as pool:
        for number, band in enumerate(bands):
            if band.radius < 0:
                continue
            # Two flips that led to one bucket would give its pairs twice.
            band_width = width if band.radius == 1 else len(band.bits)
            sides = (left,) if upper else (left, right)
            one, *others = pool.map(partial(_SortedHashes.of, band, band_width), sides)
            index = _Index.of((others or [one])[0], band_width)
            probe = partial(_probed, one, index, limits, bands[: number + 1], upper)
            yield from pool.map(probe, band.probes(band_width))


def close_to_few(
    few: BothHashes, many: BothHashes, limits: Limits, bands: Sequence[Band]
) -> tuple[Ints, Ints]:
    """The pairs of `close_pair_numbers`, faster where one side has few hashes.

    Returns their places in `few` and in `many`. A pair that agrees in two bands comes twice.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(partial(_close_in_band, few, many, limits), bands)
        ones, twos = zip(*found, strict=True)
    return np.concatenate(ones), np.concatenate(twos)


def _close_in_band(
    few: BothHashes, many: BothHashes, limits: Limits, band: Band
) -> tuple[Ints, Ints]:
    """The pairs of `close_to_few` that agree in a band."""
    width = min(len(band.bits), _BUCKET_BITS[1])
    masks = np.concatenate([each for _, each in band.probes(width)])
    keys = (_buckets(band, width, few)[:, None] ^ masks).ravel()
    order = np.argsort(keys)
    used = np.zeros(1 << width, bool)
    used[keys] = True
    buckets = _buckets(band, width, many)
    hits = np.flatnonzero(used[buckets])
    starts = np.searchsorted(keys, buckets[hits], "left", order)
    counts = np.searchsorted(keys, buckets[hits], "right", order) - starts
    ones, twos = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start, end in batches(counts, _PROBES) if len(hits) else ():
        sizes = counts[start:end]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        i = order[np.repeat(starts[start:end], sizes) + within] // len(masks)
        j = np.repeat(hits[start:end], sizes)
        both = few[0][i] ^ many[0][j], few[1][i] ^ many[1][j]
        close = (np.bitwise_count(both[0]) <= limits[0]) & (distance(both) <= limits[1])
        close &= band.agree(*both)
        ones.append(i[close])
        twos.append(j[close])
    return np.concatenate(ones), np.concatenate(twos)


def _buckets(band: Band, width: int, hashes: BothHashes) -> Buckets:
    """The bucket of each hash."""
    buckets = np.zeros(len(hashes[0]), np.uint32)
    values, masks = np.arange(256), dict(zip(band.bits, band.bucket_masks(width), strict=True))
    octets = [np.ascontiguousarray(each, "<u8").view(np.uint8) for each in hashes]
    for start in {bit // 8 * 8 for bit in band.bits}:  # byte by byte, with a table for each
        table = np.zeros(256, np.uint32)
        for bit in range(start, start + 8):
            table[values >> bit - start & 1 == 1] ^= np.uint32(masks.get(bit, 0))
        buckets ^= table[octets[start // 64][start % 64 // 8 :: 8]]
    return buckets


@dataclass(frozen=True, slots=True)
class _SortedHashes:
    """Hashes in the order of their buckets, so that close ones are close in memory."""

    hashes: BothHashes  # not sorted
    buckets: Buckets
    rows: Buckets  # the place of each in `hashes`
    horizontal: Hashes

    @classmethod
    def of(cls, band: Band, width: int, hashes: BothHashes) -> "_SortedHashes":
        buckets = _buckets(band, width, hashes)
        order = buckets.astype(np.uint64)  # bucket and row in one number: faster than argsort
        order <<= np.uint64(32)
        order |= np.arange(len(buckets), dtype=np.uint32)
        order.sort()
        rows = order.astype(np.uint32)
        order >>= np.uint64(32)
        return cls(hashes, order.astype(np.uint32), rows, hashes[0][rows])

    def without_bit(self, bit: int) -> Buckets:
        """The sorted places of the hashes that do not have this bit."""
        words = self.hashes[bit // 64] >> np.uint64(bit % 64)
        return np.flatnonzero((words.astype(np.uint8) & 1 == 0)[self.rows]).astype(np.uint32)


@dataclass(frozen=True, slots=True)
class _Index:
    """Where each bucket's hashes start, how many they are, and which buckets have any."""

    hashes: _SortedHashes
    starts: NDArray[np.int32]
    counts: NDArray[np.int32]
    used: NDArray[np.bool_]

    @classmethod
    def of(cls, hashes: _SortedHashes, width: int) -> "_Index":
        buckets = hashes.buckets
        edges = np.flatnonzero(np.r_[True, buckets[1:] != buckets[:-1]][: len(buckets)])
        starts, counts = (np.zeros(1 << width, np.int32) for _ in range(2))
        starts[buckets[edges]], counts[buckets[edges]] = edges, np.diff(np.r_[edges, len(buckets)])
        return cls(hashes, starts, counts, counts > 0)


def _probed(
    left: _SortedHashes,
    index: _Index,
    limits: Limits,
    bands: Sequence[Band],
    upper: bool,
    probes: tuple[int, Buckets],
) -> Ints:
    """The close pairs that these probes find by the last band, and no earlier band finds.

    If both sides are the same, a probe that flips a bit finds each pair from either hash. Only the
    one without the highest bit flipped is looked up.
    """
    right, pairs = index.hashes, [np.zeros(0, np.int64)]
    highest, masks = probes
    one_way = upper and highest >= 0
    queries = left.without_bit(highest) if one_way else np.arange(len(left.rows), dtype=np.uint32)
    for chunk in np.split(queries, range(_PROBES, len(queries), _PROBES)):
        for mask in masks:
            buckets = left.buckets[chunk] ^ mask
            hits = np.flatnonzero(index.used[buckets])
            buckets, hit_by = buckets[hits], chunk[hits]
            sizes = index.counts[buckets]
            ends = np.cumsum(sizes)
            for start, end in batches(sizes, _PROBES) if len(sizes) else ():
                # A hit for each candidate, and the candidate's place in the hit's bucket.
                hit = np.repeat(np.arange(start, end), sizes[start:end])
                candidates = (index.starts[buckets] - ends + sizes)[hit]
                candidates += np.arange(ends[start] - sizes[start], ends[end - 1])
                ones = hit_by[hit]
                differing = left.horizontal[ones] ^ right.horizontal[candidates]
                near = np.flatnonzero(np.bitwise_count(differing) <= limits[0])
                i, j = left.rows[ones[near]].astype(np.int64), right.rows[candidates[near]]
                both = differing[near], left.hashes[1][i] ^ right.hashes[1][j]
                close = (distance(both) <= limits[1]) & (one_way or not upper or i <= j)
                close &= bands[-1].agree(*both)
                i, j, both = i[close], j[close].astype(np.int64), (both[0][close], both[1][close])
                new = ~np.any([band.agree(*both) for band in bands[:-1]] or [i < 0], axis=0)
                i, j = (np.minimum(i, j), np.maximum(i, j)) if upper else (i, j)
                pairs.append((i * len(right.rows) + j)[new])
    return np.concatenate(pairs)


def batches(sizes: NDArray[Any], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of places whose sizes are about `limit` in sum."""
    numbers = np.cumsum(sizes, dtype=np.int64) // limit
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(sizes)]
    yield from pairwise(edges)
