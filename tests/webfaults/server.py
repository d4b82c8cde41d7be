"""An HTTP server on raw sockets, so that every byte of an answer can be wrong.

It counts requests by path. What it answers is a behaviour: a function of one `Exchange`, found by
the first part of the path (`/reset/1.jpg`: behaviour `reset`).
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Self

Headers = Iterable[tuple[str, str]]


def reset(connection: socket.socket) -> None:
    """Close a connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Exchange:
    """One request on one connection, and the means to answer it badly. Connections serve once."""

    def __init__(self, connection: socket.socket, server: "Server", head: bytes):
        self.connection, self.server = connection, server
        line, *fields = head.decode("latin-1").split("\r\n")
        self.path = line.split(" ")[1]
        pairs = (field.partition(": ") for field in fields)
        self.headers = {name.lower(): value for name, _, value in pairs}
        self.argument = self.path.partition("?")[0].split("/", 2)[2] if "/" in self.path[1:] else ""
        self.nth = server.count(self)  # of the requests for this path

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.connection.sendall(data)

    def head(self, code: int = 200, headers: Headers = ()) -> None:
        """Send a status line and headers."""
        lines = [f"HTTP/1.1 {code} Words", *(f"{name}: {value}" for name, value in headers)]
        self.send("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))

    def reply(self, body: bytes = b"", code: int = 200, headers: Headers = ()) -> None:
        """Send a proper answer."""
        self.head(code, [*headers, ("Content-Length", str(len(body)))])
        self.send(body)

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        reset(self.connection)

    def gone(self, wait: float | None) -> bool:
        """Whether the client hangs up within `wait` seconds (None: wait until it does)."""
        return bool(select.select([self.connection], [], [], wait)[0])


Behaviour = Callable[[Exchange], None]
BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(function: Behaviour) -> Behaviour:
    """Register a behaviour under its own name."""
    BEHAVIOURS[function.__name__] = function
    return function


class Server:
    """Serves the behaviours from a free port of `host`, one thread a connection."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None):
        self.requests: Counter[str] = Counter()
        self.log: list[Exchange] = []
        self.on_request: Callable[[Exchange], None] = lambda exchange: None
        self._tls, self._lock = tls, threading.Lock()
        self._open: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=128)
        self.port = int(self._listener.getsockname()[1])
        scheme, host = "https" if tls else "http", f"[{host}]" if ":" in host else host
        self.root = f"{scheme}://{host}:{self.port}"

    def url(self, path: str) -> str:
        """The URL of a path that is given without its first slash."""
        return f"{self.root}/{path}"

    def asked(self, path: str) -> int:
        """How often a path (without its first slash) was asked for."""
        return self.requests[f"/{path}"]

    def count(self, exchange: Exchange) -> int:
        """Note a request; returns the how manieth of its path it is."""
        with self._lock:
            self.requests[exchange.path] += 1
            self.log.append(exchange)
            return self.requests[exchange.path]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            with self._lock:
                self._open.add(connection)
            try:
                if self._tls:
                    with self._tls.wrap_socket(connection, server_side=True) as secure:
                        self._answer(secure)
                else:
                    self._answer(connection)
            finally:
                with self._lock:
                    self._open.discard(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (piece := connection.recv(65536)):
                return
            head += piece
        exchange = Exchange(connection, self, head.partition(b"\r\n\r\n")[0])
        self.on_request(exchange)
        BEHAVIOURS[exchange.path.split("/")[1].partition("?")[0]](exchange)
