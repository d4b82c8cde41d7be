"""Runs the clean stage: reads each raw archive once, in parallel, and writes the kept photos."""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from allrounder.catalogue.synsets import is_subtree
from allrounder.clean.curate import Item, curate
from allrounder.clean.decode import Photo, normalize
from allrounder.clean.jpeg import Stretches
from allrounder.core import licences
from allrounder.core.errors import DataError
from allrounder.core.provenance import candidate_lookup, photo_origins
from allrounder.core.rows import Candidate, CleanRow, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import StoredBytes, TarWriter, atomic_tar, tar_members
from allrounder.core.urls import flickr_photo_id
from allrounder.params.schema import MAX_RESERVE, Clean, Params

Result = TypeVar("Result")
Id = tuple[str, str]
"""Of a photo in raw: its class and its image id, which is unique there."""


@dataclass(frozen=True, slots=True)
class Read:
    """A photo of the raw archive, decoded, without its normal form.

    `stored` is where that lies: in a work file, or in the raw archive if only metadata must go.
    """

    image_id: str
    photo: Photo  # without its body
    sha256: str
    urls: int
    upload: str
    stored: StoredBytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A photo to write: its file name, where it lies, and which stretches of it (none: all)."""

    file: str
    stored: StoredBytes
    stretches: Stretches


def clean(
    params: Params, urls: Path, raw: Path, out: Path, work: Path
) -> dict[str, list[CleanRow]]:
    """Clean all classes into `out`; `work` is a folder for what lies between.

    Raises DataError when a raw archive and its table do not agree.
    """
    wnids = list(params.classes)
    accepted = licences.accepted(params.clean.licenses)
    candidates = _candidates(params, accepted, urls, raw)
    with ProcessPoolExecutor(min(len(wnids), os.cpu_count() or 1)) as pool:
        jobs = [(wnid, raw, work, params.clean) for wnid in wnids]
        reads = dict(zip(wnids, _shown(pool.map(_read_class, jobs), len(wnids)), strict=True))
        items = curate(_items(reads, candidates, accepted), params.per_class, params.clean)
        verdicts = {(item.wnid, item.image_id): item for item in items}
        rows = {wnid: _rows(wnid, reads[wnid], verdicts) for wnid in wnids}
        kept = [(wnid, _kept(reads[wnid], rows[wnid]), out) for wnid in wnids]
        list(pool.map(_write_photos, kept))
    for wnid in wnids:
        write_csv(out / f"{wnid}.csv", CleanRow, rows[wnid])
    return rows


def _shown(results: Iterator[Result], total: int) -> Iterator[Result]:
    return iter(tqdm(results, total=total, unit=" classes", disable=None))


def _items(
    reads: Mapping[str, Sequence[Read]],
    candidates: Mapping[Id, Candidate],
    accepted: Collection[str] | None,
) -> list[Item]:
    """The valid photos; `accepted` are the licences' normal forms that may be, None: all."""
    items = []
    for wnid, photos in reads.items():
        for read in photos:
            photo, candidate = read.photo, candidates.get((wnid, read.image_id))
            if photo.fingerprint is None:
                continue
            items.append(
                Item(
                    wnid,
                    read.image_id,
                    read.sha256,
                    photo.width * photo.height,
                    read.urls,
                    photo.fingerprint,
                    read.upload,
                    candidate.synset if candidate else "",
                    licences.refused(candidate.license, accepted) if candidate else "",
                )
            )
    return items


def _candidates(
    params: Params, accepted: Collection[str] | None, urls: Path, raw: Path
) -> dict[Id, Candidate]:
    """The candidates of the photos whose licence or own synset matters, by wnid and image id."""
    return {
        (wnid, image_id): candidate
        for wnid in params.classes
        if accepted is not None or is_subtree(wnid)
        for image_id, (_, candidate) in photo_origins(urls, raw, wnid, accepted).items()
    }


def _read_class(job: tuple[str, Path, Path, Clean]) -> list[Read]:
    """Decode a class's photos; their normal forms go into a tar in the work folder."""
    wnid, raw, work, rules = job
    urls: Counter[str] = Counter()
    listed: dict[str, RawRow] = {}
    for row in read_csv(raw / f"{wnid}.csv", RawRow):
        urls[row.sha256] += 1
        if row.status is Status.OK:
            listed[row.image_id] = row
    writer = TarWriter(work / f"{wnid}.tar")
    found = []
    for image_id, body, stored in _photos(raw / f"{wnid}.tar"):
        if (known := listed.get(image_id)) is None:
            raise DataError(
                f"{raw}/{wnid}: {image_id} is in the tar, not in the csv; download again"
            )
        photo = normalize(body, rules)
        digest = known.sha256 if photo.body == body else _sha256(photo.body)
        if not photo.kept:
            stored = writer.add(image_id, photo.body)
        lean = replace(photo, body=b"")
        found.append(
            Read(image_id, lean, digest, urls[known.sha256], flickr_photo_id(known.url), stored)
        )
    writer.close()
    if len(found) != len(listed):
        raise DataError(f"{raw}/{wnid}: {len(listed)} ok in the csv, {len(found)} in the tar")
    return found


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest() if body else ""


