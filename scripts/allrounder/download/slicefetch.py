"""Decides what the answer to a request for a slice of a file on the web leads to.

The rest of the file is never taken: a server that sends all of it is hung up on.
"""

import pycurl

from allrounder.download.archivefetch import WRONG_RANGE
from allrounder.download.exchange import Reply
from allrounder.download.fates import Fate, arrived, failure, fate
from allrounder.download.photo import Bounds, Verdict
from allrounder.records import Status
from allrounder.slices import Slice

NO_RANGES = "no ranges"
"""The server sent the whole file, as it may (RFC 9110, section 14.2)."""


def unasked(part: Slice, bounds: Bounds) -> Verdict | None:
    """What is to be said of a slice by its size alone, or None: then it is to be read."""
    if not part.size:
        return Verdict(Status.EMPTY)
    if part.size > bounds.max_bytes:
        return Verdict(Status.TOO_LARGE, f"more than {bounds.max_bytes} bytes")
    return None


def slice_fate(
    reply: Reply, asked: list[str], bounds: Bounds, honour_opt_out: bool, part: Slice
) -> Fate:
    """Decide on a reply, as `fates.fate` does for a whole file."""
    if reply.code == 200:
        return Fate(Verdict(Status.HTTP_ERROR, NO_RANGES))
    if reply.code != 206:
        return fate(reply, asked, bounds, honour_opt_out)
    longer = reply.over or reply.error == pycurl.E_FILESIZE_EXCEEDED
    if longer or not _is_range_asked_for(reply, part):
        return Fate(Verdict(Status.TRUNCATED, WRONG_RANGE))
    if failed := failure(reply, bounds):
        return failed
    if reply.size != part.size:
        return Fate(Verdict(Status.TRUNCATED, "body cut off"), try_again=True)
    return arrived(reply, bounds, honour_opt_out)


def _is_range_asked_for(reply: Reply, part: Slice) -> bool:
    """Whether a partial answer is of just these bytes (RFC 9110, section 14.4)."""
    place = b"bytes %d-%d/" % (part.offset, part.offset + part.size - 1)
    values = reply.headers.get(b"content-range", ())
    return len(values) == 1 and values[0].lower().startswith(place)
