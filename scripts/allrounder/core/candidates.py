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

    def __init__(self, wnid: str):
        self._wnid = wnid
        self._used: set[str] = set()

    def make(self, proposed: str, url: str) -> str:
        """`proposed` if it is safe and new (ignoring case), else an id made from the URL."""
        image_id = proposed if _SAFE.fullmatch(proposed) else url_id(self._wnid, url)
        if image_id.lower() in self._used:
            image_id = url_id(self._wnid, f"{proposed} {url}")
        number = 1
        while image_id.lower() in self._used:
            number += 1
            image_id = url_id(self._wnid, f"{proposed} {url} {number}")
        self._used.add(image_id.lower())
        return image_id


def candidate_lookup(path: Path) -> Callable[[str], Candidate]:
    """A function that finds the candidate of a URL; for a member of an archive, the archive's."""
    listed = {candidate.url: candidate for candidate in read_csv(path, Candidate)}
    archives = [candidate for url, candidate in listed.items() if is_archive(url)]

    def origin(url: str) -> Candidate:
        inside = (archive for archive in archives if url.startswith(f"{archive.url}#"))
        return listed.get(url) or next(inside, Candidate("", url))

    return origin


def photo_origins(
    urls: Path, raw: Path, key: str, accepted: Collection[str] | None = None
) -> dict[str, tuple[str, Candidate]]:
    """URL and candidate of each photo in a class's raw archive, by image id.

    A member of an archive has the archive's candidate. Of several URLs with the same bytes, the
    first one counts, or the first whose licence is among the `accepted` normal forms.
    Raises DataError as `read_csv` does.
    """
    origin = candidate_lookup(urls / f"{key}.csv")
    found: dict[str, tuple[str, Candidate]] = {}
    ids: dict[str, str] = {}  # image id by SHA-256
    for row in read_csv(raw / f"{key}.csv", RawRow):
        if row.status is Status.OK:
            ids[row.sha256] = row.image_id
            found[row.image_id] = (row.url, origin(row.url))
        elif row.status is Status.DUPLICATE and (first := ids.get(row.sha256)):
            other = origin(row.url)
            if refused(found[first][1].license, accepted) and not refused(other.license, accepted):
                found[first] = (row.url, other)
    return found
