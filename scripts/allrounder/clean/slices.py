"""Slices: some consecutive photos of a class, decoded. What that gives is kept by content.

A slice's file depends on the photos' bytes, on the rules for decoding and on the decoders, which
its name is a hash of. It has the converted photos, the thumbnails, a record of each photo and the
facts that records have no room for. It ends with its own hash, so a torn or edited file is noticed;
a file with the size and time of the last run is not hashed again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.alignment import THUMB
from allrounder.clean.alone import decode
from allrounder.clean.decode import Photo
from allrounder.clean.fingerprints import MIRRORED, Fingerprint
from allrounder.clean.jpeg import ByteRanges
from allrounder.core.class_cache import code_digest
from allrounder.core.rows import Status
from allrounder.core.tars import StoredBytes
from allrounder.params.schema import Clean

DECODERS = Path(__file__).with_name("decoders.txt")
"""The pinned versions of the packages that decide the photos' bytes; written by `make lock`."""
CODE = (
    "clean/alignment.py", "clean/alone.py", "clean/colour.py", "clean/decode.py",
    "clean/fingerprints.py", "clean/flags.py", "clean/jpeg.py", "clean/slices.py",
    "core/photos.py",
)  # fmt: skip
"""The code that decides what is in a slice's file."""
STORE_BYTES = 20 * 2**30
"""The most that is kept from one run to the next."""
_PHOTOS, _BYTES = 256, 32 * 2**20  # of a slice, at most
_ONE_IN = 64  # photos end a slice, by their hash, so that new photos change few slices
_CHUNK = 2**20

RECORD = np.dtype([
    ("hash", "<u8"), ("horizontal", "<u8", MIRRORED.stop), ("vertical", "<u8", MIRRORED.stop),
    ("aspects", "<f8", 2), ("flat", "<f8"), ("levels", "u1"),
    ("thumb", "<i8"), ("trimmed", "<i8"),  # first bytes in the file; 0: no fingerprint
    ("thumb_hash", "V16"),  # a hash of the thumbnail
    ("picture_id", "<u8"),  # a hash of both thumbnails and the proportions
    ("sha256", "V32"),  # of the normalized photo
    ("width", "<u4"), ("height", "<u4"),
    ("offset", "<i8"), ("size", "<i8"),  # of a converted photo; else 0
])  # fmt: skip
_FINGERPRINT = ("hash", "horizontal", "vertical", "aspects", "flat", "levels", "picture_id")
Records = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive photos of a raw archive: (first byte, size) of each."""

    key: str
    number: int
    tar: Path
    places: NDArray[np.int64]
    name: str = ""  # of its file in the store, if the last run named it

    @property
    def photos(self) -> list[StoredBytes]:
        """Where the photos' bytes are."""
        return [StoredBytes(self.tar, offset, size) for offset, size in self.places.tolist()]

    def bodies(self) -> Iterator[bytes]:
        """The photos' bytes."""
        with self.tar.open("rb", buffering=0) as file:
            for photo in self.photos:
                yield photo.read_from(file)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a record has no room for; `kept` as in Photo."""

    status: Status
    detail: str
    flags: Sequence[str]
    kept: ByteRanges


def cut(key: str, tar: Path, photos: Iterable[tuple[StoredBytes, str]]) -> list[Slice]:
    """The slices of a class: its photos' places and SHA-256s, in order.

    A photo's hash ends a slice, so that a photo more or less leaves the others as they are.
    """
    slices, places, total = list[Slice](), list[tuple[int, int]](), 0

    def end() -> None:
        slices.append(Slice(key, len(slices), tar, np.array(places)))
        places.clear()

    for stored, sha256 in photos:
        places.append((stored.offset, stored.size))
        total += stored.size
        full = len(places) >= _PHOTOS or total >= _BYTES
        if full or int(sha256[:8] or "1", 16) % _ONE_IN == 0:
            end()
            total = 0
    if places:
        end()
    return slices


def stored_slice(part: Slice, store: Path, rules: Clean, alone: Mapping[int, Photo]) -> str:
    """The name of a slice's file in the store, which has it from now on.

    Photos in `alone`, by number, are decoded already. A note in the store has the number of the
    photo that is being decoded.
    """
    name = name_of(part, rules)
    path = store / name
    if not is_whole(path):
        note = _note_of(part, store)
        new = store / f"{name}.{os.getpid()}.part"
        with new.open("wb") as file, note.open("wb", buffering=0) as noted:

            def begin(at: int) -> None:
                noted.seek(0)
                noted.write(b"%d" % at)  # in ascending order, so a number is never cut short

            write_slice(file, part.bodies(), rules, alone, begin)
        new.replace(path)
        note.unlink(missing_ok=True)
    return name


def name_of(part: Slice, rules: Clean) -> str:
    """The name of a slice's file in the store."""
    if part.name:
        return part.name
    digests = [hashlib.sha256(body).digest() for body in part.bodies()]
    return hashlib.sha256(b"".join([decoding(rules), *digests])).hexdigest()


