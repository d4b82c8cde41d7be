"""Says whether a URL may be asked at all, and in which form; and whether an address may.

Nothing here touches the network: addresses are checked when a connection is opened (transfer.py).
"""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

import idna

MAX_LENGTH = 8_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_PLAIN = re.compile(
    r"https?://[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?){1,8}"
    r"(:[1-9][0-9]{0,3})?/[A-Za-z0-9_.,~/-]*"
)
"""A URL as most are: it goes on the wire as it is."""
_KEPT = "!$%&'()*+,-./:;=?@[]_~"

_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # CGNAT, RFC 6598
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "::ffff:0:0/96",  # IPv4-mapped, RFC 4291
        "::/96",  # IPv4-compatible, RFC 4291
        "64:ff9b::/96",  # NAT64, RFC 6052
        "64:ff9b:1::/48",  # NAT64, RFC 8215
        "fec0::/10",  # site-local, RFC 3879
        "2001::/32",  # Teredo, RFC 4380
        "2002::/16",  # 6to4, RFC 3056
    )
)


class BadUrlError(ValueError):
    """Why a URL is not asked, in a few words."""


def request_url(url: str) -> str:
    """The URL as it goes on the wire: IDNA host, spaces and non-ASCII percent-encoded, no fragment.

    Raises BadUrlError for other schemes than http and https, for userinfo, control characters,
    impossible hosts and ports, and overlong URLs.
    """
    if len(url) > MAX_LENGTH:
        raise BadUrlError("too long")
    if _PLAIN.fullmatch(url):
        return url  # nothing in it that what follows would change
    if _CONTROL.search(url):
        raise BadUrlError("control character")
    try:
        parts = urlsplit(url)
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
    netloc = _host(parts.hostname or "") + (f":{port}" if port else "")
    path = quote(parts.path or "/", safe=_KEPT)
    return urlunsplit((parts.scheme, netloc, path, quote(parts.query, safe=_KEPT), ""))


@lru_cache(4096)
def host_of(url: str) -> str:
    """The host of a URL that `request_url` made, without port and brackets."""
    return urlsplit(url).hostname or ""


def _host(host: str) -> str:
    if ":" in host:
        if "%" in host:
            raise BadUrlError("bad host")  # a zone is of one machine only
        try:
            return f"[{ipaddress.IPv6Address(host)}]"
        except ValueError:
            raise BadUrlError("bad host") from None
    try:
        ascii_host = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise BadUrlError("bad host") from None
    if len(ascii_host) > 253 or not _HOST.fullmatch(ascii_host):
        raise BadUrlError("bad host")
    return ascii_host


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet's.

    Private, loopback, link-local, multicast, reserved, CGNAT, IPv4-mapped, 6to4, Teredo and NAT64
    addresses are not (IANA's special-purpose registries, RFC 6890).
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if ip.is_multicast or not ip.is_global:
        return False
    return not any(ip in network for network in _REFUSED if network.version == ip.version)
