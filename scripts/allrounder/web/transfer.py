"""Makes single HTTP requests, many at a time, with libcurl's multi interface in one event loop.

One request is one hop. Every option of libcurl that the network policy decides is set here, so
that libcurl reads nothing from the environment. fetcher.py decides on redirects and retries.
"""

import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pycurl

from allrounder.core.urls import decode_url, host_of
from allrounder.web.policy import LOW_SPEED, REDIRECTS, NetworkPolicy


@dataclass(slots=True)
class Reply:
    """One HTTP response: libcurl's error (0: none), the code, the headers we use, the body."""

    error: int = 0
    message: str = ""  # libcurl's text about the error
    code: int = 0
    has_head: bool = False  # whether all headers of the final response have arrived
    headers: dict[bytes, list[bytes]] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0  # of the body so far
    first_byte: float = 0.0  # seconds until it arrived
    blocked: bool = False  # the address was not public
    over: bool = False  # the body was longer than it may be
    stopped: bool = False  # the sink returned False
    raised: BaseException | None = None  # by the sink

    @property
    def body(self) -> bytes:
        """The body in one piece."""
        if len(self.chunks) > 1:
            self.chunks[:] = [b"".join(self.chunks)]
        return self.chunks[0] if self.chunks else b""

    @property
    def redirect(self) -> str | None:
        """The target of a redirect, as its server wrote it; None for other replies."""
        targets = self.headers.get(b"location") if self.code in REDIRECTS else None
        return decode_url(targets[-1]) if targets else None


Sink = Callable[[Reply, bytes], bool]
"""Takes a chunk of a body and the reply so far; returns False to end the transfer."""


@dataclass(slots=True)
class Request:
    """One request to make; `sink` takes the body instead of `Reply.body`.

    It asks for `size` bytes from `offset` on, with size 0 for all from there on. `headers` are
    lines of this request alone, among them its login or token.
    """

    url: str
    max_bytes: int
    sink: Sink | None = None
    offset: int = 0
    size: int = 0
    headers: tuple[str, ...] = ()
    decode: bool = True  # undo the body's Content-Encoding
    patience: float = 0.0  # seconds for the answer to begin; 0: as the params say
    named: bool = False  # the params name its host, which may then be at a private address

    def kind(self, proxy: str) -> tuple[object, ...]:
        """The options that a handle is set up for, all but the URL. `proxy` is that of the URL."""
        part = self.offset, self.size, self.headers, self.decode, self.patience
        return self.sink is None, self.max_bytes, *part, proxy


_BUFFER = 256 * 2**10
_HEADERS = frozenset(
    (
        *(b"location", b"retry-after", b"x-robots-tag", b"etag", b"last-modified", b"set-cookie"),
        *(b"content-length", b"content-range", b"content-encoding"),
        *(b"x-revision", b"x-error-code"),
        *(b"tdm-reservation", b"content-usage"),
        *(b"x-archive-orig-x-robots-tag", b"x-archive-orig-etag"),
        *(b"x-archive-orig-tdm-reservation", b"x-archive-orig-content-usage"),
    )
)
_ACCEPT = "Accept: image/*,*/*;q=0.5"


