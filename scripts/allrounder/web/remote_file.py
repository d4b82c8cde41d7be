"""Reads a large local or remote file forwards, with flat memory.

A remote file takes one request, and after a break one more for the rest.
"""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from allrounder.core.errors import DataError
from allrounder.core.tarreader import BLOCK, Reader, open_tar
from allrounder.core.urls import is_url
from allrounder.web.lists import BrokenBodyError, ListClient, content_length, content_range
from allrounder.web.policy import Pace


@contextmanager
def open_shard(shard: str, web: ListClient, what: str) -> Iterator[tuple[Reader, int | None, str]]:
    """Yield a reader of a shard, its size in bytes or None, and its ETag or ''.

    Raises DataError that starts with `what` when it cannot be opened or read.
    """
    if is_url(shard):
        with ExitStack() as stack:
            reader = _RemoteReader(shard, web, what, stack)
            yield reader.read, reader.size, reader.etag
        return
    try:
        with open_tar(Path(shard)) as (read, size):
            yield read, size, ""
    except OSError as error:
        raise DataError(f"{what}: {shard}: {error.strerror}") from None


def shard_etag(shard: str, web: ListClient, what: str) -> str:
    """A shard's ETag or ''. Raises DataError when its server supports no ranges."""
    ranges = {"Range": f"bytes=0-{BLOCK - 1}", "Accept-Encoding": "identity"}
    with web.stream(shard, what, ranges, expect=(200, 206)) as reply:
        if reply.code != 206:
            raise DataError(f"{what}: {shard}: its server gives whole files only (no ranges)")
        return reply.headers.get("etag", "")


class _RemoteReader:
    """Reads one remote file forwards and resumes it after breaks."""

    def __init__(self, url: str, web: ListClient, what: str, stack: ExitStack):
        self._url, self._web, self._what, self._stack = url, web, what, stack
        self._position, self._rest = 0, b""  # `_rest` was received and not yet read
        self._breaks, self._pace = 0, Pace(web.clock)
        self.size: int | None = None
        self.etag = ""
        self._chunks = self._open()

    def read(self, position: int, size: int) -> bytes:
        """Return `size` bytes from `position` on, fewer at the end; bytes before are skipped."""
        taken = bytearray()
        while len(taken) < size:
            skipped = min(position + len(taken) - self._position, len(self._rest))
            piece = self._rest[skipped : skipped + size - len(taken)]
            taken += piece
            self._position += skipped + len(piece)
            self._rest = self._rest[skipped + len(piece) :]
            if not self._rest and len(taken) < size and not self._receive():
                break
        return bytes(taken)

    def _receive(self) -> bool:
        """Wait for the next chunk; False at the end. Raises DataError after too many breaks."""
        self._pace.check(self._position, f"{self._what}: {self._url}")
        while True:
            with contextlib.suppress(BrokenBodyError):
                self._rest = next(self._chunks, b"")
                self._breaks *= not self._rest  # progress sets the count back
                # A server may give less than requested (RFC 9110, section 15.3.7).
                if self._rest or self.size in (None, self._position):
                    return bool(self._rest)
            self._breaks += 1
            if self._web.policy.is_last_try(self._breaks):
                words = f"breaks off at byte {self._position} again and again"
                raise DataError(f"{self._what}: {self._url}: {words}")
            self._web.pause(self._breaks)
            self._chunks = self._open()

    def _open(self) -> Iterator[bytes]:
        """Ask for the file from the present position on."""
        self._stack.close()
        headers = {"Accept-Encoding": "identity"}
        if self._position:
            headers["Range"] = f"bytes={self._position}-"
        stream = self._web.stream(self._url, self._what, headers, expect=(200, 206))
        reply = self._stack.enter_context(stream)
        encoding = reply.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise DataError(f"{self._what}: {self._url}: comes compressed ({encoding})")
        if not self._position:
            self.size = content_length(reply.headers)
            self.etag = reply.headers.get("etag", "")
        elif reply.headers.get("etag", self.etag) != self.etag or not self._continues(
            content_range(reply.headers)
        ):
            raise DataError(f"{self._what}: {self._url}: another file after a break than before")
        return reply.chunks

    def _continues(self, place: tuple[int, int | None] | None) -> bool:
        """Whether a partial reply is of the rest of the same file."""
        if place is None or place[0] != self._position:
            return False
        return self.size is None or place[1] in (None, self.size)
