"""Makes single HTTP requests, many at a time, with libcurl's multi interface in one event loop.

One request is one hop. fetcher.py decides on redirects and retries.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import certifi
import pycurl

from allrounder.core.urls import host_of, is_public_address, normalized_hosts
from allrounder.params.schema import Network
from allrounder.web.policy import proxy_addresses, user_agent


@dataclass(slots=True)
class Reply:
    """What came back: libcurl's error (0: none), the HTTP code, headers we use, the body."""

    error: int = 0
    words: str = ""  # libcurl's, of the error
    code: int = 0
    headers: dict[bytes, list[bytes]] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0  # of the body so far
    refused: bool = False  # the address was not public
    over: bool = False  # the body was longer than it may be
    stopped: bool = False  # the sink had enough
    raised: BaseException | None = None  # by the sink

    @property
    def body(self) -> bytes:
        """The body in one piece."""
        if len(self.chunks) > 1:
            self.chunks[:] = [b"".join(self.chunks)]
        return self.chunks[0] if self.chunks else b""


Sink = Callable[[Reply, bytes], bool]
"""Takes a piece of a body as it comes, with the reply so far; False ends the transfer."""


@dataclass(slots=True)
class Request:
    """One request to make; `sink` takes the body instead of `Reply.body`.

    With a `size`, only so many bytes from `offset` on are asked for; else all from there on.
    `headers` are lines of this request alone: what they hold goes to no other. `login` says
    whether it may carry what ~/.netrc has for the host.
    """

    url: str
    max_bytes: int
    sink: Sink | None = None
    offset: int = 0
    size: int = 0
    headers: tuple[str, ...] = ()
    login: bool = False

    @property
    def kind(self) -> tuple[object, ...]:
        """All but its URL that a handle is set up for."""
        return self.sink is None, self.max_bytes, self.offset, self.size, self.headers, self.login


_BUFFER = 256 * 2**10
_LOW_SPEED = 1_000  # bytes a second
_HEADERS = frozenset(
    (
        *(b"location", b"retry-after", b"x-robots-tag", b"etag", b"last-modified"),
        *(b"content-range", b"content-encoding", b"x-revision", b"x-error-code"),
    )
)
_NETRC = {False: pycurl.NETRC_IGNORED, True: pycurl.NETRC_OPTIONAL}
_ACCEPT = "Accept: image/*,*/*;q=0.5"


