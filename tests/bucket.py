"""A web server on loopback that serves files as a cloud bucket does: ETags, ranges, and faults."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from loopback import Handler, Loopback


@dataclass
class Fault:
    """What is answered instead of a file, the first `times` times."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"<?xml version='1.0'?><Error/>"
    times: int = 10**9
    cut: int | None = None  # with status 200: break off after so many bytes of the file


class Bucket(Loopback):
    """Serves `files` by path; `faults` come first. `asked` are the requests: path, headers."""

    def __init__(self, files: dict[str, bytes]):
        self.files, self.faults = files, dict[str, Fault]()
        self.cuts: dict[str, list[int]] = {}  # where the next answers with a file break off
        self.dated = False  # tells versions by date instead of ETag
        self.most: int | None = None  # bytes of a part at most
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answered: Counter[int] = Counter()
        super().__init__(_handler(self))

    def paths(self) -> list[str]:
        """The paths asked for, in order; the list of requests is then empty again."""
        asked, self.asked = self.asked, []
        return [path for path, _ in asked]


DATE = "Tue, 15 Nov 1994 12:45:26 GMT"


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _handler(bucket: Bucket) -> type[Handler]:
    class BucketHandler(Handler):
        def get(self) -> None:
            bucket.asked.append((self.path, dict(self.headers)))
            fault = bucket.faults.get(self.path)
            if fault and fault.times:
                fault.times -= 1
                if fault.status != 200 or fault.cut is None:
                    return self._answer(fault.status, fault.body, fault.headers)
            else:
                fault = None
            body = bucket.files.get(self.path)
            if body is None:
                return self._answer(404, b"<?xml version='1.0'?><Error/>")
            tag = DATE if bucket.dated else etag(body)
            if tag in (self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")):
                return self._answer(304, b"", {"ETag": tag})
            start = self._start(tag)
            if start >= len(body) > 0 and start:
                return self._answer(416, b"")
            headers = {"Last-Modified": DATE} if bucket.dated else {"ETag": tag}
            end = len(body)
            if start:
                end = min(end, start + (bucket.most or end))
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
            cuts = bucket.cuts.get(self.path)
            cut = fault.cut if fault else cuts.pop(0) if cuts else None
            self._answer(206 if start else 200, body[start:end], headers, cut)

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
            bucket.answered[status] += 1
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

    return BucketHandler
