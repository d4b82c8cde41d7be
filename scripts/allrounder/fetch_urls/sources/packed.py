"""Opens a list from a path or URL as one binary file, and unpacks .gz, .tgz and .zip."""

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, cast

from allrounder.core.errors import DataError
from allrounder.web.cache import local_or_cached_list
from allrounder.web.lists import ListClient

_BUFFER = 2**20
BROKEN = (
    OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip
"""What reading a broken or cut-off packed file may raise."""


@contextmanager
def open_list(location: str, web: ListClient, what: str, sha256: str = "") -> Iterator[IO[bytes]]:
    """Open a list as a binary file, unpacked if its name ends in .gz, .tgz or .zip.

    A list from the web is kept in the cache. Raises DataError that starts with `what` when it
    cannot be opened, differs from `sha256` or is broken, also while the caller reads it.
    """
    path = local_or_cached_list(location, web, what, sha256)
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
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
        tar = stack.enter_context(tarfile.open(fileobj=raw, mode="r:gz"))  # noqa: SIM115
        member = next((member for member in tar if member.isfile()), None)
        if member is None:
            raise EOFError("no file in the archive")
        return io.BufferedReader(cast(io.RawIOBase, tar.extractfile(member)), _BUFFER)
    if name.endswith(".gz"):
        return cast(IO[bytes], io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER))
    if name.endswith(".zip"):
        return _unzipped(raw, stack)
    return raw


def _unzipped(raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(raw))
        first = next((info for info in archive.infolist() if not info.is_dir()), None)
        if first is None:
            raise EOFError("no file in the archive")
        return stack.enter_context(archive.open(first))
    except RuntimeError as error:  # encrypted, or an unknown compression
        raise zipfile.BadZipFile(str(error)) from None
