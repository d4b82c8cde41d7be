"""Ids of candidates, and the candidate of each downloaded photo, with its licence and author.

Names from the web never become paths: an id that is not plain is replaced by a hash of its URL.
"""

import hashlib
import re
from collections.abc import Callable, Collection
from pathlib import Path

from allrounder.core.licences import refused
from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.urls import is_archive

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


def url_id(wnid: str, url: str) -> str:
    """An id for a photo without one: the wnid and ten hex digits of its URL's SHA-256."""
    return f"{wnid}_{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


class IdMaker:
    """Makes a unique id for each photo of one class, in rank order."""

    def __init__(self, wnid: str, is_new: Callable[[str], bool] | None = None):
        """`is_new` adds a text to a set and returns whether it was new; by default in memory."""
        self._wnid, self._used = wnid, set[str]()
        self._is_new = is_new or self._add

    def make(self, proposed: str, url: str) -> str:
        """`proposed` if it is safe and new (ignoring case), else an id made from the URL."""
        image_id = proposed if _SAFE.fullmatch(proposed) else url_id(self._wnid, url)
        number = 1
        while not self._is_new(image_id.lower()):
            text = f"{proposed} {url}" if number == 1 else f"{proposed} {url} {number}"
            image_id, number = url_id(self._wnid, text), number + 1
        return image_id

    def _add(self, text: str) -> bool:
        size = len(self._used)
        self._used.add(text)
        return len(self._used) > size


def candidate_lookup(path: Path, urls: Collection[str] | None = None) -> Callable[[str], Candidate]:
    """A function that finds the candidate of a URL; for a member of an archive, the archive's.

    With `urls`, only their candidates are kept in memory.
    """
    listed = {
        row.url: row
        for row in read_csv(path, Candidate)
        if urls is None or row.url in urls or is_archive(row.url)
    }
    archives = [candidate for url, candidate in listed.items() if is_archive(url)]

    def origin(url: str) -> Candidate:
        inside = (archive for archive in archives if url.startswith(f"{archive.url}#"))
        return listed.get(url) or next(inside, Candidate("", url))

    return origin


def photo_origins(
    urls: Path, raw: Path, key: str, accepted: Collection[str] | None = None
) -> dict[str, tuple[RawRow, Candidate]]:
    """Row and candidate of each photo in a class's raw archive, by the photo's image id.

    A member of an archive has the archive's candidate. Of several URLs with the same bytes, the
    first one counts, or the first whose licence is among the `accepted` normal forms.
    Raises DataError as `read_csv` does.
    """
    photos = (Status.OK, Status.DUPLICATE)
    rows = [row for row in read_csv(raw / f"{key}.csv", RawRow) if row.status in photos]
    origin = candidate_lookup(urls / f"{key}.csv", {row.url for row in rows})
    found: dict[str, tuple[RawRow, Candidate]] = {}
    ids: dict[str, str] = {}  # image id by SHA-256
    for row in rows:
        if row.status is Status.OK:
            ids[row.sha256] = row.image_id
            found[row.image_id] = (row, origin(row.url))
        elif first := ids.get(row.sha256):
            other = origin(row.url)
            if refused(found[first][1].license, accepted) and not refused(other.license, accepted):
                found[first] = (row, other)
    return found
