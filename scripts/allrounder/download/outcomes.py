"""What became of one URL while the download runs: an `Outcome`, and where its bytes lie.

Not what is written in the end (records.RawRow): whether a good photo is `ok`, `duplicate` or
`unused` is known only in rank order (quota.py).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from allrounder.download.photo import Verdict
from allrounder.records import Status

TRANSIENT_CODES = frozenset({408, 425, 429, *range(500, 600)})
"""HTTP codes of faults that may pass (RFC 9110, 15.5.9 and 15.6; RFC 6585; RFC 8470)."""

NO_ACCESS = "the dataset asks for a token"
"""How a detail ends when the user's own rights were the fault: another run may have them."""
_LOGIN_ASKED = 401
"""Also the user's to mend: ~/.netrc may have the login by then."""

_MAY_PASS = {Status.TIMEOUT, Status.CONNECTION_ERROR, Status.TRUNCATED, Status.BLOCKED}


@dataclass(frozen=True, slots=True)
class Stored:
    """A stretch of a file that holds a photo's bytes."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The bytes; fewer when the file was cut."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The fate of one URL; `suffix`, `sha256` and `stored` only when it is a good photo."""

    status: Status
    detail: str = ""
    final_url: str = ""
    bytes: int | None = None
    sha256: str = ""
    suffix: str = ""
    stored: Stored | None = None


def may_pass(status: Status, detail: str) -> bool:
    """Whether a later run may fare better with this URL, so that it is worth another try."""
    if status is Status.HTTP_ERROR:
        passing = detail.isdigit() and int(detail) in (_LOGIN_ASKED, *TRANSIENT_CODES)
        return passing or detail.endswith(NO_ACCESS)
    return status in _MAY_PASS


def judged(
    verdict: Verdict, body: bytes, final_url: str, stored: Stored | None, size: int | None
) -> Outcome:
    """The outcome of a photo's bytes; the hash and the place only of a good one."""
    good = verdict.status is Status.OK
    return Outcome(
        verdict.status,
        verdict.detail,
        final_url,
        len(body) if body else size,
        hashlib.sha256(body).hexdigest() if good else "",
        verdict.suffix,
        stored if good else None,
    )
