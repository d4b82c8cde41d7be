"""Downloads one archive of photos as a stream, and resumes it after a break."""

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from allrounder.core.candidates import url_id
from allrounder.core.photos import Bounds
from allrounder.core.rows import TRANSIENT_CODES, Candidate, Result, Status
from allrounder.core.tarreader import BrokenTarError, Member, TarParser
from allrounder.core.text import printable
from allrounder.core.urls import parse_byte_range
from allrounder.web.decisions import (
    WRONG_RANGE,
    Decision,
    decide,
    header_opt_out,
    http_error,
    transport_failure,
)
from allrounder.web.policy import Pace
from allrounder.web.transfer import Reply

_CHUNK = 2**20
MAX_ARCHIVE = 2**35
"""Bytes of an archive that are read at most."""
MAX_MEMBERS = 1_000_000


class ArchiveDownload:
    """The state of one archive. Each member goes to `take`, which returns whether to go on."""

    def __init__(
        self,
        take: Callable[[Member], bool],
        bounds: Bounds,
        offset: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.received = 0  # bytes of this try
        self._refusal: Result | None = None  # by its headers
        self._clock, self._pace = clock, Pace(clock)
        self._started = False
        self._total = self._members = 0  # of all tries
        self.broken = ""  # why this is no tar, or no longer the same one
        self._take, self._bounds = take, bounds
        self._parser = TarParser(bounds.max_bytes, offset)
        self._before = offset  # of the last try
        self._ranges = True  # whether the server's partial replies can be trusted
        self._requested_from = offset
        self._to_skip = 0  # bytes that a server without ranges sends again
        self._etags: list[bytes] = []  # of the first reply
        self._enough = False

    @property
    def offset(self) -> int:
        """Where the next member starts."""
        return self._parser.offset

    @property
    def request_from(self) -> int:
        """The first byte to request: of the next member, if the server can do that."""
        return self.offset if self._ranges else 0

    def begin(self) -> None:
        """Prepare for a (new) request from `request_from` on."""
        if not self._started:  # it may have waited long for its host
            self._started, self._pace = True, Pace(self._clock)
        self._parser = TarParser(self._bounds.max_bytes, self.offset)
        self._requested_from = self.request_from
        self._to_skip, self.received = self.offset, 0

    def progressed(self) -> bool:
        """Whether members arrived since the last call."""
        before, self._before = self._before, self.offset
        return self.offset > before

    def sink(self, reply: Reply, chunk: bytes) -> bool:
        """Take a piece of a body; returns False when no more is wanted."""
        if reply.code not in (200, 206):
            return False
        if reply.code == 206 and not self._is_requested_range(reply):
            self._ranges = False
            return False
        if self._bounds.honour_opt_out and (refusal := header_opt_out(reply.headers)):
            self._refusal = refusal
            return False
        etags = reply.headers.get(b"etag", [])
        self._etags = self._etags or etags
        if etags != self._etags and etags:
            self.broken = "another archive than before the break"
            return False
        self._total += len(chunk)
        if self._pace.is_too_slow(self._total):
            self.broken = "too slow"
            return False
        if reply.code == 200 and self._to_skip:
            skipped = min(self._to_skip, len(chunk))
            self._to_skip -= skipped
            chunk = chunk[skipped:]
        return self.feed(chunk)

    def _is_requested_range(self, reply: Reply) -> bool:
        """Whether a partial reply starts at the requested byte (RFC 9110, section 14.4)."""
        start = b"bytes %d-" % self._requested_from
        return any(value.startswith(start) for value in reply.headers.get(b"content-range", ()))

    def feed(self, chunk: bytes) -> bool:
        """Parse a piece of the archive; returns False when no more is wanted."""
        self.received += len(chunk)
        try:
            for member in self._parser.feed(chunk):
                self._members += 1
                if not self._take(member):
                    self._enough = True
                    return False
        except BrokenTarError as error:
            self.broken = str(error)
            return False
        if max(self.received, self.offset) > MAX_ARCHIVE or self._members > MAX_MEMBERS:
            self.broken = f"more than {MAX_ARCHIVE:,} bytes or {MAX_MEMBERS:,} members"
            return False
        return not self._parser.ended

    def read(self, path: Path) -> None:
        """Feed a local archive, as far as it is wanted. Raises OSError."""
        with path.open("rb") as file:
            while (chunk := file.read(_CHUNK)) and self.feed(chunk):
                pass

    def decide(self, reply: Reply, requested: list[str], bounds: Bounds) -> Decision:
        """Decide on how a request for the archive ended."""
        if self._refusal:
            return Decision(self._refusal)
        if reply.code in (200, 206) and (self._enough or self._parser.ended or self.broken):
            return Decision(self.result())
        if reply.code == 206 and not self._ranges:
            return Decision(self.failed(WRONG_RANGE), retry=self._requested_from > 0)
        if reply.code == 416 and self.offset:
            return Decision(Result(Status.ARCHIVE))
        if reply.stopped:
            reply.error = 0  # the body of an error reply was not wanted
        if failure := transport_failure(reply, bounds):
            return replace(failure, result=replace(failure.result, resume_at=self.offset))
        if reply.code in (200, 206):
            return Decision(self.result())
        if reply.code in TRANSIENT_CODES or 300 <= reply.code < 400:
            return decide(reply, requested, bounds)
        return http_error(reply.code)

    def result(self) -> Result:
        """The archive's own result, when all of it that is wanted was fed."""
        if self.broken:
            return self.failed(self.broken)
        if self._enough:
            return rest_unread(self.offset)
        if not self.received and not self.offset and not self._parser.ended:
            return Result(Status.EMPTY)
        if self._parser.ended or self._parser.at_boundary:
            return Result(Status.ARCHIVE, "read to its end")
        return self.failed("archive cut off")

    def failed(self, detail: str) -> Result:
        """The result of an archive that ended too early or is broken."""
        return Result(Status.TRUNCATED, detail, resume_at=self.offset)


def rest_unread(offset: int) -> Result:
    """The result of an archive from which no more members were needed."""
    return Result(Status.ARCHIVE, "the rest was not needed", resume_at=offset)


def member_candidate(archive: Candidate, name: str, offset: int) -> Candidate:
    """The candidate of a member that starts at `offset`: `<archive's URL>#<member's name>`."""
    plain = printable(name)
    url = f"{archive.url}#{plain}"
    if parse_byte_range(url):
        url += "?"  # a member whose name reads like a slice
    stem = plain.rpartition("/")[2].rpartition(".")[0]
    return Candidate(stem or url_id(archive.image_id, f"{url}; byte {offset}"), url)


def new_member(archive: Candidate, member: Member, seen: Collection[str]) -> Candidate:
    """The candidate of a member, with a URL that is none of those seen before."""
    candidate = member_candidate(archive, member.name, member.offset)
    if candidate.url in seen:
        candidate = member_candidate(archive, f"{member.name}@{member.offset}", member.offset)
    return candidate
