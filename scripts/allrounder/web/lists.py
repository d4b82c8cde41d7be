"""Fetches lists and API replies, by the rules of policy.py, with the transfers of transfer.py.

Every wait is bounded: for the head of a reply by `total_timeout`, for its body by `Pace`.
"""

import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import responses

from allrounder.core.errors import DataError
from allrounder.core.rows import TRANSIENT_CODES
from allrounder.core.urls import host_of, is_packed, request_url
from allrounder.params.schema import Network
from allrounder.params.sources import Source
from allrounder.web.policy import (
    Cookies,
    NetworkPolicy,
    Pace,
    RedirectError,
    access_advice,
    hub_address,
    is_offline,
    may_send_token,
    next_hop,
    not_cached_error,
)
from allrounder.web.transfer import Reply, Request, Transfers

MAX_PAGE = 2**26
"""Bytes of an API reply at most."""
_MAX_ERROR_PAGE = 2**20
"""Bytes that are read of an API's error reply; more hold no message."""
_MAX_WORDS = 200
"""Characters of libcurl's text in a message of ours."""
_CHUNK = 2**16
_WAIT = 0.5  # seconds that one wait for the network takes at most
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", re.IGNORECASE)


class BrokenBodyError(DataError):
    """A reply's body broke off; another try may get the rest."""


class _NoReplyError(Exception):
    """Why a request got no reply: another try may get one, unless `final`."""

    def __init__(self, words: str, final: bool = False):
        super().__init__(words)
        self.final = final


@dataclass(frozen=True, slots=True)
class ApiReply:
    """A reply of any code with its whole body; the headers' names in lower case."""

    code: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class ListStream:
    """A reply whose body is read in chunks. Reading them raises BrokenBodyError."""

    code: int
    headers: Mapping[str, str]  # names in lower case
    chunks: Iterator[bytes]


@dataclass(slots=True, eq=False)
class _Exchange:
    """A request in flight, its reply so far, and the chunks that were not read yet."""

    reply: Reply = field(default_factory=Reply)
    received: deque[bytes] = field(default_factory=deque)
    ended: bool = False

    def take(self, reply: Reply, chunk: bytes) -> bool:
        self.received.append(chunk)
        return True

    @property
    def headers(self) -> dict[str, str]:
        """The last value of each header."""
        return {k.decode(): v[-1].decode("latin-1") for k, v in self.reply.headers.items()}


