"""Decodes the photos of all classes in parallel, or takes them from the store of earlier runs."""

import json
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.alignment import THUMB, Thumbs
from allrounder.clean.alone import decode_alone
from allrounder.clean.close_memory import CloseMemory
from allrounder.clean.columns import IN_MEMORY, HashColumns, Ints, Origin, Texts, first_bytes
from allrounder.clean.decode import Photo
from allrounder.clean.fingerprints import Fingerprint
from allrounder.clean.on_cluster import decode_on_cluster
from allrounder.clean.search import FingerprintColumns
from allrounder.clean.slices import (
    Records,
    Slice,
    cut,
    decoding,
    fingerprint_of,
    read_slice,
    read_thumbnails,
    stored_slice,
    take_note,
)
from allrounder.cluster.ray_cluster import asked_address
from allrounder.core.class_cache import (
    ClassCache,
    file_state,
    inputs_digest,
    names_file,
    read_json,
    write_json,
)
from allrounder.core.errors import DataError
from allrounder.core.expected import confirmed
from allrounder.core.progress import progress
from allrounder.core.rows import RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import tar_members
from allrounder.core.urls import flickr_photo_id
from allrounder.core.workers import killed, worker_pool
from allrounder.params.schema import Clean

_AGAIN = "run dvc repro --force --single-item download"
_TEXTS = ("image_ids", "origins", "uploads", "matches")


@dataclass(frozen=True, slots=True)
class Listed:
    """The photos of a class's raw archive, what its table says of them, and their slices."""

    image_ids: Texts
    origins: Texts  # JSON
    origin_counts: Ints
    uploads: Texts  # ids of Flickr uploads
    matches: Texts
    expected: Mapping[int, str]  # hashes of pictures that clean must confirm, by place
    slices: Sequence[Slice]

    def as_json(self) -> dict[str, Any]:
        """All but the class's name and its archive, as JSON can hold it."""
        texts = {name: [*getattr(self, name)] for name in _TEXTS}
        places = [part.places.tolist() for part in self.slices]
        counts = self.origin_counts.tolist()
        return texts | {"counts": counts, "expected": [*self.expected.items()], "places": places}

    @classmethod
    def from_json(cls, found: Mapping[str, Any], key: str, tar: Path) -> "Listed":
        """What `as_json` gave."""
        slices = [Slice(key, at, tar, np.array(own)) for at, own in enumerate(found["places"])]
        ids, origins, uploads, matches = (Texts(found[name]) for name in _TEXTS)
        counts: Ints = np.array(found["counts"], np.int64)
        return cls(ids, origins, counts, uploads, matches, dict(found["expected"]), slices)

    def origins_of(self, at: int) -> list[Origin]:
        """The URLs that gave a photo's bytes."""
        return [Origin(*pair) for pair in json.loads(self.origins[at])]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The photos of all classes, decoded: a record each, class by class in the archives' order.

    A photo that is another picture than expected has no fingerprint.
    """

    listed: Mapping[str, Listed]
    class_starts: Sequence[int]  # the first record of each class, and the number of records
    records: Records  # of the type IN_MEMORY
    hashes: HashColumns
    slices: Sequence[Slice]
    files: Sequence[Path]  # of the slices
    slice_numbers: NDArray[np.int32]  # of each record
    slice_starts: Sequence[int]  # the same of slices
    changed: Mapping[int, str]  # what differs from the expected picture, by record
    keys: Sequence[str]  # of the classes
    memory: CloseMemory

    def place(self, row: int) -> tuple[str, int]:
        """A record's class, and its place there."""
        number = bisect_right(self.class_starts, row) - 1
        return self.keys[number], row - self.class_starts[number]

    def fingerprint(self, row: int) -> Fingerprint:
        """The fingerprint of a photo."""
        number = int(self.slice_numbers[row])
        records = _records(self.files[number])
        return fingerprint_of(self.files[number], records[row - self.slice_starts[number]])

    def columns(self) -> FingerprintColumns:
        """The fingerprints; thumbnails are read when they are needed."""
        hashes, ids = first_bytes(self.records["thumb_hash"]), self.records["picture_id"]
        aspects = self.records["aspects"]
        return FingerprintColumns(self.hashes.of, hashes, ids, aspects, self._thumbs)

    def _thumbs(self, rows: Ints, trimmed: bool) -> Thumbs:
        thumbs = np.empty((len(rows), THUMB, THUMB), np.uint8)
        offsets = self.records["trimmed" if trimmed else "thumb"][rows].tolist()
        numbers = self.slice_numbers[rows]
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number).tolist()
            read = read_thumbnails(self.files[number], (offsets[at] for at in places))
            for at, thumb in zip(places, read, strict=True):
                thumbs[at] = np.frombuffer(thumb, np.uint8).reshape(THUMB, THUMB)
        return thumbs


