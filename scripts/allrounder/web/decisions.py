"""Decides what follows from one reply: a final result, another try, or a redirect to follow.

Pure functions. `detail` uses our own words, since libcurl's contain times and ports.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pycurl

from allrounder.core.photos import (
    Bounds,
    Verdict,
    ends_whole,
    judge,
    placeholder_etags,
    placeholder_urls,
)
from allrounder.core.results import TRANSIENT_CODES
from allrounder.core.rows import Status
from allrounder.core.text import PROJECT
from allrounder.core.urls import Slice, decode_url
from allrounder.web.policy import REDIRECTS, RedirectError, next_hop
from allrounder.web.transfer import Reply

OPT_OUT = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
"""Directives that keep a photo out of a training set.

noindex, noimageindex and none (noindex, nofollow): Google's robots meta tag specification;
noai and noimageai: DeviantArt, 2022; noml: Mojeek, 2023.
"""
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)


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


WRONG_RANGE = "another range than asked for"

_ERRORS = {
    pycurl.E_UNSUPPORTED_PROTOCOL: (Status.CONNECTION_ERROR, "not HTTP", False),
    pycurl.E_URL_MALFORMAT: (Status.BAD_URL, "malformed", False),
    pycurl.E_COULDNT_RESOLVE_PROXY: (Status.CONNECTION_ERROR, "proxy not found", False),
    pycurl.E_COULDNT_RESOLVE_HOST: (Status.CONNECTION_ERROR, "host not found", False),
    pycurl.E_COULDNT_CONNECT: (Status.CONNECTION_ERROR, "could not connect", False),
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


_RECV_ERRORS = (
    ("header", Verdict(Status.CONNECTION_ERROR, "headers too large"), False),
    ("chunk", Verdict(Status.CONNECTION_ERROR, "malformed answer"), True),
)
"""What libcurl's words of a receive error tell apart; else the connection was reset."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reply leads to: a verdict; perhaps one that another try may change; or a hop."""

    verdict: Verdict
    try_again: bool = False
    hop: str = ""


def decide(reply: Reply, asked: list[str], bounds: Bounds, honour_opt_out: bool) -> Decision:
    """Decide on a reply; `asked` are the URLs asked so far for this photo, the last one last."""
    if failed := transport_failure(reply, bounds):
        return failed
    if reply.code in REDIRECTS and (targets := reply.headers.get(b"location")):
        return decide_redirect(decode_url(targets[-1]), asked)
    if reply.code != 200:
        return Decision(Verdict(Status.HTTP_ERROR, str(reply.code)), reply.code in TRANSIENT_CODES)
    return decide_body(reply, bounds, honour_opt_out)


def decide_body(reply: Reply, bounds: Bounds, honour_opt_out: bool) -> Decision:
    """Decide on a photo that came, by its headers and its bytes."""
    if honour_opt_out and (
        word := opt_out_directive(reply.headers.get(b"x-robots-tag", ()), PROJECT)
    ):
        return Decision(Verdict(Status.OPTED_OUT, word))
    for etag in reply.headers.get(b"etag", ()):
        if known := placeholder_etags().get(etag.decode("latin-1").removeprefix("W/").strip('"')):
            return Decision(Verdict(Status.PLACEHOLDER, known))
    verdict = judge(reply.body, bounds)
    encoded = b"content-encoding" in reply.headers
    if encoded and verdict.status is Status.OK and not ends_whole(reply.body, verdict.suffix):
        # libcurl takes a compressed body that stops early for a whole one
        return Decision(Verdict(Status.TRUNCATED, "broken content encoding"))
    return Decision(verdict)


def transport_failure(reply: Reply, bounds: Bounds) -> Decision | None:
    """The fate of a request that libcurl or we ended, or None when an answer came whole."""
    if not reply.error or reply.code not in (0, 100, 103, 200, 206):
        return None  # of an error page or a redirect, also a broken one, the code says enough
    if reply.refused and not reply.code:
        return Decision(Verdict(Status.BLOCKED, "private address"))
    if reply.over or reply.error == pycurl.E_FILESIZE_EXCEEDED:
        return Decision(Verdict(Status.TOO_LARGE, f"more than {bounds.max_bytes} bytes"))
    if reply.error == pycurl.E_RECV_ERROR:
        for words, verdict, try_again in _RECV_ERRORS:
            if words in reply.words.lower():
                return Decision(verdict, try_again)
    status, detail, try_again = _ERRORS.get(
        reply.error, (Status.CONNECTION_ERROR, f"libcurl error {reply.error}", True)
    )
    return Decision(Verdict(status, detail), try_again)


def decide_redirect(target: str, asked: list[str]) -> Decision:
    """The hop to `target` from the last URL asked, or why it is not made."""
    try:
        url = next_hop(target, asked)
    except RedirectError as error:
        return Decision(Verdict(Status.REDIRECT_ERROR, str(error)))
    if known := placeholder_urls().get(url.partition("://")[2]):
        return Decision(Verdict(Status.PLACEHOLDER, known))
    return Decision(Verdict(Status.OK), hop=url)


NO_RANGES = "no ranges"
"""The server sent the whole file, as it may (RFC 9110, section 14.2)."""


def slice_size_fault(part: Slice, bounds: Bounds) -> Verdict | None:
    """What is to be said of a slice by its size alone, or None: then it is to be read."""
    if not part.size:
        return Verdict(Status.EMPTY)
    if part.size > bounds.max_bytes:
        return Verdict(Status.TOO_LARGE, f"more than {bounds.max_bytes} bytes")
    return None


def decide_slice(
    reply: Reply, asked: list[str], bounds: Bounds, honour_opt_out: bool, part: Slice
) -> Decision:
    """Decide on a reply, as `fates.fate` does for a whole file."""
    if reply.code == 200:
        return Decision(Verdict(Status.HTTP_ERROR, NO_RANGES))
    if reply.code != 206:
        return decide(reply, asked, bounds, honour_opt_out)
    longer = reply.over or reply.error == pycurl.E_FILESIZE_EXCEEDED
    if longer or not _is_range_asked_for(reply, part):
        return Decision(Verdict(Status.TRUNCATED, WRONG_RANGE))
    if failed := transport_failure(reply, bounds):
        return failed
    if reply.size != part.size:
        return Decision(Verdict(Status.TRUNCATED, "body cut off"), try_again=True)
    return decide_body(reply, bounds, honour_opt_out)


def _is_range_asked_for(reply: Reply, part: Slice) -> bool:
    """Whether a partial answer is of just these bytes (RFC 9110, section 14.4)."""
    place = b"bytes %d-%d/" % (part.offset, part.offset + part.size - 1)
    values = reply.headers.get(b"content-range", ())
    return len(values) == 1 and values[0].lower().startswith(place)
