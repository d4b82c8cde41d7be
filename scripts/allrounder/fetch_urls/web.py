"""Asks listings and APIs of the web: requests with retries and timeouts, streamed.

Not for photos: those are many, and fetched by transfer.py. What is worth keeping goes through
webcache.py.
"""

import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from allrounder import offline
from allrounder.agent import user_agent
from allrounder.errors import DataError
from allrounder.fetch_urls.guard import GuardedAdapter
from allrounder.params import Network
from allrounder.proxies import proxies
from allrounder.urltext import plain_hosts

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
MAX_PAGE = 2**26
_MAX_WORDS = 200
"""Characters of a stranger's words in a message of ours."""
_OBJECT = re.compile(r"^(<[^>]* object at [^>]*>|\w+\(host=[^)]*\)): ")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", re.IGNORECASE)


class BrokenBodyError(DataError):
    """An answer that began and did not come whole; another try may go on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of whatever code, with its whole body; the headers' names in any case."""

    code: int
    headers: Mapping[str, str]
    body: bytes


class _Bearer(AuthBase):
    """Sends a token. requests drops it at a redirect to another scheme, host or port.

    It is no plain header, for in place of one requests would send what ~/.netrc has for the host.
    """

    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Session(requests.Session):
    """Asks with a login only whom it was told to ask: no redirect chooses where one goes."""

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop the login at another scheme, host or port; requests would look up that host's."""
        before, after = response.request.url or "", prepared_request.url or ""
        if self.should_strip_auth(before, after):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


class Web:
    """One session for all listings of a run; offline, it asks for nothing."""

    def __init__(self, network: Network):
        self.allow_private = tuple(network.allow_private)
        self.tries, self._backoff = network.tries, network.backoff
        retry = Retry(
            total=network.tries - 1,
            backoff_factor=0.5,
            backoff_jitter=0.5,
            status_forcelist=TRANSIENT,
            retry_after_max=int(network.retry_after_max),
            raise_on_status=False,
        )
        self._trusted = set(plain_hosts(network.allow_private))
        proxies()  # or requests would quote one that is none
        self._timeout = (network.connect_timeout, network.total_timeout)
        self._session = _Session()
        self._session.headers["User-Agent"] = user_agent(network)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, GuardedAdapter(self._trusted, max_retries=retry))

    @contextmanager
    def _asked(
        self, url: str, what: str, token: str = "", headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        if offline.offline():
            raise offline.not_here(what, url)
        auth = _Bearer(token) if token else None
        self._trusted.add((urlsplit(url).hostname or "").lower())  # the params name it
        try:
            response = self._session.get(
                url, stream=True, timeout=self._timeout, auth=auth, headers=headers
            )
        except (requests.RequestException, ValueError) as error:  # the latter: of redirects
            away = isinstance(error, requests.ConnectionError | requests.Timeout)
            then = "; check the network and the address, then run it again" if away else ""
            raise DataError(f"{what}: {url} cannot be read: {_words(error)}{then}") from None
        try:
            with response:
                yield response
        except requests.RequestException as error:
            raise BrokenBodyError(f"{what}: {url} cannot be read: {_words(error)}") from None

    @contextmanager
    def stream(
        self,
        url: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        expect: Sequence[int] = (200,),
    ) -> Iterator[requests.Response]:
        """Open a URL; the body is not read yet.

        Raises DataError that starts with `what` when it cannot be reached or answers no status
        of `expect`, or we are offline; BrokenBodyError while the caller reads the body.
        """
        with self._asked(url, what, headers=headers) as response:
            if response.status_code not in expect:
                said = f"{response.status_code} {response.reason[:_MAX_WORDS]}"
                raise DataError(f"{what}: {url} answered {said}{_way_out(response.status_code)}")
            yield response

    def answer(self, url: str, what: str, token: str = "") -> Answer:
        """An API's answer, also one of another code than 200; `token` goes along as its bearer's.

        Raises DataError when it cannot be reached or has more than MAX_PAGE bytes, or we are
        offline.
        """
        with self._asked(url, what, token) as response:
            body = bytearray()
            for chunk in response.iter_content(2**16):
                body += chunk
                if len(body) > MAX_PAGE:
                    raise DataError(f"{what}: {url} answered more than {MAX_PAGE:,} bytes")
            return Answer(response.status_code, response.headers, bytes(body))

    def wait(self, number: int) -> None:
        """Wait before try `number` (from 1 on) of something that broke off, at random."""
        time.sleep(random.uniform(0, self._backoff * 2**number))


def content_length(headers: Mapping[str, str]) -> int | None:
    """The length in bytes that an answer states (RFC 9110, section 8.6), or None."""
    found = re.fullmatch(r"[0-9]{1,18}", headers.get("Content-Length", ""))
    return int(found[0]) if found else None


def content_range(headers: Mapping[str, str]) -> tuple[int, int | None] | None:
    """The first byte of a partial answer and the size of the whole, if it states them.

    Source: RFC 9110, section 14.4.
    """
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    return (int(found[1]), None if found[2] == "*" else int(found[2])) if found else None


def _way_out(code: int) -> str:
    if code in (401, 403):
        return "; if it asks for an account, put its login into ~/.netrc"
    if code in (404, 410):
        return "; correct the location, or remove what is gone from the params"
    return "; run it again later" if code in TRANSIENT else ""


def _words(error: Exception) -> str:
    """The innermost reason, without the connection object that urllib3 puts before it."""
    reason: BaseException = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    reason = getattr(reason, "reason", None) or reason
    return _OBJECT.sub("", str(reason))[:_MAX_WORDS]
