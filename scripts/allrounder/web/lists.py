"""Fetches lists and API replies with requests, by the rules of policy.py."""

import random
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from allrounder.core.errors import DataError
from allrounder.core.rows import TRANSIENT_CODES
from allrounder.core.urls import decode_url, host_of, request_url
from allrounder.params.schema import Network
from allrounder.params.sources import Source
from allrounder.web.policy import (
    LOW_SPEED,
    REDIRECTS,
    NetworkPolicy,
    RedirectError,
    is_offline,
    may_send_token,
    next_hop,
    not_cached_error,
)

MAX_PAGE = 2**26
"""Bytes of an API reply at most."""
_MAX_ERROR_PAGE = 2**20
"""Bytes that are read of an API's error reply; more hold no message."""
_CHUNK = 2**16
_MAX_WORDS = 200
"""Characters of a server's text in a message of ours."""
_OBJECT = re.compile(r"^(<[^>]* object at [^>]*>|\w+\(host=[^)]*\)): ")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", re.IGNORECASE)


class PrivateAddressError(ValueError):
    """A redirect leads to an address that is not of the public internet."""


class BrokenBodyError(DataError):
    """A reply's body broke off; another try may go on."""


@dataclass(frozen=True, slots=True)
class ApiReply:
    """A reply of any code with its whole body; the headers' names in any case."""

    code: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class ListStream:
    """A reply whose body is read in chunks. Reading them raises BrokenBodyError."""

    code: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class ListClient:
    """The sessions for all lists of a run; offline, it makes no request.

    `sleep`, `clock` and `rng` are replaced by tests.
    """

    def __init__(
        self,
        network: Network,
        sources: Iterable[Source] = (),
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ):
        self.policy = NetworkPolicy.of(network, sources)
        self._sleep, self._clock, self._rng = sleep, clock, rng or random.Random()
        self._named, self._guarded = _session(self.policy), _session(self.policy)
        for scheme in ("http://", "https://"):
            self._guarded.mount(scheme, _GuardedAdapter(self.policy))

    @contextmanager
    def stream(
        self,
        url: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        expect: Sequence[int] = (200,),
    ) -> Iterator[ListStream]:
        """Open a URL that the params name; the body is not read yet.

        Raises DataError that starts with `what` when it cannot be reached or its code is not in
        `expect`, or when offline; BrokenBodyError while the caller reads the body.
        """

        def login(hop: str) -> str:
            return self.policy.login(hop, request_url(url))

        with self._response(url, what, login, headers or {}) as response:
            if response.status_code not in expect:
                words = f"{response.status_code} {response.reason[:_MAX_WORDS]}"
                raise DataError(f"{what}: {url} answered {words}{_advice(response.status_code)}")
            chunks = self._chunks(response, f"{what}: {url}")
            yield ListStream(response.status_code, response.headers, chunks)

    def api_reply(self, url: str, what: str, token: str = "") -> ApiReply:
        """Return an API's reply of any code.

        `token` is sent to the place of `url` alone (see `may_send_token`). Raises DataError when
        the API cannot be reached or its reply has more than MAX_PAGE bytes, or when offline.
        """

        def bearer(hop: str) -> str:
            may = token and may_send_token(hop, url, self.policy.allow_private)
            return f"Bearer {token}" if may else ""

        with self._response(url, what, bearer, {}) as response:
            body, good = bytearray(), response.status_code == 200
            ends = self._clock() + self.policy.network.total_timeout
            for chunk in self._chunks(response, f"{what}: {url}"):
                body += chunk
                if not good and len(body) > _MAX_ERROR_PAGE:
                    break
                if len(body) > MAX_PAGE:
                    raise DataError(f"{what}: {url} answered more than {MAX_PAGE:,} bytes")
                if self._clock() > ends:
                    raise DataError(f"{what}: {url} cannot be read: timed out; run it again later")
            return ApiReply(response.status_code, response.headers, bytes(body))

    def pause(self, failures: int, asked_wait: float | None = None) -> None:
        """Wait after failure number `failures` (from 1 on), at least as long as was requested."""
        self._sleep(max(self.policy.backoff(failures, self._rng), asked_wait or 0.0))

    @contextmanager
    def _response(
        self,
        url: str,
        what: str,
        authorization: Callable[[str], str],
        headers: Mapping[str, str],
    ) -> Iterator[requests.Response]:
        if is_offline():
            raise not_cached_error(what, url)
        try:
            response = self._last_response(url, authorization, headers)
        except (requests.RequestException, ValueError) as error:
            away = isinstance(error, requests.ConnectionError | requests.Timeout)
            then = "; check the network and the address, then run it again" if away else ""
            raise DataError(f"{what}: {url} cannot be read: {_reason(error)}{then}") from None
        with response:
            yield response

    def _last_response(
        self, url: str, authorization: Callable[[str], str], headers: Mapping[str, str]
    ) -> requests.Response:
        """The response after redirects and tries; its body is not read."""
        requested, failures = [request_url(url)], 0
        while True:
            asked_wait = None
            failures += 1
            try:
                response = self._send(requested, authorization, headers)
            except (requests.ConnectionError, requests.Timeout):
                if self.policy.is_last_try(failures):
                    raise
            else:
                targets = _header_values(response, "location")
                if response.status_code in REDIRECTS and targets:
                    response.close()  # its body is not read
                    requested.append(_next_hop(targets[-1], requested))
                    failures -= 1
                    continue
                code = response.status_code
                if code not in TRANSIENT_CODES or self.policy.is_last_try(failures):
                    return response
                asked_wait = self.policy.asked_wait(code, _header_values(response, "retry-after"))
                response.close()
            self.pause(failures, asked_wait)

    def _send(
        self,
        requested: Sequence[str],
        authorization: Callable[[str], str],
        headers: Mapping[str, str],
    ) -> requests.Response:
        url, network = requested[-1], self.policy.network
        named = host_of(url) == host_of(requested[0])  # by the params, not only by a redirect
        login, proxy = authorization(url), self.policy.proxy(url)
        return (self._named if named else self._guarded).get(
            url,
            headers={**headers, **({"Authorization": login} if login else {})},
            proxies={"http": proxy, "https": proxy} if proxy else {},
            timeout=(network.connect_timeout, network.total_timeout),
            stream=True,
            allow_redirects=False,
        )

    def _chunks(self, response: requests.Response, what: str) -> Iterator[bytes]:
        """The body as it comes, and not below LOW_SPEED for longer than the params allow."""
        waited, size = 0.0, 0
        try:
            while True:
                before = self._clock()
                if not (chunk := response.raw.read1(_CHUNK, decode_content=True)):
                    return
                waited, size = waited + self._clock() - before, size + len(chunk)
                if waited >= self.policy.network.low_speed_time:
                    if size < LOW_SPEED * waited:
                        raise BrokenBodyError(f"{what} cannot be read: too slow")
                    waited, size = 0.0, 0
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            raise BrokenBodyError(f"{what} cannot be read: {_reason(error)}") from None


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """No redirect is followed here: requests would read its body to the end."""


