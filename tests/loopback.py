"""Shared by the tests' web servers on loopback: threads, and handlers without a log.

webfaults/server.py serves answers of which every byte may be wrong.
"""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_SOON = 0.01
"""Seconds that a server takes to notice that it is to end; the library's 0.5 add up."""


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open, logs nothing, and lets clients hang up."""

    protocol_version = "HTTP/1.1"

    def get(self) -> None:
        """Answer a GET."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self.get()

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()


class Loopback:
    """Serves with each of the handlers from a port of its own, at `bases`, while it is entered."""

    def __init__(self, *handlers: type[Handler]):
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in handlers]
        self.bases = [f"http://127.0.0.1:{server.server_port}" for server in self._servers]

    @property
    def base(self) -> str:
        """The address of the first handler."""
        return self.bases[0]

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(_SOON,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
