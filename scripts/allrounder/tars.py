"""Writes and indexes the class archives between stages: plain tars with fixed metadata.

The same photos give the same bytes. Not for archives of the web: that is tarstream.py.
"""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from allrounder.errors import DataError
from allrounder.outcomes import Stored

_CHUNK = 2**20


class TarWriter:
    """Appends photos to a tar, in the order given."""

    def __init__(self, path: Path):
        self._path = path
        self._file = path.open("wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add(self, name: str, body: bytes) -> Stored:
        """Append a photo's bytes; returns where they lie."""
        offset = self._tar.offset + tarfile.BLOCKSIZE
        self._tar.addfile(_info(name, len(body)), io.BytesIO(body))
        return Stored(self._path, offset, len(body))

    def copy(self, name: str, stored: Stored) -> None:
        """Append a photo from where it lies. Raises DataError when it is not there whole."""
        with stored.path.open("rb") as source:
            source.seek(stored.offset)
            try:
                self._tar.addfile(_info(name, stored.size), source)
            except OSError as error:
                if error.errno:
                    raise
                raise DataError(f"{stored.path}: cut off at {stored.offset} bytes") from None

    def close(self) -> None:
        """Write the end marks and close the file."""
        self._tar.close()
        self._file.close()


@contextmanager
def replaced_tar(path: Path) -> Iterator[TarWriter]:
    """A writer of a tar that takes `path`'s place only when it was written whole."""
    part = path.with_name(path.name + ".part")
    writer = TarWriter(part)
    try:
        yield writer
    finally:
        writer.close()
    part.replace(path)


def members(path: Path) -> Iterator[tuple[str, Stored]]:
    """Yield each member's name and place. Raises DataError for a broken archive."""
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                yield info.name, Stored(path, info.offset_data, info.size)
    except tarfile.TarError as error:
        raise DataError(f"{path}: broken ({error}); build the stage before this again") from None


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info
