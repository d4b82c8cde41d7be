"""The network policy: one set of rules for photos and lists.

It reads the params and the environment; transfer.py and lists.py apply it.
"""

import contextlib
import os
import random
import re
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urljoin, urlsplit

import certifi

from allrounder.core.errors import DataError, UsageError
from allrounder.core.text import PROJECT
from allrounder.core.urls import (
    BadUrlError,
    host_of,
    is_public_address,
    is_url,
    normalized_hosts,
    request_url,
    slashes,
)
from allrounder.params.schema import Network
from allrounder.params.sources import Source

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
BUSY_CODES = (429, 503)
"""The codes whose Retry-After is obeyed (RFC 6585, section 4; RFC 9110, section 15.6.4)."""
LOW_SPEED = 1_000
"""Bytes a second; a transfer that stays below for `low_speed_time` seconds is ended."""
_COOKIE = re.compile(r"[!#-+\--:<-~]{1,200}=[!-:<-~]{0,2000}")
_LONGEST_BACKOFF = 30.0  # seconds
_PATIENCE, _SLOWEST = 300.0, 20_000  # seconds; bytes a second after them
_LONGEST_TRANSFER = 12 * 3600.0  # seconds
_PORTS = {"http": 80, "https": 443}


def _request_host(host: str) -> str:
    """A host as `request_url` writes it: IPv6 addresses shortened, other scripts as IDNA."""
    try:
        return host_of(request_url(f"http://[{host}]/" if ":" in host else f"http://{host}/"))
    except BadUrlError:
        return host


class RedirectError(ValueError):
    """Why a redirect is not followed, in a few words."""


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """The rules for every request. `of` makes them from the params and the environment."""

    network: Network
    ca_file: str  # or a folder of certificates
    proxies: Mapping[str, str]  # proxy URL by scheme, or by "all"
    no_proxy: str
    logins: Mapping[str, str]  # Authorization header by `_place`
    allow_private: frozenset[str]

    @classmethod
    def of(cls, network: Network, sources: Iterable[Source] = ()) -> Self:
        """The policy of a run.

        Raises UsageError for a proxy, a CA file or a .netrc that cannot be used; its message
        holds no password.
        """
        proxies, no_proxy = _proxies()
        places = login_places(sources)
        logins = _logins(places)
        for place in places:
            if may_send_token(place, hub_address(), network.allow_private) and hub_token():
                logins[place] = f"Bearer {hub_token()}"
        allowed = frozenset(map(_request_host, normalized_hosts(network.allow_private)))
        return cls(network, _ca_file(), proxies, no_proxy, logins, allowed)

    @property
    def user_agent(self) -> str:
        """The User-Agent header, with the contact from the params if there is one."""
        contact = f" (+{self.network.contact})" if self.network.contact else ""
        return f"{PROJECT}/1.0{contact}"

    def proxy(self, url: str) -> str:
        """The URL of the proxy for a request, or ''."""
        if not self.proxies:
            return ""
        from requests.utils import should_bypass_proxies  # slow to import, and proxies are rare

        proxy = self.proxies.get(urlsplit(url).scheme) or self.proxies.get("all", "")
        return "" if proxy and should_bypass_proxies(url, self.no_proxy) else proxy

    def may_connect(self, host: str, address: str) -> bool:
        """Whether a request for `host` without a proxy may connect to an IP address.

        A proxy is always connected to; what it connects to is its own decision.
        """
        return is_public_address(address) or host in self.allow_private

    def login(self, url: str, first: str) -> str:
        """The Authorization header for `url`, from .netrc or with the Hub's token, or ''.

        `first` is the URL that the request began with: a redirect to another host, or from https
        to http, gets no login.
        """
        if not self.logins or host_of(url) != host_of(first):
            return ""
        if first.startswith("https:") and not url.startswith("https:"):
            return ""
        return self.logins.get(_place(url), "")

    def is_last_try(self, failures: int) -> bool:
        """Whether the request is given up after so many failures."""
        return failures >= self.network.tries

    def backoff(self, failures: int, rng: random.Random) -> float:
        """The seconds to wait after a request's failure number `failures` (from 1 on)."""
        return rng.uniform(0, min(_LONGEST_BACKOFF, self.network.backoff * 2**failures))

    def asked_wait(
        self, code: int, retry_after_values: Iterable[bytes], whole: bool = False
    ) -> float | None:
        """The seconds that a reply asks to wait, or None.

        At most `retry_after_max`, unless `whole`.
        """
        if code not in BUSY_CODES or (wait := retry_after(retry_after_values)) is None:
            return None
        return wait if whole else min(wait, self.network.retry_after_max)


