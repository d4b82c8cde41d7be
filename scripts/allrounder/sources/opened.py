"""Opens a list wherever it is: a path or a URL, plain or packed; as one binary file.

Not for what stands in it: that is each source's own.
"""

import gzip
import io
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from allrounder.errors import DataError
from allrounder.web import Web

_BUFFER = 2**20
BROKEN = (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile)
"""What reading a packed file may raise that is broken or cut off."""


@contextmanager
def opened(location: str, web: Web, what: str) -> Iterator[IO[bytes]]:
    """A binary file to read a list from; what is packed (.gz, .tgz, .zip) is unpacked.

    Raises DataError that starts with `what` when it cannot be opened or is broken, also while
    the caller reads it.
    """
    with ExitStack() as stack:
        if location.startswith(("http://", "https://")):
            response = stack.enter_context(web.stream(location, what))
            raw = cast(IO[bytes], io.BufferedReader(_Body(response.iter_content(_BUFFER)), _BUFFER))
        else:
            try:
                raw = stack.enter_context(Path(location).open("rb"))
            except OSError as error:
                raise DataError(f"{what}: {error.strerror}; correct its location") from None
        try:
            yield _unpacked(location, raw, stack)
        except BROKEN as error:
            raise DataError(f"{what}: broken or cut off: {error}") from None


def _unpacked(location: str, raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """The text inside, by the ending of the location's path."""
    name = location.partition("?")[0].lower()
    if name.endswith((".tgz", ".tar.gz")):
        tar = stack.enter_context(tarfile.open(fileobj=raw, mode="r|gz", bufsize=_BUFFER))  # noqa: SIM115
        member = next((member for member in tar if member.isfile()), None)
        if member is None:
            raise EOFError("no file in the archive")
        return io.BufferedReader(cast(io.RawIOBase, tar.extractfile(member)), _BUFFER)
    if name.endswith(".gz"):
        return cast(IO[bytes], io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER))
    if name.endswith(".zip"):
        # A zip's directory stands at its end, so one from the web is put on disk first.
        spooled = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        while chunk := raw.read(_BUFFER):
            spooled.write(chunk)
        archive = stack.enter_context(zipfile.ZipFile(spooled))
        first = next((info for info in archive.infolist() if not info.is_dir()), None)
        if first is None:
            raise EOFError("no file in the archive")
        return stack.enter_context(archive.open(first))
    return raw


class _Body(io.RawIOBase):
    """A web answer's chunks as a raw file."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
