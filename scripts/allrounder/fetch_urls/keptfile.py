"""One file of the web as it is kept on disk: its body, its version, and a download begun.

Not for asking the web (webcache.py) or for what is in the file.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept beside a file: where it is from and how the server told its version."""

    url: str
    etag: str = ""
    modified: str = ""
    bytes: int = 0

    @property
    def validator(self) -> str:
        """What If-Range takes: a strong ETag, else the date (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class KeptFile:
    """The files of one URL in a folder: `body`, and `part` of a download that broke off."""

    def __init__(self, folder: Path, url: str):
        # A name from the web never becomes a path.
        stem = folder / hashlib.sha256(url.encode()).hexdigest()[:32]
        self.url = url
        self.body, self.part = stem.with_suffix(".body"), stem.with_suffix(".part")

    def whole(self) -> Entry | None:
        """What is known of the file, if it is there as it was put."""
        return self._entry(self.body, exact=True)

    def begun(self) -> Entry | None:
        """What is known of a download that broke off and may go on."""
        entry = self._entry(self.part, exact=False)
        return entry if entry and entry.validator and self.part.stat().st_size else None

    def begin(self, entry: Entry) -> None:
        """Be ready to take a file from its start on."""
        self.part.write_bytes(b"")
        _beside(self.part).write_text(json.dumps(asdict(entry)), encoding="utf-8")

    def complete(self) -> None:
        """Put what came whole in place; a kill leaves the old file, none or the new one."""
        entry = self._entry(self.part, exact=False) or Entry(self.url)
        entry = Entry(self.url, entry.etag, entry.modified, self.part.stat().st_size)
        _beside(self.body).unlink(missing_ok=True)
        self.part.replace(self.body)
        _beside(self.part).write_text(json.dumps(asdict(entry)), encoding="utf-8")
        _beside(self.part).replace(_beside(self.body))

    def forget_part(self) -> None:
        """Start from nothing next time."""
        self.part.unlink(missing_ok=True)
        _beside(self.part).unlink(missing_ok=True)

    def _entry(self, path: Path, exact: bool) -> Entry | None:
        try:
            entry = Entry(**json.loads(_beside(path).read_text(encoding="utf-8")))
            size = path.stat().st_size
        except (OSError, ValueError, TypeError):
            return None
        return entry if entry.url == self.url and (size == entry.bytes or not exact) else None


def _beside(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".json")
