"""Keeps lists from the web in `.allrounder/cache`: revalidated, resumed, checked by hash.

The cache holds at most MAX_CACHE bytes, or one larger list: the least recently used goes first.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from allrounder.core.errors import DataError
from allrounder.core.files import file_sha256
from allrounder.core.paths import WORK
from allrounder.core.progress import progress
from allrounder.core.urls import is_packed, is_url
from allrounder.web.lists import (
    BrokenBodyError,
    ListClient,
    ListStream,
    content_length,
    content_range,
)
from allrounder.web.policy import Pace, is_offline, not_cached_error

CACHE = WORK / "cache"
MAX_LIST = 2**33
"""Bytes of a list at most; the largest of the presets has 2.7 GB."""
MAX_CACHE = 20 * 2**30


def local_or_cached_list(location: str, web: ListClient, what: str, sha256: str = "") -> Path:
    """The path of a list at a local path or a URL.

    Raises DataError when it cannot be read, or its hash is not `sha256`.
    """
    if is_url(location):
        return cached_file(web, location, what, sha256)
    path = Path(location)
    if not path.is_file():
        raise DataError(f"{what}: no such file; correct its location")
    if sha256:
        _check_pin(file_sha256(path), sha256, what, location)
    return path


def cached_file(
    web: ListClient, url: str, what: str, sha256: str = "", most: int = MAX_LIST
) -> Path:
    """The path of a URL's file in the cache; it must not be changed.

    A cached file with the pinned hash is used without a request, any other is revalidated. Raises
    DataError that starts with `what` when the file cannot be fetched whole, has more than `most`
    bytes, does not have the hash `sha256`, or is not in the cache when offline.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    cached = CachedFile(CACHE, url)
    entry = cached.whole()
    if is_offline():
        if entry is None:
            raise not_cached_error(what, url)
    elif not (entry and sha256 and entry.sha256 == sha256):
        _Update(web, cached, what, most).run(entry)
    if sha256:
        _check_pin(cached.sha256, sha256, what, url)
    cached.body.touch()
    trim(CACHE, cached.body)
    return cached.body


