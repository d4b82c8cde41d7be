"""A web server on loopback that serves large files whole and in parts (RFC 9110, section 14).

It notes what was asked of it, and can be told to fail in the ways that servers do.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from loopback import Handler, Loopback


class ShardServer(Loopback):
    """Serves `files` by path; `log` holds (path, value of Range or '') of every request."""

    def __init__(self, files: dict[str, bytes] | None = None):
        self.files = files or {}
        self.ranges = True  # whether parts are given
        self.most: int | None = None  # bytes of a part without an end at most
        self.shift = 0  # bytes that parts lie beside what was asked for
        self.codes: dict[str, list[int]] = defaultdict(list)  # answered first, one a request
        self.cut: dict[str, list[int]] = defaultdict(list)  # bytes after which it hangs up
        self.moved: dict[str, str] = {}
        self.headers: dict[str, str] = {}  # more of them
        self.token = ""  # without which it answers 401
        self.tokens: list[tuple[str, str]] = []  # (path, value of Authorization or '')
        self.log: list[tuple[str, str]] = []
        super().__init__(_handler(self))

    @property
    def byte_ranges(self) -> list[str]:
        """The parts asked for since `log` was cleared, but for the look whether there are any."""
        parts = (part for _, part in self.log if re.fullmatch(r"bytes=[0-9]+-[0-9]+", part))
        return sorted(part for part in parts if part != "bytes=0-511")

    @property
    def whole(self) -> list[str]:
        """The paths asked for as whole files since `log` was cleared."""
        return [path for path, part in self.log if not part]

    def answer(self, path: str, part: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body."""
        if self.codes[path] and (code := self.codes[path].pop(0)) != 200:
            return code, [("Retry-After", "0")], b"<html>no"
        if path in self.moved:
            return 302, [("Location", self.moved[path])], b"over there"
        if (body := self.files.get(path.partition("?")[0])) is None:
            return 404, [], b"<html>not found"
        found = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", part)
        if not found or not self.ranges:
            return 200, [], body
        first = int(found[1]) + self.shift
        last = min(int(found[2] or len(body)) + self.shift, len(body) - 1)
        if first > last:
            return 416, [("Content-Range", f"bytes */{len(body)}")], b""
        if self.most and not found[2]:
            last = min(last, first + self.most - 1)
        place = f"bytes {first}-{last}/{len(body)}"
        return 206, [("Content-Range", place)], body[first : last + 1]


def _handler(server: ShardServer) -> type[Handler]:
    class ShardHandler(Handler):
        def get(self) -> None:
            part = self.headers.get("Range", "")
            server.log.append((self.path, part))
            given = self.headers.get("Authorization", "")
            server.tokens.append((self.path, given))
            code, headers, body = server.answer(self.path, part)
            if server.token and given != f"Bearer {server.token}":
                code, headers, body = 401, [], b"<html>who"
            self._head(code, [*headers, *server.headers.items()], len(body))
            if server.cut[self.path] and (cut := server.cut[self.path].pop(0)) < len(body):
                self.wfile.write(body[:cut])
                self.close_connection = True
                return
            self.wfile.write(body)

        def _head(self, code: int, headers: Iterable[tuple[str, str]], length: int) -> None:
            self.send_response(code)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()

    return ShardHandler
