"""Decides what follows from one reply: a final result, another try, or a redirect to follow.

Pure functions. `detail` uses our own words, since libcurl's contain times and ports.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pycurl

from allrounder.core.opt_outs import Signal, opted_out
from allrounder.core.photos import (
    Bounds,
    ends_whole,
    judge,
    placeholder_host_of_etags,
    placeholder_host_of_url,
)
from allrounder.core.rows import TRANSIENT_CODES, Result, Status
from allrounder.core.text import PROJECT
from allrounder.core.urls import ByteRange
from allrounder.web.policy import RedirectError, next_hop
from allrounder.web.transfer import Reply

WHOLE = (200, 201, 203)
"""The codes of a whole photo: RFC 9110, 15.3.1, 15.3.2 and 15.3.4."""
WRONG_RANGE = "another range than requested"

_ERRORS = {
    pycurl.E_UNSUPPORTED_PROTOCOL: (Status.CONNECTION_ERROR, "not HTTP", False),
    pycurl.E_URL_MALFORMAT: (Status.BAD_URL, "malformed", False),
    pycurl.E_COULDNT_RESOLVE_PROXY: (Status.CONNECTION_ERROR, "proxy not found", True),
    pycurl.E_COULDNT_RESOLVE_HOST: (Status.CONNECTION_ERROR, "host not found", True),
    pycurl.E_COULDNT_CONNECT: (Status.CONNECTION_ERROR, "could not connect", True),
    8: (Status.CONNECTION_ERROR, "malformed answer", False),  # CURLE_WEIRD_SERVER_REPLY
    pycurl.E_PARTIAL_FILE: (Status.TRUNCATED, "body cut off", True),
    pycurl.E_OPERATION_TIMEDOUT: (Status.TIMEOUT, "", True),
    pycurl.E_SSL_CONNECT_ERROR: (Status.CONNECTION_ERROR, "TLS failed", True),
    pycurl.E_PEER_FAILED_VERIFICATION: (Status.CONNECTION_ERROR, "TLS certificate", False),
    pycurl.E_GOT_NOTHING: (Status.CONNECTION_ERROR, "no answer", True),
    pycurl.E_SEND_ERROR: (Status.CONNECTION_ERROR, "connection reset", True),
    pycurl.E_RECV_ERROR: (Status.CONNECTION_ERROR, "connection reset", True),
    pycurl.E_BAD_CONTENT_ENCODING: (Status.TRUNCATED, "broken content encoding", False),
    pycurl.E_FILESIZE_EXCEEDED: (Status.TOO_LARGE, "", False),
    pycurl.E_HTTP2: (Status.CONNECTION_ERROR, "HTTP/2 failed", True),
    92: (Status.CONNECTION_ERROR, "HTTP/2 failed", True),  # CURLE_HTTP2_STREAM
    100: (Status.CONNECTION_ERROR, "headers too large", False),  # CURLE_TOO_LARGE
}
"""Status, detail and whether to try again, for each of libcurl's errors."""
_ENCODINGS = frozenset(
    {b"gzip", b"x-gzip", b"deflate", b"br", b"zstd", b"compress", b"x-compress", b"dcb", b"dcz"}
)
"""IANA's HTTP content codings that change the bytes."""
_RECV_ERRORS = (("header", "headers too large", False), ("chunk", "malformed answer", True))
"""Errors that libcurl reports as a receive error and names in its message only."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a reply: a redirect, or a result; `retry`: another try may change it."""

    result: Result
    retry: bool = False
    redirect: str = ""


CUT_OFF = Decision(Result(Status.TRUNCATED, "body cut off"), retry=True)
NO_RANGES = Decision(Result(Status.HTTP_ERROR, "no ranges", http_status=200))
"""A server may ignore a requested range and send the whole file (RFC 9110, section 14.2)."""


def decide(
    reply: Reply, requested: list[str], bounds: Bounds, new_cookie: bool = False
) -> Decision:
    """Decide on the reply for a whole photo.

    `requested` are the URLs requested so far for this photo, the last one last. `new_cookie`: a
    redirect to one of them is no loop.
    """
    if failed := transport_failure(reply, bounds):
        return failed
    if reply.redirect is not None:
        return decide_redirect(reply.redirect, requested, new_cookie)
    if reply.code not in WHOLE:
        return http_error(reply.code)
    if host := placeholder_host_of_url(requested[-1]):
        return Decision(Result(Status.PLACEHOLDER, host))
    return decide_body(reply, bounds)


def decide_byte_range(
    reply: Reply, requested: list[str], bounds: Bounds, part: ByteRange
) -> Decision:
    """Decide on the reply for a byte range. The rest of the file is never read."""
    if reply.code == 200:
        return NO_RANGES
    if reply.code != 206:
        return decide(reply, requested, bounds)
    is_longer = reply.over or reply.error == pycurl.E_FILESIZE_EXCEEDED
    if is_longer or not has_range(reply, part.offset, part.offset + part.size - 1):
        return Decision(Result(Status.TRUNCATED, WRONG_RANGE))
    if failed := transport_failure(reply, bounds):
        return failed
    if reply.size != part.size:
        return CUT_OFF
    return decide_body(reply, bounds)


