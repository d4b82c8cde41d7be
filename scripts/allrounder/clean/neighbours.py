"""Finds the near-duplicates among many fingerprints.

Close hashes make two photos candidates; what they show when one lies on the other confirms them.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.alignment import THUMB, Box, Floats, similarity
from allrounder.clean.fingerprints import FULL, MIRRORED, PARTS, TRIMMED, Fingerprint

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]

MAX_RADIUS = 11
_FEW = 4_096  # up to this many, comparing all with all is faster than an index
_COMPARED_AT_ONCE = 2**18  # pairs of hashes
_BANDS = ((0, 22), (22, 21), (43, 21))  # (first bit, bits)


def close_pairs(left: Hashes, right: Hashes | None, radius: int) -> Pairs:
    """Index pairs (i, j) with left[i] and right[j] at most `radius` bits apart, in (i, j) order.

    Returns shape (pairs, 2). Without `right` they are the pairs i <= j of `left`. A hash has three
    bands, so at least one band of a close pair differs in at most a third of the radius. Each band
    is looked up with all flips of so many bits.
    Raises ValueError for a radius above MAX_RADIUS.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius} is not between 0 and {MAX_RADIUS}")
    others = left if right is None else right
    if len(left) * len(others) <= _FEW**2:
        found = list(_all_with_all(left, others, radius, right is None))
        return np.concatenate([np.zeros((0, 2), np.int64), *found])
    pairs = np.unique(np.concatenate(list(_indexed(left, others, radius))), axis=0)
    return pairs[pairs[:, 0] <= pairs[:, 1]] if right is None else pairs