def _photos(path: Path) -> Iterator[tuple[str, bytes, StoredBytes]]:
    with path.open("rb", buffering=0) as file:
        for name, stored in tar_members(path):
            file.seek(stored.offset)
            yield name.rpartition(".")[0], file.read(stored.size), stored


def _rows(
    wnid: str, reads: Sequence[Read], verdicts: Mapping[tuple[str, str], Item]
) -> list[CleanRow]:
    """The fates of a class's photos, in the raw archive's order."""
    rows = []
    for read in reads:
        photo, item = read.photo, verdicts.get((wnid, read.image_id))
        rows.append(
            CleanRow(
                read.image_id,
                item.status if item else photo.status,
                item.detail if item else photo.detail,
                photo.width or None,
                photo.height or None,
                read.sha256,
                f"{photo.fingerprint.hash:016x}" if photo.fingerprint else "",
                item.group if item else "",
                f"{item.name}.jpg" if item and item.status is Status.KEPT else "",
                item.duplicate_of if item else "",
            )
        )
    return rows


def _kept(reads: Sequence[Read], rows: Sequence[CleanRow]) -> list[Kept]:
    return [
        Kept(row.file, read.stored, read.photo.kept)
        for read, row in zip(reads, rows, strict=True)
        if row.file
    ]


def _write_photos(job: tuple[str, Sequence[Kept], Path]) -> None:
    """Write a class's kept photos in their normal form."""
    wnid, photos, out = job
    with atomic_tar(out / f"{wnid}.tar") as tar:
        for photo in photos:
            if photo.stretches:
                tar.copy_stretches(photo.file, photo.stored, photo.stretches)
            else:
                tar.copy(photo.file, photo.stored)


def check_classes(
    rows: Mapping[str, Sequence[CleanRow]], params: Params, urls: Path, raw: Path
) -> list[str]:
    """Warnings for classes below per_class while candidates are left that may be used.

    Raises DataError when a class is below min_per_class.
    """
    kept = {wnid: sum(row.status is Status.KEPT for row in part) for wnid, part in rows.items()}
    below = [wnid for wnid, count in kept.items() if count < params.per_class]
    left = {wnid: _left(wnid, params, urls, raw) for wnid in below}
    under = " under your licences" if params.clean.licenses else ""
    short = [wnid for wnid, count in kept.items() if count < params.min_per_class]
    if short:
        words = "; ".join(
            f"{_loss(wnid, rows[wnid])}, {left[wnid]} unused{under}" for wnid in short[:5]
        )
        raise DataError(
            f"{len(short)} of {len(kept)} classes keep fewer photos than min_per_class "
            f"({params.min_per_class}): {words}. Raise download.reserve where candidates are "
            f"unused, add a source, {'widen clean.licenses, ' if params.clean.licenses else ''}"
            "lower min_per_class, or remove the class"
        )
    return [
        f"warning: {_loss(wnid, rows[wnid])}, below per_class ({params.per_class}), but "
        f"{left[wnid]} candidates{under} are unused: raise download.reserve to about "
        f"{_reserve(kept[wnid], len(rows[wnid])):g}"
        for wnid in below
        if left[wnid]
    ]


def _left(wnid: str, params: Params, urls: Path, raw: Path) -> int:
    """How many of a class's candidates were not needed and have a licence that will do."""
    accepted = licences.accepted(params.clean.licenses)
    unused = (row for row in read_csv(raw / f"{wnid}.csv", RawRow) if _is_unused(row))
    if accepted is None:
        return sum(1 for _ in unused)
    origin = candidate_lookup(urls / f"{wnid}.csv")
    return sum(not licences.refused(origin(row.url).license, accepted) for row in unused)


def _is_unused(row: RawRow) -> bool:
    """Whether a row stands for photos that were not needed; so does an archive's unread rest."""
    rest = row.status is Status.ARCHIVE and row.resume_at is not None
    return rest or row.status is Status.UNUSED


def _reserve(kept: int, taken: int) -> float:
    """The reserve with which per_class would be kept, if as many of the photos are as now."""
    return min(ceil(10 * (taken / kept - 1)) / 10, MAX_RESERVE) if kept else MAX_RESERVE


def _loss(wnid: str, rows: Sequence[CleanRow]) -> str:
    counts = Counter(row.status for row in rows)
    kept = counts.pop(Status.KEPT, 0)
    reasons = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{wnid} keeps {kept} of {len(rows)} ({reasons or 'none dropped'})"
