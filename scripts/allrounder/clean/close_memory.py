"""Remembers which pictures have close hashes and how similar they are, for the next run.

That run searches for its new pictures only. What it finds is the same as without the memory, since
close pairs and similarities depend on the pictures alone.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from allrounder.core.class_cache import code_digest
from allrounder.core.files import part_of, replace_text

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PictureIds = NDArray[np.uint64]
"""A hash of each picture: see Fingerprint.picture_id."""
PairKeys = NDArray[np.uint64]

_FEW = 64
"""New pictures are searched for alone if they are less than one in so many."""
_MEASURED, _KEPT = 2**18, 2**21  # similarities of one run, and of all runs, at most


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an earlier run has found among the pictures of this one."""

    new: NDArray[np.bool_]  # pictures that it did not have, by place
    pairs: Mapping[int, Ints]  # (pairs, 2) places, by the number of the search


class Similarities:
    """Similarities of pairs by a key. Those that this run needs are kept for the next one."""

    def __init__(self, keys: PairKeys, values: Floats):
        """The keys are in ascending order."""
        self._keys, self._values = keys, values
        self._used, self._new = np.zeros(len(keys), bool), dict[int, float]()

    @classmethod
    def none(cls) -> "Similarities":
        """No similarities yet."""
        return cls(np.zeros(0, np.uint64), np.zeros(0))

    def find(self, keys: PairKeys) -> Floats:
        """The similarity of each pair; not a number if it is not known."""
        found = np.full(len(keys), np.nan)
        if len(self._keys):
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            hit = self._keys[at] == keys
            found[hit] = self._values[at[hit]]
            self._used[at[hit]] = True
        for place in np.flatnonzero(np.isnan(found)).tolist() if self._new else ():
            found[place] = self._new.get(int(keys[place]), np.nan)
        return found

    def add(self, keys: PairKeys, values: Floats) -> None:
        """Add what was measured, while there is room."""
        room = _MEASURED - len(self._new)
        self._new |= dict(zip(keys[:room].tolist(), values[:room].tolist(), strict=True))

    def needed(self) -> tuple[PairKeys, Floats] | None:
        """The keys and values to keep; None if they are those of before."""
        if self._used.all() and not self._new:
            return None
        new = np.array([*self._new], np.uint64), np.array([*self._new.values()], np.float64)
        keys = np.r_[new[0], self._keys[self._used]][:_KEPT]
        values = np.r_[new[1], self._values[self._used]][:_KEPT]
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

    @classmethod
    def beside(cls, store: Path) -> "CloseMemory":
        """The files beside a folder."""
        names = ("pairs.npz", "similarities.npz", "groups.json")
        return cls(*(store.with_name(f"{store.name}.{name}") for name in names))

    def recall(self, ids: PictureIds, limits: tuple[int, int]) -> Remembered | None:
        """The close pairs among these pictures; None if too many pictures are new."""
        found = _read(self.pairs, f"{limits}")
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

    def remember(self, ids: PictureIds, limits: tuple[int, int], pairs: Mapping[int, Ints]) -> None:
        """Replace the close pairs by all of these pictures, by the number of the search."""
        columns = {str(number): each.astype(np.int32) for number, each in pairs.items()}
        _write(self.pairs, f"{limits}", columns | {"ids": ids})

    def recall_similarities(self) -> Similarities:
        """The similarities that the last run needed."""
        found = _read(self.similarities)
        return Similarities(found["keys"], found["values"]) if found else Similarities.none()

    def remember_similarities(self, similarities: Similarities) -> None:
        """Replace them by those that this run needed."""
        if needed := similarities.needed():
            _write(self.similarities, "", {"keys": needed[0], "values": needed[1]})

    def recall_groups(self) -> Groups:
        """The near-duplicates of the last run's classes."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self.groups.read_bytes())
            return dict(found["groups"]) if found["rules"] == _rules("") else {}
        return {}

    def remember_groups(self, groups: Groups) -> None:
        """Replace them by those of this run's classes."""
        replace_text(self.groups, json.dumps({"rules": _rules(""), "groups": groups}))


def _read(path: Path, rules: str = "") -> dict[str, NDArray[Any]]:
    """The arrays of a file; none if it is missing, damaged or of other code or rules."""
    with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), np.load(path) as file:
        found = {name: file[name] for name in file.files}
        return found if str(found.pop("rules")) == _rules(rules) else {}
    return {}


def _write(path: Path, rules: str, columns: dict[str, NDArray[Any]]) -> None:
    written: dict[str, Any] = {**columns, "rules": np.array(_rules(rules))}
    with part_of(path).open("wb") as file:
        np.savez(file, **written)
    part_of(path).replace(path)


def _rules(rules: str) -> str:
    return f"{rules} {code_digest(('clean',))}"


def _places(wanted: PictureIds, ids: PictureIds) -> Ints:
    """The place of each id in `ids`, -1 if it is not there."""
    order = np.argsort(ids)
    found = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    return np.where(ids[order[found]] == wanted, order[found], -1)
