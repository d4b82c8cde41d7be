"""Keeps what stands in a shard of the web, so that another class needs no second reading of it.

It holds for the version that the shard's strong ETag names. Not for the shard itself, which is too
large to keep, nor for what its labels mean (sources/webdataset.py).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator

from allrounder.csvfiles import replaced
from allrounder.errors import DataError
from allrounder.fetch_urls.webcache import CACHE
from allrounder.records import Candidate

Photo = tuple[str | None, Candidate]
"""A photo in a shard, and its label if it has one."""
_FORM = 2  # one more when samples are grouped or read in another way
_END = "null\n"


class WalkCache:
    """The photos of one shard, their labels being under one key."""

    def __init__(self, shard: str, label_key: str):
        self._head = [_FORM, shard, label_key]
        name = hashlib.sha256(json.dumps(self._head).encode()).hexdigest()[:32]
        self._path = CACHE / f"{name}.walk"

    @property
    def exists(self) -> bool:
        """Whether some version was kept."""
        return self._path.exists()

    def photos(self, etag: str | None) -> Iterator[Photo] | None:
        """The photos of a version (of any if it is None), or None when that was not kept."""
        try:
            with self._path.open(encoding="utf-8") as file:
                *head, kept = json.loads(file.readline())
        except (OSError, ValueError, TypeError):
            return None
        return self._read() if head == self._head and etag in (None, kept) else None

    def keep(self, photos: Iterable[Photo], etag: str) -> Iterator[Photo]:
        """The same photos; once all have come they are kept, if the ETag tells versions apart."""
        if not is_strong(etag):
            yield from photos
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(self._path) as file:
            file.write(json.dumps([*self._head, etag]) + "\n")
            for label, one in photos:
                texts = one.image_id, one.url, one.license, one.author, one.landing_url, one.title
                file.write(json.dumps([label, *texts]) + "\n")
                yield label, one
            file.write(_END)

    def _read(self) -> Iterator[Photo]:
        with self._path.open(encoding="utf-8") as file:
            next(file)
            try:
                while (line := next(file, "")) != _END:
                    label, image_id, url, license, author, landing, title = json.loads(line)
                    yield label, Candidate(image_id, url, license, author, landing, title=title)
            except (ValueError, TypeError):
                raise DataError(f"{self._path} is damaged; remove it and run this again") from None


def is_strong(etag: str) -> bool:
    """Whether equal ETags mean equal bytes (RFC 9110, section 8.8.1)."""
    return etag.startswith('"')