class _Handle:
    """A reusable easy handle and the request it is busy with."""

    def __init__(self, policy: NetworkPolicy, buffer: int):
        self.request = Request("", 0)
        self.reply = Reply()
        self.token: Any = None
        self._set_up_for: tuple[object, ...] = ()
        self._policy, self._proxy = policy, ""
        self.curl = curl = pycurl.Curl()
        ca_file, is_folder = os.fsencode(policy.ca_file), Path(policy.ca_file).is_dir()
        if is_folder:  # or libcurl's own file would hold as well
            curl.unsetopt(pycurl.CAINFO)
            curl.unsetopt(pycurl.PROXY_CAINFO)
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.BUFFERSIZE, buffer),
            (pycurl.LOW_SPEED_LIMIT, LOW_SPEED),
            (pycurl.USERAGENT, policy.user_agent),
            (pycurl.CAPATH if is_folder else pycurl.CAINFO, ca_file),
            (pycurl.PROXY_CAPATH if is_folder else pycurl.PROXY_CAINFO, ca_file),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.NOPROXY, ""),  # the policy decides; libcurl would read no_proxy
            (pycurl.WRITEFUNCTION, self._write),
            (pycurl.HEADERFUNCTION, self._header),
            (pycurl.OPENSOCKETFUNCTION, self._open_socket),
        ):
            curl.setopt(option, value)

    def prepare(self, token: Any, request: Request) -> None:
        """Set up the handle for a request."""
        self.token, self.request, self.reply = token, request, Reply()
        self.curl.setopt(pycurl.URL, request.url)
        self._proxy = self._policy.proxy(request.url)
        if (kind := request.kind(self._proxy)) != self._set_up_for:  # photos are nearly all alike
            self._set_up(request)
            self._set_up_for = kind

    def _set_up(self, request: Request) -> None:
        whole, plain = request.sink is None, request.sink is None and not request.size
        network = self._policy.network
        timeout = int(1000 * network.total_timeout)
        patience = request.patience or math.inf
        connecting = min(network.connect_timeout, patience)
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(1000 * connecting))
        self.curl.setopt(pycurl.LOW_SPEED_TIME, int(min(network.low_speed_time, patience)))
        self.curl.setopt(pycurl.PROXY, self._proxy)  # "": none
        self.curl.setopt(pycurl.HTTPHEADER, [_ACCEPT, *request.headers])
        self.curl.setopt(pycurl.TIMEOUT_MS, timeout if whole else 0)
        self.curl.setopt(pycurl.MAXFILESIZE_LARGE, request.max_bytes if whole else 0)
        self.curl.setopt(pycurl.ACCEPT_ENCODING, "" if plain else "identity")
        self.curl.setopt(pycurl.HTTP_CONTENT_DECODING, int(request.decode))
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
            self.reply.has_head = not line.strip() and self.reply.code >= 200
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
        free = self._proxy or self.request.named
        if free or self._policy.may_connect(host_of(self.request.url), place[0]):
            return socket.socket(family, kind, protocol)
        self.reply.blocked = True
        return pycurl.SOCKET_BAD


class Transfers:
    """The requests in flight; a body comes in pieces of up to `buffer` bytes."""

    def __init__(self, policy: NetworkPolicy, buffer: int = _BUFFER):
        self._policy, self._buffer, network = policy, buffer, policy.network
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, network.connections)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, network.per_host)
        self._multi.setopt(pycurl.M_MAXCONNECTS, network.connections)
        self._idle: list[_Handle] = []
        self._busy: dict[pycurl.Curl, _Handle] = {}

    @property
    def in_flight(self) -> int:
        """The number of requests in flight."""
        return len(self._busy)

    def start(self, token: Any, request: Request) -> Reply:
        """Start a request; `token` comes back with its reply, which is returned as it grows."""
        handle = self._idle.pop() if self._idle else _Handle(self._policy, self._buffer)
        handle.prepare(token, request)
        self._busy[handle.curl] = handle
        self._multi.add_handle(handle.curl)
        return handle.reply

    def stop(self, token: Any) -> None:
        """Give up the request of a token, if it is in flight."""
        for curl, handle in list(self._busy.items()):
            if handle.token is token:
                del self._busy[curl]
                self._multi.remove_handle(curl)
                curl.close()

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
        """Close all connections."""
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
                reply.error, reply.message = error, words
                if reply.code:
                    reply.first_byte = curl.getinfo(pycurl.STARTTRANSFER_TIME)
                handle.token = None
                handle.request.sink = None
                self._idle.append(handle)
                yield token, reply


def check_listening(host: str, port: int, patience: float) -> None:
    """Raise OSError if nothing accepts a connection at a port within `patience` seconds."""
    socket.create_connection((host, port), patience).close()
