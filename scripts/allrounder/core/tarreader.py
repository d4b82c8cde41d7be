"""Reads tars from others, streamed (`TarParser`) or by their headers only (`tar_entries`).

Both decode headers by the same class and never unpack a file to a path. Source of the format:
POSIX.1-2017, pax, and GNU tar's manual, section "Basic Tar Format".
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allrounder.core.rows import Status

BLOCK = tarfile.BLOCKSIZE
OVERSIZE = 64
"""A member that states more than this many times the size of the largest photo is an error."""
_NAME_MAX = 4096  # PATH_MAX on Linux
_RECORDS_MAX = 2**20
_EMPTY_MAX = 1_000
"""The most headers in a row without file content; more are an attack or hold no photos."""
_EXTENDED = 482  # the byte of an old GNU sparse header that announces another header block
_RECORDS = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTRA = (*_RECORDS, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class BrokenTarError(Exception):
    """The data is no tar from here on; the message is for people."""


class _HeaderDecoder:
    """Decodes one header after the other, with GNU long names and pax records (path, size)."""

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}  # by extra headers, for the next member
        self._empty = 0  # headers since the last file with a body

    def decode(self, block: bytes, at: int) -> tarfile.TarInfo | None:
        """Decode the header block at byte `at`; None for the end mark. Raises BrokenTarError.

        The body of an extra header with an `_extra_limit` must be given to `add` next.
        """
        if block == bytes(BLOCK):
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        except tarfile.HeaderError as error:
            raise BrokenTarError(f"broken header at byte {at} ({error})") from None
        if info.size < 0:
            raise BrokenTarError(f"a member of {info.size} bytes at byte {at}")
        info.offset_data = at + BLOCK
        if info.type in _EXTRA:
            if 0 < _extra_limit(info) < info.size:
                raise BrokenTarError(f"an extra header of {info.size} bytes at byte {at + BLOCK}")
        else:
            if info.type == tarfile.GNUTYPE_SPARSE:
                if block[_EXTENDED]:
                    raise _sparse_error(at)
                info.pax_headers = {"GNU.sparse": "old"}
            info.name = self._given.get("name") or info.name
            info.size = self._given.get("size", info.size)
            if self._given.get("sparse"):
                info.pax_headers = {"GNU.sparse": "pax"}
            self._given = {}
        self._empty = 0 if info.isreg() and info.size else self._empty + 1
        if self._empty > _EMPTY_MAX:
            raise BrokenTarError(f"{_EMPTY_MAX:,} headers without a file before byte {at}")
        return info

    def add(self, info: tarfile.TarInfo, body: bytes) -> None:
        """Take the body of an extra header. Raises BrokenTarError."""
        if info.type == tarfile.GNUTYPE_LONGNAME:
            self._given["name"] = body.partition(b"\0")[0].decode("utf-8", "replace")
        elif info.type in _RECORDS:
            self._given |= _pax_records(body)


def _extra_limit(info: tarfile.TarInfo) -> int:
    """Bytes of an extra header's body at most; 0: the body is not needed."""
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return _NAME_MAX + 1
    return _RECORDS_MAX if info.type in _RECORDS else 0


def _is_sparse(info: tarfile.TarInfo) -> bool:
    return "GNU.sparse" in info.pax_headers


def _end(info: tarfile.TarInfo) -> int:
    """Where the next header starts.

    Links, devices and folders have no body, whatever they state. Source: POSIX.1-2017, pax, ustar
    Interchange Format.
    """
    empty = info.issym() or info.islnk() or info.isdev() or info.isdir()
    return info.offset_data + (0 if empty else _padded(info.size))


def _pax_records(body: bytes) -> dict[str, Any]:
    """Decode pax records, `<length> <key>=<value>` and a newline each: name, size, sparse."""
    found: dict[str, Any] = {}
    at = 0
    while at < len(body) and body[at]:  # some writers fill up with zeros
        digits, _, _ = body[at : at + 10].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = body[at + len(digits) + 1 : at + length - 1].partition(b"=")
        if not equals or body[at + length - 1 : at + length] != b"\n":
            raise BrokenTarError("broken pax header")
        if key == b"path":
            if len(value) > _NAME_MAX:
                raise BrokenTarError(f"a name of {len(value)} bytes")
            found["name"] = value.decode("utf-8", "replace")
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise BrokenTarError(f"a member of {value[:20]!r} bytes")
            found["size"] = int(value)
        elif key.startswith(b"GNU.sparse."):
            found["sparse"] = True
        at += length
    return found


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _sparse_error(at: int) -> BrokenTarError:
    return BrokenTarError(f"a sparse file at byte {at}; pack it plainly")


# Streamed


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a streamed archive: its bytes, or the reason why it is refused."""

    name: str
    offset: int  # where its first header starts, or that of folders before it
    end: int  # where the next member's first header starts
    body: bytes = b""
    status: Status = Status.OK
    detail: str = ""

    @property
    def body_offset(self) -> int:
        """Where the body starts, in bytes from the archive's start."""
        return self.end - _padded(len(self.body))


