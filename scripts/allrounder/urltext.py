"""URLs as text: decoded from a list's bytes, and told apart from paths and archives.

Not for whether a URL may be asked: that is urlcheck.py.
"""

import codecs
from urllib.parse import urlsplit


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


def is_web(url: str) -> bool:
    """Whether this is a URL of the web and not a path on this machine."""
    return url[:8].lower().startswith(("http://", "https://"))


def is_archive(url: str) -> bool:
    """Whether the URL or path is of a tar of photos, by its ending."""
    try:
        path = urlsplit(url).path if is_web(url) else url
    except ValueError:
        return False
    return path.lower().endswith(".tar")
