"""A web server on loopback that lists and serves photos the way ImageNet did.

Faults of the web are in webfaults/.
"""

import gzip
import hashlib
import io
import random
import re
import tarfile
import time
import zipfile
from collections import Counter
from pathlib import Path

from loopback import Handler, Loopback


class PhotoServer(Loopback):
    """Serves `<folder>/<wnid>/*`; `asked` counts requests by path.

    `gone` paths answer 404; `jitter` is a random generator that makes answers come in another
    order than they were asked for. With `etags`, answers carry an ETag, and one that is sent back
    is answered 304, counted in `unmodified`; `instead` has answers of its own for some paths, in
    turn, the last one for ever: (status, body, headers).
    """

    def __init__(self, folder: Path):
        self.asked: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.gone = re.compile(r"(?!)")
        self.jitter: random.Random | None = None
        self.etags = False
        self.unmodified: Counter[str] = Counter()
        self.instead: dict[str, list[tuple[int, bytes, dict[str, str]]]] = {}
        self.photos = {
            f"/img/{path.parent.name}/{path.name}": path.read_bytes()
            for path in sorted(folder.glob("n*/*"))
        }
        super().__init__(_handler(self))

    @property
    def photos_asked(self) -> list[str]:
        """The photos asked for since `asked` was cleared."""
        return sorted(path for path in self.asked if path.startswith("/img/"))

    def paths(self, wnid: str) -> list[str]:
        return [path for path in self.photos if f"/{wnid}/" in path]

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body for a path."""
        if self.gone.search(path):
            return 404, b"gone"
        if path in self.photos:
            return 200, self.photos[path]
        if found := re.fullmatch(
            r"/api/imagenet\.synset\.geturls(\.getmapping)?\?wnid=(\w+)", path
        ):
            return 200, self._api(found[2], mapping=bool(found[1]))
        if path.startswith("/urls/list"):
            return 200, packed(self.url_list(), path.partition(".")[2])
        if (found := re.fullmatch(r"/tars/(n\d{8})\.tar", path)) and self.paths(found[1]):
            return 200, self.tar(found[1])
        return 404, b"not found"

    def url_list(self) -> bytes:
        """The Fall 2011 style list, with bytes that are not UTF-8."""
        lines = [f"{Path(path).stem}\t{self.base}{path}\n".encode() for path in self.photos]
        lines.insert(1, b"n00004475_6590\thttp://example.invalid/caf\xe9.jpg\n")
        return b"".join(lines)

    def tar(self, wnid: str) -> bytes:
        """The photos of a class as one archive."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path in self.paths(wnid):
                info = tarfile.TarInfo(f"{Path(path).stem}.JPEG")
                info.size = len(self.photos[path])
                tar.addfile(info, io.BytesIO(self.photos[path]))
        return out.getvalue()

    def _api(self, wnid: str, mapping: bool) -> bytes:
        paths = self.paths(wnid)
        if not paths:
            return b"Invalid url!"
        lines = [f"{Path(path).stem} " * mapping + self.base + path for path in paths]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def packed(text: bytes, suffix: str) -> bytes:
    """A list in the form that its suffix says."""
    out = io.BytesIO()
    if suffix == "txt.gz":
        return gzip.compress(text)
    if suffix == "tgz":
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            info = tarfile.TarInfo("fall11_urls.txt")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
        return out.getvalue()
    if suffix == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("fall11_urls.txt", text)
        return out.getvalue()
    return text


def _handler(server: PhotoServer) -> type[Handler]:
    class PhotoHandler(Handler):
        def get(self) -> None:
            server.asked[self.path] += 1
            if server.jitter:
                time.sleep(server.jitter.uniform(0, 0.02))
            status, body = server.answer(self.path)
            more: dict[str, str] = {}
            if turns := server.instead.get(self.path):
                status, body, more = turns.pop(0) if len(turns) > 1 else turns[0]
            if server.etags and status == 200:
                more = more | {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
                if more["ETag"] == self.headers.get("If-None-Match"):
                    server.unmodified[self.path] += 1
                    status, body = 304, b""
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if wanted and status == 200:
                server.ranges.append(f"{self.path} {wanted[1]}")
                start, status = int(wanted[1]), 206
            self.send_response(status)
            if wanted and status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                body = body[start:]
            self.send_header("Content-Length", str(len(body)))
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return PhotoHandler
