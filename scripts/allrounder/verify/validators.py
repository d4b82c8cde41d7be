"""Remembers the ETag or Last-Modified of what was the same, so that the web need not send it again.

Kept beside the data, in .allrounder/: nothing that DVC hashes may hold what differs from run to
run. Conditional requests: RFC 9110, section 13.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,200}"')  # RFC 9110, 8.8.3, less what is not ASCII
_DATE = re.compile(r"[A-Za-z0-9 :,+-]{10,40}")


@dataclass(frozen=True, slots=True)
class Validator:
    """What a host called a body: valid only for the bytes that `content` is a hash of."""

    content: str
    url: str  # that answered it, after redirects
    etag: str = ""
    modified: str = ""

    @property
    def headers(self) -> dict[str, tuple[str, ...]]:
        """Request headers that ask for the body only if it is another one, by URL."""
        lines = [f"If-None-Match: {self.etag}"] * bool(self.etag)
        lines += [f"If-Modified-Since: {self.modified}"] * bool(self.modified)
        return {self.url: tuple(lines)}


class Validators:
    """All that is remembered, by the URL that is asked."""

    def __init__(self, path: Path):
        self._path = path
        self._known = dict(_read(path))

    def get(self, url: str, content: str) -> Validator | None:
        """What to ask a URL with, if its body was this content when it was asked last."""
        known = self._known.get(url)
        return known if known and known.content == content else None

    def keep(
        self, url: str, content: str, final_url: str, headers: Mapping[bytes, Sequence[bytes]]
    ) -> None:
        """Remember what the host calls the content, if it says so."""
        etag, modified = _one(headers, b"etag", _ETAG), _one(headers, b"last-modified", _DATE)
        if etag or modified:
            self._known[url] = Validator(content, final_url, etag, modified)

    def drop(self, url: str) -> None:
        """Forget a URL whose content is another one now."""
        self._known.pop(url, None)

    def save(self) -> None:
        """Write the file anew."""
        rows = {url: asdict(known) for url, known in sorted(self._known.items())}
        part = self._path.with_name(self._path.name + ".part")
        part.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        part.replace(self._path)


def _one(headers: Mapping[bytes, Sequence[bytes]], name: bytes, form: re.Pattern[str]) -> str:
    text = (headers.get(name) or [b""])[-1].decode("latin-1")
    return text if form.fullmatch(text) else ""


def _read(path: Path) -> Mapping[str, Validator]:
    """The remembered ones; none when the file is not there or damaged, for it only saves work."""
    try:
        rows: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {url: _checked(row) for url, row in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _checked(row: dict[str, str]) -> Validator:
    known = Validator(**row)
    if (known.etag and not _ETAG.fullmatch(known.etag)) or (
        known.modified and not _DATE.fullmatch(known.modified)
    ):
        raise ValueError("not as we write it")
    return known