class _Handle:
    """A reusable easy handle and the request it is busy with."""

    def __init__(
        self, network: Network, allowed: frozenset[str], proxies: frozenset[tuple[str, int]]
    ):
        self.request = Request("", 0)
        self.reply = Reply()
        self.token: Any = None
        self._set_up_for: tuple[object, ...] = ()
        self._allowed, self._proxies = allowed, proxies
        self._network = network
        self.curl = curl = pycurl.Curl()
        netrc = os.environ.get("NETRC")  # requests reads it by itself
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.BUFFERSIZE, _BUFFER),
            (pycurl.CONNECTTIMEOUT_MS, int(1000 * network.connect_timeout)),
            (pycurl.LOW_SPEED_LIMIT, _LOW_SPEED),
            (pycurl.LOW_SPEED_TIME, network.low_speed_time),
            (pycurl.USERAGENT, user_agent(network)),
            (pycurl.CAINFO, os.fsencode(os.environ.get("SSL_CERT_FILE") or certifi.where())),
            (pycurl.WRITEFUNCTION, self._write),
            (pycurl.HEADERFUNCTION, self._header),
            (pycurl.OPENSOCKETFUNCTION, self._open_socket),
            *([(pycurl.NETRC_FILE, os.fsencode(Path(netrc).expanduser()))] if netrc else ()),
        ):
            curl.setopt(option, value)

    def prepare(self, token: Any, request: Request) -> None:
        """Set up the handle for a request."""
        self.token, self.request, self.reply = token, request, Reply()
        self.curl.setopt(pycurl.URL, request.url)
        if (kind := request.kind) != self._set_up_for:  # photos are nearly all alike
            self._set_up(request)
            self._set_up_for = kind

    def _set_up(self, request: Request) -> None:
        whole, plain = request.sink is None, request.sink is None and not request.size
        self.curl.setopt(pycurl.HTTPHEADER, [_ACCEPT, *request.headers])
        self.curl.setopt(pycurl.TIMEOUT_MS, int(1000 * self._network.total_timeout) if whole else 0)
        self.curl.setopt(pycurl.MAXFILESIZE_LARGE, request.max_bytes if whole else 0)
        self.curl.setopt(pycurl.ACCEPT_ENCODING, "" if plain else "identity")
        self.curl.setopt(pycurl.NETRC, _NETRC[request.login])
        if request.offset or request.size:
            last = request.offset + request.size - 1 if request.size else ""
            self.curl.setopt(pycurl.RANGE, f"{request.offset}-{last}")
        else:
            self.curl.unsetopt(pycurl.RANGE)

    def _header(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not colon:
            if line.startswith(b"HTTP/"):
                self.reply.headers.clear()
                words = line.split(maxsplit=2)
                self.reply.code = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
            return
        if (name := name.lower()) in _HEADERS:
            self.reply.headers.setdefault(name, []).append(value.strip())

    def _write(self, chunk: bytes) -> int | None:
        reply, request = self.reply, self.request
        if request.sink is not None:
            try:
                reply.stopped = not request.sink(reply, chunk)
            except BaseException as error:  # libcurl would only print it
                reply.raised = error
            return -1 if reply.stopped or reply.raised else None
        reply.size += len(chunk)
        if reply.size > request.max_bytes:
            reply.over = True
            return -1
        reply.chunks.append(chunk)
        return None

    def _open_socket(self, purpose: int, address: Any) -> Any:
        """Refuse addresses that are not public, at the moment of connecting (no DNS rebinding)."""
        family, kind, protocol, place = address
        host = host_of(self.request.url)
        if (
            is_public_address(place[0])
            or host in self._allowed
            or tuple(place[:2]) in self._proxies
        ):
            return socket.socket(family, kind, protocol)
        self.reply.refused = True
        return pycurl.SOCKET_BAD


class Transfers:
    """The requests in flight."""

    def __init__(self, network: Network):
        self._network = network
        self._allowed = normalized_hosts(network.allow_private)
        self._proxies = proxy_addresses()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, network.connections)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, network.per_host)
        self._multi.setopt(pycurl.M_MAXCONNECTS, network.connections)
        self._idle: list[_Handle] = []
        self._busy: dict[pycurl.Curl, _Handle] = {}

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return len(self._busy)

    def start(self, token: Any, request: Request) -> None:
        """Start a request; `token` comes back with its reply."""
        handle = (
            self._idle.pop() if self._idle else _Handle(self._network, self._allowed, self._proxies)
        )
        handle.prepare(token, request)
        self._busy[handle.curl] = handle
        self._multi.add_handle(handle.curl)

    def step(self, wait: float) -> list[tuple[Any, Reply]]:
        """Let libcurl work, wait up to `wait` seconds for the network, return what has ended.

        Raises what a sink raised.
        """
        self._multi.perform()
        ended = list(self._ended())
        if not ended:
            if self._busy:
                self._multi.select(wait)
            else:
                time.sleep(wait)
            self._multi.perform()
            ended = list(self._ended())
        for _, reply in ended:
            if reply.raised:
                raise reply.raised
        return ended

    def close(self) -> None:
        """Hang up everything."""
        for curl in self._busy:
            self._multi.remove_handle(curl)
            curl.close()
        for handle in self._idle:
            handle.curl.close()
        self._busy.clear()
        self._idle.clear()
        self._multi.close()

    def _ended(self) -> Iterator[tuple[Any, Reply]]:
        more = 1
        while more:
            more, done, failed = self._multi.info_read(64)
            for curl, error, words in [*((curl, 0, "") for curl in done), *failed]:
                handle = self._busy.pop(curl)
                self._multi.remove_handle(curl)
                token, reply = handle.token, handle.reply
                reply.error, reply.words = error, words
                handle.token = None
                handle.request.sink = None
                self._idle.append(handle)
                yield token, reply
