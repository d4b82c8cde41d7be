"""Decodes the photos of a class, which its raw archive has, one after the other."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from allrounder.clean.alone import decode
from allrounder.clean.curate import Origin
from allrounder.clean.decode import Photo
from allrounder.clean.flags import look_flags
from allrounder.core.errors import DataError
from allrounder.core.expected import confirmed
from allrounder.core.rows import Match, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes, TarWriter, tar_members
from allrounder.core.urls import flickr_photo_id
from allrounder.params.schema import Clean


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


def decode_class(
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