def _check_pin(found: str, sha256: str, what: str, location: str) -> None:
    """Raise DataError when the hash of a list is not the pinned one."""
    if found != sha256:
        raise DataError(
            f"{what}: {location} has SHA-256 {found}, and its sha256 pins {sha256}; "
            "it has changed: check what is new, then correct sha256 or go back to the old file"
        )


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The record beside a cached file: its URL, the server's validators, a hash."""

    url: str
    etag: str = ""
    modified: str = ""
    sha256: str = ""

    @property
    def validator(self) -> str:
        """The value for If-Range: a strong ETag, else the date (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class CachedFile:
    """The files of one URL in a folder: `body`, and `part` of an incomplete download."""

    def __init__(self, folder: Path, url: str):
        # A name from the web never becomes a path.
        stem = folder / hashlib.sha256(url.encode()).hexdigest()[:32]
        self.url = url
        self.body, self.part = stem.with_suffix(".body"), stem.with_suffix(".part")

    def whole(self) -> CacheEntry | None:
        """The entry of the file if it has the recorded hash, else None."""
        entry = self._entry(self.body)
        return entry if entry and entry.sha256 == file_sha256(self.body) else None

    @property
    def sha256(self) -> str:
        """The recorded hash of the file, '' if there is none."""
        entry = self._entry(self.body)
        return entry.sha256 if entry else ""

    def begun(self) -> CacheEntry | None:
        """The entry of a download that broke off and can be resumed, else None."""
        entry = self._entry(self.part)
        return entry if entry and entry.validator and self.part.stat().st_size else None

    def begin(self, entry: CacheEntry) -> None:
        """Start a download from the first byte."""
        self.part.write_bytes(b"")
        _beside(self.part).write_text(json.dumps(asdict(entry)), encoding="utf-8")

    def store(self, body: bytes) -> None:
        """Put a file into the cache that was made from a download."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.begin(CacheEntry(self.url))
        self.part.write_bytes(body)
        self.complete()

    def complete(self) -> None:
        """Publish a finished download atomically."""
        entry = self._entry(self.part) or CacheEntry(self.url)
        entry = replace(entry, sha256=file_sha256(self.part))
        _beside(self.body).unlink(missing_ok=True)
        self.part.replace(self.body)
        _beside(self.part).write_text(json.dumps(asdict(entry)), encoding="utf-8")
        _beside(self.part).replace(_beside(self.body))

    def forget_part(self) -> None:
        """Remove a download that broke off."""
        self.part.unlink(missing_ok=True)
        _beside(self.part).unlink(missing_ok=True)

    def _entry(self, path: Path) -> CacheEntry | None:
        try:
            entry = CacheEntry(**json.loads(_beside(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return entry if entry.url == self.url and path.is_file() else None


def trim(folder: Path, used: Path, most: int = MAX_CACHE) -> None:
    """Remove the least recently used files, but not `used`, until at most `most` bytes are left."""
    files = [path for path in folder.iterdir() if path.suffix in (".body", ".part")]
    states = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in files)
    total = sum(size for _, size, _ in states)
    for _, size, path in states:
        if total > most and path != used:
            path.unlink()
            _beside(path).unlink(missing_ok=True)
            total -= size


def _beside(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".json")


class _Update:
    """Brings one file up to date, with as many tries as make progress."""

    def __init__(self, web: ListClient, cached: CachedFile, what: str, most: int):
        self._web, self._cached, self._most = web, cached, most
        self._what, self._bar_title = f"{what}: {cached.url}", what
        self._pace, self._failures = Pace(web.clock), 0

    def run(self, entry: CacheEntry | None) -> None:
        """Fetch the file, or the rest of it, unless `entry` is still the server's version.

        Raises DataError as `cached_file` does.
        """
        while True:
            begun = self._cached.begun()
            start = self._cached.part.stat().st_size if begun else 0
            try:
                return self._fetch(entry, begun, start)
            except BrokenBodyError as error:
                rest = self._cached.begun() and self._cached.part.stat().st_size > start
                self._failures = 0 if rest else self._failures + 1
                if self._web.policy.is_last_try(self._failures):
                    raise DataError(f"{error}; run it again to go on") from None
                self._web.pause(self._failures + 1)

    def _fetch(self, entry: CacheEntry | None, begun: CacheEntry | None, start: int) -> None:
        headers, url = _conditions(entry, begun, start), self._cached.url
        expected = (200, 206, 304, 416)
        with self._web.stream(url, self._bar_title, headers, expect=expected) as reply:
            if reply.code == 304 and entry:
                return
            if reply.code == 206 and begun and _continues(reply.headers, begun, start):
                self._write(reply, start)
                _, total = content_range(reply.headers) or (start, None)
                if total and self._cached.part.stat().st_size < total:  # RFC 9110, section 15.3.7
                    raise BrokenBodyError(f"{self._what} gives less than requested")
            elif reply.code == 200:
                self._cached.begin(_version(url, reply.headers))
                self._write(reply, 0)
            else:  # a range or a version that the server does not have (any more)
                self._cached.forget_part()
                raise BrokenBodyError(f"{self._what} answered {reply.code}, which was not expected")
        self._cached.complete()

    def _write(self, reply: ListStream, start: int) -> None:
        length = content_length(reply.headers)
        total = None if length is None else start + length
        shown = {"unit": "B", "unit_scale": True, "desc": self._bar_title, "leave": False}
        bar = progress(total=total, initial=start, **shown)
        with self._cached.part.open("ab") as file, bar:
            for chunk in reply.chunks:
                file.write(chunk)
                bar.update(len(chunk))
                self._pace.check(file.tell() - start, self._what)
                if file.tell() > self._most:
                    self._cached.forget_part()
                    raise DataError(
                        f"{self._what} answered more than {self._most:,} bytes; "
                        "correct its location"
                    )


def _version(url: str, headers: Mapping[str, str]) -> CacheEntry:
    """The entry of a reply. A body that comes compressed cannot be resumed: ranges are of that."""
    if "content-encoding" in headers and not is_packed(url):
        return CacheEntry(url)
    return CacheEntry(url, headers.get("etag", ""), headers.get("last-modified", ""))


def _conditions(entry: CacheEntry | None, begun: CacheEntry | None, start: int) -> dict[str, str]:
    """The headers that save a second transfer (RFC 9110, sections 13.1 and 14.2)."""
    headers = {"Accept-Encoding": "identity"}  # ranges and lengths are of the file itself
    if begun:
        headers |= {"Range": f"bytes={start}-", "If-Range": begun.validator}
    elif entry:
        headers |= {"If-None-Match": entry.etag} if entry.etag else {}
        headers |= {"If-Modified-Since": entry.modified} if not entry.etag else {}
    return headers


def _continues(headers: Mapping[str, str], begun: CacheEntry, start: int) -> bool:
    """Whether a partial reply is of the same version and starts where it should."""
    place = content_range(headers)
    return headers.get("etag", begun.etag) == begun.etag and place is not None and place[0] == start
