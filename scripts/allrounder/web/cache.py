"""Keeps lists from the web in `.allrounder/cache`: revalidated, resumed, checked by hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
from tqdm import tqdm

from allrounder.core.errors import DataError
from allrounder.core.paths import WORK
from allrounder.core.urls import is_url
from allrounder.web.lists import (
    MAX_PAGE,
    BrokenBodyError,
    ListClient,
    content_length,
    content_range,
)
from allrounder.web.policy import is_offline, not_cached_error


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What is kept beside a file: where it is from and how the server told its version."""

    url: str
    etag: str = ""
    modified: str = ""
    bytes: int = 0

    @property
    def validator(self) -> str:
        """What If-Range takes: a strong ETag, else the date (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class CachedFile:
    """The files of one URL in a folder: `body`, and `part` of a download that broke off."""

    def __init__(self, folder: Path, url: str):
        # A name from the web never becomes a path.
        stem = folder / hashlib.sha256(url.encode()).hexdigest()[:32]
        self.url = url
        self.body, self.part = stem.with_suffix(".body"), stem.with_suffix(".part")

    def whole(self) -> CacheEntry | None:
        """What is known of the file, if it is there as it was put."""
        return self._entry(self.body, exact=True)

    def begun(self) -> CacheEntry | None:
        """What is known of a download that broke off and may go on."""
        entry = self._entry(self.part, exact=False)
        return entry if entry and entry.validator and self.part.stat().st_size else None

    def begin(self, entry: CacheEntry) -> None:
        """Be ready to take a file from its start on."""
        self.part.write_bytes(b"")
        _beside(self.part).write_text(json.dumps(asdict(entry)), encoding="utf-8")

    def complete(self) -> None:
        """Put what came whole in place; a kill leaves the old file, none or the new one."""
        entry = self._entry(self.part, exact=False) or CacheEntry(self.url)
        entry = CacheEntry(self.url, entry.etag, entry.modified, self.part.stat().st_size)
        _beside(self.body).unlink(missing_ok=True)
        self.part.replace(self.body)
        _beside(self.part).write_text(json.dumps(asdict(entry)), encoding="utf-8")
        _beside(self.part).replace(_beside(self.body))

    def forget_part(self) -> None:
        """Start from nothing next time."""
        self.part.unlink(missing_ok=True)
        _beside(self.part).unlink(missing_ok=True)

    def _entry(self, path: Path, exact: bool) -> CacheEntry | None:
        try:
            entry = CacheEntry(**json.loads(_beside(path).read_text(encoding="utf-8")))
            size = path.stat().st_size
        except (OSError, ValueError, TypeError):
            return None
        return entry if entry.url == self.url and (size == entry.bytes or not exact) else None


def _beside(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".json")


CACHE = WORK / "cache"
MAX_LISTING = 2**34
"""Bytes of a listing at most; the largest we know of has 2.7 GB."""
_CHUNK = 2**16
"""Bytes; what of a chunk came before a break is lost."""


def local_or_cached_list(location: str, web: ListClient, what: str, sha256: str = "") -> Path:
    """The file of a listing, which is here or on the web.

    Raises DataError when it is not to be had, or is another than `sha256` says.
    """
    if is_url(location):
        return cached_file(web, location, what, sha256)
    path = Path(location)
    if not path.is_file():
        raise DataError(f"{what}: no such file; correct its location")
    check_sha256(path, sha256, what, location)
    return path


def cached_page(web: ListClient, url: str, what: str) -> bytes:
    """A small listing, at most MAX_PAGE bytes. Raises DataError as `fetched` does."""
    return cached_file(web, url, what, most=MAX_PAGE).read_bytes()


def cached_file(
    web: ListClient, url: str, what: str, sha256: str = "", most: int = MAX_LISTING
) -> Path:
    """The file that a URL gives, from the cache where that still holds; not to be changed.

    A cached file of the pinned hash is taken unasked. Raises DataError that starts with `what`
    when it cannot be had whole, has more than `most` bytes, is another than `sha256` says, or is
    not here and we are offline.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CachedFile(CACHE, url)
    entry = kept.whole()
    if is_offline():
        if entry is None:
            raise not_cached_error(what, url)
    elif not (entry and sha256 and _sha256(kept.body) == sha256):
        _ask(web, kept, entry, what, most)
    check_sha256(kept.body, sha256, what, url)
    return kept.body


def check_sha256(path: Path, sha256: str, what: str, location: str) -> None:
    """Raise DataError when a file is another than the pinned hash says; '' pins none."""
    if sha256 and (found := _sha256(path)) != sha256:
        raise DataError(
            f"{what}: {location} has SHA-256 {found}, and its sha256 pins {sha256}; "
            "it has changed: look at what is new, then correct sha256 or go back to the old file"
        )


def _ask(web: ListClient, kept: CachedFile, entry: CacheEntry | None, what: str, most: int) -> None:
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
    web: ListClient,
    kept: CachedFile,
    entry: CacheEntry | None,
    begun: CacheEntry | None,
    what: str,
    most: int,
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
            kept.begin(CacheEntry(kept.url, tag, response.headers.get("Last-Modified", "")))
            _write(kept, response, 0, what, most)
        else:  # a range or a version that the server does not have (any more)
            kept.forget_part()
            raise BrokenBodyError(f"{what}: {kept.url} answered {response.status_code} unasked")
    kept.complete()


def _conditions(entry: CacheEntry | None, begun: CacheEntry | None, start: int) -> dict[str, str]:
    """The headers that spare us what is here (RFC 9110, sections 13.1 and 14.2)."""
    headers = {"Accept-Encoding": "identity"}  # ranges and lengths are of the file itself
    if begun:
        headers |= {"Range": f"bytes={start}-", "If-Range": begun.validator}
    elif entry and entry.etag:
        headers["If-None-Match"] = entry.etag
    elif entry and entry.modified:
        headers["If-Modified-Since"] = entry.modified
    return headers


def _goes_on(headers: Mapping[str, str], begun: CacheEntry, start: int) -> bool:
    """Whether a partial answer is of the same version and starts where it should."""
    place = content_range(headers)
    return headers.get("ETag", begun.etag) == begun.etag and place is not None and place[0] == start


def _write(kept: CachedFile, response: requests.Response, start: int, what: str, most: int) -> None:
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