def next_hop(target: str, requested: Sequence[str], changed: bool = False) -> str:
    """The URL that a redirect from the last URL of `requested` leads to.

    `changed`: the reply set a cookie, so that a URL requested before may answer otherwise. Raises
    RedirectError when there were too many, for a loop, and for what is not requested.
    """
    if len(requested) > MAX_REDIRECTS:
        raise RedirectError(f"more than {MAX_REDIRECTS} redirects")
    try:
        url = request_url(urljoin(requested[-1], slashes(target)))
    except BadUrlError as error:
        raise RedirectError(f"to a bad URL: {error}") from None
    except ValueError:
        raise RedirectError("to a bad URL: malformed") from None
    if url in requested and not changed:
        raise RedirectError("loop")
    return url


class Cookies:
    """The cookies of one chain of redirects, by host. No other request gets them (RFC 6265)."""

    def __init__(self) -> None:
        self._by_host: dict[str, dict[str, str]] = {}

    def take(self, url: str, values: Iterable[bytes]) -> bool:
        """Keep the Set-Cookie headers of a reply; returns whether that changed the cookies."""
        kept = self._by_host.setdefault(host_of(url), {})
        before = dict(kept)
        for value in values:
            name, equals, text = value.decode("latin-1").partition(";")[0].partition("=")
            pair = f"{name.strip()}={text.strip()}"
            if equals and _COOKIE.fullmatch(pair) and len(kept) < MAX_REDIRECTS:
                kept[name.strip()] = text.strip()
        return kept != before

    def header(self, url: str) -> str:
        """The Cookie header for a URL, or ''."""
        return "; ".join(
            f"{name}={text}" for name, text in self._by_host.get(host_of(url), {}).items()
        )


def retry_after(values: Iterable[bytes]) -> float | None:
    """The seconds of a Retry-After header, given as seconds or as a date, or None.

    Source: RFC 9110, section 10.2.3. A value that cannot be parsed counts as absent.
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


class Pace:
    """The time that a list or an archive may take: 300 seconds and one for each 20,000 bytes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._start = clock, clock()

    def is_too_slow(self, received: int) -> bool:
        """Whether this is too slow for the bytes received, or the transfer lasts for too long."""
        passed = self._clock() - self._start
        return passed > min(_PATIENCE + received / _SLOWEST, _LONGEST_TRANSFER)

    def check(self, received: int, what: str) -> None:
        """Raise DataError if `is_too_slow`."""
        if self.is_too_slow(received):
            raise DataError(f"{what} cannot be read: too slow; run it again later")


# Offline


OFFLINE_SWITCH = "ALLROUNDER_OFFLINE"


def is_offline() -> bool:
    """Whether no request may be made. Raises UsageError for a value other than 0 and 1."""
    value = os.environ.get(OFFLINE_SWITCH, "")
    if value not in ("", "0", "1"):
        raise UsageError(f"environment: {OFFLINE_SWITCH}: {value!r} is neither 0 nor 1; correct it")
    return value == "1"


def parse_stage_args(description: str | None) -> None:
    """Read a stage's command line: --offline, which its other processes see too."""
    if len(sys.argv) > 1:
        import argparse  # slow to import, and DVC gives no arguments

        parser = argparse.ArgumentParser(description=description)
        text = f"make no request, build from local files; {OFFLINE_SWITCH}=1 does the same"
        parser.add_argument("--offline", action="store_true", help=text)
        if parser.parse_args().offline:
            os.environ[OFFLINE_SWITCH] = "1"
    is_offline()


def not_cached_error(what: str, url: str) -> DataError:
    """The error for a list that is needed offline and not in the cache."""
    return DataError(
        f"offline: {what}: {url} is not in .allrounder/cache; run once without {OFFLINE_SWITCH}"
    )


# Certificates and proxies


_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def _ca_file() -> str:
    for name in _CA_VARIABLES:
        if path := os.environ.get(name):
            if not Path(path).exists():
                raise UsageError(f"environment: {name}: {path}: no such file; correct it")
            return path
    return certifi.where()


_PROXY_KINDS = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_PROXY_PORTS = {"https": 443}
_DEFAULT_PROXY_PORT = 1080  # curl's manual page, option --proxy


