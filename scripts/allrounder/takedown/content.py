"""What a file of the project holds: photos, thumbnails, URLs of photos, or names of other objects.

The file's bytes decide, so this works for the objects of any version, and of none.
"""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from allrounder.clean.alone import decode, decode_alone
from allrounder.clean.fingerprints import Fingerprint
from allrounder.clean.test_sets import HEADER
from allrounder.core.errors import DataError
from allrounder.core.parquet import check_pyarrow, read_photos
from allrounder.core.tars import StoredBytes, atomic_tar, tar_members
from allrounder.core.workers import worker_pool
from allrounder.params.schema import Clean

_PHOTO = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"\0\0\0")
"""How files of pictures start; the last one: boxes of AVIF, HEIC and JPEG 2000."""
_RAW_TABLE, _LIST, _PAGE = b"image_id,url,status", b'[{"md5"', b"<!doctype html>"
_PAYLOAD = re.compile(r"<script[^>]*application/json[^>]*>(.*?)</script>", re.DOTALL)
_CHUNK = 200  # photos a task


@dataclass(frozen=True, slots=True)
class Source:
    """A URL or path that gave a photo, in a table of the download, and where it led to."""

    sha256: str
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds."""

    photos: frozenset[str] = frozenset()  # SHA-256s
    shown: frozenset[str] = frozenset()  # hashes and URLs of photos whose thumbnails it has
    sources: tuple[Source, ...] = ()
    files: dict[str, str] = field(default_factory=dict)  # of a folder's list: path, object


@dataclass(frozen=True, slots=True)
class Decoded:
    """A photo as the clean stage sees it: the SHA-256 of its cleaned form, its fingerprint."""

    cleaned: str = ""
    fingerprint: Fingerprint | None = None


class Reader:
    """Reads files, and decodes every photo once."""

    def __init__(self, rules: Clean):
        self._rules = rules
        self.decoded: dict[str, Decoded] = {}  # by SHA-256
        self.known: dict[str, Content] = {}  # what was read, by MD5

    def read(self, path: Path) -> Content:
        """What a file holds. A broken tar, table or page counts as far as it can be read."""
        with path.open("rb") as file:
            head = file.read(512)
        if head[257:262] == b"ustar":
            return Content(photos=self._photos(_tar_photos(path)))
        if head.startswith(b"PAR1"):
            with TemporaryDirectory() as folder:
                return Content(photos=self._photos(_tar_photos(_unpacked(path, Path(folder)))))
        if head.startswith(_PHOTO):
            stored = StoredBytes(path, 0, path.stat().st_size)
            return Content(photos=self._photos({_sha256(stored): stored}))
        if head.startswith(_RAW_TABLE):
            return Content(sources=tuple(_sources(path)))
        if head.startswith(HEADER[:12].encode()):
            return Content(shown=frozenset(_fingerprinted(path)))
        if head.startswith(_LIST):
            entries = json.loads(path.read_bytes())
            return Content(files={one["relpath"]: str(one["md5"]) for one in entries})
        if head.lower().startswith(_PAGE):
            return Content(shown=frozenset(_shown(path.read_text(encoding="utf-8"))))
        return Content()

    def _photos(self, found: dict[str, StoredBytes]) -> frozenset[str]:
        new = {sha256: at for sha256, at in found.items() if sha256 not in self.decoded}
        work = partial(_decode, rules=self._rules)
        try:
            with worker_pool(len(new) // _CHUNK + 1) as pool:
                made = [*pool.map(work, new.values(), chunksize=_CHUNK)]
        except (DataError, BrokenProcessPool, MemoryError):  # a photo ended its worker
            made = [_decoded(decode_alone(sha, at, self._rules)) for sha, at in new.items()]
        self.decoded |= dict(zip(new, made, strict=True))
        return frozenset(found)


def _decode(place: StoredBytes, rules: Clean) -> Decoded:
    return _decoded(decode(place.read(), rules))


def _decoded(photo: Any) -> Decoded:
    cleaned = hashlib.sha256(photo.body).hexdigest() if photo.body else ""
    return Decoded(cleaned, photo.fingerprint)


def _sha256(stored: StoredBytes) -> str:
    return hashlib.sha256(stored.read()).hexdigest()


def _tar_photos(path: Path) -> dict[str, StoredBytes]:
    found = {}
    try:
        for _, stored in tar_members(path):
            found[_sha256(stored)] = stored
    except DataError:
        pass  # cut off: the photos before that count
    return found


def _unpacked(path: Path, folder: Path) -> Path:
    """The photos of a Parquet file in a tar. Raises UsageError without pyarrow."""
    check_pyarrow(f"reading {path}")
    with atomic_tar(folder / "photos.tar") as tar:
        for number, (_, body) in enumerate(read_photos(path)):
            tar.add(str(number), body)
    return folder / "photos.tar"


def _sources(path: Path) -> Iterator[Source]:
    with path.open(encoding="utf-8", newline="", errors="replace") as file:
        for row in csv.DictReader(file):
            if sha256 := row.get("sha256"):
                urls = (row.get(name) or "" for name in ("url", "final_url", "rescued_from"))
                yield Source(sha256, tuple(url for url in urls if url))


def _fingerprinted(path: Path) -> Iterator[str]:
    """The hash in the name of each photo in a table of fingerprints, which have thumbnails."""
    with path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            yield from re.findall(r"^,[^,]*_([0-9a-f]{16})\.jpg,", line)


def _shown(page: str) -> Iterator[str]:
    """The SHA-256 and the URL of each row of a report's page that has a thumbnail."""
    for payload in _PAYLOAD.findall(page):
        try:
            data = json.loads(payload)
            names = data["columns"]
            at = {name: names.index(name) for name in ("sha256", "url", "thumb")}
            for row in data["rows"]:
                if len(row) > at["thumb"] and row[at["thumb"]]:
                    yield from filter(None, (row[at["sha256"]], row[at["url"]]))
        except (ValueError, KeyError, TypeError, IndexError):
            continue
