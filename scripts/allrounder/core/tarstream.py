"""Reads tars of other people: streamed (`TarParser`) or by their headers only (`tar_entries`).

Nothing is ever unpacked to a path.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from allrounder.core.rows import Status

BLOCK = tarfile.BLOCKSIZE
OVERSIZE = 64
"""A member that says it is this many times larger than a photo may be ends the reading."""
_LONG_NAME_MAX = 2**16


class BrokenTarError(Exception):
    """No tar from here on: words, for the detail of a row."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive: its bytes, or the reason why it is not looked at."""

    name: str
    offset: int  # where the member before it ends: of its first header, or of folders' before it
    end: int  # of the next member's first header
    body: bytes = b""
    status: Status = Status.OK
    detail: str = ""

    @property
    def body_offset(self) -> int:
        """Where the body starts, in bytes from the archive's start."""
        return self.end - -(-len(self.body) // BLOCK) * BLOCK


class TarParser:
    """Feed it the archive's bytes, from the start or from any member's header on.

    `max_bytes` is the size of a photo at most: larger members are passed over unread.
    """

    def __init__(self, max_bytes: int, offset: int = 0):
        self.offset = offset  # where the next member's first header starts: resume from here
        self._whole = offset  # where what came whole ends: folders have no row, and move no offset
        self.ended = False
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._position = offset  # of the buffer's first byte
        self._skip = 0  # bytes to pass over before the next header
        self._long_name: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Member]:
        """Yield the members that are complete by now. Raises BrokenTarError."""
        self._buffer += chunk
        while not self.ended:
            if self._skip:
                passed = min(self._skip, len(self._buffer))
                self._consume(passed)
                self._skip -= passed
            if self._skip or len(self._buffer) < BLOCK:
                return
            try:
                info = tarfile.TarInfo.frombuf(self._buffer[:BLOCK], "utf-8", "replace")
            except tarfile.HeaderError as error:
                if self._buffer[:BLOCK] == bytes(BLOCK):
                    self.ended = True
                    return
                raise BrokenTarError(f"broken header ({error})") from None
            wanted = self._wanted(info)
            padded = -(-info.size // BLOCK) * BLOCK
            if wanted and len(self._buffer) < BLOCK + padded:
                return  # the body is not whole yet
            yield from self._member(info, padded, wanted)

    @property
    def at_boundary(self) -> bool:
        """Whether all that was fed belongs to whole members."""
        return not self._skip and not self._buffer and self._position == self._whole

    def _wanted(self, info: tarfile.TarInfo) -> bool:
        """Whether the body is needed; BrokenTarError for a size that cannot be meant."""
        if info.size < 0 or info.size > OVERSIZE * self._max_bytes:
            raise BrokenTarError(f"member of {info.size} bytes")
        if info.type == tarfile.GNUTYPE_LONGNAME:
            if info.size > _LONG_NAME_MAX:
                raise BrokenTarError(f"name of {info.size} bytes")
            return True
        return info.isreg() and info.size <= self._max_bytes

    def _member(self, info: tarfile.TarInfo, padded: int, wanted: bool) -> Iterator[Member]:
        body = bytes(self._buffer[BLOCK : BLOCK + info.size]) if wanted else b""
        if not has_body(info):
            padded = 0
        self._consume(min(BLOCK + padded, len(self._buffer)) if wanted else BLOCK)
        self._skip = 0 if wanted else padded
        if info.type == tarfile.GNUTYPE_LONGNAME:
            self._long_name = body.rstrip(b"\0").decode("utf-8", "replace")
            return
        if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            return
        name, self._long_name = self._long_name or info.name, None
        self._whole = self._position + self._skip
        if info.isdir():
            return
        start, self.offset = self.offset, self._whole
        status, detail = _fault(name, info, self._max_bytes)
        yield Member(name, start, self.offset, body, status, detail)

    def _consume(self, count: int) -> None:
        del self._buffer[:count]
        self._position += count


def has_body(info: tarfile.TarInfo) -> bool:
    """Whether bytes follow a header: links, devices and folders have none, whatever they state.

    Source: POSIX.1-2017, pax, ustar Interchange Format.
    """
    return not (info.issym() or info.islnk() or info.isdev() or info.isdir())


def _fault(name: str, info: tarfile.TarInfo, max_bytes: int) -> tuple[Status, str]:
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return Status.BAD_URL, "absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return Status.BAD_URL, "path with '..'"
    if info.issym() or info.islnk():
        return Status.NOT_IMAGE, "link"
    if not info.isreg():
        return Status.NOT_IMAGE, "no plain file"
    if info.size > max_bytes:
        return Status.TOO_LARGE, f"{info.size} bytes"
    return Status.OK, ""


_NAME_MAX = 4096  # PATH_MAX on Linux
_RECORDS_MAX = 2**20

Reader = Callable[[int, int], bytes]
"""`read(position, size)`: the bytes there, fewer at the end. Positions only grow."""


@dataclass(frozen=True, slots=True)
class TarEntry:
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


def tar_entries(read: Reader, start: int = 0, end: int | None = None) -> Iterator[TarEntry]:
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
                yield TarEntry(given.name or info.name, body, size)
            given = _Given()


@contextmanager
def open_tar(path: Path) -> Iterator[tuple[Reader, int]]:
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
