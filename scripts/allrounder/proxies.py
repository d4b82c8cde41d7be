"""Reads the environment's proxies, and refuses what is none before a library would quote it.

Their addresses may hold a password: no message of ours does. Not for using them.
"""

import contextlib
import os
import socket
from urllib.parse import urlsplit

from allrounder.errors import UsageError

NAMES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""Those libcurl reads (and not HTTP_PROXY, which a CGI client could set).

Source: curl's manual page, section Environment.
"""
_KINDS = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_PORTS = {"https": 443}
_PORT = 1080  # libcurl's default for the others


def proxies() -> dict[str, tuple[str, int]]:
    """Host and port of each proxy, by the variable that names it.

    Raises UsageError, without the address, for one of an unknown kind or that has no host, a bad
    port or more behind it: a path, say, is the rest of a password with a slash.
    """
    found = {}
    for name in (*NAMES, "HTTP_PROXY"):  # the last is for requests
        if value := os.environ.get(name):
            try:
                parts = urlsplit(value if "://" in value else f"http://{value}")
                host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, _PORT)
            except ValueError:
                host = None
            more = host and (parts.path.strip("/") or parts.query or parts.fragment)
            if not host or more or parts.scheme not in _KINDS:
                raise UsageError(
                    f"environment: {name}: is no address of a proxy; write e.g. http://host:3128, "
                    "with / : @ # ? in a password percent-encoded"
                )
            found[name] = host, port
    return found


def proxy_places() -> frozenset[tuple[str, int]]:
    """Addresses and ports of libcurl's proxies: connecting to these is always right.

    Raises UsageError as `proxies` does.
    """
    found: set[tuple[str, int]] = set()
    for name, (host, port) in proxies().items():
        if name in NAMES:
            with contextlib.suppress(OSError, UnicodeError):
                found |= {(str(info[4][0]), port) for info in socket.getaddrinfo(host, port)}
    return frozenset(found)
