"""Walks over the headers of a plain tar and says where each file's bytes lie, without reading them.

For photos that are then taken as slices. Nothing is ever unpacked. Not for archives that the
download takes apart as they stream in (tarstream.py).
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from allrounder.download.tarstream import BLOCK, BrokenTarError, has_body

_NAME_MAX = 4096  # PATH_MAX on Linux
_RECORDS_MAX = 2**20

Reader = Callable[[int, int], bytes]
"""`read(position, size)`: the bytes there, fewer at the end. Positions only grow."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A plain file in a tar: its name, and where its bytes lie in what was walked over."""

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The byte after its last."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class _Given:
    """What extra headers say of the next member."""

    name: str | None = None
    size: int | None = None
    sparse: bool = False


def entries(read: Reader, start: int = 0, end: int | None = None) -> Iterator[Entry]:
    """Yield the plain files of the tar that lies from `start` to `end` (None: not known).

    Links, folders and devices are passed over. Raises BrokenTarError when it is no tar, is cut
    off (a tar ends with a block of zeros) or holds what cannot be meant. Source of the format:
    POSIX.1-2017, pax, and GNU tar's manual, section "Basic Tar Format".
    """
    at, given = start, _Given()
    while info := _header(read, at, start, end):
        body, size = at + BLOCK, info.size if given.size is None else given.size
        padded = -(-size // BLOCK) * BLOCK if has_body(info) else 0
        if size < 0:
            raise BrokenTarError(f"a member of {size} bytes at byte {at}")
        if padded and end is not None and body + size > end:
            raise BrokenTarError(f"cut off: a member of {size} bytes at byte {at} goes beyond it")
        at = body + padded
        if info.type == tarfile.GNUTYPE_LONGNAME:
            given = _Given(_long_name(read, body, size), given.size, given.sparse)
        elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            given = _records(_note(read, body, size, _RECORDS_MAX), given)
        elif info.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            if given.sparse or info.issparse() or info.type == tarfile.GNUTYPE_SPARSE:
                raise BrokenTarError(f"a sparse file at byte {body - BLOCK}; pack it plainly")
            if info.isreg():
                yield Entry(given.name or info.name, body, size)
            given = _Given()


@contextmanager
def opened(path: Path) -> Iterator[tuple[Reader, int]]:
    """A reader of a file, and its size in bytes. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):  # else the system reads on behind each header
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)

        def read(position: int, size: int) -> bytes:
            file.seek(position)
            return file.read(size)

        yield read, os.fstat(file.fileno()).st_size


def _header(read: Reader, at: int, start: int, end: int | None) -> tarfile.TarInfo | None:
    """The header at a byte; None for the end mark."""
    room = BLOCK if end is None else min(BLOCK, max(0, end - at))
    block = read(at, room) if room else b""
    if not block and at == start:
        raise BrokenTarError("empty")
    if at == start and block[:2] == b"\x1f\x8b":
        raise BrokenTarError("gzip-compressed; unpack it with gunzip")
    if len(block) < BLOCK and (at > start or not block.strip(b"\0")):
        raise BrokenTarError(f"cut off before byte {at + BLOCK}: it has no end mark")
    if block == bytes(BLOCK):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError as error:
        if at == start:
            raise BrokenTarError(f"no tar; it starts with {block[:40]!r}") from None
        raise BrokenTarError(f"broken header at byte {at} ({error})") from None


def _note(read: Reader, at: int, size: int, most: int) -> bytes:
    """The body of an extra header: never more than `most` bytes."""
    if size > most:
        raise BrokenTarError(f"an extra header of {size} bytes at byte {at}")
    body = read(at, size)
    if len(body) < size:
        raise BrokenTarError(f"cut off at byte {at + len(body)}")
    return body


def _long_name(read: Reader, at: int, size: int) -> str:
    return _note(read, at, size, _NAME_MAX + 1).partition(b"\0")[0].decode("utf-8", "replace")


def _records(body: bytes, given: _Given) -> _Given:
    """What pax records (`<length> <key>=<value>` and a newline) say of the next member."""
    name, size, sparse, at = given.name, given.size, given.sparse, 0
    while at < len(body) and body[at]:  # some writers fill up with zeros
        digits, _, _ = body[at : at + 10].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = body[at + len(digits) + 1 : at + length - 1].partition(b"=")
        if not equals or body[at + length - 1 : at + length] != b"\n":
            raise BrokenTarError("broken pax header")
        if key == b"path":
            if len(value) > _NAME_MAX:
                raise BrokenTarError(f"a name of {len(value)} bytes")
            name = value.decode("utf-8", "replace")
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise BrokenTarError(f"a member of {value[:20]!r} bytes")
            size = int(value)
        sparse = sparse or key.startswith(b"GNU.sparse.")
        at += length
    return _Given(name, size, sparse)