def take_note(part: Slice, store: Path) -> int | None:
    """The number of the photo that was being decoded when a worker ended. Removes the note."""
    note = _note_of(part, store)
    text = note.read_bytes() if note.exists() else b""
    note.unlink(missing_ok=True)
    return int(text) if text else None


def _note_of(part: Slice, store: Path) -> Path:
    return store / f"{part.key}.{part.number}.at"


def decoding(rules: Clean) -> bytes:
    """A hash of all that decides what decoding gives, but for the photo."""
    chosen = [rules.min_side, rules.max_pixels, rules.max_side, rules.quality]
    return hashlib.sha256(json.dumps([chosen, _decoders()]).encode()).digest()


@cache
def _decoders() -> str:
    packages = {line.partition("==")[0] for line in DECODERS.read_text("utf-8").split()}
    return code_digest(CODE, tuple(sorted(packages)))


def write_slice(
    file: BinaryIO,
    bodies: Iterable[bytes],
    rules: Clean,
    alone: Mapping[int, Photo],
    begin: Callable[[int], object] = lambda at: None,
) -> None:
    """Decode photos, and write what that gives. `begin` gets each one's number before."""
    hashed, size = hashlib.sha256(), 0

    def write(data: bytes) -> int:
        nonlocal size
        file.write(data)
        hashed.update(data)
        size += len(data)
        return size - len(data)

    records, facts, thumbs = bytearray(), list[Facts](), dict[bytes, int]()
    for at, body in enumerate(bodies):
        if at not in alone:
            begin(at)
        photo = alone[at] if at in alone else decode(body, rules)
        record, fingerprint = np.zeros(1, RECORD), photo.fingerprint
        record["width"], record["height"] = photo.width, photo.height
        if photo.body:
            record["sha256"] = np.frombuffer(hashlib.sha256(photo.body).digest(), "V32")
            if not photo.kept:
                record["offset"], record["size"] = write(photo.body), len(photo.body)
        if fingerprint:
            for name in _FINGERPRINT:
                record[name] = getattr(fingerprint, name)
            digest = hashlib.blake2b(fingerprint.thumb, digest_size=16).digest()
            record["thumb_hash"] = np.frombuffer(digest, "V16")
            for name, thumb in (("thumb", fingerprint.thumb), ("trimmed", fingerprint.trimmed)):
                record[name] = thumbs.setdefault(thumb, len(thumbs)) * len(thumb)
        records += record.tobytes()
        facts.append(Facts(photo.status, photo.detail, sorted(photo.flags), photo.kept))
    table = np.frombuffer(records, RECORD)
    start = write(b"thumbs: ") + 8  # so no thumbnail begins at 0
    for name in ("thumb", "trimmed"):
        table[name] += start * (table["thumb_hash"] != np.zeros(1, "V16"))
    write(b"".join(thumbs))
    text = json.dumps([[one.status, one.detail, one.flags, one.kept] for one in facts]).encode()
    write(table.tobytes())
    write(text)
    write(np.array([len(table), len(text)], "<i8").tobytes())
    file.write(hashed.digest())


def is_whole(path: Path) -> bool:
    """Whether a file is there and is what was written."""
    try:
        with path.open("rb") as file:
            left, hashed = os.fstat(file.fileno()).st_size - 32, hashlib.sha256()
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                hashed.update(chunk)
                left -= len(chunk)
            return hashed.digest() == file.read()
    except OSError:
        return False


def read_slice(path: Path) -> tuple[Records, list[Facts]]:
    """The records and facts of a whole file."""
    with path.open("rb") as file:
        file.seek(-48, os.SEEK_END)
        count, length = np.frombuffer(file.read(16), "<i8").tolist()
        file.seek(-48 - length - count * RECORD.itemsize, os.SEEK_END)
        records = np.frombuffer(file.read(count * RECORD.itemsize), RECORD)
        rows = json.loads(file.read(length))
    return records, [
        Facts(Status(status), detail, flags, tuple((first, end) for first, end in kept))
        for status, detail, flags, kept in rows
    ]


def read_thumbnails(path: Path, offsets: Iterable[int]) -> Iterator[bytes]:
    """The thumbnails that start at these bytes of a slice's file."""
    with path.open("rb", buffering=0) as file:
        for offset in offsets:
            file.seek(offset)
            yield file.read(THUMB**2)


def fingerprint_of(path: Path, record: Any) -> Fingerprint:
    """The fingerprint of a photo, by its record in a slice's file."""
    thumb, trimmed = read_thumbnails(path, (int(record["thumb"]), int(record["trimmed"])))
    horizontal, vertical, aspects = (
        tuple(record[name].tolist()) for name in ("horizontal", "vertical", "aspects")
    )
    first, flat, levels = int(record["hash"]), float(record["flat"]), int(record["levels"])
    return Fingerprint(first, horizontal, vertical, thumb, trimmed, aspects, flat, levels)


def drop_unused(store: Path, used: Collection[str]) -> None:
    """Remove what the last run had no use for, and of the rest what is over STORE_BYTES."""
    left = STORE_BYTES
    for path in sorted(store.iterdir(), key=lambda path: path.name):
        left -= path.stat().st_size if path.name in used else 0
        if path.name not in used or left < 0:
            path.unlink()
