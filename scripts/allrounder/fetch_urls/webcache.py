"""Keeps listings of the web as files in `.allrounder/cache`, and checks pinned hashes.

A file is asked for again by its ETag, taken up where its download broke off, and in place only
when it came whole. Not for photos (spool.py, pins.py) or for what is in a listing (sources/).
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import requests
from tqdm import tqdm

from allrounder import offline
from allrounder.errors import DataError
from allrounder.fetch_urls.keptfile import Entry, KeptFile
from allrounder.fetch_urls.web import MAX_PAGE, BrokenBodyError, Web, content_length, content_range
from allrounder.urltext import is_web
from allrounder.workdir import WORK

CACHE = WORK / "cache"
MAX_LISTING = 2**34
"""Bytes of a listing at most; the largest we know of has 2.7 GB."""
_CHUNK = 2**16
"""Bytes; what of a chunk came before a break is lost."""


def listing(location: str, web: Web, what: str, sha256: str = "") -> Path:
    """The file of a listing, which is here or on the web.

    Raises DataError when it is not to be had, or is another than `sha256` says.
    """
    if is_web(location):
        return fetched(web, location, what, sha256)
    path = Path(location)
    if not path.is_file():
        raise DataError(f"{what}: no such file; correct its location")
    check_sha256(path, sha256, what, location)
    return path


def page(web: Web, url: str, what: str) -> bytes:
    """A small listing, at most MAX_PAGE bytes. Raises DataError as `fetched` does."""
    return fetched(web, url, what, most=MAX_PAGE).read_bytes()


def fetched(web: Web, url: str, what: str, sha256: str = "", most: int = MAX_LISTING) -> Path:
    """The file that a URL gives, from the cache where that still holds; not to be changed.

    A cached file of the pinned hash is taken unasked. Raises DataError that starts with `what`
    when it cannot be had whole, has more than `most` bytes, is another than `sha256` says, or is
    not here and we are offline.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = KeptFile(CACHE, url)
    entry = kept.whole()
    if offline.offline():
        if entry is None:
            raise offline.not_here(what, url)
    elif not (entry and sha256 and _digest(kept.body) == sha256):
        _ask(web, kept, entry, what, most)
    check_sha256(kept.body, sha256, what, url)
    return kept.body


def check_sha256(path: Path, sha256: str, what: str, location: str) -> None:
    """Raise DataError when a file is another than the pinned hash says; '' pins none."""
    if sha256 and (found := _digest(path)) != sha256:
        raise DataError(
            f"{what}: {location} has SHA-256 {found}, and its sha256 pins {sha256}; "
            "it has changed: look at what is new, then correct sha256 or go back to the old file"
        )


def _ask(web: Web, kept: KeptFile, entry: Entry | None, what: str, most: int) -> None:
    """Bring the file up to date; goes on where it broke off, as often as the params allow."""
    tries = web.tries
    while True:
        begun = kept.begun()
        before = kept.part.stat().st_size if begun else 0
        try:
            return _once(web, kept, entry, begun, what, most)
        except BrokenBodyError as error:
            progressed = kept.part.exists() and kept.part.stat().st_size > before
            tries = web.tries if progressed and kept.begun() else tries - 1
            if tries <= 0:
                raise DataError(f"{error}; run it again to go on") from None
            web.wait(web.tries - tries + 1)


def _once(
    web: Web, kept: KeptFile, entry: Entry | None, begun: Entry | None, what: str, most: int
) -> None:
    start = kept.part.stat().st_size if begun else 0
    headers = _conditions(entry, begun, start)
    with web.stream(kept.url, what, headers, expect=(200, 206, 304, 416)) as response:
        if response.status_code == 304 and entry:
            return
        if response.status_code == 206 and begun and _goes_on(response.headers, begun, start):
            _write(kept, response, start, what, most)
            _, total = content_range(response.headers) or (start, None)
            if total and kept.part.stat().st_size < total:  # as it may (RFC 9110, section 15.3.7)
                raise BrokenBodyError(f"{what}: {kept.url} gives less than asked for")
        elif response.status_code == 200:
            tag = response.headers.get("ETag", "")
            kept.begin(Entry(kept.url, tag, response.headers.get("Last-Modified", "")))
            _write(kept, response, 0, what, most)
        else:  # a range or a version that the server does not have (any more)
            kept.forget_part()
            raise BrokenBodyError(f"{what}: {kept.url} answered {response.status_code} unasked")
    kept.complete()


def _conditions(entry: Entry | None, begun: Entry | None, start: int) -> dict[str, str]:
    """The headers that spare us what is here (RFC 9110, sections 13.1 and 14.2)."""
    headers = {"Accept-Encoding": "identity"}  # ranges and lengths are of the file itself
    if begun:
        headers |= {"Range": f"bytes={start}-", "If-Range": begun.validator}
    elif entry and entry.etag:
        headers["If-None-Match"] = entry.etag
    elif entry and entry.modified:
        headers["If-Modified-Since"] = entry.modified
    return headers


def _goes_on(headers: Mapping[str, str], begun: Entry, start: int) -> bool:
    """Whether a partial answer is of the same version and starts where it should."""
    place = content_range(headers)
    return headers.get("ETag", begun.etag) == begun.etag and place is not None and place[0] == start


def _write(kept: KeptFile, response: requests.Response, start: int, what: str, most: int) -> None:
    length = content_length(response.headers)
    total = None if length is None else start + length
    bar = tqdm(
        total=total, initial=start, unit="B", unit_scale=True, disable=None, desc=what, leave=False
    )
    with kept.part.open("ab") as file, bar:
        for chunk in response.iter_content(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
            if file.tell() > most:
                break
    if kept.part.stat().st_size > most:
        kept.forget_part()
        raise DataError(f"{what}: {kept.url} answered more than {most:,} bytes")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
