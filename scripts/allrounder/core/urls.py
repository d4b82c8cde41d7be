"""URLs and paths as text: decode, compare, classify, check; and byte ranges of larger files.

Nothing in this module touches the network.
"""

import codecs
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import idna


def _percent(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return quote(error.object[error.start : error.end]), error.end


codecs.register_error("percent", _percent)


def decode_url(raw: bytes) -> str:
    """Decode a URL from a list: UTF-8; other bytes are percent-encoded one by one.

    Browsers of the time requested such URLs in the same form (RFC 3986, section 2.5).
    """
    return raw.strip().decode("utf-8", "percent")


def decode_url_line(raw: bytes) -> str:
    """Decode a URL from a list, and percent-encode what could break a table."""
    return percent_encode_unprintable(decode_url(raw))


def percent_encode_unprintable(text: str) -> str:
    """Percent-encode control characters, lone surrogates and the like.

    They are not allowed in URLs. The download requests the encoded URL or records `bad_url`.
    """
    if text.isprintable():  # nearly all are
        return text
    return "".join(c if c.isprintable() else quote(c, errors="surrogatepass") for c in text)


_FLICKR = re.compile(
    r"https?://(?:[a-z0-9-]+\.)*(?:static\.?flickr|photos[0-9]*\.flickr)\.com(?::[0-9]+)?"
    r"/(?:[^/?#]+/)*([0-9]+)_[0-9a-f]+",
    re.IGNORECASE,
)
"""Flickr's photo URLs: `.../<server>/<photo id>_<secret>[_<size>].jpg`.

Hosts of its first years: static.flickr.com, and photos1.flickr.com without a server.
Source: https://www.flickr.com/services/api/misc.urls.html
"""


def flickr_photo_id(url: str) -> str:
    """`flickr <photo id>` for the URL of a photo on Flickr in any size; '' for other URLs."""
    found = _FLICKR.match(url)
    return f"flickr {found[1]}" if found else ""


_ROW = re.compile(r"[^#]+/rows\?dataset=[^#]+&length=1#[^@]+")
"""The URL of a photo in a row of a Hugging Face dataset. Its fragment names the column."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def photo_key(url: str) -> str:
    """A key that is equal for URLs that name the same photo.

    It ignores the scheme, the host's case, a default port and a fragment (RFC 3986, section 6.2);
    for Flickr also the host's alias and the photo's size. A dataset's row keeps its column. Parts
    of files and paths are their own key.
    """
    if not is_url(url) or is_part(url):
        return url
    if photo := flickr_photo_id(url):
        return photo
    return address_key(url).partition("://")[2]


def address_key(url: str) -> str:
    """A key that is equal for URLs that make the same request.

    It ignores the host's case, a default port and a fragment. Other addresses of one photo have
    other keys: http and https, Flickr's hosts and sizes.
    """
    if not is_url(url) or is_part(url):
        return url
    row = _ROW.match(url)
    scheme, _, rest = (row[0] if row else slashes(url).partition("#")[0]).partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    name = host.lower().removesuffix(_DEFAULT_PORTS[scheme.lower()])
    return f"{scheme.lower()}://{name}{rest[len(host) :] or '/'}"


def normalized_hosts(hosts: Iterable[str]) -> frozenset[str]:
    """Hosts in lower case and without brackets, to be compared."""
    return frozenset(host.lower().strip("[]") for host in hosts)


def is_url(url: str) -> bool:
    """Whether this is an http(s) URL and not a local path."""
    return url[:8].lower().replace("\\", "/").startswith(("http://", "https://"))


def is_archive(url: str) -> bool:
    """Whether the URL or path names a tar, by its ending."""
    if ".tar" not in url.lower() or parse_byte_range(url):
        return False
    try:
        path = urlsplit(url).path if is_url(url) else url
    except ValueError:
        return False
    return path.lower().endswith(".tar")


def is_packed(url: str) -> bool:
    """Whether the URL or path names a compressed file, by its ending."""
    return url.partition("?")[0].lower().endswith((".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst"))


MAX_URL_LENGTH = 8_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HOST_FORM = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_PLAIN = re.compile(
    r"https?://[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?){1,8}"
    r"(:[1-9][0-9]{0,3})?/[A-Za-z0-9_.,~/-]*"
)
"""An ordinary URL, which needs no changes."""
_KEPT = "!$%&'()*+,-./:;=?@[]_~"
_SURPLUS_SLASHES = re.compile(r"^(https?:)?/{3,}", re.IGNORECASE)

_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # CGNAT, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link-local, RFC 3927
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved and broadcast, RFC 1112
        "2001::/23",  # protocol assignments with Teredo and ORCHID, RFC 2928
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056
        "3fff::/20",  # documentation, RFC 9637
    )
)
"""IANA's special-purpose addresses that a public host cannot have. Python's own table depends on
its version. Source: IANA's IPv4 and IPv6 special-purpose registries as of RFC 9780 (2025)."""
_IPV6_UNICAST = ipaddress.ip_network("2000::/3")
"""All IPv6 addresses that IANA gives to public hosts (RFC 4291, section 2.4)."""


class BadUrlError(ValueError):
    """Why a URL is not requested, in a few words."""


def request_url(url: str) -> str:
    """The URL to request: IDNA host, spaces and non-ASCII percent-encoded, no fragment.

    Backslashes and surplus slashes are read as browsers do (WHATWG URL Standard, section 4.4).

    Raises BadUrlError for other schemes than http and https, for userinfo, control characters,
    impossible hosts and ports, and overlong URLs.
    """
    if len(url) > MAX_URL_LENGTH:
        raise BadUrlError("too long")
    if _PLAIN.fullmatch(url):
        return url  # the steps below would not change it
    if _CONTROL.search(url):
        raise BadUrlError("control character")
    try:
        parts = urlsplit(slashes(url))
        port = parts.port
    except ValueError:
        raise BadUrlError("malformed") from None
    if parts.scheme not in ("http", "https"):
        raise BadUrlError(f"scheme {parts.scheme[:20]}" if parts.scheme else "no scheme")
    if "@" in parts.netloc:
        raise BadUrlError("userinfo")
    if port == 0:
        raise BadUrlError("malformed")
    if "[" in parts.netloc and ":" not in (parts.hostname or ""):
        raise BadUrlError("bad host")
    netloc = _ascii_host(parts.hostname or "") + (f":{port}" if port else "")
    path = quote(parts.path or "/", safe=_KEPT)
    return urlunsplit((parts.scheme, netloc, path, quote(parts.query, safe=_KEPT), ""))


def slashes(url: str) -> str:
    """The URL with plain slashes in front of its query and fragment, two before the host."""
    path = re.split("[?#]", url, maxsplit=1)[0]
    return _SURPLUS_SLASHES.sub(r"\1//", path.replace("\\", "/")) + url[len(path) :]


@lru_cache(4096)
def host_of(url: str) -> str:
    """The host of a URL in lower case, without port and brackets; '' for a malformed URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


_PLAIN_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,80}", re.ASCII)


def shown_host(url: str) -> str:
    """A URL's host as ASCII text for people; `local files` for a path, else `malformed`."""
    if not is_url(url):
        return "malformed" if re.match(r"[a-z][a-z0-9+.-]+:", url, re.IGNORECASE) else "local files"
    name = host_of(url)
    try:
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        return "malformed"
    return name if _PLAIN_HOST.fullmatch(name) else "malformed"


def _ascii_host(host: str) -> str:
    if ":" in host:
        if "%" in host:
            raise BadUrlError("bad host")  # a zone id is valid on one machine only
        try:
            return f"[{ipaddress.IPv6Address(host)}]"
        except ValueError:
            raise BadUrlError("bad host") from None
    try:
        ascii_host = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise BadUrlError("bad host") from None
    if len(ascii_host) > 253 or not _HOST_FORM.fullmatch(ascii_host):
        raise BadUrlError("bad host")
    return ascii_host


def is_public_address(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    Private, loopback, link-local, multicast, reserved, CGNAT, IPv4-mapped, 6to4, Teredo and NAT64
    addresses do not.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if ip.version == 6 and ip not in _IPV6_UNICAST:
        return False
    return not any(ip in network for network in _SPECIAL if network.version == ip.version)


_NUMBER = r"(0|[1-9][0-9]{0,18})"
_MAX_FILE = 2**63 - 1  # bytes, for every system
_FORM = re.compile(rf"(.+)#([A-Za-z0-9._~/%-]*),bytes={_NUMBER}-{_NUMBER}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A byte range of a file: `size` bytes from `offset` (at least 1) on."""

    file: str
    member: str  # the name of the bytes in the file, for people
    offset: int
    size: int

    @property
    def url(self) -> str:
        """The byte range as a URL, with the first and the last byte as in HTTP (RFC 9110, 14.1.2).

        The member's name is percent-encoded (RFC 3986, section 2.1), so the last `#` separates
        file and member. An empty byte range ends one byte before its first byte.
        """
        last = self.offset + self.size - 1
        return f"{self.file}#{quote(self.member, safe='/')},bytes={self.offset}-{last}"


def parse_byte_range(url: str) -> ByteRange | None:
    """The byte range that a URL names, or None if it does not have that form."""
    if ",bytes=" not in url or not (found := _FORM.fullmatch(url)):
        return None
    offset, last = int(found[3]), int(found[4])
    if not offset or last < offset - 1 or last > _MAX_FILE:
        return None
    return ByteRange(found[1], unquote(found[2]), offset, last + 1 - offset)


def container_of(url: str) -> str:
    """The file that contains a byte range; for other URLs and paths the URL itself."""
    part = parse_byte_range(url)
    return part.file if part else url


_CELL_FORM = re.compile(
    rf"([^#]+)#([A-Za-z0-9._~%-]+),row={_NUMBER}\.{_NUMBER},"
    rf"footer={_NUMBER}-{_NUMBER},bytes={_NUMBER}-{_NUMBER}"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A photo in a Parquet file: a row of a row group, and which bytes of the file to read for it.

    Of `footer` and `chunk`, the end of the file and the row group's column, these are the first
    and the last byte.
    """

    file: str
    column: str
    group: int
    row: int
    footer: tuple[int, int]
    chunk: tuple[int, int]

    @property
    def url(self) -> str:
        """The cell as a URL."""
        ends = "footer={}-{},bytes={}-{}".format(*self.footer, *self.chunk)
        return f"{self.file}#{quote(self.column, safe='')},row={self.group}.{self.row},{ends}"


def parse_cell(url: str) -> Cell | None:
    """The cell that a URL names, or None if it does not have that form."""
    if ",footer=" not in url or not (found := _CELL_FORM.fullmatch(url)):
        return None
    group, row, *ends = map(int, found.groups()[2:])
    footer, chunk = (ends[0], ends[1]), (ends[2], ends[3])
    if footer[1] < footer[0] or chunk[1] < chunk[0]:
        return None
    return Cell(found[1], unquote(found[2]), group, row, footer, chunk)


def is_part(url: str) -> bool:
    """Whether a URL or path names a part of a file: a byte range, or a cell of a table."""
    return bool(parse_byte_range(url) or parse_cell(url))