def decode_classes(
    keys: Sequence[str],
    raw: Path,
    store: Path,
    rules: Clean,
    pool: Executor,
    ray: str | None = None,
) -> Decoded:
    """The photos of all classes, decoded now or in an earlier run; `ray` as in the params.

    `pool` lists the photos. Decoding starts workers of its own, since a photo may crash one.
    Raises DataError when this machine is at fault, or an archive and its table do not agree.
    """
    memory = CloseMemory.beside(store)
    # Beside the store, where Windows shows open files: they are no slices.
    texts, columns = (TemporaryFile(dir=store.parent) for _ in range(2))  # noqa: SIM115 (used on)
    listed: dict[str, Listed] = {}
    cache = ClassCache.of_stage(store.with_name("listed"), keys, (("core", "clean"), ()))
    for key, part in zip(keys, pool.map(partial(_listed, raw, cache), keys), strict=True):
        part.origins.move_to(texts)
        listed[key] = part
    slices = [part for key in keys for part in listed[key].slices]
    states, (last, intact) = [_state(part) for part in slices], _last_names(store, rules)
    named = [replace(part, name=last.get(at, "")) for part, at in zip(slices, states, strict=True)]
    left = [part for part in named if part.name not in intact]
    if left and (address := asked_address(ray)):
        decode_on_cluster(address, left, store, rules)
    found = decode_slices(left, store, rules)
    names = [part.name if part.name in intact else found[part.key, part.number] for part in named]
    _remember_names(store, rules, dict(zip(states, names, strict=True)))
    files = [store / name for name in names]
    slice_starts = [0, *accumulate(len(part.places) for part in slices)]
    class_starts = [0, *accumulate(len(listed[key].image_ids) for key in keys)]
    records = np.zeros(class_starts[-1], IN_MEMORY)
    hashes = HashColumns(columns, len(records))
    for path, (start, end) in zip(files, pairwise(slice_starts), strict=True):
        read = read_slice(path)[0]
        records[start:end] = read[list(IN_MEMORY.names or ())]
        hashes.put(start, read["horizontal"], read["vertical"])
    changed = {
        start + at: detail
        for key, start in zip(keys, class_starts[:-1], strict=True)
        for at, expected in listed[key].expected.items()
        if (detail := _difference(records[start + at], expected, rules))
    }
    for name in ("thumb", "sha256"):
        records[name][[*changed]] = np.zeros(1, IN_MEMORY[name])
    numbers = np.repeat(np.arange(len(slices), dtype=np.int32), np.diff(slice_starts))
    return Decoded(
        listed,
        class_starts,
        records,
        hashes,
        slices,
        files,
        numbers,
        slice_starts,
        changed,
        keys,
        memory,
    )


@lru_cache(maxsize=1)  # fingerprints are asked for in the order of records
def _records(path: Path) -> Records:
    return read_slice(path)[0]


def _state(part: Slice) -> str:
    """What tells whether a slice's archive has changed since the last run."""
    return f"{part.tar} {file_state(part.tar)} {part.number}"


def _last_names(store: Path, rules: Clean) -> tuple[dict[str, str], set[str]]:
    """The names of slices' files by `_state`, and the files that have not changed since.

    The photos of these slices are not read to name them, nor the files to check them.
    """
    last = read_json(names_file(store))
    if not last or last["decoding"] != decoding(rules).hex():
        return {}, set()
    files = last.get("files", {})  # an earlier version kept no states
    intact = {name for name, state in files.items() if file_state(store / name) == state}
    return dict(last["names"]), intact


def _remember_names(store: Path, rules: Clean, names: Mapping[str, str]) -> None:
    files = {name: file_state(store / name) for name in names.values()}
    last = {"decoding": decoding(rules).hex(), "names": {**names}, "files": files}
    write_json(names_file(store), last)


