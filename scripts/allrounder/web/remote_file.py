"""Reads a large file of this machine or of the web forwards, with flat memory.

On the web it is one request; after a break, one more for the rest.
"""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from allrounder.core.errors import DataError
from allrounder.core.tarreader import BLOCK, Reader, open_tar
from allrounder.core.urls import is_url
from allrounder.web.lists import ListClient, content_length, content_range

_CHUNK = 2**16
"""Bytes read at once; of a piece that breaks off, nothing counts."""


@contextmanager
def open_shard(shard: str, web: ListClient, what: str) -> Iterator[tuple[Reader, int | None, str]]:
    """A reader of a shard, its size in bytes or None, and its ETag or ''.

    Raises DataError that starts with `what` when it cannot be opened or read.
    """
    if is_url(shard):
        with ExitStack() as stack:
            reader = _WebReader(shard, web, what, stack)
            yield reader.read, reader.size, reader.etag
        return
    try:
        with open_tar(Path(shard)) as (read, size):
            yield read, size, ""
    except OSError as error:
        raise DataError(f"{what}: {shard}: {error.strerror}") from None


def shard_etag(shard: str, web: ListClient, what: str) -> str:
    """A shard's ETag or '', from its first bytes; DataError when the server gives no parts."""
    ranges = {"Range": f"bytes=0-{BLOCK - 1}", "Accept-Encoding": "identity"}
    with web.stream(shard, what, ranges, expect=(200, 206)) as response:
        if response.status_code != 206:
            raise DataError(f"{what}: {shard}: its server gives whole files only (no ranges)")
        return response.headers.get("ETag", "")


class _WebReader:
    """Reads one file of the web forwards, whatever breaks in between."""

    def __init__(self, url: str, web: ListClient, what: str, stack: ExitStack):
        self._url, self._web, self._what, self._stack = url, web, what, stack
        self._position, self._rest = 0, b""  # of what has come and was not asked for yet
        self._breaks = 0
        self.size: int | None = None
        self.etag = ""
        self._chunks = self._open()

    def read(self, position: int, size: int) -> bytes:
        """The bytes there, fewer at the end; what lies before is passed over."""
        taken = bytearray()
        while len(taken) < size:
            passed = min(position + len(taken) - self._position, len(self._rest))
            piece = self._rest[passed : passed + size - len(taken)]
            taken += piece
            self._position += passed + len(piece)
            self._rest = self._rest[passed + len(piece) :]
            if not self._rest and len(taken) < size and not self._more():
                break
        return bytes(taken)

    def _more(self) -> bool:
        """Wait for the next piece; False at the end. Raises DataError when it breaks too often."""
        while True:
            with contextlib.suppress(requests.RequestException):
                self._rest = next(self._chunks, b"")
                self._breaks *= not self._rest  # counted anew when it goes on
                # A server may give less than asked for (RFC 9110, section 15.3.7).
                if self._rest or self.size in (None, self._position):
                    return bool(self._rest)
            self._breaks += 1
            if self._breaks >= self._web.tries:
                words = f"breaks off at byte {self._position} again and again"
                raise DataError(f"{self._what}: {self._url}: {words}")
            self._chunks = self._open()

    def _open(self) -> Iterator[bytes]:
        """Ask for the file from the present position on."""
        self._stack.close()
        headers = {"Accept-Encoding": "identity"}
        if self._position:
            headers["Range"] = f"bytes={self._position}-"
        asked = self._web.stream(self._url, self._what, headers, expect=(200, 206))
        response = self._stack.enter_context(asked)
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise DataError(f"{self._what}: {self._url}: comes compressed ({encoding})")
        if not self._position:
            self.size = content_length(response.headers)
            self.etag = response.headers.get("ETag", "")
        elif response.headers.get("ETag", self.etag) != self.etag or not self._goes_on(
            content_range(response.headers)
        ):
            raise DataError(f"{self._what}: {self._url}: another file after a break than before")
        return response.iter_content(_CHUNK)

    def _goes_on(self, place: tuple[int, int | None] | None) -> bool:
        """Whether a partial answer is of the rest of the same file."""
        if place is None or place[0] != self._position:
            return False
        return self.size is None or place[1] in (None, self.size)
