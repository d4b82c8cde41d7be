"""Which photos of this version are asked of the web again, and how each URL is to be asked.

Not for asking them: that is verifyweb.py.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, zip_longest
from pathlib import Path

from allrounder.csvfiles import read_csv
from allrounder.errors import DataError
from allrounder.hashing import digest
from allrounder.records import RawRow, Status
from allrounder.slices import parse
from allrounder.urltext import is_archive, is_file_here, is_web
from allrounder.verify import lockedouts

RAW = "data/raw"


class Form(StrEnum):
    """How a URL is asked."""

    PAGE = "page"  # one request
    FILE = "file"  # a file of this machine
    SLICE = "slice"  # a part of a file of this machine
    ARCHIVE = "archive"  # a member, `<tar>#<name>`: the tar once for all of its members
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that the download took, as it was then."""

    wnid: str
    image_id: str
    url: str
    sha256: str  # of the bytes as served
    size: int  # bytes

    @property
    def form(self) -> Form:
        """How its URL is asked; UNKNOWN is never asked, but counted."""
        if parse(self.url):
            return Form.PAGE if is_web(self.url) else Form.SLICE
        base, mark, member = self.url.partition("#")
        if mark and is_archive(base):
            return Form.ARCHIVE if member and "#" not in member else Form.UNKNOWN
        if is_web(self.url):
            return Form.UNKNOWN if mark else Form.PAGE
        return Form.FILE if not mark or is_file_here(self.url) else Form.UNKNOWN

    @property
    def archive(self) -> str:
        """The URL of the tar that it is in."""
        return self.url.partition("#")[0]


def photos(folder: Path) -> list[Photo]:
    """Every photo that is `ok` in this version's data/raw, classes by wnid, in rank order.

    The tables come from the work tree, or else through DVC into `folder`; the photos need not be
    here. Raises DataError when a table cannot be had.
    """
    found = []
    for table in _tables(folder):
        for row in read_csv(table, RawRow):
            if row.status is Status.OK:
                size = row.bytes or 0
                found.append(Photo(table.stem, row.image_id, row.url, row.sha256, size))
    return found


def _tables(folder: Path) -> list[Path]:
    with lockedouts.repository() as repo:
        out = next((one for one in lockedouts.outs(repo) if one.path == RAW), None)
        if out is None or not out.md5:
            raise DataError(f"dvc.lock names no {RAW}; run dvc repro, which builds it")
        listed = lockedouts.known_list(repo, out)
    tables, files = [], lockedouts.Files()
    for path, md5 in sorted(listed.items()):
        if not path.endswith(".csv"):
            continue
        table = Path(path)
        if digest(table).md5 != md5:
            table = folder / table.name
            table.write_bytes(files.read(path))
        tables.append(table)
    return tables


def sample(found: Sequence[Photo], count: int) -> list[Photo]:
    """`count` photos, the same ones for everybody: each class's smallest by SHA-256 of the URL.

    The classes are gone through in turn, so that each has as many as the others, if it has them.
    """
    classes: dict[str, list[Photo]] = {}
    for photo in found:
        classes.setdefault(photo.wnid, []).append(photo)
    ranked = [sorted(classes[wnid], key=_rank) for wnid in sorted(classes)]
    turns: Iterable[Photo | None] = chain.from_iterable(zip_longest(*ranked))
    return [photo for photo in turns if photo][:count]


def _rank(photo: Photo) -> str:
    return hashlib.sha256(photo.url.encode("utf-8", "surrogatepass")).hexdigest()