def decide_body(reply: Reply, bounds: Bounds) -> Decision:
    """Decide on a complete photo, by its headers and its bytes."""
    if bounds.honour_opt_out and (refusal := header_opt_out(reply.headers)):
        return Decision(refusal)
    if host := placeholder_host_of_etags(reply.headers.get(b"etag", ())):
        return Decision(Result(Status.PLACEHOLDER, host))
    result = judge(reply.body, bounds)
    encoded = b"content-encoding" in reply.headers
    if encoded and result.status is Status.OK and not ends_whole(reply.body, result.suffix):
        # libcurl accepts a compressed body that stops early
        return Decision(Result(Status.TRUNCATED, "broken content encoding"))
    return Decision(result)


def transport_failure(reply: Reply, bounds: Bounds) -> Decision | None:
    """Decide on a transfer that libcurl or a bound of ours ended; None for a complete reply."""
    if not reply.error or reply.code not in (0, 100, 103, *WHOLE, 206):
        return None  # the code of an error page or a redirect says enough, even of a broken one
    if reply.blocked and not reply.code:
        return Decision(Result(Status.BLOCKED, "private address"))
    if reply.over or reply.error == pycurl.E_FILESIZE_EXCEEDED:
        return Decision(Result(Status.TOO_LARGE, f"more than {bounds.max_bytes} bytes"))
    if reply.error == pycurl.E_RECV_ERROR:
        for word, detail, retry in _RECV_ERRORS:
            if word in reply.message.lower():
                return Decision(Result(Status.CONNECTION_ERROR, detail), retry)
    status, detail, retry = _ERRORS.get(
        reply.error, (Status.CONNECTION_ERROR, f"libcurl error {reply.error}", True)
    )
    return Decision(Result(status, detail), retry)


def is_unknown_encoding(reply: Reply) -> bool:
    """Whether libcurl refused a body for a Content-Encoding that does not exist.

    Browsers ignore it and take the bytes as they are.
    """
    values = reply.headers.get(b"content-encoding")
    if reply.error != pycurl.E_BAD_CONTENT_ENCODING or not values:
        return False
    return not any(name.strip() in _ENCODINGS for name in b",".join(values).lower().split(b","))


def http_error(code: int) -> Decision:
    """Decide on a reply with an HTTP error code. 401: a later run may have a login."""
    status = Status.NO_ACCESS if code == 401 else Status.HTTP_ERROR
    return Decision(Result(status, str(code), http_status=code), code in TRANSIENT_CODES)


def decide_redirect(target: str, requested: list[str], new_cookie: bool = False) -> Decision:
    """The redirect to `target` from the last URL, or the reason why it is not followed."""
    try:
        url = next_hop(target, requested, new_cookie)
    except RedirectError as error:
        return Decision(Result(Status.REDIRECT_ERROR, str(error)))
    if host := placeholder_host_of_url(url):
        return Decision(Result(Status.PLACEHOLDER, host))
    return Decision(Result(Status.OK), redirect=url)


def has_range(reply: Reply, first: int, last: int) -> bool:
    """Whether a partial reply has exactly these bytes (RFC 9110, section 14.4)."""
    values = reply.headers.get(b"content-range", ())
    return len(values) == 1 and values[0].lower().startswith(b"bytes %d-%d/" % (first, last))


OPT_OUT = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
"""Directives that keep a photo out of a training set.

noindex, noimageindex and none (noindex, nofollow): Google's robots meta tag specification;
noai and noimageai: DeviantArt, 2022; noml: Mojeek, 2023.
"""
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)


def header_opt_out(headers: Mapping[bytes, Sequence[bytes]]) -> Result | None:
    """The result of a photo whose HTTP headers are against use for training, or None."""
    if directive := opt_out_directive(headers.get(b"x-robots-tag", ()), PROJECT):
        return opted_out(Signal.X_ROBOTS_TAG, directive)
    if any(value == b"1" for value in headers.get(b"tdm-reservation", ())):
        return opted_out(Signal.TDM, "1")
    if may_train(b",".join(headers.get(b"content-usage", ())).decode("latin-1")) is False:
        return opted_out(Signal.CONTENT_USAGE, "train-ai=n")
    return None


_TRAIN = re.compile(r"(?:^|,)\s*(?:train-ai\s*=\s*([yn])|ai-train\s*=\s*(yes|no))\s*(?=[,;]|$)")


def may_train(usage: str) -> bool | None:
    """What a Content-Usage or Content-Signal says about training; None: nothing.

    The last of several values holds (RFC 9651, 3.2). Sources: draft-ietf-aipref-attach-04,
    draft-ietf-aipref-vocab-04; contentsignals.org.
    """
    values = [one or other for one, other in _TRAIN.findall(usage)]
    return values[-1][0] == "y" if values else None


def opt_out_directive(values: Iterable[bytes], agent: str) -> str:
    """The directive in X-Robots-Tag headers that asks `agent` (or all) to keep out, or ''.

    A directive may be scoped, `agent: noindex, noai`; a scope holds to the end of its header.
    """
    for value in values:
        scope = ""
        for part in value.decode("latin-1").lower().split(","):
            name, colon, rest = part.partition(":")
            name = name.strip()
            if colon and name not in _WITH_VALUE and " " not in name:  # a date has spaces
                scope, part = name, rest
            if part.strip() in OPT_OUT and scope in ("", "*", agent):
                return part.strip()
    return ""
