"""URLs as text: decoded from a list's bytes, and told apart from paths and archives.

Not for whether a URL may be asked: that is urlcheck.py.
"""

import codecs
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from allrounder.slices import file_of, parse


def _percent(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in bad), error.end


codecs.register_error("percent", _percent)


def url_text(raw: bytes) -> str:
    """A list's bytes as text: UTF-8, and what is not UTF-8 percent-encoded byte by byte.

    That is what a browser of the time would have asked for (RFC 3986, section 2.5).
    """
    return raw.strip().decode("utf-8", "percent")


def url_line(raw: bytes) -> str:
    """A URL as a list has it, with nothing in it that would break a table: see `printable`."""
    return printable(url_text(raw))


def printable(text: str) -> str:
    """A text whose control characters, half surrogates and the like are percent-encoded.

    No URL may hold them: the download says `bad_url` or asks for it as it is then.
    """
    if text.isprintable():  # nearly all are
        return text
    return "".join(c if c.isprintable() else _percent_of(c) for c in text)


def _percent_of(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


MAX_TEXT = 1_000
"""Characters of a licence, an author or the like at most: what is longer is none."""


def one_line(text: str) -> str:
    """A stranger's text as one printable line that is not too long."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT]


_FLICKR = re.compile(
    r"https?://(?:[a-z0-9-]+\.)*(?:static\.?flickr|photos[0-9]*\.flickr)\.com(?::[0-9]+)?"
    r"/(?:[^/?#]+/)*([0-9]+)_[0-9a-f]+",
    re.IGNORECASE,
)
"""Flickr's photo URLs: `.../<server>/<photo id>_<secret>[_<size>].jpg`.

Hosts of its first years: static.flickr.com, and photos1.flickr.com without a server.
Source: https://www.flickr.com/services/api/misc.urls.html
"""


def flickr_photo(url: str) -> str:
    """`flickr <photo id>` for a URL of a photo on Flickr, in whatever size; else ''."""
    found = _FLICKR.match(url)
    return f"flickr {found[1]}" if found else ""


_ROW = re.compile(r"[^#]+/rows\?dataset=[^#]+&length=1#[^@]+")
"""A photo of a row of a Hugging Face dataset, whose fragment names its column (rowpages.py)."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def same_photo(url: str) -> str:
    """A text that is the same for URLs of the web that name the same photo.

    Without regard to scheme, the host's case, a default port and a fragment (RFC 3986, section
    6.2); for a photo on Flickr also to the host's alias and the size. A row of a dataset keeps its
    fragment's column. Other URLs, slices among them, as they are.
    """
    if not is_web(url) or parse(url):
        return url
    if photo := flickr_photo(url):
        return photo
    row = _ROW.match(url)
    scheme, _, rest = (row[0] if row else url.partition("#")[0]).partition("://")
    end = next((place for place, letter in enumerate(rest) if letter in "/?"), len(rest))
    host = rest[:end].lower().removesuffix(_DEFAULT_PORTS[scheme.lower()])
    return host + (rest[end:] or "/")


def plain_hosts(hosts: Iterable[str]) -> frozenset[str]:
    """Hosts as people write them, in the form in which they are compared."""
    return frozenset(host.lower().strip("[]") for host in hosts)


def is_web(url: str) -> bool:
    """Whether this is a URL of the web and not a path on this machine."""
    return url[:8].lower().startswith(("http://", "https://"))


def is_file_here(url: str) -> bool:
    """Whether this is the path of a file on this machine, or of a slice of one.

    Not for what no file can be called.
    """
    try:
        return not is_web(url) and Path(file_of(url)).is_file()
    except (OSError, ValueError):
        return False


def is_archive(url: str) -> bool:
    """Whether the URL or path is of a tar of photos, by its ending."""
    if ".tar" not in url.lower() or parse(url):
        return False
    try:
        path = urlsplit(url).path if is_web(url) else url
    except ValueError:
        return False
    return path.lower().endswith(".tar")
