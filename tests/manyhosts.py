"""A server on loopback that is many hosts, 127.0.0.1 to 127.0.0.6, and counts their requests."""

import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import ThreadingHTTPServer

from PIL import Image

from loopback import Handler, Loopback

HOSTS = range(1, 7)
ROBOTS = b"User-agent: GPTBot\nDisallow: /refused/\n"


def picture(number: int) -> bytes:
    """A photo; every fifth must be converted."""
    noise = random.Random(number)
    image = Image.frombytes("RGB", (8, 6), noise.randbytes(8 * 6 * 3)).resize((96, 72))
    out = io.BytesIO()
    image.save(out, "PNG" if number % 5 == 0 else "JPEG")
    return out.getvalue()


class ManyHosts(Loopback):
    """`/photo/<number>` is a photo on every host, `/to/<host>/...` a redirect, `/busy` answers 429.

    Hosts 3 and 4 have a robots.txt; host 4's is a redirect to host 2. `most` has the most requests
    of a host at once; `asked` counts (host, path). `seen` is called with the number of photos
    served so far.
    """

    def __init__(self) -> None:
        self.asked: Counter[tuple[int, str]] = Counter()
        self.most: Counter[int] = Counter()
        self.served = 0
        self.seen: Callable[[int], None] = lambda served: None
        self.pause = 0.0  # seconds before an answer
        self._now: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._servers = [ThreadingHTTPServer(("0.0.0.0", 0), _handler(self))]
        self.port = self._servers[0].server_port

    def url(self, host: int, path: str) -> str:
        return f"http://127.0.0.{host}:{self.port}{path}"

    def answer(self, host: int, path: str) -> tuple[int, bytes, dict[str, str]]:
        _, kind, *rest = path.split("/")
        if kind in ("photo", "refused"):
            return 200, picture(int(rest[0])), {}
        if kind == "to":
            return 302, b"", {"Location": self.url(int(rest[0]), "/" + "/".join(rest[1:]))}
        if kind == "busy":
            return 429, b"", {"Retry-After": "60"}
        if (host, path) == (4, "/robots.txt"):
            return 302, b"", {"Location": self.url(2, "/robots4.txt")}
        if (host, path) in ((3, "/robots.txt"), (2, "/robots4.txt")):
            return 200, ROBOTS, {}
        return 404, b"", {}

    def enter(self, host: int, path: str) -> None:
        with self._lock:
            self.asked[host, path] += 1
            self._now[host] += 1
            self.most[host] = max(self.most[host], self._now[host])

    def leave(self, host: int, path: str) -> None:
        with self._lock:
            self._now[host] -= 1
            self.served += "/photo/" in path
            served = self.served
        self.seen(served)


def _handler(server: ManyHosts) -> type[Handler]:
    class HostHandler(Handler):
        def get(self) -> None:
            host = int(self.connection.getsockname()[0].rpartition(".")[2])
            server.enter(host, self.path)
            time.sleep(server.pause)
            status, body, headers = server.answer(host, self.path)
            server.leave(host, self.path)  # before the client can have the answer
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return HostHandler
