"""Runs the clean stage: reads each raw archive once, in parallel, and writes what is kept.

Not for judging a photo (pixels.py) or the set of them (curate.py).
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from allrounder import licences
from allrounder.csvfiles import read_csv, write_csv
from allrounder.curate import Item, curate
from allrounder.errors import DataError
from allrounder.origins import origins
from allrounder.outcomes import Stored
from allrounder.params import Clean, Params
from allrounder.pixels import Photo, normal
from allrounder.records import CleanRow, RawRow, Status
from allrounder.tars import TarWriter, members, replaced_tar
from allrounder.urltext import flickr_photo


@dataclass(frozen=True, slots=True)
class Read:
    """A photo of the raw archive, decoded; its normal form lies in a work file."""

    image_id: str
    photo: Photo  # without its body
    sha256: str
    urls: int
    upload: str
    stored: Stored | None


def clean(
    params: Params, urls: Path, raw: Path, out: Path, work: Path
) -> dict[str, list[CleanRow]]:
    """Clean all classes into `out`; `work` is a folder for what lies between.

    Raises DataError when a raw archive and its table do not agree.
    """
    reads = _read_all(params, raw, work)
    refused = _refused(params, urls, raw)
    items = [
        Item(
            wnid,
            read.image_id,
            read.sha256,
            read.photo.width * read.photo.height,
            read.urls,
            read.photo.look,
            read.upload,
            refused.get((wnid, read.image_id), ""),
        )
        for wnid, photos in reads.items()
        for read in photos
        if read.photo.look is not None
    ]
    verdicts = {
        (item.wnid, item.image_id): item for item in curate(items, params.per_class, params.clean)
    }
    return {wnid: _write_class(wnid, reads[wnid], verdicts, out) for wnid in params.classes}


def _refused(params: Params, urls: Path, raw: Path) -> dict[tuple[str, str], str]:
    """The licence of each photo that `clean.licenses` does not list, by wnid and image id."""
    accepted = licences.accepted(params.clean.licenses)
    if accepted is None:
        return {}
    found = {
        (wnid, image_id): licences.normal(candidate.license)
        for wnid in params.classes
        for image_id, (_, candidate) in origins(urls, raw, wnid, accepted).items()
    }
    return {photo: form for photo, form in found.items() if form not in accepted}


def check(rows: Mapping[str, Sequence[CleanRow]], params: Params, raw: Path) -> list[str]:
    """Warnings for classes below per_class while candidates are left.

    Raises DataError when a class is below min_per_class.
    """
    kept = {wnid: sum(row.status is Status.KEPT for row in part) for wnid, part in rows.items()}
    left = {
        wnid: sum(row.status is Status.UNUSED for row in read_csv(raw / f"{wnid}.csv", RawRow))
        for wnid in kept
    }
    short = [wnid for wnid, count in kept.items() if count < params.min_per_class]
    if short:
        words = "; ".join(f"{_loss(wnid, rows[wnid])}, {left[wnid]} unused" for wnid in short[:5])
        raise DataError(
            f"{len(short)} of {len(kept)} classes keep fewer photos than min_per_class "
            f"({params.min_per_class}): {words}. Raise download.reserve where candidates are "
            "unused, add a source, lower min_per_class, or remove the class"
        )
    return [
        f"warning: {_loss(wnid, rows[wnid])}, below per_class ({params.per_class}), but "
        f"{left[wnid]} candidates are unused: raise download.reserve"
        for wnid, count in kept.items()
        if count < params.per_class and left[wnid]
    ]


def _loss(wnid: str, rows: Sequence[CleanRow]) -> str:
    counts = Counter(row.status for row in rows)
    kept = counts.pop(Status.KEPT, 0)
    reasons = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{wnid} keeps {kept} of {len(rows)} ({reasons or 'none dropped'})"


def _read_all(params: Params, raw: Path, work: Path) -> dict[str, list[Read]]:
    jobs = [(wnid, raw, work, params.clean) for wnid in params.classes]
    workers = min(len(jobs), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers) as pool:
        read = list(
            tqdm(pool.map(_read_class, jobs), total=len(jobs), unit=" classes", disable=None)
        )
    return dict(zip(params.classes, read, strict=True))


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
    for image_id, body in _photos(raw / f"{wnid}.tar"):
        if image_id not in listed:
            raise DataError(
                f"{raw}/{wnid}: {image_id} is in the tar, not in the csv; download again"
            )
        photo = normal(body, rules)
        digest = listed[image_id].sha256 if photo.body == body else _sha256(photo.body)
        stored = writer.add(image_id, photo.body) if photo.body else None
        lean = Photo(photo.status, photo.detail, photo.width, photo.height, b"", photo.look)
        row = listed[image_id]
        upload = flickr_photo(row.url)
        found.append(Read(image_id, lean, digest, urls[row.sha256], upload, stored))
    writer.close()
    if len(found) != len(listed):
        raise DataError(f"{raw}/{wnid}: {len(listed)} ok in the csv, {len(found)} in the tar")
    return found


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest() if body else ""


def _photos(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        for name, stored in members(path):
            file.seek(stored.offset)
            yield name.rpartition(".")[0], file.read(stored.size)


def _write_class(
    wnid: str, reads: Sequence[Read], verdicts: Mapping[tuple[str, str], Item], out: Path
) -> list[CleanRow]:
    rows = []
    with replaced_tar(out / f"{wnid}.tar") as tar:
        for read in reads:
            photo, item = read.photo, verdicts.get((wnid, read.image_id))
            file = ""
            if item and item.status is Status.KEPT and read.stored:
                file = f"{item.name}.jpg"
                tar.copy(file, read.stored)
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
                    file,
                )
            )
    write_csv(out / f"{wnid}.csv", CleanRow, rows)
    return rows
