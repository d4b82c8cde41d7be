"""A web server on loopback that serves files like a cloud bucket: ETags, ranges, and faults."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from loopback import Handler, Loopback


@dataclass
class Fault:
    """An answer instead of a file, for the first `times` requests."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"<?xml version='1.0'?><Error/>"
    times: int = 10**9
    cut: int | None = None  # with status 200: break off after so many bytes of the file


class Bucket(Loopback):
    """Serves `files` by path; `faults` come first. `asked` lists the requests: path, headers."""

    def __init__(self, files: dict[str, bytes]):
        self.files, self.faults = files, dict[str, Fault]()
        self.cuts: dict[str, list[int]] = {}  # bytes after which the next answers break off
        self.dated = False  # Last-Modified instead of ETag
        self.most: int | None = None  # bytes of a range at most
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answered: Counter[int] = Counter()
        super().__init__(type("BucketHandler", (_BucketHandler,), {"bucket": self}))

    def paths(self) -> list[str]:
        """Return the requested paths in order and forget them."""
        asked, self.asked = self.asked, []
        return [path for path, _ in asked]


DATE = "Tue, 15 Nov 1994 12:45:26 GMT"


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


class _BucketHandler(Handler):
    bucket: Bucket

    def get(self) -> None:
        self.bucket.asked.append((self.path, dict(self.headers)))
        fault = self.bucket.faults.get(self.path)
        fault = fault if fault and fault.times else None
        if fault:
            fault.times -= 1
            if fault.status != 200 or fault.cut is None:
                return self._answer(fault.status, fault.body, fault.headers)
        body = self.bucket.files.get(self.path)
        if body is None:
            return self._answer(404, b"<?xml version='1.0'?><Error/>")
        tag = DATE if self.bucket.dated else etag(body)
        if tag in (self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")):
            return self._answer(304, b"", {"ETag": tag})
        cuts = self.bucket.cuts.get(self.path)
        self._file(body, tag, fault.cut if fault else cuts.pop(0) if cuts else None)

    def _file(self, body: bytes, tag: str, cut: int | None) -> None:
        """Answer with a file or the wanted range of it."""
        start = self._start(tag)
        headers = {"Last-Modified": DATE} if self.bucket.dated else {"ETag": tag}
        if not start:
            return self._answer(200, body, headers, cut)
        if start >= len(body) > 0:
            return self._answer(416, b"")
        end = min(len(body), start + (self.bucket.most or len(body)))
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
        self._answer(206, body[start:end], headers, cut)

    def _start(self, tag: str) -> int:
        wanted = self.headers.get("Range", "")
        if not wanted or self.headers.get("If-Range", tag) != tag:
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.bucket.answered[status] += 1
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True
