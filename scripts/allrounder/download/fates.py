"""Turns one reply into what follows from it: an outcome, another try, or another hop.

Pure decisions, no I/O. Words in `detail` are our own and always the same for the same answer:
libcurl's hold times and ports.
"""

from dataclasses import dataclass
from urllib.parse import urljoin

import pycurl

from allrounder.agent import NAME
from allrounder.download.exchange import Reply
from allrounder.download.headers import opted_out
from allrounder.download.outcomes import TRANSIENT_CODES
from allrounder.download.photo import (
    Bounds,
    Verdict,
    ends_whole,
    judge,
    placeholder_etags,
    placeholder_urls,
)
from allrounder.download.urlcheck import BadUrlError, request_url
from allrounder.records import Status
from allrounder.urltext import url_text

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)

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
class Fate:
    """What a reply leads to: a verdict; perhaps one that another try may change; or a hop."""

    verdict: Verdict
    try_again: bool = False
    hop: str = ""


def fate(reply: Reply, asked: list[str], bounds: Bounds, honour_opt_out: bool) -> Fate:
    """Decide on a reply; `asked` are the URLs asked so far for this photo, the last one last."""
    if failed := failure(reply, bounds):
        return failed
    if reply.code in REDIRECTS and (targets := reply.headers.get(b"location")):
        return redirect(url_text(targets[-1]), asked)
    if reply.code != 200:
        return Fate(Verdict(Status.HTTP_ERROR, str(reply.code)), reply.code in TRANSIENT_CODES)
    return arrived(reply, bounds, honour_opt_out)


def arrived(reply: Reply, bounds: Bounds, honour_opt_out: bool) -> Fate:
    """Decide on a photo that came, by its headers and its bytes."""
    if honour_opt_out and (word := opted_out(reply.headers.get(b"x-robots-tag", ()), NAME)):
        return Fate(Verdict(Status.OPTED_OUT, word))
    for etag in reply.headers.get(b"etag", ()):
        if known := placeholder_etags().get(etag.decode("latin-1").removeprefix("W/").strip('"')):
            return Fate(Verdict(Status.PLACEHOLDER, known))
    verdict = judge(reply.body, bounds)
    encoded = b"content-encoding" in reply.headers
    if encoded and verdict.status is Status.OK and not ends_whole(reply.body, verdict.suffix):
        # libcurl takes a compressed body that stops early for a whole one
        return Fate(Verdict(Status.TRUNCATED, "broken content encoding"))
    return Fate(verdict)


def failure(reply: Reply, bounds: Bounds) -> Fate | None:
    """The fate of a request that libcurl or we ended, or None when an answer came whole."""
    if not reply.error or reply.code not in (0, 100, 103, 200, 206):
        return None  # of an error page or a redirect, also a broken one, the code says enough
    if reply.refused and not reply.code:
        return Fate(Verdict(Status.BLOCKED, "private address"))
    if reply.over or reply.error == pycurl.E_FILESIZE_EXCEEDED:
        return Fate(Verdict(Status.TOO_LARGE, f"more than {bounds.max_bytes} bytes"))
    if reply.error == pycurl.E_RECV_ERROR:
        for words, verdict, try_again in _RECV_ERRORS:
            if words in reply.words.lower():
                return Fate(verdict, try_again)
    status, detail, try_again = _ERRORS.get(
        reply.error, (Status.CONNECTION_ERROR, f"libcurl error {reply.error}", True)
    )
    return Fate(Verdict(status, detail), try_again)


def redirect(target: str, asked: list[str]) -> Fate:
    """The hop to `target` from the last URL asked, or why it is not made."""
    if len(asked) > MAX_REDIRECTS:
        return Fate(Verdict(Status.REDIRECT_ERROR, f"more than {MAX_REDIRECTS} redirects"))
    try:
        url = request_url(urljoin(asked[-1], target))
    except BadUrlError as error:
        return Fate(Verdict(Status.REDIRECT_ERROR, f"to a bad URL: {error}"))
    except ValueError:
        return Fate(Verdict(Status.REDIRECT_ERROR, "to a bad URL: malformed"))
    if known := placeholder_urls().get(url.partition("://")[2]):
        return Fate(Verdict(Status.PLACEHOLDER, known))
    if url in asked:
        return Fate(Verdict(Status.REDIRECT_ERROR, "loop"))
    return Fate(Verdict(Status.OK), hop=url)
