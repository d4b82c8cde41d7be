"""Runs the clean stage: reads each raw archive once, in parallel, and writes the kept photos."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import islice
from pathlib import Path

from allrounder.catalogue.synsets import is_subtree
from allrounder.clean.alone import decode, decode_alone
from allrounder.clean.curate import SAME, Item, Origin, curate
from allrounder.clean.decode import Photo
from allrounder.clean.flags import flag_sizes, look_flags, with_flags
from allrounder.clean.jpeg import ByteRanges
from allrounder.clean.known import KnownPhotos, copies_of_known
from allrounder.clean.suspects import add_suspects, check_model
from allrounder.core import licences
from allrounder.core.candidates import photo_origins
from allrounder.core.corrections import (
    Correction,
    Matches,
    PhotoId,
    PhotoNames,
    by_photo,
    match_photos,
    unmatched,
)
from allrounder.core.errors import DataError
from allrounder.core.expected import confirmed
from allrounder.core.funnel import short_sentence
from allrounder.core.progress import progress
from allrounder.core.rows import Candidate, CleanRow, Match, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import StoredBytes, TarWriter, atomic_tar, tar_members
from allrounder.core.urls import flickr_photo_id
from allrounder.core.workers import killed, worker_pool
from allrounder.params.schema import Clean, Params

DECODERS = Path(__file__).with_name("decoders.txt")
"""The pinned versions of the packages that decide the photos' bytes; written by `make lock`."""


@dataclass(frozen=True, slots=True)
class DecodedPhoto:
    """A photo of the raw archive, decoded.

    `stored` is the normalized photo: in a work file, or in the raw archive if only metadata is
    to be removed.
    """

    image_id: str
    photo: Photo  # without its body
    sha256: str
    raw_sha256: str
    origins: Sequence[Origin]
    upload: str
    stored: StoredBytes
    match: Match
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeptPhoto:
    """A photo to write: its file name, its bytes, and which ranges of them (none: all)."""

    file: str
    stored: StoredBytes
    ranges: ByteRanges


def clean(
    params: Params,
    urls: Path,
    raw: Path,
    out: Path,
    work: Path,
    corrections: Sequence[Correction] = (),
) -> tuple[dict[str, list[CleanRow]], list[Correction]]:
    """Clean all classes into `out`, with `work` for temporary files.

    Returns their rows, and the corrections that match nothing. Raises DataError when a raw archive
    and its table do not agree, UsageError when lines of one photo do not.
    """
    if suspects := params.clean.suspects:
        check_model(suspects)
    keys = list(params.classes)
    photos = decode_classes(keys, raw, work, params.clean)
    decisions, matches = decide(params, photos, urls, raw, corrections)
    cleaned = _by_class(keys, photos, decisions)
    rows = {key: flag_sizes([row for row, _ in cleaned[key]]) for key in keys}
    kept = [(key, _kept(cleaned[key]), out) for key in keys]
    with worker_pool(len(keys)) as pool:
        list(pool.map(_write_photos, kept))
    if suspects:
        rows = add_suspects(rows, out, suspects)
    for key in keys:
        write_csv(out / f"{key}.csv", CleanRow, rows[key])
    return rows, unmatched(matches, lambda: _listed(keys, raw))


def decide(
    params: Params,
    photos: Mapping[str, Sequence[DecodedPhoto]],
    urls: Path,
    raw: Path,
    corrections: Sequence[Correction],
) -> tuple[dict[PhotoId, Item], Matches]:
    """The decision on each valid photo, and the photos that each correction matches.

    Raises as `clean` does.
    """
    accepted = licences.accepted(params.clean.licenses)
    candidates = _candidates(params, accepted, urls, raw)
    matches = match_photos(corrections, _names(photos))
    items = with_known(_items(photos, candidates, accepted), params.clean)
    lines, keys = by_photo(matches), list(params.classes)
    decided = curate(items, params.per_class, params.clean, lines, keys)
    return {item.photo_id: item for item in decided}, matches


def with_known(items: Sequence[Item], rules: Clean) -> list[Item]:
    """The photos, with the names of those of known test sets. Raises UsageError."""
    if not rules.not_like:
        return list(items)
    known = [KnownPhotos(path) for path in rules.not_like]
    looks = [item.fingerprint for item in items]
    found = copies_of_known(looks, known, rules.near_radius, SAME)
    return [replace(item, known=found.get(at, "")) for at, item in enumerate(items)]


