"""Downloads one archive of photos as a stream, and resumes it after a break."""

import re
from collections.abc import Callable, Collection
from pathlib import Path

from allrounder.core.names import url_id
from allrounder.core.photos import Bounds, Verdict
from allrounder.core.results import TRANSIENT_CODES
from allrounder.core.rows import Candidate, Status
from allrounder.core.tarstream import BrokenTarError, Member, TarParser
from allrounder.core.urls import parse_slice
from allrounder.web.decisions import WRONG_RANGE, Decision, decide, transport_failure
from allrounder.web.transfer import Reply

REST, END = "the rest", "the end"
"""How the detail of an archive's own row starts: there is more, or it was read to its end."""
_CHUNK = 2**20
_BYTE = re.compile(r"\bbyte (\d+)$")


def at_byte(words: str, offset: int) -> str:
    """A detail that ends with a place in an archive, so that a later run can go on there."""
    return f"{words}; byte {offset}" if words else f"byte {offset}"


def byte_of(detail: str) -> int | None:
    """The place that a detail ends with, or None."""
    found = _BYTE.search(detail)
    return int(found[1]) if found else None


class ArchiveDownload:
    """An archive on its way: each member goes to `take`, which says whether more are wanted."""

    def __init__(self, take: Callable[[Member], bool], max_bytes: int, offset: int = 0):
        self._take, self._max_bytes = take, max_bytes
        self._parser = TarParser(max_bytes, offset)
        self._before = offset  # of the last try
        self.ranges = True  # whether the server's partial answers can be trusted
        self._asked_from = offset
        self._to_pass = 0  # bytes that a server without ranges sends again
        self.received = 0  # bytes of this try
        self._etags: list[bytes] = []  # of the first answer
        self._broken = ""
        self._enough = False

    @property
    def ask_from(self) -> int:
        """The byte to ask the server for: where the next member starts, if it can do that."""
        return self.offset if self.ranges else 0

    @property
    def offset(self) -> int:
        """Where the next member starts."""
        return self._parser.offset

    def begin(self) -> None:
        """Be ready for a (new) request from `offset` on."""
        self._parser = TarParser(self._max_bytes, self.offset)
        self._asked_from = self.ask_from
        self._to_pass, self.received = self.offset, 0

    def progressed(self) -> bool:
        """Whether members came since this was asked last."""
        before, self._before = self._before, self.offset
        return self.offset > before

    def sink(self, reply: Reply, chunk: bytes) -> bool:
        """Take a piece of a body; False when no more is wanted."""
        if reply.code not in (200, 206):
            return False
        if reply.code == 206 and not self._is_range_asked_for(reply):
            self.ranges = False
            return False
        etags = reply.headers.get(b"etag", [])
        self._etags = self._etags or etags
        if etags != self._etags and etags:
            self._broken = "another archive than before the break"
            return False
        if reply.code == 200 and self._to_pass:
            passed = min(self._to_pass, len(chunk))
            self._to_pass -= passed
            chunk = chunk[passed:]
        return self.feed(chunk)

    def _is_range_asked_for(self, reply: Reply) -> bool:
        """Whether a partial answer starts where it should (RFC 9110, section 14.4)."""
        start = b"bytes %d-" % self._asked_from
        return any(value.startswith(start) for value in reply.headers.get(b"content-range", ()))

    def feed(self, chunk: bytes) -> bool:
        """Parse a piece of the archive; False when no more is wanted."""
        self.received += len(chunk)
        try:
            for member in self._parser.feed(chunk):
                if not self._take(member):
                    self._enough = True
                    return False
        except BrokenTarError as error:
            self._broken = str(error)
            return False
        return not self._parser.ended

    def read(self, path: Path) -> None:
        """Feed an archive of this machine, as far as it is wanted. Raises OSError."""
        with path.open("rb") as file:
            while (chunk := file.read(_CHUNK)) and self.feed(chunk):
                pass

    def fate(self, reply: Reply, asked: list[str], bounds: Bounds) -> Decision:
        """Decide on how a request ended."""
        if reply.code in (200, 206) and (self._enough or self._parser.ended or self._broken):
            return Decision(self.verdict())
        if reply.code == 206 and not self.ranges:
            words = at_byte(WRONG_RANGE, self.offset)
            return Decision(Verdict(Status.TRUNCATED, words), try_again=self._asked_from > 0)
        if reply.code == 416 and self.offset:
            return Decision(Verdict(Status.UNUSED, at_byte(END, self.offset)))
        if reply.stopped:
            reply.error = 0  # the body of an answer that is no archive was not wanted
        if failed := transport_failure(reply, bounds):
            words = failed.verdict.detail or str(failed.verdict.status)
            return Decision(
                Verdict(failed.verdict.status, at_byte(words, self.offset)), failed.try_again
            )
        if reply.code in (200, 206):
            return Decision(self.verdict())
        if reply.code in TRANSIENT_CODES or 300 <= reply.code < 400:
            return decide(reply, asked, bounds, honour_opt_out=False)
        return Decision(Verdict(Status.HTTP_ERROR, str(reply.code)))

    def verdict(self) -> Verdict:
        """What is to be said of the archive itself when all of it that is wanted was fed."""
        if self._broken:
            return Verdict(Status.TRUNCATED, at_byte(self._broken, self.offset))
        if self._enough:
            return Verdict(Status.UNUSED, at_byte(REST, self.offset))
        if not self.received and not self.offset and not self._parser.ended:
            return Verdict(Status.EMPTY)
        if self._parser.ended or self._parser.at_boundary:
            return Verdict(Status.UNUSED, at_byte(END, self.offset))
        return Verdict(Status.TRUNCATED, at_byte("archive cut off", self.offset))


def member_candidate(archive: Candidate, name: str, offset: int) -> Candidate:
    """The candidate that a member of an archive is: `<archive's URL>#<member's name>`."""
    plain = "".join(c if c.isprintable() else "?" for c in name)
    url = f"{archive.url}#{plain}"
    if parse_slice(url):
        url += "?"  # it is no slice, whatever it is called
    stem = plain.rpartition("/")[2].rpartition(".")[0]
    return Candidate(stem or url_id(archive.image_id, at_byte(url, offset)), url)


def new_member(archive: Candidate, member: Member, seen: Collection[str]) -> Candidate:
    """The candidate that a member is, with a URL that is none of those seen before."""
    candidate = member_candidate(archive, member.name, member.offset)
    if candidate.url in seen:
        candidate = member_candidate(archive, f"{member.name}@{member.offset}", member.offset)
    return candidate