class TarParser:
    """Parses an archive that arrives in pieces, from its start or any member's first header.

    `max_bytes` is the size of the largest photo: larger members are passed over unread.
    """

    def __init__(self, max_bytes: int, offset: int = 0):
        self.offset = offset  # where the next member's first header starts: resume from here
        self.ended = False
        self._whole = offset  # end of the last whole member or folder; folders move no `offset`
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._position = offset  # of the buffer's first byte
        self._skip_to = offset
        self._decoder = _HeaderDecoder()
        self._header: tarfile.TarInfo | None = None  # its body is awaited

    def feed(self, chunk: bytes) -> Iterator[Member]:
        """Yield the members that are complete by now. Raises BrokenTarError."""
        self._buffer += chunk
        while not self.ended:
            self._consume(min(self._skip_to - self._position, len(self._buffer)))
            if self._position < self._skip_to:
                return
            header = self._header or self._next_header()
            wanted = self._wanted(header) if header else 0
            if header is None or len(self._buffer) < _padded(wanted):
                return  # the header or its body has not arrived whole
            end = _end(header)
            self._header, self._skip_to = None, end
            body = bytes(self._buffer[:wanted])
            if header.type in _EXTRA:
                self._decoder.add(header, body)
                continue
            self._whole = end
            if not header.isdir():
                start, self.offset = self.offset, end
                status, detail = _fault(header, self._max_bytes)
                yield Member(header.name, start, end, body, status, detail)

    @property
    def at_boundary(self) -> bool:
        """Whether everything that was fed belongs to whole members."""
        return not self._buffer and self._position == self._whole

    def _next_header(self) -> tarfile.TarInfo | None:
        if len(self._buffer) < BLOCK:
            return None
        self._header = self._decoder.decode(bytes(self._buffer[:BLOCK]), self._position)
        self.ended = self._header is None
        self._consume(BLOCK)
        self._skip_to = self._position
        return self._header

    def _wanted(self, header: tarfile.TarInfo) -> int:
        """The bytes of a body that are needed. Raises BrokenTarError for an absurd size."""
        if header.size > OVERSIZE * self._max_bytes:
            at = header.offset_data - BLOCK
            raise BrokenTarError(f"a member of {header.size} bytes at byte {at}")
        if header.type in _EXTRA:
            return header.size if _extra_limit(header) else 0
        kept = header.isreg() and not _is_sparse(header) and header.size <= self._max_bytes
        return header.size if kept else 0

    def _consume(self, count: int) -> None:
        del self._buffer[:count]
        self._position += count


def _fault(info: tarfile.TarInfo, max_bytes: int) -> tuple[Status, str]:
    """The reason why a member is refused, or OK."""
    name = info.name
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return Status.BAD_URL, "absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return Status.BAD_URL, "path with '..'"
    if info.issym() or info.islnk():
        return Status.NOT_IMAGE, "link"
    if not info.isreg():
        return Status.NOT_IMAGE, "no plain file"
    if _is_sparse(info):
        return Status.NOT_IMAGE, "sparse file"
    if info.size > max_bytes:
        return Status.TOO_LARGE, f"{info.size} bytes"
    return Status.OK, ""


# By headers only

Reader = Callable[[int, int], bytes]
"""`read(position, size)`: the bytes there, fewer at the end. Positions only grow."""


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A plain file in a tar: its name, and its place in what `Reader` reads."""

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The byte after its last."""
        return self.offset + self.size


def tar_entries(read: Reader, start: int = 0, end: int | None = None) -> Iterator[TarEntry]:
    """Yield the plain files of the tar that lies from `start` to `end` (None: unknown).

    Links, folders and devices are passed over. Raises BrokenTarError for what is no tar, is cut
    off (a tar ends with a block of zeros), has a sparse file or states an impossible size.
    """
    at, decoder = start, _HeaderDecoder()
    while header := decoder.decode(_block(read, at, start, end), at):
        body, size = header.offset_data, header.size
        if end is not None and body + size > end and _end(header) > body:
            raise BrokenTarError(f"cut off: a member of {size} bytes at byte {at} goes beyond it")
        if _extra_limit(header):
            extra = read(body, size)
            if len(extra) < size:
                raise BrokenTarError(f"cut off at byte {body + len(extra)}")
            decoder.add(header, extra)
        elif _is_sparse(header):
            raise _sparse_error(at)
        elif header.isreg():
            yield TarEntry(header.name, body, size)
        at = _end(header)


@contextmanager
def open_tar(path: Path) -> Iterator[tuple[Reader, int]]:
    """Open a local tar: its reader, and its size in bytes. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):  # otherwise the system reads ahead after each header
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)

        def read(position: int, size: int) -> bytes:
            file.seek(position)
            return file.read(size)

        yield read, os.fstat(file.fileno()).st_size


def _block(read: Reader, at: int, start: int, end: int | None) -> bytes:
    """Read the header block at a byte. Raises BrokenTarError where there cannot be one."""
    room = BLOCK if end is None else min(BLOCK, max(0, end - at))
    block = read(at, room) if room else b""
    if at == start:
        _check_first(block)
    if len(block) < BLOCK:
        raise BrokenTarError(f"cut off before byte {at + BLOCK}: it has no end mark")
    return block


def _check_first(block: bytes) -> None:
    """Raise BrokenTarError for a first block that is the start of no tar."""
    if not block:
        raise BrokenTarError("empty")
    if block.startswith(b"\x1f\x8b"):
        raise BrokenTarError("gzip-compressed; unpack it with gunzip")
    if block.strip(b"\0") and not is_header(block):  # else the end mark, or a part of it
        raise BrokenTarError(f"no tar; it starts with {block[:40]!r}")


def is_header(block: bytes) -> bool:
    """Whether a block is a header of a tar."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError:
        return False
    return True