def _all_with_all(left: Hashes, right: Hashes, radius: int, upper: bool) -> Iterator[Pairs]:
    step = max(1, _COMPARED_AT_ONCE // max(1, len(right)))
    for start in range(0, len(left), step):
        first = start if upper else 0
        apart = np.bitwise_count(left[start : start + step, None] ^ right[None, first:])
        rows, columns = np.divmod(np.flatnonzero(apart <= radius), max(1, len(right) - first))
        pairs = np.stack([rows + start, columns + first], axis=1)
        yield pairs[pairs[:, 0] <= pairs[:, 1]] if upper else pairs


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
_AS_WHOLE = np.array([*TRIMMED[: len(FULL)], *TRIMMED, *MIRRORED])
"""The views that show the same part of a picture without borders."""
_MOST = 50
"""Pictures that one is compared with in a search; of 3,000 photos few have more than 5."""
_AT_ONCE = 2**18  # pairs; so that memory stays small
_LAID_AT_ONCE = 256
_THREADS = 2
_FEW_LEFT = 256
_SAME_KIND = 512


class Pictures:
    """Fingerprints as columns. Similarities are kept for further searches."""

    def __init__(self, fingerprints: Sequence[Fingerprint]):
        self._fingerprints = fingerprints
        self._known: dict[tuple[int, int, int, int], float] = {}
        count = len(fingerprints)
        views = [one.views for one in fingerprints]
        self._whole = np.array([one.thumb == one.trimmed for one in fingerprints], bool)
        self.views = np.array(views, np.uint64).reshape(count, MIRRORED.stop)
        thumbs = b"".join(one.thumb for one in fingerprints)
        shape = (count, 8, THUMB // 8, 8, THUMB // 8)
        cells = np.frombuffer(thumbs, np.uint8).reshape(shape).sum(axis=(2, 4), dtype=np.int64)
        cells = cells.reshape(count, 64)
        self._coarse = cells - cells.sum(axis=1, keepdims=True) // 64
        self._sizes = np.sqrt(np.maximum((self._coarse**2).sum(axis=1), 1).astype(np.float64))

    def near_pairs(
        self, rows: Sequence[int], radius: int, similarity: float, classes: Sequence[str] = ()
    ) -> Iterator[tuple[int, int]]:
        """Yield pairs i < j of places in `rows` whose pictures are near-duplicates.

        If the rows have `classes`, only pictures of one class are compared.

        They are enough to connect each group of them. Candidates are pairs of which two views have
        hashes that differ in at most `radius` bits. Those with at least this similarity are
        confirmed, since products on white backgrounds share hashes without being the same picture.
        Of pictures with equal thumbnails only the first is compared with others, and pictures that
        are connected already are not compared.
        """
        first: dict[tuple[str, bytes], int] = {}
        for place, row in enumerate(rows):
            look = classes[place] if classes else "", self._fingerprints[row].thumb
            if first.setdefault(look, place) != place:
                yield first[look], place
        places = {rows[place]: place for place in first.values()}
        by_class: dict[str, list[int]] = {}
        for row in sorted(places):
            by_class.setdefault(classes[places[row]] if classes else "", []).append(row)
        members = [np.array(some, np.int64) for some in by_class.values() if len(some) > 1]
        parts = Components(len(self._fingerprints))
        for search in SEARCHES:
            for pairs in _in_classes(self.views, members, search, radius):
                for one, two in _confirmed(self, *pairs, search, similarity, parts):
                    low, high = sorted((places[one], places[two]))
                    yield low, high

    def alike(self, ones: NDArray[np.int64], twos: NDArray[np.int64]) -> Floats:
        """How well pairs of pictures correlate, roughly."""
        products = (self._coarse[ones] * self._coarse[twos]).sum(axis=1)
        return np.asarray(products / self._sizes[ones] / self._sizes[twos])

    def similarity(
        self, ones: NDArray[np.int64], twos: NDArray[np.int64], search: tuple[int, int]
    ) -> Floats:
        """The similarity of pairs whose views of a search are alike."""
        views = (
            np.where(self._whole[rows], _AS_WHOLE[view], view).tolist()
            for rows, view in zip((ones, twos), search, strict=True)
        )
        names = list(zip(ones.tolist(), twos.tolist(), *views, strict=True))
        new = np.array([name not in self._known for name in names], bool)
        found = self._laid(ones[new], twos[new], search).tolist()
        self._known.update(zip((names[at] for at in np.flatnonzero(new)), found, strict=True))
        return np.array([self._known[name] for name in names])

    def _laid(
        self, ones: NDArray[np.int64], twos: NDArray[np.int64], search: tuple[int, int]
    ) -> Floats:
        starts = range(0, len(ones), _LAID_AT_ONCE)
        batches = [(ones[at : at + _LAID_AT_ONCE], twos[at : at + _LAID_AT_ONCE]) for at in starts]
        with ThreadPoolExecutor(_THREADS) as pool:  # numpy lets other threads run
            found = list(pool.map(lambda pair: self._laid_batch(pair[0], pair[1], search), batches))
        return np.concatenate([np.zeros(0), *found])

    def _laid_batch(
        self, ones: NDArray[np.int64], twos: NDArray[np.int64], search: tuple[int, int]
    ) -> Floats:
        (one, first), (two, second) = (
            self._shown(rows, view) for rows, view in zip((ones, twos), search, strict=True)
        )
        return similarity(one, two, (_box(search[0]), _box(search[1])), first / second)

    def _shown(self, rows: NDArray[np.int64], view: int) -> tuple[NDArray[np.uint8], Floats]:
        """The thumbnails that have a view, and their aspects."""
        chosen = [self._fingerprints[row] for row in rows.tolist()]
        full = view in FULL
        thumbs = b"".join(one.thumb if full else one.trimmed for one in chosen)
        aspects = np.array([one.aspects[0 if full else 1] for one in chosen])
        return np.frombuffer(thumbs, np.uint8).reshape(-1, THUMB, THUMB), aspects


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
    return Pictures(fingerprints).near_pairs(range(len(fingerprints)), radius, similarity)


def _confirmed(
    pictures: Pictures,
    ones: NDArray[np.int64],
    twos: NDArray[np.int64],
    search: tuple[int, int],
    similarity: float,
    parts: Components,
) -> Iterator[tuple[int, int]]:
    """Connect candidates that are alike, and yield them.

    Each picture is compared with one earlier one at a time, the one most like it first; the last
    few pairs are compared at once, which is faster.
    """
    ones, twos = _apart(parts, ones, twos)
    later = np.maximum(ones, twos)
    order = np.lexsort((ones, -pictures.alike(ones, twos), later))
    later = later[order]
    some = order[np.arange(len(order)) - np.searchsorted(later, later) < _MOST]
    ones, twos = ones[some], twos[some]
    while len(ones):
        later = np.maximum(ones, twos)
        leads = np.r_[True, later[1:] != later[:-1]] | (len(ones) <= _FEW_LEFT)
        alike = pictures.similarity(ones[leads], twos[leads], search) >= similarity
        for one, two in zip(ones[leads][alike].tolist(), twos[leads][alike].tolist(), strict=True):
            if parts.root(one) != parts.root(two):
                parts.join(one, two)
                yield one, two
        ones, twos = _apart(parts, ones[~leads], twos[~leads])


def _apart(
    parts: Components, ones: NDArray[np.int64], twos: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs that are not connected."""
    left = parts.roots(ones) != parts.roots(twos)
    return ones[left], twos[left]


def _candidates(
    views: Hashes, search: tuple[int, int], radius: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of pictures of which two views have close hashes, some at a time.

    Pictures with the same hash share their neighbours, or a hash that thousands of pictures have
    would take memory for millions of pairs.
    """
    left, right = (_kinds(views[:, view]) for view in search)
    same = search[0] == search[1]
    close = close_pairs(left.hashes, None if same else right.hashes, radius)
    widths = right.counts[close[:, 1]]
    sizes = left.counts[close[:, 0]] * widths
    for start, end in _slices(sizes):
        some = np.repeat(np.arange(start, end), sizes[start:end])
        within = np.arange(len(some)) - np.repeat(
            np.cumsum(sizes[start:end]) - sizes[start:end], sizes[start:end]
        )
        ones = left.members[left.starts[close[some, 0]] + within // widths[some]]
        twos = right.members[right.starts[close[some, 1]] + within % widths[some]]
        apart = ones != twos
        yield ones[apart], twos[apart]


def _in_classes(
    views: Hashes, members: Sequence[NDArray[np.int64]], search: tuple[int, int], radius: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the candidates among the rows of each class, those of small classes at once."""
    waiting, count = [np.zeros((2, 0), np.int64)], 0
    for rows in members:
        for ones, twos in _candidates(views[rows], search, radius):
            waiting.append(np.stack([rows[ones], rows[twos]]))
            count += len(ones)
            if count >= _AT_ONCE // 2:
                ones, twos = np.concatenate(waiting, axis=1)
                yield ones, twos
                waiting, count = waiting[:1], 0
    ones, twos = np.concatenate(waiting, axis=1)
    yield ones, twos


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
