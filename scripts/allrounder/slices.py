"""Names a photo that lies inside a larger file: `<file>#<member>,bytes=<first>-<last>`.

Not for reading it (crawl.py, slicefetch.py), nor for `<archive>#<member>`, a member of an archive
that the download streams through (archiverun.py).
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

_NUMBER = r"(0|[1-9][0-9]{0,18})"
_FORM = re.compile(rf"(.+)#([A-Za-z0-9._~/%-]*),bytes={_NUMBER}-{_NUMBER}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Slice:
    """`size` bytes from `offset` (at least 1) on of a file, given by its path or URL."""

    file: str
    member: str  # what the bytes are called in the file; only to be read by people
    offset: int
    size: int

    @property
    def url(self) -> str:
        """The slice as a URL, with the first and the last byte as in HTTP (RFC 9110, 14.1.2).

        The member's name is percent-encoded (RFC 3986, section 2.1), so the last `#` parts the
        two, whatever is in them. Of an empty member, the last byte is the one before the first.
        """
        last = self.offset + self.size - 1
        return f"{self.file}#{quote(self.member, safe='/')},bytes={self.offset}-{last}"


def parse(url: str) -> Slice | None:
    """The slice that a URL names, or None when it is of another form."""
    if ",bytes=" not in url or not (found := _FORM.fullmatch(url)):
        return None
    offset, last = int(found[3]), int(found[4])
    if not offset or last < offset - 1:
        return None
    return Slice(found[1], unquote(found[2]), offset, last + 1 - offset)


def file_of(url: str) -> str:
    """The file that a URL leads to: the one a slice lies in, or the URL itself."""
    part = parse(url)
    return part.file if part else url