def _names(photos: Mapping[str, Sequence[DecodedPhoto]]) -> Iterator[PhotoNames]:
    for key, part in photos.items():
        for one in part:
            urls = {url for origin in one.origins for url in origin}
            yield PhotoNames(key, one.image_id, {one.raw_sha256, one.sha256} - {""}, urls)


def _listed(keys: Sequence[str], raw: Path) -> Iterator[str]:
    for key in keys:
        for row in read_csv(raw / f"{key}.csv", RawRow):
            yield row.url


def _candidates(
    params: Params, accepted: Collection[str] | None, urls: Path, raw: Path
) -> dict[PhotoId, Candidate]:
    """The candidates of the photos whose licence or own synset matters."""
    return {
        (key, image_id): candidate
        for key in params.classes
        if accepted is not None or is_subtree(key)
        for image_id, (_, candidate, _) in photo_origins(urls, raw, key, accepted).items()
    }


def decode_classes(
    keys: Sequence[str], raw: Path, work: Path, rules: Clean
) -> dict[str, list[DecodedPhoto]]:
    """The photos of all classes, decoded.

    If a worker ended or had not enough memory, the photo that it was decoding is decoded alone,
    then its class once more. Raises DataError when this machine is at fault.
    """
    done: dict[str, list[DecodedPhoto]] = {}
    alone: dict[str, dict[str, Photo]] = {key: {} for key in keys}
    with progress(total=len(keys), unit=" classes") as bar:
        while left := [key for key in keys if key not in done]:
            with worker_pool(len(left)) as pool:
                jobs = {
                    pool.submit(_decode_class, key, raw, work, rules, alone[key]): key
                    for key in left
                }
                for job in as_completed(jobs):
                    with suppress(BrokenProcessPool, MemoryError):
                        done[jobs[job]] = job.result()
                        bar.update()
            notes = {key: work / f"{key}.at" for key in left if key not in done}
            suspects = {key: note for key, note in notes.items() if note.exists()}
            if notes and not suspects:
                raise killed()
            for key, note in suspects.items():
                index = int(note.read_bytes() or 0)  # empty: ended while it wrote the note
                note.unlink()
                name, stored = next(islice(tar_members(raw / f"{key}.tar"), index, None))
                image_id = name.rpartition(".")[0]
                alone[key][image_id] = decode_alone(f"{key} {image_id}", stored, rules)
    return done


def _decode_class(
    key: str, raw: Path, work: Path, rules: Clean, alone: Mapping[str, Photo]
) -> list[DecodedPhoto]:
    """Decode a class's photos, except those that were decoded alone.

    Converted photos go into a tar in the work folder. A note beside it has the number of the photo
    that is being decoded.
    """
    origins: dict[str, list[Origin]] = defaultdict(list)
    listed: dict[str, RawRow] = {}
    for row in read_csv(raw / f"{key}.csv", RawRow):
        if row.sha256:
            origins[row.sha256].append(Origin(row.url, row.final_url))
        if row.status is Status.OK:
            listed[row.image_id] = row
    writer, note = TarWriter(work / f"{key}.tar"), work / f"{key}.at"
    decoded = []
    for index, (name, stored) in enumerate(tar_members(raw / f"{key}.tar")):
        image_id, body = name.rpartition(".")[0], stored.read()
        if image_id not in listed:
            raise DataError(
                f"{raw}/{key}: {image_id} is in the tar, not in the csv; download again"
            )
        row, photo = listed[image_id], alone.get(image_id)
        if photo is None:
            note.write_bytes(b"%d" % index)
            photo = decode(body, rules)
        photo, match = _compared(photo, row, rules)
        sha256 = row.sha256 if photo.body == body else _sha256(photo.body)
        if not photo.kept:
            stored = writer.add(image_id, photo.body)
        print_ = photo.fingerprint
        flags = look_flags(print_.thumb, photo.body) if print_ else frozenset[str]()
        photo.body = b""  # it is stored, and may be large
        upload, found = flickr_photo_id(row.url), origins[row.sha256]
        decoded.append(
            DecodedPhoto(image_id, photo, sha256, row.sha256, found, upload, stored, match, flags)
        )
    writer.close()
    note.unlink(missing_ok=True)
    if len(decoded) != len(listed):
        raise DataError(f"{raw}/{key}: {len(listed)} ok in the csv, {len(decoded)} in the tar")
    return decoded


