"""Opens a list from a path or URL as one binary file, unpacked, and reads its lines.

Gzip, tar and zip are known by their first bytes: servers unpack and pack again as they like.
"""

import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

from allrounder.core.errors import DataError
from allrounder.core.tarreader import BLOCK, BrokenTarError, is_header, tar_entries
from allrounder.web.cache import local_or_cached_list
from allrounder.web.lists import ListClient

MAX_LINE = 2**20
"""Longest line in bytes: a longer one names no photo."""
_BUFFER = 2**20
_LAYERS = 4  # a gzip of a tar in a gzip of a server, and one to spare
_DIRECTORY_MAX = 2**22  # bytes of a zip's directory, which zipfile holds in memory
UTF8 = "utf-8"
_WIDE = {b"\1\0\1\0": "utf-16-le", b"\0\1\0\1": "utf-16-be"}
_BROKEN = (
    OSError, EOFError, zlib.error, lzma.LZMAError, BrokenTarError, zipfile.BadZipFile,
)  # fmt: skip
"""The exceptions that reading a broken or cut-off file may raise."""


@contextmanager
def open_list(
    location: str, web: ListClient, what: str, sha256: str = ""
) -> Iterator[io.BufferedReader]:
    """Open a list as a binary file, unpacked.

    A list from the web is kept in the cache. Raises DataError that starts with `what` when it
    cannot be opened, differs from `sha256` or is broken, also while the caller reads it.
    """
    path = local_or_cached_list(location, web, what, sha256)
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb", buffering=0))
        except OSError as error:
            raise DataError(f"{what}: {error.strerror}; correct its location") from None
        try:
            yield _unpacked(_buffered(raw), stack)
        except _BROKEN as error:
            raise DataError(f"{what}: broken or cut off: {error}; download it again") from None


def detected_encoding(file: io.BufferedReader) -> str:
    """Return UTF-16 for a text with a byte order mark or zero bytes that fit, '' for binary data.

    Everything else counts as UTF8: 8-bit encodings cannot be told apart.
    """
    start = file.peek(4)[:4]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) and start[2:] != b"\0\0":
        return "utf-16"
    return _WIDE.get(bytes(min(byte, 1) for byte in start), "") if b"\0" in start else UTF8


def lines(file: io.BufferedReader, what: str) -> Iterator[bytes | None]:
    """Yield the lines of UTF-8 text; None for one over MAX_LINE. Raises DataError for UTF-16."""
    if detected_encoding(file) != UTF8:
        raise DataError(f"{what}: is UTF-16 or no text; save it as UTF-8")
    if file.peek(3).startswith(b"\xef\xbb\xbf"):
        file.read(3)
    pieces = iter(partial(file.readline, MAX_LINE), b"")
    for line in pieces:
        if len(line) < MAX_LINE or line.endswith(b"\n"):
            yield line
            continue
        while len(line) == MAX_LINE and not line.endswith(b"\n"):
            line = next(pieces, b"")
        yield None


def _unpacked(file: io.BufferedReader, stack: ExitStack) -> io.BufferedReader:
    for _ in range(_LAYERS):
        start = file.peek(BLOCK)[:BLOCK]
        if start.startswith(b"\x1f\x8b"):
            file = _buffered(gzip.GzipFile(fileobj=file, mode="rb"))
        elif start.startswith(b"PK\x03\x04"):
            file = _buffered(_unzipped(file, stack))
        elif is_header(start):
            file = _buffered(_first_file(file))
        else:
            return file
    raise EOFError(f"packed more than {_LAYERS} times")


def _buffered(raw: Any) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, raw), _BUFFER)


class _Part(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, file: io.BufferedReader, size: int):
        self._file, self._left = file, size

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes. Raises EOFError when the file has fewer than it states."""
        wanted = min(len(buffer), self._left)
        taken = self._file.readinto1(memoryview(buffer)[:wanted]) if wanted else 0
        if taken < min(wanted, 1):
            raise EOFError("cut off")
        self._left -= taken
        return taken


def _first_file(file: io.BufferedReader) -> _Part:
    """The first file in a tar. Raises BrokenTarError, EOFError if it has none."""
    place = 0

    def read(position: int, size: int) -> bytes:
        nonlocal place
        while place < position and (passed := file.read(min(_BUFFER, position - place))):
            place += len(passed)
        body = file.read(size) if place == position else b""
        place += len(body)
        return body

    entry = next(tar_entries(read), None)
    if entry is None:
        raise EOFError("no file in the archive")
    return _Part(file, entry.size)


def _unzipped(file: io.BufferedReader, stack: ExitStack) -> Any:
    file.seek(max(0, file.seek(0, os.SEEK_END) - 2**16))
    end = file.read().rpartition(b"PK\5\6")[2]  # the end record without its signature
    if int.from_bytes(end[8:12], "little") > _DIRECTORY_MAX:
        raise zipfile.BadZipFile("its directory is too large; pack the list alone")
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
        first = next((info for info in archive.infolist() if not info.is_dir()), None)
        if first is None:
            raise EOFError("no file in the archive")
        return stack.enter_context(archive.open(first))
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown compression
        raise zipfile.BadZipFile(str(error)) from None
