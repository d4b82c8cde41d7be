"""Writes and indexes the class archives between stages: plain tars with fixed metadata.

The same photos give the same bytes.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tarfile import BLOCKSIZE, RECORDSIZE

from allrounder.core.errors import DataError
from allrounder.core.files import part_of


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """The place of a photo's bytes in a file."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The bytes; fewer if the file was cut off."""
        with self.path.open("rb", buffering=0) as file:
            return self.read_from(file)

    def read_from(self, file: FileIO) -> bytes:
        """The same from the file, which is open."""
        file.seek(self.offset)
        return file.read(min(self.size, os.fstat(file.fileno()).st_size))


class TarWriter:
    """Appends photos to a tar, in the order given."""

    def __init__(self, path: Path):
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._source: FileIO | None = None  # what the last photo was copied from
        self._size = 0

    def add(self, name: str, body: bytes) -> StoredBytes:
        """Append a photo's bytes; returns their place."""
        return self._append(name, [body])

    def copy(
        self, name: str, stored: StoredBytes, ranges: Sequence[tuple[int, int]] | None = None
    ) -> None:
        """Append a photo from another file, or only these ranges: (first byte, one past the last).

        Raises DataError when the photo is incomplete.
        """
        body = stored.read_from(self._opened(stored.path))
        if len(body) < stored.size:
            raise DataError(f"{stored.path}: cut off at {stored.offset} bytes")
        view = memoryview(body)  # a slice of it copies nothing
        ranges = [(0, len(body))] if ranges is None else ranges
        self._append(name, [view[first:end] for first, end in ranges])

    def _append(self, name: str, parts: Sequence[bytes | memoryview]) -> StoredBytes:
        size = sum(map(len, parts))
        stored = StoredBytes(self._path, self._size + BLOCKSIZE, size)
        self._write(b"".join((tar_header(name, size), *parts, bytes(-size % BLOCKSIZE))))
        return stored

    def close(self) -> None:
        """Write the end marks and close the file."""
        if self._source:
            self._source.close()
        if not self._file.closed:
            self._write(bytes(-(self._size + 2 * BLOCKSIZE) % RECORDSIZE + 2 * BLOCKSIZE))
            self._file.close()

    def _opened(self, path: Path) -> FileIO:
        """A file to copy photos from; the next ones are usually in the same file."""
        if not self._source or self._source.name != str(path):
            if self._source:
                self._source.close()
            self._source = path.open("rb", buffering=0)
        return self._source

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            self._size += written
            view = view[written:]


@contextmanager
def atomic_tar(path: Path) -> Iterator[TarWriter]:
    """A writer of a tar that replaces `path` when it is complete."""
    part = part_of(path)
    writer = TarWriter(part)
    try:
        yield writer
    finally:
        writer.close()
    part.replace(path)


def tar_members(path: Path) -> Iterator[tuple[str, StoredBytes]]:
    """Yield each member's name and place. Raises DataError for a broken archive.

    For archives of TarWriter only: one header a member, so it is much faster than tarfile.
    """
    with path.open("rb", buffering=0) as file:
        at, length = 0, file.seek(0, os.SEEK_END)
        while True:
            file.seek(at)
            header = file.read(BLOCKSIZE)
            if header == bytes(BLOCKSIZE):
                return
            name, size = _own_header(header) or _any_header(path, header)
            stored = StoredBytes(path, at + BLOCKSIZE, size)
            at += BLOCKSIZE + size + -size % BLOCKSIZE
            if at > length:
                raise _broken(path, "cut off")
            yield name, stored


def _own_header(header: bytes) -> tuple[str, int] | None:
    """The name and size in a header of TarWriter's; None for any other header.

    Only the name, the size and the checksum differ between such headers.
    """
    name, size, checksum = header[:100], header[124:136], header[148:156]
    if _constant(header) != _CONSTANT:
        return None
    if checksum != b"%06o\0 " % (_CONSTANT_SUM + sum(name) + sum(size)):
        return None
    try:
        return name.rstrip(b"\0").decode("utf-8"), int(size[:11], 8)
    except ValueError:
        return None


def _constant(header: bytes) -> bytes:
    return header[100:124] + header[136:148] + header[156:]


def _any_header(path: Path, header: bytes) -> tuple[str, int]:
    """The same for any header of a file. Raises DataError."""
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise _broken(path, str(error)) from None
    if not info.isreg():
        raise _broken(path, f"{info.name} is not a file")
    return info.name, info.size


def _broken(path: Path, words: str) -> DataError:
    again = "rm -rf .allrounder/*/classes, and build the stage before this again"
    return DataError(f"{path}: broken ({words}); {again}")


def tar_header(name: str, size: int) -> bytes:
    """A member's header, which depends on its name and size only.

    Raises ValueError for a name that a USTAR header cannot hold. Source: POSIX.1-1988 (USTAR).
    """
    encoded, length = name.encode().ljust(100, b"\0"), b"%011o\0" % size
    if len(encoded) > 100 or len(length) > 12:
        return _tarfile_header(name, size)
    checksum = b"%06o\0 " % (_CONSTANT_SUM + sum(encoded) + sum(length))
    parts = encoded, _CONSTANT[:24], length, _CONSTANT[24:36], checksum, _CONSTANT[36:]
    return b"".join(parts)


def _tarfile_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info.tobuf(tarfile.USTAR_FORMAT)


_CONSTANT = _constant(_tarfile_header("", 0))
_CONSTANT_SUM = sum(_CONSTANT) + sum(b" " * 8)  # the checksum itself counts as spaces
