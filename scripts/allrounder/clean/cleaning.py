"""Runs the clean stage: reads each raw archive once, in parallel, and writes the kept photos."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import islice
from pathlib import Path

from allrounder.catalogue.synsets import is_subtree
from allrounder.clean.alone import decode_alone
from allrounder.clean.curate import Item, curate
from allrounder.clean.decode import Photo
from allrounder.clean.decoding import DecodedPhoto, decode_class
from allrounder.clean.flags import flag_sizes, with_flags
from allrounder.clean.jpeg import ByteRanges
from allrounder.clean.on_cluster import decode_on_cluster
from allrounder.clean.suspects import add_suspects, check_model
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
from allrounder.core.funnel import short_sentence
from allrounder.core.progress import progress
from allrounder.core.rows import Candidate, CleanRow, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import StoredBytes, atomic_tar, tar_members
from allrounder.core.workers import killed, worker_pool
from allrounder.params.schema import Clean, Params

DECODERS = Path(__file__).with_name("decoders.txt")
"""The pinned versions of the packages that decide the photos' bytes; written by `make lock`."""


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
    items = _items(photos, candidates, accepted)
    lines, keys = by_photo(matches), list(params.classes)
    decided = curate(items, params.per_class, params.clean, lines, keys)
    return {item.photo_id: item for item in decided}, matches


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
    keys: Sequence[str], raw: Path, work: Path, rules: Clean, ray: str | None = None
) -> dict[str, list[DecodedPhoto]]:
    """The photos of all classes, decoded: on Ray if it is asked for, what is left here.

    If a worker ended or had not enough memory, the photo that it was decoding is decoded alone,
    then its class once more. Raises DataError when this machine is at fault.
    """
    address = asked_address(ray) if keys else ""
    done = decode_on_cluster(address, keys, raw, work, rules) if address else {}
    alone: dict[str, dict[str, Photo]] = {key: {} for key in keys}
    with progress(total=len(keys), unit=" classes") as bar:
        while left := [key for key in keys if key not in done]:
            with worker_pool(len(left)) as pool:
                jobs = {
                    pool.submit(decode_class, key, raw, work, rules, alone[key]): key
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