def _compared(photo: Photo, row: RawRow, rules: Clean) -> tuple[Photo, Match]:
    """A photo, refused if it is another picture than expected; and how it compares."""
    if not (row.expected_hash and photo.fingerprint):
        return photo, row.match
    same, bits = confirmed(row.expected_hash, photo.fingerprint.hash, rules.near_radius)
    if same:
        return photo, Match.SAME_PICTURE
    detail = f"{bits} of 64 bits differ from the expected picture"
    return Photo(Status.CHANGED, detail, photo.width, photo.height), Match.CHANGED


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest() if body else ""


def _items(
    photos: Mapping[str, Sequence[DecodedPhoto]],
    candidates: Mapping[PhotoId, Candidate],
    accepted: Collection[str] | None,
) -> list[Item]:
    """The valid photos of all classes. `accepted`: normal forms of licences; None: all."""
    items = []
    for key, part in photos.items():
        for one in part:
            photo, candidate = one.photo, candidates.get((key, one.image_id))
            if photo.fingerprint:
                synset = candidate.synset if candidate else ""
                refused = licences.refused(candidate.license, accepted) if candidate else ""
                item = Item(
                    key, one.image_id, one.sha256, photo.width * photo.height, one.origins,
                    photo.fingerprint, one.upload, synset, refused,
                )  # fmt: skip
                items.append(item)
    return items


def _by_class(
    keys: Sequence[str],
    photos: Mapping[str, Sequence[DecodedPhoto]],
    decisions: Mapping[PhotoId, Item],
) -> dict[str, list[tuple[CleanRow, DecodedPhoto]]]:
    """The rows of each class: of the photos moved here, then of its raw archive, in its order."""
    moved: dict[str, list[tuple[CleanRow, DecodedPhoto]]] = {key: [] for key in keys}
    own: dict[str, list[tuple[CleanRow, DecodedPhoto]]] = {key: [] for key in keys}
    for key in keys:
        for one in photos[key]:
            item = decisions.get((key, one.image_id))
            to = moved[item.key] if item and item.moved_from else own[key]
            to.append((_row(one, item), one))
    return {key: moved[key] + own[key] for key in keys}


def _row(one: DecodedPhoto, item: Item | None) -> CleanRow:
    photo = one.photo
    decision, size = item or photo, (photo.width or None, photo.height or None)
    phash = f"{photo.fingerprint.hash:016x}" if photo.fingerprint else ""
    row = CleanRow(one.image_id, decision.status, decision.detail, *size, one.sha256, phash)
    row = replace(row, match=one.match)
    if not item:
        return row
    file = f"{item.name}.jpg" if item.status is Status.KEPT else ""
    copy, moved = item.duplicate_of, item.moved_from
    row = replace(row, group=item.group, file=file, duplicate_of=copy, moved_from=moved)
    return with_flags(row, one.flags)


def _kept(photos: Sequence[tuple[CleanRow, DecodedPhoto]]) -> list[KeptPhoto]:
    return [KeptPhoto(row.file, one.stored, one.photo.kept) for row, one in photos if row.file]


def _write_photos(job: tuple[str, Sequence[KeptPhoto], Path]) -> None:
    """Write a class's kept photos, normalized."""
    key, photos, out = job
    with atomic_tar(out / f"{key}.tar") as tar:
        for photo in photos:
            tar.copy(photo.file, photo.stored, photo.ranges or None)


# At the end of the stage


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


def check_classes(rows: Mapping[str, Sequence[CleanRow]], params: Params) -> str:
    """The sentence on classes below per_class, or ''.

    Raises DataError when a class is below min_per_class.
    """
    kept = {key: sum(row.status is Status.KEPT for row in part) for key, part in rows.items()}
    sentence = short_sentence([*kept.values()], params.per_class)
    if short := [key for key, count in kept.items() if count < params.min_per_class]:
        licenses = "widen clean.licenses, " if params.clean.licenses else ""
        raise DataError(
            f"{len(short)} of {len(kept)} classes keep fewer photos than min_per_class "
            f"({params.min_per_class}): {'; '.join(_loss(key, rows[key]) for key in short[:5])}. "
            f"Add a source, {licenses}lower min_per_class, or remove the class. {sentence}"
        )
    return sentence


def _loss(key: str, rows: Sequence[CleanRow]) -> str:
    counts = Counter(row.status for row in rows)
    kept = counts.pop(Status.KEPT, 0)
    reasons = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{key} keeps {kept} of {len(rows)} ({reasons or 'none dropped'})"
