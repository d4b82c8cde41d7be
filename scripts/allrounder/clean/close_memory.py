"""Remembers which pictures have close hashes and how similar they are, for the next run.

That run searches for its new pictures only. What it finds is the same as without the memory, since
close pairs and similarities depend on the pictures alone.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allrounder.core.class_cache import code_digest, read_json, write_json
from allrounder.core.files import part_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PictureIds = NDArray[np.uint64]
"""A hash of each picture: see Fingerprint.picture_id."""
PairKeys = NDArray[np.uint64]
_NO_KEYS, _NO_VALUES = np.zeros(0, np.uint64), np.zeros(0)

_FEW = 64
"""New pictures are searched for alone if they are less than one in so many."""
_RECENT = 2**14  # similarities that are found again in the same run: groups need those of copies
_KEPT = 2**21  # similarities in the file, at most


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an earlier run has found among the pictures of this one."""

    new: NDArray[np.bool_]  # pictures that it did not have, by place
    pairs: Mapping[int, Ints]  # (pairs, 2) places, by the number of the search


class Similarities:
    """Similarities of pairs by a key. Those that this run needs are kept for the next one."""

    def __init__(self, keys: PairKeys = _NO_KEYS, values: Floats = _NO_VALUES):
        """The keys are in ascending order."""
        self._keys, self._values = keys, values
        self._used = np.zeros(len(keys), bool)
        self._new, self._recent = list[tuple[PairKeys, Floats]](), dict[int, float]()
        self._room = _KEPT

    def find(self, keys: PairKeys) -> Floats:
        """The similarity of each pair; not a number if it is not known."""
        found = np.full(len(keys), np.nan)
        if len(self._keys):
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            hit = self._keys[at] == keys
            found[hit] = self._values[at[hit]]
            self._used[at[hit]] = True
        for place in np.flatnonzero(np.isnan(found)).tolist() if self._recent else ():
            found[place] = self._recent.get(int(keys[place]), np.nan)
        return found

    def add(self, keys: PairKeys, values: Floats) -> None:
        """Add what was measured, while there is room."""
        if len(self._recent) + len(keys) <= _RECENT:
            self._recent |= dict(zip(keys.tolist(), values.tolist(), strict=True))
        self._new.append((keys[: self._room], values[: self._room]))
        self._room -= len(self._new[-1][0])

    def needed(self) -> tuple[PairKeys, Floats] | None:
        """The keys and values to keep; None if they are those of before."""
        if self._used.all() and self._room == _KEPT:
            return None
        parts = [*self._new, (self._keys[self._used], self._values[self._used])]
        keys, values = (np.concatenate(column)[:_KEPT] for column in zip(*parts, strict=True))
        order = np.argsort(keys)
        return keys[order], values[order]


Groups = dict[str, list[tuple[int, int]]]
"""The near-duplicates of a class, by a hash of its pictures."""


@dataclass(frozen=True, slots=True)
class CloseMemory:
    """Three files, which may be deleted."""

    pairs: Path
    similarities: Path
    groups: Path
    code: str

    @classmethod
    def beside(cls, store: Path) -> "CloseMemory":
        """The files beside a folder. Call it before the work: the code may be edited meanwhile."""
        names = ("pairs.npz", "similarities.npz", "groups.json")
        pairs, similarities, groups = (store.with_name(f"{store.name}.{name}") for name in names)
        return cls(pairs, similarities, groups, code_digest(("clean",), ("numpy",)))

    def recall(self, ids: PictureIds, limits: tuple[int, int]) -> Remembered | None:
        """The close pairs among these pictures; None if too many pictures are new."""
        found = _read(self.pairs, f"{limits} {self.code}")
        if "ids" not in found:
            return None
        place = _places(found.pop("ids"), ids)
        new = np.ones(len(ids), bool)
        new[place[place >= 0]] = False
        if np.count_nonzero(new) * _FEW >= len(ids):
            return None
        places = {int(number): place[pairs] for number, pairs in found.items()}
        return Remembered(
            new, {number: pairs[(pairs >= 0).all(axis=1)] for number, pairs in places.items()}
        )

    def remember(
        self, ids: PictureIds, limits: tuple[int, int], pairs: Mapping[int, NDArray[np.int32]]
    ) -> None:
        """Replace the close pairs by all of these pictures, by the number of the search."""
        columns = {str(number): each for number, each in pairs.items()}
        _write(self.pairs, f"{limits} {self.code}", columns | {"ids": ids})

    def recall_similarities(self) -> Similarities:
        """The similarities that the last run needed."""
        return Similarities(**_read(self.similarities, self.code))

    def remember_similarities(self, similarities: Similarities) -> None:
        """Replace them by those that this run needed."""
        if needed := similarities.needed():
            _write(self.similarities, self.code, {"keys": needed[0], "values": needed[1]})

    def recall_groups(self) -> Groups:
        """The near-duplicates of the last run's classes."""
        found = read_json(self.groups)
        return dict(found["groups"]) if found and found["rules"] == self.code else {}

    def remember_groups(self, groups: Groups) -> None:
        """Replace them by those of this run's classes."""
        write_json(self.groups, {"rules": self.code, "groups": groups})


def _read(path: Path, rules: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file; none if it is missing, damaged or of other code or rules."""
    with suppress(Exception), np.load(path) as file:  # a damaged file raises nearly anything
        found = {name: file[name] for name in file.files}
        return found if str(found.pop("rules")) == rules else {}
    return {}


def _write(path: Path, rules: str, columns: dict[str, NDArray[Any]]) -> None:
    written: dict[str, Any] = {**columns, "rules": np.array(rules)}
    with part_of(path).open("wb") as file:
        np.savez(file, **written)
    part_of(path).replace(path)


def _places(wanted: PictureIds, ids: PictureIds) -> Ints:
    """The place of each id in `ids`, -1 if it is not there."""
    order = np.argsort(ids)
    found = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    return np.where(ids[order[found]] == wanted, order[found], -1)
