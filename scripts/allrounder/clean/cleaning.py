"""Runs the clean stage: reads each raw archive once, in parallel, and writes the kept photos."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from allrounder.catalogue.synsets import is_subtree
from allrounder.clean.alignment import THUMB
from allrounder.clean.alone import decode_alone
from allrounder.clean.curate import SAME, Item, Origin, curate
from allrounder.clean.decode import Photo
from allrounder.clean.fingerprints import Fingerprint
from allrounder.clean.flags import flag_sizes, with_flags
from allrounder.clean.jpeg import ByteRanges
from allrounder.clean.on_cluster import decode_on_cluster
from allrounder.clean.slices import (
    DECODERS,
    Slice,
    cut,
    forget,
    note_of,
    read_slice,
    remembered,
)
from allrounder.clean.suspects import add_suspects, check_model
from allrounder.clean.test_sets import ProtectedSet, copies_in_test_sets
from allrounder.cluster.ray_cluster import asked_address
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
from allrounder.core.tars import StoredBytes, atomic_tar, tar_members
from allrounder.core.urls import flickr_photo_id
from allrounder.core.workers import killed, worker_pool
from allrounder.params.schema import Clean, Params


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
    slice: str  # the name of its slice's file


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
    """Clean all classes into `out`. The folder `work` remembers what decoding gave.

    Returns their rows, and the corrections that match nothing. Raises DataError when a raw archive
    and its table do not agree, UsageError when lines of one photo do not.
    """
    if suspects := params.clean.suspects:
        check_model(suspects)
    keys = list(params.classes)
    photos = decode_classes(keys, raw, work, params.clean, params.network.ray)
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
    forget(work, {one.slice for part in photos.values() for one in part})
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
    items = with_test_sets(_items(photos, candidates, accepted), params.clean)
    lines, keys = by_photo(matches), list(params.classes)
    decided = curate(items, params.per_class, params.clean, lines, keys)
    return {item.photo_id: item for item in decided}, matches


def with_test_sets(items: Sequence[Item], rules: Clean) -> list[Item]:
    """The photos, with the photos of test sets that they copy. Raises UsageError."""
    if not rules.not_like:
        return list(items)
    sets = [ProtectedSet(path) for path in rules.not_like]
    prints = [item.fingerprint for item in items]
    found = copies_in_test_sets(prints, sets, rules.near_radius, SAME)
    return [replace(item, in_test_set=found.get(at, "")) for at, item in enumerate(items)]


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
    keys: Sequence[str], raw: Path, store: Path, rules: Clean, ray: str | None = None
) -> dict[str, list[DecodedPhoto]]:
    """The photos of all classes, decoded, or remembered in the store. `ray` as in the params.

    Raises DataError when this machine is at fault, or an archive and its table do not agree.
    """
    with worker_pool(max(1, len(keys))) as pool:
        listed = dict(zip(keys, pool.map(_listed_class, keys, [raw] * len(keys)), strict=True))
    slices = [part for key in keys for part in listed[key].slices]
    if address := asked_address(ray):
        decode_on_cluster(address, slices, store, rules)
    files = decode_slices(slices, store, rules)
    return {key: _decoded(listed[key], files, store, rules) for key in keys}


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
                        job = pool.submit(
                            remembered, part, store, rules, alone[part.key, part.number]
                        )
                        jobs[job] = part
                for job in as_completed(jobs):
                    part = jobs[job]
                    with suppress(BrokenProcessPool, MemoryError):
                        done[part.key, part.number] = job.result()
                        bar.update(len(part.places))
            failed = [part for part in left if (part.key, part.number) not in done]
            suspects = [part for part in failed if note_of(part, store).exists()]
            if failed and not suspects:
                raise killed()
            for part in suspects:
                note = note_of(part, store)
                at = int(note.read_bytes() or 0)  # empty: ended while it wrote the note
                note.unlink()
                photo = part.photos[at]
                name = next(name for name, one in tar_members(part.tar) if one == photo)
                name = f"{part.key} {name.rpartition('.')[0]}"
                alone[part.key, part.number][at] = decode_alone(name, photo, rules)
    return done


@dataclass(frozen=True, slots=True)
class _Listed:
    """The photos of a class's raw archive: their rows and URLs, and the slices that they are in."""

    rows: list[RawRow]
    origins: list[list[Origin]]
    slices: list[Slice]


def _listed_class(key: str, raw: Path) -> _Listed:
    """Raises DataError when archive and table do not agree."""
    origins: dict[str, list[Origin]] = defaultdict(list)
    listed: dict[str, RawRow] = {}
    for row in read_csv(raw / f"{key}.csv", RawRow):
        if row.sha256:
            origins[row.sha256].append(Origin(row.url, row.final_url))
        if row.status is Status.OK:
            listed[row.image_id] = row
    rows, places = list[RawRow](), list[StoredBytes]()
    for name, stored in tar_members(raw / f"{key}.tar"):
        image_id = name.rpartition(".")[0]
        if image_id not in listed:
            raise DataError(
                f"{raw}/{key}: {image_id} is in the tar, not in the csv; download again"
            )
        rows.append(listed[image_id])
        places.append(stored)
    if len(rows) != len(listed):
        raise DataError(f"{raw}/{key}: {len(listed)} ok in the csv, {len(rows)} in the tar")
    hashes = [row.sha256 for row in rows]
    slices = cut(key, raw / f"{key}.tar", zip(places, hashes, strict=True))
    return _Listed(rows, [origins[sha256] for sha256 in hashes], slices)


def _decoded(
    listed: _Listed, files: Mapping[tuple[str, int], str], store: Path, rules: Clean
) -> list[DecodedPhoto]:
    rows = iter(zip(listed.rows, listed.origins, strict=True))
    decoded = []
    for part in listed.slices:
        path = store / files[part.key, part.number]
        body = path.read_bytes()
        for record, one, stored in zip(*read_slice(path), part.photos, strict=True):
            row, origins = next(rows)
            photo = Photo(
                one.status, one.detail, int(record["width"]), int(record["height"]), kept=one.kept
            )
            if record["thumb"]:
                thumbs = [body[at : at + THUMB**2] for at in (record["thumb"], record["trimmed"])]
                aspects = record["aspects"].tolist()
                photo.fingerprint = Fingerprint(
                    int(record["hash"]), tuple(record["views"].tolist()), thumbs[0], thumbs[1],
                    (aspects[0], aspects[1]), float(record["flat"]),
                )  # fmt: skip
            photo, match = _compared(photo, row, rules)
            sha256 = record["sha256"].tobytes().hex() if any(record["sha256"].tobytes()) else ""
            if not one.kept:
                stored = StoredBytes(path, int(record["offset"]), int(record["size"]))
            upload, flags = flickr_photo_id(row.url), frozenset(one.flags)
            decoded.append(
                DecodedPhoto(
                    row.image_id, photo, sha256, row.sha256, origins, upload, stored, match, flags,
                    path.name,
                )
            )  # fmt: skip
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
