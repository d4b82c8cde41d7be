"""The network policy: User-Agent, offline switch, proxies, credentials, Retry-After."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from allrounder.core.errors import DataError, UsageError
from allrounder.core.text import PROJECT
from allrounder.core.urls import normalized_hosts
from allrounder.params.schema import Network


def user_agent(network: Network) -> str:
    """The User-Agent header, with the contact from the params if there is one."""
    contact = f" (+{network.contact})" if network.contact else ""
    return f"{PROJECT}/1.0{contact}"


OFFLINE_SWITCH = "ALLROUNDER_OFFLINE"


def is_offline() -> bool:
    """Whether nothing of the web may be asked. Raises UsageError for a value that says neither."""
    value = os.environ.get(OFFLINE_SWITCH, "")
    if value not in ("", "0", "1"):
        raise UsageError(f"environment: {OFFLINE_SWITCH}: {value!r} is neither 0 nor 1; correct it")
    return value == "1"


def parse_stage_args(description: str | None) -> None:
    """Read a stage's command line: --offline, which its other processes see too."""
    if len(sys.argv) > 1:
        _parse_offline_flag(description)
    is_offline()


def _parse_offline_flag(description: str | None) -> None:
    import argparse  # slow to import, and DVC gives no arguments

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--offline",
        action="store_true",
        help=f"ask nothing of the web, build from what is here; {OFFLINE_SWITCH}=1 does the same",
    )
    if parser.parse_args().offline:
        os.environ[OFFLINE_SWITCH] = "1"


def not_cached_error(what: str, url: str) -> DataError:
    """What to say of a listing that would have to be asked of the web."""
    return DataError(
        f"offline: {what}: {url} is not in .allrounder/cache; run once without {OFFLINE_SWITCH}"
    )


PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""Those libcurl reads (and not HTTP_PROXY, which a CGI client could set).

Source: curl's manual page, section Environment.
"""
_PROXY_KINDS = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_PROXY_PORTS = {"https": 443}
_DEFAULT_PROXY_PORT = 1080  # libcurl's default for the others


def proxies() -> dict[str, tuple[str, int]]:
    """Host and port of each proxy, by the variable that names it.

    Raises UsageError, without the address, for one of an unknown kind or that has no host, a bad
    port or more behind it: a path, say, is the rest of a password with a slash.
    """
    found = {}
    for name in (*PROXY_VARIABLES, "HTTP_PROXY"):  # the last is for requests
        if value := os.environ.get(name):
            try:
                parts = urlsplit(value if "://" in value else f"http://{value}")
                host, port = (
                    parts.hostname,
                    parts.port or _PROXY_PORTS.get(parts.scheme, _DEFAULT_PROXY_PORT),
                )
            except ValueError:
                host = None
            more = host and (parts.path.strip("/") or parts.query or parts.fragment)
            if not host or more or parts.scheme not in _PROXY_KINDS:
                raise UsageError(
                    f"environment: {name}: is no address of a proxy; write e.g. http://host:3128, "
                    "with / : @ # ? in a password percent-encoded"
                )
            found[name] = host, port
    return found


def proxy_addresses() -> frozenset[tuple[str, int]]:
    """Addresses and ports of libcurl's proxies: connecting to these is always right.

    Raises UsageError as `proxies` does.
    """
    found: set[tuple[str, int]] = set()
    for name, (host, port) in proxies().items():
        if name in PROXY_VARIABLES:
            with contextlib.suppress(OSError, UnicodeError):
                found |= {(str(info[4][0]), port) for info in socket.getaddrinfo(host, port)}
    return frozenset(found)


def hub_token() -> str:
    """The user's token, or '': HF_TOKEN, else the file that `hf auth login` writes.

    Its places are huggingface_hub's (its documentation, page Environment variables): HF_TOKEN;
    the file HF_TOKEN_PATH, by default `$HF_HOME/token`; HF_HOME is `~/.cache/huggingface` by
    default. Raises UsageError, without the token, when no HTTP header can hold it.
    """
    where, text = "environment: HF_TOKEN", os.environ.get("HF_TOKEN", "").strip()
    if not text:
        path = _token_path()
        try:
            where, text = str(path), path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
    if not all(33 <= ord(character) < 127 for character in text):
        raise UsageError(f"{where}: holds no token but other text; correct it or run hf auth login")
    return text


def may_send_token(url: str, location: str, allow_private: Collection[str]) -> bool:
    """Whether a request for `url` may carry the token of the source at `location`.

    Only to that very scheme, host and port; and only over https, or to a host of one's own.
    """
    asked, own = _origin(url), _origin(location)
    if asked is None or asked != own:
        return False
    return asked[0] == "https" or asked[1] in normalized_hosts(allow_private)


def access_advice(dataset: str) -> str:
    """What to do when the Hub refuses a dataset that one must sign in for."""
    return (
        f"accept the terms of https://huggingface.co/datasets/{dataset} there and set HF_TOKEN "
        "(or run hf auth login); it is sent over https only"
    )


def _token_path() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    named = os.environ.get("HF_TOKEN_PATH") or f"{home}/token"
    return Path(os.path.expandvars(named)).expanduser()


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return parts.scheme, (parts.hostname or "").lower(), port


def retry_after(values: Iterable[bytes]) -> float | None:
    """Seconds that a Retry-After header asks to wait, given as seconds or as a date, or None.

    Source: RFC 9110, section 10.2.3. What cannot be read counts as absent.
    """
    for value in values:
        text = value.decode("latin-1").strip()
        if text.isascii() and text.isdigit():
            return float(text[:12])
        from email.utils import parsedate_to_datetime  # slow to import, and dates are rare

        try:
            when = parsedate_to_datetime(text).timestamp()
        except (ValueError, TypeError, OverflowError):
            continue
        return max(0.0, when - time.time())
    return None