def _session(policy: NetworkPolicy) -> requests.Session:
    session = _Session()
    session.trust_env = False  # the policy reads the environment
    session.verify = policy.ca_file
    session.headers["User-Agent"] = policy.user_agent
    return session


class _GuardedAdapter(HTTPAdapter):
    """Connects to addresses that the policy allows.

    The address is checked when the connection stands and before anything is sent, so that a name
    that resolves to another address each time (DNS rebinding) is of no use.
    """

    def __init__(self, policy: NetworkPolicy):
        self._policy = policy
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of connections, with checked ones in them."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._policy)


def _pools(policy: NetworkPolicy) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), self.host, policy)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), self.host, policy)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _checked(connection: socket.socket, host: str, policy: NetworkPolicy) -> socket.socket:
    if policy.may_connect(host.strip("[]"), connection.getpeername()[0]):
        return connection
    connection.close()
    raise PrivateAddressError(
        f"a redirect leads to {host}, at a private address; if that is meant, "
        "put the host into network.allow_private"
    )


def _header_values(response: requests.Response, name: str) -> list[bytes]:
    return [value.encode("latin-1") for value in response.raw.headers.getlist(name)]


def _next_hop(target: bytes, requested: Sequence[str]) -> str:
    try:
        return next_hop(decode_url(target), requested)
    except RedirectError as error:
        raise RedirectError(f"its redirect is not followed: {error}") from None


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the length in bytes that a reply states (RFC 9110, section 8.6), or None."""
    found = re.fullmatch(r"[0-9]{1,18}", headers.get("Content-Length", ""))
    return int(found[0]) if found else None


def content_range(headers: Mapping[str, str]) -> tuple[int, int | None] | None:
    """Return the first byte of a partial reply and the size of the whole file, if it states them.

    Source: RFC 9110, section 14.4.
    """
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    return (int(found[1]), None if found[2] == "*" else int(found[2])) if found else None


def _advice(code: int) -> str:
    if code in (401, 403):
        return "; if it asks for an account, put its login into ~/.netrc"
    if code in (404, 410):
        return "; correct the location, or remove what is gone from the params"
    return "; run it again later" if code in TRANSIENT_CODES else ""


def _reason(error: Exception) -> str:
    """The innermost reason, without the connection object that urllib3 puts before it."""
    reason: BaseException = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    reason = getattr(reason, "reason", None) or reason
    return _OBJECT.sub("", str(reason))[:_MAX_WORDS]
