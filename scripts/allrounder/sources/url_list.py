"""Source `url-list`: a list as ImageNet published it in Fall 2011, `<wnid>_<n><tab><url>` a line.

Read in one pass for all classes, never whole in memory: the real one has 14 million lines. From
the web it is kept in the cache (webcache.py).
"""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from allrounder import webcache
from allrounder.errors import DataError
from allrounder.records import Candidate
from allrounder.sourceparams import UrlListSource
from allrounder.urltext import url_text
from allrounder.web import Web

_BUFFER = 2**20
_BROKEN = (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile)


def candidates(
    source: UrlListSource, wnids: Sequence[str], web: Web
) -> Iterator[tuple[str, Candidate]]:
    """Yield the lines of the classes, in the list's order.

    Raises DataError when the list cannot be opened, is another than `sha256` pins, is cut off or
    holds no line of its form.
    """
    what = f"source url-list {source.location}"
    wanted = {wnid.encode(): wnid for wnid in wnids}
    path = webcache.listing(source.location, web, what, source.sha256)
    with _opened(path, source.location, what) as file:
        lines = _checked(file, what)
        for line in lines:
            # Nearly every line is of another class: look at its first bytes only.
            if (wnid := wanted.get(line[:9])) is not None:
                image_id, _, url = line.partition(b"\t")
                if image_id[9:10] == b"_" and url.strip():
                    yield wnid, Candidate(url_text(image_id), url_text(url))


def _checked(lines: Iterable[bytes], what: str) -> Iterator[bytes]:
    """The same lines; DataError for a break in them, or for a first line of another form."""
    try:
        iterator = iter(lines)
        first = next(iterator, b"")
        if b"\t" not in first:
            form = "'<wnid>_<n><tab><url>'"
            raise DataError(f"{what}: no list of lines {form}; it starts with {first[:60]!r}")
        yield first
        yield from iterator
    except _BROKEN as error:
        raise DataError(f"{what}: broken or cut off: {error}") from None


@contextmanager
def _opened(path: Path, location: str, what: str) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise DataError(f"{what}: {error.strerror}; correct its location") from None
        try:
            yield _unpacked(location, raw, stack)
        except _BROKEN as error:
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
        archive = stack.enter_context(zipfile.ZipFile(raw))
        first = next((info for info in archive.infolist() if not info.is_dir()), None)
        if first is None:
            raise EOFError("no file in the archive")
        return stack.enter_context(archive.open(first))
    return raw