def _proxies() -> tuple[dict[str, str], str]:
    """The proxies by scheme, and the hosts that are requested without one.

    The standard library reads the variables: lower case comes first, and HTTP_PROXY in capitals
    is ignored where REQUEST_METHOD is set, since a CGI client could set it (CVE-2016-1000110).
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}, ""
    from urllib.request import getproxies_environment  # slow to import

    found = getproxies_environment()
    proxies = {
        kind: _checked_proxy(kind, found[kind])
        for kind in ("http", "https", "all")
        if found.get(kind)
    }
    return proxies, ",".join(found.get("no", "").replace(",", " ").split())


def _checked_proxy(kind: str, value: str) -> str:
    """The proxy's URL with scheme and port.

    Raises UsageError, without the address, for one of an unknown kind, without a host, with a bad
    port or with a path: that may be the rest of a password with a slash.
    """
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    more = host and (parts.path.strip("/") or parts.query or parts.fragment)
    if not host or more or parts.scheme not in _PROXY_KINDS:
        names = (f"{kind}_proxy", f"{kind}_PROXY".upper())
        name = next((name for name in names if os.environ.get(name) == value), names[0])
        raise UsageError(
            f"environment: {name}: is no address of a proxy; write e.g. http://host:3128, "
            "with / : @ # ? in a password percent-encoded"
        )
    port = port or _PROXY_PORTS.get(parts.scheme, _DEFAULT_PROXY_PORT)
    user, at, _ = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user}{at}{f'[{host}]' if ':' in host else host}:{port}"


# Logins and tokens


def login_places(sources: Iterable[Source]) -> frozenset[str]:
    """Where a login of .netrc may go: the sources' hosts, at the port they name or 443.

    .netrc has no ports, and another port may belong to somebody else. The Hub gets a token
    instead, its dataset viewer likewise, and the hosts of listed photos get nothing.
    """
    urls = [place for source in sources for place in source.places]
    found: set[str] = set()
    for start in {"/".join(url.split("/", 3)[:3]) for url in urls if is_url(url)}:
        with contextlib.suppress(BadUrlError):
            place = _place(request_url(start))
            found |= {place, _place(f"https://{place.partition('://')[2].rpartition(':')[0]}")}
    return frozenset(found)


def _place(url: str) -> str:
    """Scheme, host and port of a URL, with the default port written out."""
    parts = urlsplit(url)
    netloc = parts.netloc if parts.port else f"{parts.netloc}:{_PORTS[parts.scheme]}"
    return f"{parts.scheme}://{netloc}"


def _logins(places: Collection[str]) -> dict[str, str]:
    """The Authorization headers by place, from the file $NETRC or ~/.netrc."""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    if not places or not path.is_file():
        return {}
    import netrc  # rarely needed

    try:
        entries = netrc.netrc(path).hosts
    except (netrc.NetrcParseError, UnicodeDecodeError) as error:
        line = f"line {error.lineno}: " if isinstance(error, netrc.NetrcParseError) else ""
        raise UsageError(f"{path}: {line}cannot be parsed; correct it") from None
    except OSError:
        return {}
    hosts = {name.lower(): entry for name, entry in entries.items()}
    found = {}
    for place in places:
        if entry := hosts.get(host_of(place)) or hosts.get("default"):
            login, account, password = entry
            pair = f"{login or account or ''}:{password or ''}".encode()
            found[place] = f"Basic {b64encode(pair).decode()}"
    return found


def hub_address() -> str:
    """The Hub's address: HF_ENDPOINT, as the Hub's own client reads it, or huggingface.co."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def hub_token() -> str:
    """The user's token, or '': HF_TOKEN, else the file that `hf auth login` writes.

    Its places are huggingface_hub's (its documentation, page Environment variables): HF_TOKEN;
    the file HF_TOKEN_PATH, by default `$HF_HOME/token`; HF_HOME is `~/.cache/huggingface` by
    default. Raises UsageError, without the token, when no HTTP header can hold it.
    """
    where, text = "environment: HF_TOKEN", os.environ.get("HF_TOKEN", "").strip()
    if not text:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
        named = os.environ.get("HF_TOKEN_PATH") or f"{home}/token"
        path = Path(os.path.expandvars(named)).expanduser()
        try:
            where, text = str(path), path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
    if not re.fullmatch(r"[!-~]*", text):
        raise UsageError(f"{where}: holds no token but other text; correct it or run hf auth login")
    return text


def may_send_token(url: str, location: str, allow_private: Collection[str]) -> bool:
    """Whether a request for `url` may carry the token of the source at `location`.

    Only to that very scheme, host and port; and only over https, or to a host of allow_private.
    """
    try:
        place = _place(url.lower())
        host = urlsplit(url).hostname or ""
        same = place == _place(location.lower())
    except (ValueError, KeyError):
        return False
    return same and (place.startswith("https:") or host in normalized_hosts(allow_private))


def access_advice(dataset: str) -> str:
    """What to do when the Hub refuses a dataset that needs an account."""
    return (
        f"accept the terms of https://huggingface.co/datasets/{dataset} there and set HF_TOKEN "
        "(or run hf auth login); it is sent over https only"
    )