def _difference(record: Any, expected: str, rules: Clean) -> str:
    """How a decoded photo differs from the expected picture, or ''."""
    same, bits = confirmed(expected, int(record["hash"]), rules.near_radius)
    differs = record["thumb"] and not same
    return f"{bits} of 64 bits differ from the expected picture" if differs else ""


def _listed(raw: Path, cache: ClassCache, key: str) -> Listed:
    """A class's photos, listed now or by the last run. Raises DataError as `_list` does."""
    table, tar = raw / f"{key}.csv", raw / f"{key}.tar"
    inputs = inputs_digest(table, file_state(tar))
    if (facts := cache.restore(key, inputs)) is not None:
        return Listed.from_json(facts, key, tar)
    listed = _list(key, raw)
    cache.store(key, inputs, (), listed.as_json())
    return listed


def _list(key: str, raw: Path) -> Listed:
    """List a class's photos. Raises DataError when archive and table do not agree."""
    origins: dict[str, list[Origin]] = defaultdict(list)
    listed: dict[str, RawRow] = {}
    for row in read_csv(raw / f"{key}.csv", RawRow):
        if row.sha256:
            origins[row.sha256].append(Origin(row.url, row.final_url))
        if row.status is Status.OK:
            listed[row.image_id] = row
    members = list(tar_members(raw / f"{key}.tar"))
    names = [name.rpartition(".")[0] for name, _ in members]
    if strange := [name for name in names if name not in listed]:
        raise DataError(f"{raw}/{key}: {strange[0]} is in the tar, not in the csv; {_AGAIN}")
    if len(names) != len(listed):
        count = f"{len(listed)} ok in the csv, {len(names)} in the tar"
        raise DataError(f"{raw}/{key}: {count}; {_AGAIN}")
    rows = [listed[name] for name in names]
    places = ((stored, row.sha256) for (_, stored), row in zip(members, rows, strict=True))
    return Listed(
        Texts(names),
        Texts(json.dumps(origins[row.sha256]) for row in rows),
        np.array([len(origins[row.sha256]) for row in rows], np.int64),
        Texts(flickr_photo_id(row.url) for row in rows),
        Texts(row.match for row in rows),
        {at: row.expected_hash for at, row in enumerate(rows) if row.expected_hash},
        cut(key, raw / f"{key}.tar", places),
    )


def decode_slices(slices: Sequence[Slice], store: Path, rules: Clean) -> dict[tuple[str, int], str]:
    """The names of the slices' files in the store, by class and number.

    If a worker ended or had not enough memory, the photo that it was decoding is decoded alone,
    then its slice once more. Raises DataError when this machine is at fault.
    """
    for note in store.glob("*.at"):  # of a killed run
        note.unlink()
    done: dict[tuple[str, int], str] = {}
    alone: dict[tuple[str, int], dict[int, Photo]] = defaultdict(dict)
    with progress(total=sum(len(part.places) for part in slices), unit=" photos") as bar:
        while left := [part for part in slices if (part.key, part.number) not in done]:
            with worker_pool(len(left)) as pool:
                jobs = {}
                with suppress(BrokenProcessPool):
                    for part in left:
                        decoded = alone[part.key, part.number]
                        jobs[pool.submit(stored_slice, part, store, rules, decoded)] = part
                for job in as_completed(jobs):
                    part = jobs[job]
                    with suppress(BrokenProcessPool, MemoryError):
                        done[part.key, part.number] = job.result()
                        bar.update(len(part.places))
            failed = [part for part in left if (part.key, part.number) not in done]
            suspects = [(part, at) for part in failed if (at := take_note(part, store)) is not None]
            if failed and not suspects:
                raise killed()
            tried: list[str] = []
            for part, at in suspects:
                photo = part.photos[at]
                name = next(name for name, one in tar_members(part.tar) if one == photo)
                name = f"{part.key} {name.rpartition('.')[0]}"
                alone[part.key, part.number][at] = result = decode_alone(name, photo, rules)
                tried.append(f"{name} ({result.detail})" if result.detail else name)
            if tried:
                words = "warning: a worker ended, or had not enough memory, while it decoded"
                print(words, " or ".join(tried), file=sys.stderr)
    return done
