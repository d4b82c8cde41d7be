"""Finds candidates for near-duplicates: pairs of pictures of which two views have close hashes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.alignment import THUMB, Floats, Thumbs
from allrounder.clean.close_hashes import (
    BATCH,
    DIAGONAL,
    BothHashes,
    Ints,
    Limits,
    batches,
    close_pair_numbers,
    close_places,
    close_to_few,
    distance,
)
from allrounder.clean.close_memory import CloseMemory, PictureIds
from allrounder.clean.fingerprints import FULL, MIRRORED, TRIMMED, Fingerprint

SEARCHES = (
    *((view, view) for view in (*FULL, *TRIMMED[:3], TRIMMED[4])),
    *((TRIMMED[0], view) for view in (FULL[0], *TRIMMED[1:])),
    *zip(MIRRORED, TRIMMED[: len(MIRRORED)], strict=True),
)
"""The pairs of views whose hashes are compared: others would find two copies in 10,000 more."""
_SMALL = 2**8
"""Up to so many pictures all are compared with all: for the classes of a large dataset."""
_SORTED = 2**20  # pairs of a search at most that are sorted; more come in the order of the search
_REMEMBERED = 2**21  # pairs of all searches at most that are remembered
_SHARED = 512  # pictures of one row of hashes at most: two rows have no more than BATCH pairs
_ODD = np.uint64(0x9E3779B97F4A7C15)  # mixes two hashes into one number to sort by


@dataclass(frozen=True, slots=True)
class FingerprintColumns:
    """Fingerprints as columns, a row a picture."""

    hashes: Callable[[Ints, int], BothHashes]  # of a view of rows
    thumb_hashes: NDArray[Any]  # the same for equal thumbnails
    ids: PictureIds
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
            np.array([one.picture_id for one in fingerprints], np.uint64),
            np.array([one.aspects for one in fingerprints]).reshape(count, 2),
            lambda rows, trimmed: shapes[trimmed][rows],
        )

    def bordered(self, rows: Ints) -> NDArray[np.bool_]:
        """Which pictures have a border, or other hashes without it."""
        aspects = self.aspects[rows]
        bordered = aspects[:, 0] != aspects[:, 1]
        for views in zip(FULL, TRIMMED, strict=False):
            whole, inner = (self.hashes(rows, view) for view in views)
            bordered |= (whole[0] != inner[0]) | (whole[1] != inner[1])
        return np.asarray(bordered)


@dataclass(frozen=True, slots=True)
class Candidates:
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

    def chosen(self, where: NDArray[Any]) -> "Candidates":
        """Those that a mask or places name."""
        return Candidates(*(getattr(self, name)[where] for name in self.__slots__))

    @classmethod
    def joined(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """The pairs of all parts."""
        columns = ([getattr(one, name) for one in parts] for name in cls.__slots__)
        return cls(*map(np.concatenate, columns))


def candidates(
    columns: FingerprintColumns, rows: Ints, limits: Limits, memory: CloseMemory | None = None
) -> Iterator[Candidates]:
    """Yield the candidates of all searches in batches; pictures are places in `rows`.

    They are the same with and without `memory`, and in the same order.
    """
    if len(rows) <= _SMALL:
        yield _of_few(columns, rows, limits)
        return
    ids, bordered = columns.ids[rows], np.flatnonzero(columns.bordered(rows))
    last = memory.recall(ids, limits) if memory else None
    found, room = dict[int, NDArray[np.int32]](), _REMEMBERED
    for number, views in enumerate(SEARCHES):
        search = _Search.of(columns, rows, bordered, views)
        parts = search.pairs(limits)
        if last and number in last.pairs:
            parts = search.pairs_with_new(last.pairs[number], last.new, limits)
        if (pairs := _sorted(parts, len(rows))) is None:
            yield from map(search.candidates, search.pairs(limits))
            continue
        for start in range(0, len(pairs), BATCH):
            yield search.candidates(pairs[start : start + BATCH])
        if len(pairs) <= room:
            room -= len(pairs)
            found[number] = pairs.astype(np.int32)
    if memory and (last is None or last.new.any()):
        memory.remember(ids, limits, found)


def _sorted(parts: Iterator[Ints], count: int) -> Ints | None:
    """All different pairs of `count` pictures in order; None if they are more than _SORTED."""
    numbers = np.zeros(0, np.int64)
    for part in parts:
        numbers = np.unique(np.concatenate([numbers, part[:, 0] * count + part[:, 1]]))
        if len(numbers) > _SORTED:
            return None
    return np.stack(np.divmod(numbers, count), axis=1)


@dataclass(frozen=True, slots=True)
class _Search:
    """A search for pictures of which one's left view is close to the other's right view.

    Pairs are places (left, right), shape (pairs, 2). If both sides are the same, the hashes say
    which picture is the left one; of pictures with equal hashes, each is.
    """

    views: tuple[int, int]
    left: BothHashes  # of all pictures
    right: BothHashes
    lefts: Ints  # the pictures that are compared
    rights: Ints
    is_symmetric: bool  # both sides are the same

    @classmethod
    def of(
        cls, columns: FingerprintColumns, rows: Ints, bordered: Ints, views: tuple[int, int]
    ) -> "_Search":
        """`bordered` are the places of pictures with a border.

        A picture without one is its own trimmed picture, which other searches compare.
        """
        left = columns.hashes(rows, views[0])
        right = left if views[0] == views[1] else columns.hashes(rows, views[1])
        everything, full = np.arange(len(rows)), [view in FULL for view in views]
        lefts = bordered if any(full) else everything
        rights = bordered if any(full) and not all(full) else everything
        return cls(views, left, right, lefts, rights, views[0] == views[1] and not any(full))

    def candidates(self, pairs: Ints) -> Candidates:
        """The pairs with their distances."""
        ones, twos = pairs.T
        differing = (
            self.left[0][ones] ^ self.right[0][twos],
            self.left[1][ones] ^ self.right[1][twos],
        )
        return Candidates(ones, twos, distance(differing), np.tile(self.views, (len(pairs), 1)))

    def pairs(self, limits: Limits) -> Iterator[Ints]:
        """Yield all pairs in batches, each once.

        A pair of hashes is looked up once for all pictures that have them: thousands with the same
        hashes would take memory for millions of pairs.
        """
        left = others = _DistinctHashes.of(self.left, self.lefts)
        if not self.is_symmetric:
            others = _DistinctHashes.of(self.right, self.rights)
        hashes = None if self.is_symmetric else others.hashes
        for numbers in close_pair_numbers(left.hashes, hashes, limits, DIAGONAL):
            i, j = np.divmod(numbers, len(others.starts))
            widths = others.counts[j]
            sizes = left.counts[i] * widths
            for start, end in batches(sizes, BATCH):
                of_pair = np.repeat(np.arange(start, end), sizes[start:end])
                within = np.arange(len(of_pair)) - np.repeat(
                    np.cumsum(sizes[start:end]) - sizes[start:end], sizes[start:end]
                )
                ones = left.members[left.starts[i[of_pair]] + within // widths[of_pair]]
                twos = others.members[others.starts[j[of_pair]] + within % widths[of_pair]]
                if self.is_symmetric:  # two pictures of one row come in both orders
                    once = (i != j)[of_pair] | (ones < twos)
                    ones, twos = ones[once], twos[once]
                yield self._as_pairs(ones, twos)

    def pairs_with_new(self, last: Ints, new: NDArray[np.bool_], limits: Limits) -> Iterator[Ints]:
        """Yield the last pairs and those that have a new picture; some come repeatedly."""
        yield self._as_pairs(*last.T)
        if not new.any():
            return
        few, many = self.lefts[new[self.lefts]], self.rights
        i, j = close_to_few(_at(self.left, few), _at(self.right, many), limits, DIAGONAL)
        yield self._as_pairs(few[i], many[j])
        if not self.is_symmetric:
            few, many = self.rights[new[self.rights]], self.lefts
            i, j = close_to_few(_at(self.right, few), _at(self.left, many), limits, DIAGONAL)
            yield self._as_pairs(many[j], few[i])

    def _as_pairs(self, ones: Ints, twos: Ints) -> Ints:
        """Pairs of two pictures each, not of one and itself."""
        pairs: Ints = np.stack([ones, twos], axis=1).astype(np.int64)[ones != twos]
        if not self.is_symmetric:
            return pairs
        one, two = (_mixed(_at(self.left, side)) for side in pairs.T)
        return np.concatenate([pairs[one <= two], pairs[one >= two, ::-1]])


def _mixed(hashes: BothHashes) -> NDArray[np.uint64]:
    """A number to sort by for each pair of hashes."""
    return hashes[0] ^ hashes[1] * _ODD


def _at(hashes: BothHashes, places: Ints) -> BothHashes:
    return hashes[0][places], hashes[1][places]


def _of_few(columns: FingerprintColumns, rows: Ints, limits: Limits) -> Candidates:
    """The candidates of all searches among few pictures: all are compared with all at once."""
    views = [columns.hashes(rows, view) for view in range(MIRRORED.stop)]
    horizontal, vertical = (np.array(column) for column in zip(*views, strict=True))
    left, right = np.array(SEARCHES).T
    differing = horizontal[left][:, :, None] ^ horizontal[right][:, None]
    search, i, j = np.nonzero(np.bitwise_count(differing) <= limits[0])
    both = differing[search, i, j], vertical[left[search], i] ^ vertical[right[search], j]
    one_full, both_full = (
        np.array([how(view in FULL for view in views) for views in SEARCHES])[search]
        for how in (any, all)
    )
    bordered = columns.bordered(rows)
    chosen = ~one_full | (bordered[i] & (both_full | bordered[j]))  # as in _Search.of
    chosen &= (i < j) | ((i > j) & (one_full | (left != right)[search]))
    close = close_places(both, limits, DIAGONAL, chosen)
    views_of_pairs = np.array(SEARCHES)[search[close]]
    return Candidates(i[close], j[close], distance(both)[close], views_of_pairs)


@dataclass(frozen=True, slots=True)
class _DistinctHashes:
    """Hashes, a row each, and the pictures that have them; a new row after _SHARED pictures."""

    hashes: BothHashes
    members: NDArray[np.int32]  # of all rows, one after the other
    starts: NDArray[np.int32]
    counts: NDArray[np.int32]

    @classmethod
    def of(cls, hashes: BothHashes, places: Ints) -> "_DistinctHashes":
        """Those of the pictures at some places."""
        horizontal, vertical = _at(hashes, places)
        order = np.argsort(_mixed((horizontal, vertical)), kind="stable")
        horizontal, vertical = horizontal[order], vertical[order]
        new = np.r_[True, (np.diff(horizontal) != 0) | (np.diff(vertical) != 0)][: len(order)]
        place = np.arange(len(order))
        place -= np.maximum.accumulate(np.where(new, place, 0))
        starts = np.flatnonzero(place % _SHARED == 0)
        counts = np.diff(np.r_[starts, len(order)])
        numbers = (each.astype(np.int32) for each in (places[order], starts, counts))
        return cls((horizontal[starts], vertical[starts]), *numbers)
