"""Takes a tar apart while it streams in, piece by piece, with flat memory; push, not pull.

Plain tars only, and nothing is ever unpacked to a path. Not for writing tars: that is tars.py.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from allrounder.records import Status

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
