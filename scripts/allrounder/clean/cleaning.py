"""Runs the clean stage: decodes all photos, decides which are kept, and writes them by class."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from allrounder.catalogue.synsets import is_subtree
from allrounder.clean.columns import Decisions, Ints, Item, Photos, codes, first_bytes
from allrounder.clean.curate import SAME, judge
from allrounder.clean.decoding import Decoded, decode_classes
from allrounder.clean.flags import flag_sizes
from allrounder.clean.jpeg import ByteRanges
from allrounder.clean.neighbours import Pictures
from allrounder.clean.slices import DECODERS, Facts, drop_unused, fingerprint_of, read_slice
from allrounder.clean.test_sets import HEADER, copies_in_test_sets, protected_set, table_line
from allrounder.core import licences
from allrounder.core.candidates import photo_origins
from allrounder.core.class_cache import ClassCache, Code, inputs_digest
from allrounder.core.corrections import (
    Correction,
    Matches,
    PhotoNames,
    by_photo,
    match_photos,
    photos_of_tables,
    unmatched,
)
from allrounder.core.errors import DataError
from allrounder.core.files import atomic_write
from allrounder.core.funnel import short_sentence
from allrounder.core.paths import FINGERPRINTS
from allrounder.core.rows import CleanRow, Match, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import StoredBytes, atomic_tar
from allrounder.core.workers import cores, worker_pool
from allrounder.params.schema import Params

CODE: Code = ("core", "catalogue", "params", "clean"), ()
_AHEAD = 64  # classes that wait to be written


@dataclass(frozen=True, slots=True)
class KeptPhoto:
    """A photo to write: its name, its bytes, which ranges of them (none: all), its fingerprint."""

    file: str
    stored: StoredBytes
    ranges: ByteRanges
    slice_file: Path
    record: Any


def clean(
    params: Params,
    urls: Path,
    raw: Path,
    out: Path,
    store: Path,
    corrections: Sequence[Correction] = (),
    cache: ClassCache | None = None,
) -> tuple[dict[str, Counter[Status]], list[Correction]]:
    """Clean all classes into `out`. The folder `store` keeps what decoding gave, `cache` classes.

    Returns how many photos have which status, by class, and the corrections that match nothing.
    Raises DataError when a raw archive and its table do not agree, UsageError when lines of one
    photo do not.
    """
    if suspects := params.clean.suspects:
        from allrounder.clean.suspects import add_suspects, with_model_here  # loads the web's code

        suspects = with_model_here(suspects, params.network)
    keys = list(params.classes)
    with worker_pool(cores()) as pool:  # started first, while this process is small
        decoded = decode_classes(keys, raw, store, params.clean, pool, params.network.ray)
        decisions, matches = decide(params, decoded, urls, raw, corrections, pool)
        counts = _write_classes(decoded, decisions, out, pool, cache)
    if suspects:
        rows = {key: list(read_csv(out / f"{key}.csv", CleanRow)) for key in keys}
        for key, part in add_suspects(rows, out, suspects).items():
            write_csv(out / f"{key}.csv", CleanRow, part)
    drop_unused(store, {path.name for path in decoded.files})
    tables = (raw / f"{key}.csv" for key in keys)
    return counts, unmatched(
        matches, lambda: (row.url for table in tables for row in read_csv(table, RawRow))
    )


def decide(
    params: Params,
    decoded: Decoded,
    urls: Path,
    raw: Path,
    corrections: Sequence[Correction],
    pool: Executor,
) -> tuple[Decisions, Matches]:
    """The decision on each valid photo, and the photos that each correction matches.

    Many pictures are compared in `pool`. Raises as `clean` does.
    """
    matches = match_photos(corrections, _names(decoded, raw) if corrections else ())
    by_name, starts = by_photo(matches), decoded.class_starts
    lines = {
        start + at: by_name[key, image_id]
        for (key, part), start in zip(decoded.listed.items(), starts, strict=False)
        for at, image_id in enumerate(part.image_ids if by_name else ())
        if (key, image_id) in by_name
    }
    photos = _photos(params, decoded, urls, raw)
    pictures = Pictures(decoded.columns(), pool, decoded.memory)
    decisions = judge(photos, pictures, params.per_class, params.clean, lines)
    pictures.remember()
    return decisions, matches


def _names(decoded: Decoded, raw: Path) -> Iterator[PhotoNames]:
    for (key, part), start in zip(decoded.listed.items(), decoded.class_starts, strict=False):
        cleaned = {
            (key, image_id): _sha256(decoded.records[start + at])
            for at, image_id in enumerate(part.image_ids)
        }
        yield from photos_of_tables(key, raw, cleaned)


def _photos(params: Params, decoded: Decoded, urls: Path, raw: Path) -> Photos:
    """The valid photos of all classes. Candidates matter for their licence or own synset."""
    accepted = licences.accepted(params.clean.licenses)
    records, listed = decoded.records, decoded.listed
    refused: dict[int, str] = {}
    synsets = np.zeros(len(records), np.int64)
    for (key, part), start in zip(listed.items(), decoded.class_starts, strict=False):
        if accepted is None and not is_subtree(key):
            continue
        found = photo_origins(urls, raw, key, accepted)
        candidates = [found[image_id][1] for image_id in part.image_ids]
        synsets[start : start + len(candidates)] = codes(one.synset for one in candidates)
        for at, one in enumerate(candidates):
            if licence := licences.refused(one.license, accepted):
                refused[start + at] = licence

    def item(row: int) -> Item:
        key, at = decoded.place(row)
        part, record = listed[key], records[row]
        pixels = int(record["width"]) * int(record["height"])
        origins, licence = part.origins_of(at), refused.get(row, "")
        sha256 = _sha256(record)
        return Item(key, part.image_ids[at], sha256, pixels, origins, refused=licence)

    rows = np.flatnonzero(records["thumb"])
    sets = [protected_set(path) for path in params.clean.not_like or ()]
    copies = copies_in_test_sets(rows, decoded.fingerprint, sets, params.clean.near_radius, SAME)
    return Photos(
        rows,
        [*listed],
        np.repeat(np.arange(len(listed), dtype=np.int32), np.diff(decoded.class_starts)),
        codes(upload for part in listed.values() for upload in part.uploads),
        synsets,
        np.isin(np.arange(len(records)), [*refused]),
        np.concatenate([np.zeros(0, np.int64), *(part.origin_counts for part in listed.values())]),
        records["flat"],
        records["levels"],
        first_bytes(records["sha256"]),
        copies,
        item,
    )


def _sha256(record: Any) -> str:
    """The SHA-256 of a normalized photo, '' if there is none."""
    sha256: bytes = record["sha256"].tobytes()
    return sha256.hex() if any(sha256) else ""


def _write_classes(
    decoded: Decoded, decisions: Decisions, out: Path, pool: Executor, cache: ClassCache | None
) -> dict[str, Counter[Status]]:
    """Write all classes: of each the photos moved there, then those of its raw archive.

    A class that the cache has, with the same photos and decisions, is taken from there.
    """
    moved: dict[str, list[int]] = defaultdict(list)
    for row, item in decisions.moved():
        moved[item.key].append(row)
    away = {row for own in moved.values() for row in own}
    counts, jobs = {}, deque[Future[None]]()
    for key, (first, end) in zip(decoded.listed, pairwise(decoded.class_starts), strict=True):
        rows = [*moved[key], *(row for row in range(first, end) if row not in away)]
        inputs = _inputs(decoded, decisions, key, np.array(rows, np.int64)) if cache else ""
        if cache and (facts := cache.restore(key, inputs)) is not None:
            counts[key] = Counter({Status(status): count for status, count in facts.items()})
            continue
        found = list(_rows(decoded, decisions, rows))
        table = flag_sizes([row for row, _ in found])
        counts[key] = Counter(row.status for row in table)
        write_csv(out / f"{key}.csv", CleanRow, table)
        kept = [one for _, one in found if one]
        written = _ClassJob(key, kept, out, cache, inputs, counts[key])
        jobs.append(pool.submit(_write_photos, written))
        while len(jobs) > _AHEAD:
            jobs.popleft().result()
    for job in jobs:
        job.result()
    return counts


def _rows(
    decoded: Decoded, decisions: Decisions, rows: Sequence[int]
) -> Iterator[tuple[CleanRow, KeptPhoto | None]]:
    """The row of each photo, and what is to be written of it."""
    number, facts = -1, list[Facts]()
    records, valid = decoded.records, decoded.records["thumb"]
    for row in rows:
        if number != decoded.slice_numbers[row]:
            number = int(decoded.slice_numbers[row])
            records, facts = read_slice(decoded.files[number])
        at = row - decoded.slice_starts[number]
        item = decisions.of_row(row) if valid[row] else None
        one = _row(decoded, row, facts[at], item)
        kept = None
        if one.file:
            stored, record = _stored(decoded, number, at, records[at]), records[at].copy()
            kept = KeptPhoto(one.file, stored, facts[at].kept, decoded.files[number], record)
        yield one, kept


def _stored(decoded: Decoded, number: int, at: int, record: Any) -> StoredBytes:
    """Where a photo's bytes are: in its slice's file, or in raw if just metadata is removed."""
    if record["size"]:
        return StoredBytes(decoded.files[number], int(record["offset"]), int(record["size"]))
    offset, size = decoded.slices[number].places[at].tolist()
    return StoredBytes(decoded.slices[number].tar, offset, size)


def _row(decoded: Decoded, row: int, facts: Facts, item: Item | None) -> CleanRow:
    record = decoded.records[row]
    key, at = decoded.place(row)
    listed = decoded.listed[key]
    detail = decoded.changed.get(row, "")
    judged = item or (
        Item(key, "", "", 0, (), status=Status.CHANGED, detail=detail) if detail else facts
    )
    size = int(record["width"]) or None, int(record["height"]) or None
    phash = f"{int(record['hash']):016x}" if item else ""
    match, expected = _expected(decoded, row)
    if expected and (item or detail):
        match = Match.CHANGED if detail else Match.SAME_PICTURE
    image_id, sha256 = listed.image_ids[at], _sha256(record)
    cells: dict[str, Any] = {}
    if item:
        file = f"{item.name}.jpg" if item.status is Status.KEPT else ""
        copy, moved = item.duplicate_of, item.moved_from
        cells = {"group": item.group, "file": file, "duplicate_of": copy, "moved_from": moved}
        cells |= dict.fromkeys(facts.flags, 1)
    return CleanRow(
        image_id, judged.status, judged.detail, *size, sha256, phash, match=match, **cells
    )


def _inputs(decoded: Decoded, decisions: Decisions, key: str, rows: Ints) -> str:
    """A hash of all that decides what is written of a class; `rows` are its photos, in order.

    The names of slices' files are hashes of the photos and of what decodes them.
    """
    listed, numbers = decoded.listed[key], decoded.slice_numbers[rows]
    slices, which = np.unique(numbers, return_inverse=True)
    names = [decoded.files[number].name for number in slices.tolist()]
    places = rows - np.array(decoded.slice_starts)[numbers]
    texts = [
        f"{at} {decisions.changed.get(row)} {decoded.changed.get(row)} {_expected(decoded, row)}"
        for at, row in enumerate(rows.tolist())
        if row in decisions.changed or row in decoded.changed
    ]
    columns = (which, places, decisions.kept[rows], decisions.surplus[rows])
    given = (listed.image_ids.encoded(), listed.matches.encoded(), repr(listed.expected))
    return inputs_digest(key, *names, *texts, *map(np.ndarray.tobytes, columns), *given)


@dataclass(frozen=True, slots=True)
class _ClassJob:
    """A class whose table is written, and its kept photos."""

    key: str
    kept: Sequence[KeptPhoto]
    out: Path
    cache: ClassCache | None
    inputs: str
    counts: Mapping[Status, int]


def _expected(decoded: Decoded, row: int) -> tuple[Match, str]:
    """Whether a photo is as expected, and the hash of the picture that clean must confirm."""
    key, at = decoded.place(row)
    listed = decoded.listed[key]
    return Match(listed.matches[at]), listed.expected.get(at, "")


def _write_photos(job: _ClassJob) -> None:
    """Write a class's kept photos, normalized, and a table of their fingerprints."""
    names = (f"{job.key}.csv", f"{job.key}.tar", f"{job.key}.{FINGERPRINTS}")
    _, photos, fingerprints = files = [job.out / name for name in names]
    with atomic_tar(photos) as tar:
        for photo in job.kept:
            tar.copy(photo.file, photo.stored, photo.ranges or None)
    with atomic_write(fingerprints) as table:
        table.write(HEADER)
        for photo in job.kept:
            table.write(table_line(photo.file, fingerprint_of(photo.slice_file, photo.record)))
    if job.cache:
        job.cache.store(job.key, job.inputs, files, job.counts)


