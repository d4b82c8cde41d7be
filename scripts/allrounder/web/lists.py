"""Fetches lists and API answers with requests: retries, timeouts, guarded redirects, streaming."""

import random
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from allrounder.core.errors import DataError
from allrounder.core.urls import is_public_address, normalized_hosts
from allrounder.params.schema import Network
from allrounder.web.policy import is_offline, not_cached_error, proxies, user_agent


class PrivateAddressError(ValueError):
    """A redirect leads to an address that is not of the public internet."""


class GuardedAdapter(HTTPAdapter):
    """Connects to `trusted` hosts, and to others at public addresses only.

    The address is checked when the connection stands and before anything is sent, so that a name
    which means another address at each look-up (DNS rebinding) does not help.
    """

    def __init__(self, trusted: Set[str], **options: Any):
        self._trusted = trusted
        super().__init__(**options)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of connections, with checked ones in them."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._trusted)


def _pools(trusted: Set[str]) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _checked_connection(super()._new_conn(), self.host, trusted)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _checked_connection(super()._new_conn(), self.host, trusted)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _checked_connection(connection: socket.socket, host: str, trusted: Set[str]) -> socket.socket:
    if normalized_hosts([host]) <= trusted or is_public_address(connection.getpeername()[0]):
        return connection
    connection.close()
    raise PrivateAddressError(
        f"a redirect leads to {host}, at a private address; if that is meant, "
        "put the host into network.allow_private"
    )


TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
MAX_PAGE = 2**26
_MAX_WORDS = 200
"""Characters of a stranger's words in a message of ours."""
_OBJECT = re.compile(r"^(<[^>]* object at [^>]*>|\w+\(host=[^)]*\)): ")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", re.IGNORECASE)


class BrokenBodyError(DataError):
    """An answer that began and did not come whole; another try may go on."""


@dataclass(frozen=True, slots=True)
class ApiReply:
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


class ListClient:
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
        self._trusted = set(normalized_hosts(network.allow_private))
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
        if is_offline():
            raise not_cached_error(what, url)
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

    def api_reply(self, url: str, what: str, token: str = "") -> ApiReply:
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
            return ApiReply(response.status_code, response.headers, bytes(body))

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
