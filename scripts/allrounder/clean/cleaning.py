"""Runs the clean stage: reads each raw archive once, in parallel, and writes what is kept.

Not for judging a photo (pixels.py) or the set of them (curate.py).
"""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from allrounder import licences
from allrounder.clean.curate import Item, curate
from allrounder.clean.jpeg import Stretches
from allrounder.clean.pixels import Photo, normal
from allrounder.csvfiles import read_csv, write_csv
from allrounder.download.outcomes import Stored
from allrounder.errors import DataError
from allrounder.origins import origins
from allrounder.params import Clean, Params
from allrounder.records import Candidate, CleanRow, RawRow, Status
from allrounder.subtrees import is_subtree
from allrounder.tars import TarWriter, members, replaced_tar
from allrounder.urltext import flickr_photo

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
    stored: Stored


@dataclass(frozen=True, slots=True)
class Kept:
    """A photo to write: its file name, where it lies, and which stretches of it (none: all)."""

    file: str
    stored: Stored
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
            if photo.look is None:
                continue
            items.append(
                Item(
                    wnid,
                    read.image_id,
                    read.sha256,
                    photo.width * photo.height,
                    read.urls,
                    photo.look,
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
        for image_id, (_, candidate) in origins(urls, raw, wnid, accepted).items()
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
        photo = normal(body, rules)
        digest = known.sha256 if photo.body == body else _sha256(photo.body)
        if not photo.kept:
            stored = writer.add(image_id, photo.body)
        lean = replace(photo, body=b"")
        found.append(
            Read(image_id, lean, digest, urls[known.sha256], flickr_photo(known.url), stored)
        )
    writer.close()
    if len(found) != len(listed):
        raise DataError(f"{raw}/{wnid}: {len(listed)} ok in the csv, {len(found)} in the tar")
    return found


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest() if body else ""


def _photos(path: Path) -> Iterator[tuple[str, bytes, Stored]]:
    with path.open("rb", buffering=0) as file:
        for name, stored in members(path):
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
                f"{photo.look.hash:016x}" if photo.look else "",
                item.group if item else "",
                f"{item.name}.jpg" if item and item.status is Status.KEPT else "",
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
    with replaced_tar(out / f"{wnid}.tar") as tar:
        for photo in photos:
            if photo.stretches:
                tar.copy_stretches(photo.file, photo.stored, photo.stretches)
            else:
                tar.copy(photo.file, photo.stored)