def check_decoders() -> list[str]:
    """A warning for each installed decoder that is none of the pinned versions."""
    pinned: dict[str, list[str]] = {}
    for line in DECODERS.read_text(encoding="utf-8").split():
        name, _, version = line.partition("==")
        pinned.setdefault(name, []).append(version)
    return [
        f"warning: {name} {installed} is installed, and {' or '.join(versions)} is pinned: photos "
        "that must be converted may get other bytes; pip install -r requirements.txt"
        for name, versions in pinned.items()
        if (installed := metadata.version(name)) not in versions
    ]


def check_classes(counts: Mapping[str, Counter[Status]], params: Params) -> str:
    """The sentence on classes below per_class, or ''.

    Raises DataError when a class is below min_per_class.
    """
    kept = {key: part[Status.KEPT] for key, part in counts.items()}
    sentence = short_sentence([*kept.values()], params.per_class)
    if short := [key for key, count in kept.items() if count < params.min_per_class]:
        licenses = "widen clean.licenses, " if params.clean.licenses else ""
        raise DataError(
            f"{len(short)} of {len(kept)} classes keep fewer photos than min_per_class "
            f"({params.min_per_class}): {'; '.join(_loss(key, counts[key]) for key in short[:5])}. "
            f"Add a source, {licenses}lower min_per_class, or remove the class. {sentence}"
        )
    return sentence


def _loss(key: str, counts: Counter[Status]) -> str:
    kept = counts[Status.KEPT]
    reasons = ", ".join(
        f"{count} {status}" for status, count in counts.most_common() if status is not Status.KEPT
    )
    return f"{key} keeps {kept} of {counts.total()} ({reasons or 'none dropped'})"