class ListClient:
    """The connections for all lists of a run; offline, it makes no request.

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
        self.policy, self.clock = NetworkPolicy.of(network, sources), clock
        self._sleep, self._rng = sleep, rng or random.Random()
        self._transfers = Transfers(self.policy, _CHUNK)

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

        with self._exchange(url, what, login, headers or {}) as exchange:
            code = exchange.reply.code
            if code not in expect:
                words = f"{code} {responses.get(code, '')}".strip()
                raise DataError(f"{what}: {url} answered {words}{_advice(code, url)}")
            yield ListStream(code, exchange.headers, self._chunks(exchange, f"{what}: {url}"))

    def api_reply(
        self, url: str, what: str, token: str = "", headers: Mapping[str, str] | None = None
    ) -> ApiReply:
        """An API's reply of any code, or a part of a file if `headers` name a Range.

        `token` is sent to the place of `url` alone (see `may_send_token`). A reply that breaks off
        is requested again. Raises DataError when the API cannot be reached or its reply has more
        than MAX_PAGE bytes, or when offline.
        """
        failures = 0
        while True:
            try:
                return self._api_reply(url, what, token, headers or {})
            except BrokenBodyError:
                if self.policy.is_last_try(failures := failures + 1):
                    raise
                self.pause(failures)

    def _api_reply(self, url: str, what: str, token: str, headers: Mapping[str, str]) -> ApiReply:
        def bearer(hop: str) -> str:
            may = token and may_send_token(hop, url, self.policy.allow_private)
            return f"Bearer {token}" if may else ""

        with self._exchange(url, what, bearer, headers) as exchange:
            body, good = bytearray(), exchange.reply.code == (206 if headers else 200)
            ends = self.clock() + self.policy.network.total_timeout
            for chunk in self._chunks(exchange, f"{what}: {url}"):
                body += chunk
                if not good and len(body) > _MAX_ERROR_PAGE:
                    break
                if len(body) > MAX_PAGE:
                    raise DataError(
                        f"{what}: {url} answered more than {MAX_PAGE:,} bytes; correct its location"
                    )
                if self.clock() > ends:
                    raise DataError(f"{what}: {url} cannot be read: timed out; run it again later")
            return ApiReply(exchange.reply.code, exchange.headers, bytes(body))

    def pause(self, failures: int, asked_wait: float | None = None) -> None:
        """Wait after failure number `failures` (from 1 on), at least as long as was requested."""
        self._sleep(max(self.policy.backoff(failures, self._rng), asked_wait or 0.0))

    @contextmanager
    def _exchange(
        self, url: str, what: str, authorization: Callable[[str], str], headers: Mapping[str, str]
    ) -> Iterator[_Exchange]:
        if is_offline():
            raise not_cached_error(what, url)
        try:
            exchange = self._last_exchange(url, authorization, headers)
        except RedirectError as error:
            words = f"its redirect is not followed: {error}"
            raise DataError(f"{what}: {url} cannot be read: {words}") from None
        except (_NoReplyError, ValueError) as error:
            final = not isinstance(error, _NoReplyError) or error.final
            then = "" if final else "; check the network and the address, then run it again"
            raise DataError(f"{what}: {url} cannot be read: {error}{then}") from None
        try:
            yield exchange
        finally:
            self._transfers.stop(exchange)

    def _last_exchange(
        self, url: str, authorization: Callable[[str], str], headers: Mapping[str, str]
    ) -> _Exchange:
        """The exchange after redirects and tries; its body is not read."""
        requested, failures, cookies = [request_url(url)], 0, Cookies()
        while True:
            failures, asked_wait = failures + 1, None
            hop = requested[-1]
            extra = {"Authorization": authorization(hop), "Cookie": cookies.header(hop)}
            try:
                exchange = self._send(requested, {**headers, **extra}, decode=not is_packed(url))
            except _NoReplyError as error:
                if error.final or self.policy.is_last_try(failures):
                    raise
            else:
                reply = exchange.reply
                changed = cookies.take(requested[-1], reply.headers.get(b"set-cookie", ()))
                is_transient = reply.code in TRANSIENT_CODES
                is_last = not is_transient or self.policy.is_last_try(failures)
                if reply.redirect is None and is_last:
                    return exchange
                self._transfers.stop(exchange)  # its body is not read
                if reply.redirect is not None:
                    requested.append(next_hop(reply.redirect, requested, changed))
                    failures -= 1
                    continue
                retry_after = reply.headers.get(b"retry-after", ())
                asked_wait = self.policy.asked_wait(reply.code, retry_after)
            self.pause(failures, asked_wait)

    def _send(
        self, requested: Sequence[str], headers: Mapping[str, str], decode: bool
    ) -> _Exchange:
        """Send a request and wait for the head of its reply. Raises _NoReplyError."""
        url, exchange = requested[-1], _Exchange()
        named = host_of(url) == host_of(requested[0])  # by the params, not only by a redirect
        lines = tuple(f"{name}: {value}" for name, value in headers.items() if value)
        request = Request(url, 0, exchange.take, headers=lines, decode=decode, named=named)
        exchange.reply = self._transfers.start(exchange, request)
        ends = self.clock() + self.policy.network.total_timeout
        while not exchange.reply.has_head and not exchange.ended:
            if self.clock() > ends:
                self._transfers.stop(exchange)
                raise _NoReplyError("timed out")
            self._step()
        if exchange.reply.blocked:
            raise _NoReplyError(
                f"a redirect leads to {host_of(url)}, at a private address; if that is meant, "
                "put the host into network.allow_private",
                final=True,
            )
        if exchange.reply.error and not exchange.reply.has_head:
            raise _NoReplyError(exchange.reply.message[:_MAX_WORDS])
        return exchange

    def _chunks(self, exchange: _Exchange, what: str) -> Iterator[bytes]:
        """The body as it comes; libcurl ends one below LOW_SPEED."""
        pace, size = Pace(self.clock), 0
        while True:
            while exchange.received:
                size += len(exchange.received[0])
                yield exchange.received.popleft()
            if exchange.ended:
                break
            pace.check(size, what)
            self._step()
        if exchange.reply.error:
            raise BrokenBodyError(f"{what} cannot be read: {exchange.reply.message[:_MAX_WORDS]}")

    def _step(self) -> None:
        for exchange, _ in self._transfers.step(_WAIT):
            exchange.ended = True


def content_length(headers: Mapping[str, str]) -> int | None:
    """The length in bytes that a reply states (RFC 9110, section 8.6), or None."""
    found = re.fullmatch(r"[0-9]{1,18}", headers.get("content-length", ""))
    return int(found[0]) if found else None


def content_range(headers: Mapping[str, str]) -> tuple[int, int | None] | None:
    """The first byte of a partial reply and the size of the whole file, if it states them.

    Source: RFC 9110, section 14.4.
    """
    found = _RANGE.fullmatch(headers.get("content-range", ""))
    return (int(found[1]), None if found[2] == "*" else int(found[2])) if found else None


def _advice(code: int, url: str) -> str:
    if code in (401, 403) and url.startswith(f"{hub_address()}/datasets/"):
        return "; " + access_advice("/".join(url[len(hub_address()) :].split("/")[2:4]))
    if code in (401, 403):
        return "; if it asks for an account, put its login into ~/.netrc"
    if code in (404, 410):
        return "; correct the location, or remove what is gone from the params"
    return "; run it again later" if code in TRANSIENT_CODES else ""
