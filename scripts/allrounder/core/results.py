"""The result of one URL while the download runs: its status, and where its bytes are.

A row of data/raw (`rows.RawRow`) differs: only the quota decides, in rank order, whether a good
photo is `ok`, `duplicate` or `unused`.
"""

import hashlib
from dataclasses import dataclass

from allrounder.core.photos import Verdict
from allrounder.core.rows import Status
from allrounder.core.tars import StoredBytes

TRANSIENT_CODES = frozenset({408, 425, 429, *range(500, 600)})
"""HTTP codes of faults that may pass (RFC 9110, 15.5.9 and 15.6; RFC 6585; RFC 8470)."""

NO_ACCESS = "the dataset asks for a token"
"""How a detail ends when the user's own rights were the fault: another run may have them."""
_LOGIN_ASKED = 401
"""Also the user's to mend: ~/.netrc may have the login by then."""

_MAY_PASS = {Status.TIMEOUT, Status.CONNECTION_ERROR, Status.TRUNCATED, Status.BLOCKED}


@dataclass(frozen=True, slots=True)
class Result:
    """The fate of one URL; `suffix`, `sha256` and `stored` only when it is a good photo."""

    status: Status
    detail: str = ""
    final_url: str = ""
    bytes: int | None = None
    sha256: str = ""
    suffix: str = ""
    stored: StoredBytes | None = None


def is_transient(status: Status, detail: str) -> bool:
    """Whether a later run may fare better with this URL, so that it is worth another try."""
    if status is Status.HTTP_ERROR:
        passing = detail.isdigit() and int(detail) in (_LOGIN_ASKED, *TRANSIENT_CODES)
        return passing or detail.endswith(NO_ACCESS)
    return status in _MAY_PASS


def result_of_body(
    verdict: Verdict, body: bytes, final_url: str, stored: StoredBytes | None, size: int | None
) -> Result:
    """The outcome of a photo's bytes; the hash and the place only of a good one."""
    good = verdict.status is Status.OK
    return Result(
        verdict.status,
        verdict.detail,
        final_url,
        len(body) if body else size,
        hashlib.sha256(body).hexdigest() if good else "",
        verdict.suffix,
        stored if good else None,
    )
