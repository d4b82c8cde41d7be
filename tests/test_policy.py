"""One network policy: each setting holds for photos and for lists alike."""

import random
import socket
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter

from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import Status
from allrounder.params.schema import Download, Network
from allrounder.params.sources import Source
from allrounder.web import policy
from allrounder.web.fetcher import Fetcher
from allrounder.web.lists import ListClient
from allrounder.web.policy import NetworkPolicy, Pace, login_places
from loopback import Handler, Loopback
from webfaults import tls
from webfaults.pictures import photo
from webfaults.server import Exchange, Server, behaviour

LOGIN = "Basic " + b64encode(b"me:mine").decode()
NETRC = "machine 127.0.0.1 login me password mine\nmachine localhost login me password mine\n"
OWN = ["127.0.0.1", "localhost"]
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass
class Clock:
    """A clock that only sleeping moves; `waits` are the sleeps."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


Ask = Callable[..., str]
"""Asks a client for a URL; returns "ok" or words that say what went wrong."""


def ask_list(
    url: str, network: Network, sources: list[Any] | None = None, clock: Clock | None = None
) -> str:
    clock = clock or Clock()
    client = ListClient(network, _sources(sources), clock.sleep, rng=random.Random(0))
    try:
        with client.stream(url, "list") as reply:
            body = b"".join(reply.chunks)
    except DataError as error:
        return str(error)
    return "ok" if body.startswith(b"\xff\xd8") else f"no photo: {body[:20]!r}"


def ask_photo(
    url: str, network: Network, sources: list[Any] | None = None, clock: Clock | None = None
) -> str:
    clock = clock or Clock()
    download = Download(robots="ignore")
    fetcher = Fetcher(network, download, clock, random.Random(0), sources=_sources(sources))
    fetcher.submit(None, url)
    try:
        while True:
            for _, result, _ in fetcher.poll(0.02):
                return "ok" if result.status is Status.OK else f"{result.status} {result.detail}"
            due = fetcher._hosts.wait(clock.now)
            if due is not None and not fetcher._transfers.in_flight:
                clock.sleep(due)
    finally:
        fetcher.close()


def _sources(sources: list[Any] | None) -> list[Source]:
    return TypeAdapter(list[Source]).validate_python(sources or [])


@pytest.fixture(params=[ask_photo, ask_list], ids=["photo", "list"])
def ask(request: pytest.FixtureRequest) -> Ask:
    client: Ask = request.param
    return client


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of the settings of whoever runs the tests."""
    names = [*policy._CA_VARIABLES, "NETRC", "REQUEST_METHOD", policy.OFFLINE_SWITCH]
    for name in (*names, *VARIABLES, *map(str.upper, VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def network(**more: Any) -> Network:
    settings: dict[str, Any] = {"allow_private": OWN, "tries": 3, "backoff": 0.01}
    return Network(**(settings | more))


def to(server: Server, url: str) -> str:
    """The URL of a redirect to `url`."""
    return server.url(f"to/1?url={quote(url, safe='')}")


def elsewhere(url: str) -> str:
    """The same server under another name."""
    return url.replace("127.0.0.1", "localhost")


# User-Agent


@pytest.mark.parametrize(
    ("contact", "agent"),
    [
        ("", "imagenet-all-rounder/1.0"),
        ("me@h.example", "imagenet-all-rounder/1.0 (+me@h.example)"),
    ],
)
def test_the_user_agent_has_the_contact(ask: Ask, server: Server, contact: str, agent: str) -> None:
    assert ask(server.url("good/1"), network(contact=contact)) == "ok"
    assert [exchange.headers["user-agent"] for exchange in server.log] == [agent]


# Certificates


@pytest.mark.parametrize("name", policy._CA_VARIABLES)
def test_certificates_are_checked_against_the_environments_file(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with Server(tls=tls.good()) as secure:
        assert "certificate" in ask(secure.url("good/1"), network(tries=1)).lower()
        assert not secure.log
        monkeypatch.setenv(name, tls.trust(tmp_path))
        assert ask(secure.url("good/1"), network()) == "ok"


def test_the_first_variable_decides(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    tls.stranger_authority().cert_pem.write_to_path(other)
    monkeypatch.setenv("SSL_CERT_FILE", tls.trust(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    with Server(tls=tls.good()) as secure:
        assert ask(secure.url("good/1"), network()) == "ok"
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        assert "certificate" in ask(secure.url("good/1"), network(tries=1)).lower()


def test_a_folder_of_certificates(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tls.trust_folder(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", folder)
    with Server(tls=tls.good()) as secure, Server(tls=tls.stranger()) as stranger:
        assert ask(secure.url("good/1"), network()) == "ok"
        assert "certificate" in ask(stranger.url("good/1"), network(tries=1)).lower()


def test_a_certificate_file_that_is_not_there(
    ask: Ask, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(UsageError, match=r"environment: SSL_CERT_FILE: /nowhere\.pem: no such"):
        ask(server.url("good/1"), network())


# Proxies


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A forwarding proxy on loopback: its URL, and what it was asked for: URL, its own login."""
    asked: list[tuple[str, str]] = []

    class Proxy(Handler):
        protocol_version = "HTTP/1.0"

        def get(self) -> None:
            asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            body = direct.open(self.path).read()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def do_CONNECT(self) -> None:  # noqa: N802
            asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
            self.send_error(502)

    with Loopback(Proxy) as running:
        yield running.base, asked


@pytest.mark.parametrize(
    ("environment", "scheme", "used"),
    [
        ({"http_proxy": "P"}, "http", True),
        ({"HTTP_PROXY": "P"}, "http", True),
        ({"HTTP_PROXY": "P", "REQUEST_METHOD": "GET"}, "http", False),
        ({"http_proxy": "P", "REQUEST_METHOD": "GET"}, "http", True),
        ({"all_proxy": "P"}, "http", True),
        ({"ALL_PROXY": "P"}, "http", True),
        ({"https_proxy": "P"}, "http", False),
        ({"HTTPS_PROXY": "P"}, "http", False),
        ({"https_proxy": "P"}, "https", True),
        ({"HTTPS_PROXY": "P"}, "https", True),
        ({"all_proxy": "P"}, "https", True),
        ({"ALL_PROXY": "P"}, "https", True),
        ({"http_proxy": "P", "HTTP_PROXY": "http://127.0.0.1:9"}, "http", True),
        ({"http_proxy": "P", "all_proxy": "http://127.0.0.1:9"}, "http", True),
        ({"http_proxy": "P", "no_proxy": "127.0.0.1"}, "http", False),
        ({"http_proxy": "P", "NO_PROXY": "h.example, 127.0.0.1"}, "http", False),
        ({"http_proxy": "P", "no_proxy": "h.example 127.0.0.0/8"}, "http", False),
        ({"http_proxy": "P", "no_proxy": "*"}, "http", False),
        ({"http_proxy": "P", "no_proxy": "h.example"}, "http", True),
        # here libcurl by itself would read the capitals, and ask directly
        ({"http_proxy": "P", "no_proxy": "", "NO_PROXY": "127.0.0.1"}, "http", True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else str(value),
)
def test_a_proxy_is_used_as_the_environment_says(
    ask: Ask,
    server: Server,
    proxy: tuple[str, list[tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    scheme: str,
    used: bool,
) -> None:
    base, asked = proxy
    for name, value in environment.items():
        monkeypatch.setenv(name, base if value == "P" else value)
    url = server.url("good/1").replace("http:", f"{scheme}:")
    said = ask(url, network(tries=1))
    target = url if scheme == "http" else url.removeprefix("https://").removesuffix("/good/1")
    assert [path for path, _ in asked] == [target] * used
    if scheme == "http":
        assert said == "ok"
    assert "proxy-authorization" not in str([e.headers for e in server.log]).lower()


def test_a_proxy_gets_its_own_login(
    ask: Ask,
    server: Server,
    proxy: tuple[str, list[tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, asked = proxy
    monkeypatch.setenv("http_proxy", base.replace("//", "//me:s%2Fe@"))
    assert ask(server.url("good/1"), network()) == "ok"
    assert [login for _, login in asked] == ["Basic " + b64encode(b"me:s/e").decode()]


def test_a_proxy_on_a_private_address_is_used_and_opens_no_other(
    ask: Ask,
    server: Server,
    proxy: tuple[str, list[tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, _ = proxy
    monkeypatch.setenv("http_proxy", base)
    assert ask(server.url("good/1"), network(allow_private=[])) == "ok"
    monkeypatch.setenv("no_proxy", "localhost")  # a redirect there would be asked directly
    own = Network(allow_private=[], tries=1)
    assert not NetworkPolicy.of(own).may_connect("localhost", "127.0.0.1")
    assert NetworkPolicy.of(own).proxy(elsewhere(server.url("good/1"))) == ""


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "place", ["h:99999", "[::1", "", "s3cret/x@h:1", "/x@h:1", "h:1#x@h", "h:1?x@h"]
)
def test_a_malformed_proxy_is_refused_without_its_password(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    monkeypatch.setenv(name, f"http://me:s3cret@{place}")
    with pytest.raises(UsageError, match=f"environment: {name}: is no address") as caught:
        ask("http://127.0.0.1:9/", network())
    assert "s3cret" not in str(caught.value)


def test_the_kinds_of_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks9://me:s3cret@h:1")
    with pytest.raises(UsageError, match="environment: all_proxy: is no address") as caught:
        NetworkPolicy.of(Network())
    assert "s3cret" not in str(caught.value)
    for value, proxy in (
        ("socks5h://me:s3cret@h:1", "socks5h://me:s3cret@h:1"),
        ("h", "http://h:1080"),
        ("https://[::1]", "https://[::1]:443"),
    ):
        monkeypatch.setenv("all_proxy", value)
        assert NetworkPolicy.of(Network()).proxy("http://h.example/") == proxy


def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:s3cret@127.0.0.1:9")
    said = ask("http://h.example/l.txt", network(tries=1))
    assert "connect" in said
    assert "s3cret" not in said


# Logins


@behaviour
def needs_login(exchange: Exchange) -> None:
    """A photo for requests with the login."""
    if exchange.headers.get("authorization") != LOGIN:
        return exchange.reply(code=401, headers=[("WWW-Authenticate", "Basic")])
    exchange.reply(photo(exchange.argument))


@pytest.fixture
def netrc(tmp_path: Path) -> Path:
    path = tmp_path / ".netrc"
    path.write_text(NETRC)
    path.chmod(0o600)
    return path


def csv(location: str) -> list[Any]:
    return [{"kind": "csv", "location": f"{location}/list.csv"}]


@pytest.mark.parametrize("text", [NETRC, "default login me password mine\n"])
def test_a_login_is_sent_to_the_sources_host(
    ask: Ask, server: Server, netrc: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    netrc.write_text(text)
    assert ask(server.url("needs_login/1"), network(), csv(server.root)) == "ok"
    netrc.rename(netrc.with_name("Geheimnü"))
    assert "401" in ask(server.url("needs_login/1"), network(), csv(server.root))
    monkeypatch.setenv("NETRC", "~/Geheimnü")
    assert ask(server.url("needs_login/1"), network(), csv(server.root)) == "ok"


def test_a_login_is_kept_by_a_redirect_on_the_same_host(
    ask: Ask, server: Server, netrc: Path
) -> None:
    assert ask(to(server, server.url("needs_login/1")), network(), csv(server.root)) == "ok"


def test_no_other_host_or_port_gets_a_login(ask: Ask, server: Server, netrc: Path) -> None:
    with Server() as other:
        for target in (elsewhere(server.url("good/1")), other.url("good/1")):
            assert ask(target, network(), csv(server.root)) == "ok"
            assert ask(to(server, target), network(), csv(server.root)) == "ok"
        # not even a login of its own, when a redirect leads there
        both = [*csv(server.root), *csv(elsewhere(server.root))]
        assert ask(to(server, elsewhere(server.url("good/2"))), network(), both) == "ok"
        sent = [(e.server is server, e.headers["host"].partition(":")[0]) for e in server.log
                if "authorization" in e.headers]  # fmt: skip
        assert sent == [(True, "127.0.0.1")] * 3
        assert len(other.log) == 2
        assert not any("authorization" in exchange.headers for exchange in other.log)


def test_a_netrc_that_cannot_be_parsed(ask: Ask, server: Server, netrc: Path) -> None:
    netrc.write_text("machine h login me\npasword s3cret\n")
    with pytest.raises(UsageError, match=r"\.netrc: line 2: cannot be parsed") as caught:
        ask(server.url("good/1"), network(), csv(server.root))
    assert "s3cret" not in str(caught.value)
    assert ask(server.url("good/1"), network()) == "ok"  # not needed without sources


@pytest.mark.parametrize(
    ("source", "places"),
    [
        ({"kind": "csv", "location": "https://H.example/l.csv"}, {"https://h.example:443"}),
        ({"kind": "csv", "location": "https://[::1]/l.csv"}, {"https://[::1]:443"}),
        (
            {"kind": "synset-tar", "location": "http://h.example:81/{wnid}.tar"},
            {"http://h.example:81", "https://h.example:443"},
        ),
        (
            {"kind": "webdataset", "location": "https://{a,b}.example/1.tar"},
            {"https://a.example:443", "https://b.example:443"},
        ),
        ({"kind": "huggingface", "dataset": "a/b"}, set()),
        ({"kind": "folder", "location": "photos"}, set()),
    ],
)
def test_a_login_is_for_the_sources_hosts(source: dict[str, str], places: set[str]) -> None:
    assert login_places(_sources([source])) == places


@pytest.mark.parametrize(
    ("first", "url", "sent"),
    [
        ("http://h.example/l", "http://h.example/l", True),
        ("http://h.example/l", "https://h.example/l", True),
        ("https://h.example/l", "http://h.example/l", False),
        ("http://h.example/l", "http://h.example:81/l", False),
        ("http://h.example/l", "https://h.example:444/l", False),
        ("http://h.example/l", "http://i.example/l", False),
    ],
)
def test_a_redirect_keeps_a_login_only_where_it_is_as_safe(
    netrc: Path, first: str, url: str, sent: bool
) -> None:
    netrc.write_text("default login me password mine\n")
    rules = NetworkPolicy.of(Network(), _sources(csv("http://h.example")))
    assert rules.login(url, first) == (LOGIN if sent else "")


HUB = "https://huggingface.co/datasets/a/b/resolve/main/1.tar"


@pytest.mark.parametrize(
    ("location", "url", "first", "sent"),
    [
        (HUB, HUB, HUB, True),
        (HUB, HUB.replace("https", "http"), HUB.replace("https", "http"), False),
        (HUB, "https://cdn-lfs.huggingface.co/1", HUB, False),
        (HUB, HUB, "https://h.example/moved", False),
        ("https://h.example/1.tar", HUB, HUB, False),
        ("https://h.example/1.tar", "https://h.example/1.tar", "https://h.example/1.tar", False),
    ],
)
def test_the_hubs_token_goes_to_the_hub_if_a_source_lies_there(
    monkeypatch: pytest.MonkeyPatch, location: str, url: str, first: str, sent: bool
) -> None:
    monkeypatch.setenv("HF_TOKEN", "t0ken")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    for kind in ("webdataset", "synset-tar"):
        there = location if kind == "webdataset" else location.replace("1.tar", "{wnid}.tar")
        rules = NetworkPolicy.of(Network(), _sources([{"kind": kind, "location": there}]))
        assert rules.login(url, first) == ("Bearer t0ken" if sent else "")


@pytest.mark.parametrize("token", ["", "t0ken"])
def test_an_api_gets_its_token_and_no_login(server: Server, netrc: Path, token: str) -> None:
    client = ListClient(network(), _sources(csv(server.root)))
    moved = to(server, elsewhere(server.url("good/1")))
    assert client.api_reply(moved, "source", token).code == 200
    sent = [exchange.headers.get("authorization", "") for exchange in server.log]
    assert sent == ["Bearer t0ken" if token else "", ""]


# Addresses


def test_a_private_address_is_refused_after_a_redirect(ask: Ask, server: Server) -> None:
    private = elsewhere(server.url("good/1"))
    said = ask(to(server, private), network(allow_private=["127.0.0.1"]))
    assert "private address" in said
    assert len(server.log) == 1
    assert ask(to(server, private), network(allow_private=OWN)) == "ok"


def test_a_private_address_is_for_lists_that_the_params_name(server: Server) -> None:
    for url in (server.url("good/1"), to(server, server.url("good/1"))):
        assert ask_photo(url, network(allow_private=[])) == "blocked private address"
    assert not server.log
    for url in (server.url("good/1"), to(server, server.url("good/1"))):
        assert ask_list(url, network(allow_private=[])) == "ok"


def test_nothing_is_sent_to_a_private_address(ask: Ask, server: Server) -> None:
    with socket.create_server(("127.0.0.2", 0)) as private:
        private.settimeout(0.2)
        url = f"http://127.0.0.2:{private.getsockname()[1]}/1.jpg"
        limits = network(tries=1, total_timeout=2)  # of no use unless something is sent
        assert "private address" in ask(to(server, url), limits)
        try:
            connection, _ = private.accept()  # lists check a connection that stands
            assert connection.recv(1) == b""
            connection.close()
        except TimeoutError:
            pass


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("::ffff:127.0.0.1", "::ffff:7f00:1"),
        ("[::1]", "::1"),
        ("NAS", "nas"),
        ("ä.de", "xn--4ca.de"),
    ],
)
def test_allowed_hosts_may_be_written_in_any_form(written: str, host: str) -> None:
    rules = NetworkPolicy.of(Network(allow_private=[written]))
    assert rules.may_connect(host, "::1")
    assert not rules.may_connect("other", "::1")


# Redirects


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("hops/5", "ok"),
        ("hops/6", "more than 5 redirects"),
        ("loop/a", "loop"),
        ("far", "to a bad URL: too long"),
        ("not_ascii", "ok"),
        ("relative", "ok"),
        ("nowhere", "302"),
        ("huge_redirect", "ok"),
        ("to/1?url=file%3A///etc/passwd", "to a bad URL: scheme file"),
        ("to/1?url=http%3A//me%3Asecret%40127.0.0.1/", "to a bad URL: userinfo"),
        ("to/1?url=http%3A//%5B%3A%3A1/", "to a bad URL: malformed"),
    ],
)
def test_redirects(ask: Ask, server: Server, path: str, said: str) -> None:
    found = ask(server.url(path), network(total_timeout=5))
    assert said in found
    assert "secret" not in found.replace(server.url(path), "")


@behaviour
def huge_redirect(exchange: Exchange) -> None:
    """A redirect whose body is never complete."""
    exchange.head(302, [("Location", "/good/1"), ("Content-Length", str(2**40))])
    exchange.send(b"x" * 2**16)
    exchange.gone(None)


@behaviour
def huge_error(exchange: Exchange) -> None:
    """An error page that is never complete."""
    exchange.head(404, [("Content-Length", str(2**40))])
    exchange.send(b"x" * 2**21)
    exchange.gone(None)


def test_an_error_page_is_not_read_to_its_end(ask: Ask, server: Server) -> None:
    assert "404" in ask(server.url("huge_error"), network())
    assert ListClient(network()).api_reply(server.url("huge_error"), "source").code == 404


@behaviour
def endless_continue(exchange: Exchange) -> None:
    """An interim response after the other, and never the final one."""
    while True:
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 200)


@behaviour
def endless_body(exchange: Exchange) -> None:
    """The code of the path and a body without end."""
    exchange.head(int(exchange.argument), [("Location", "/good/1")])
    while True:
        exchange.send(b"x" * 2**16)


@behaviour
def headers_only(exchange: Exchange) -> None:
    """A redirect that states a body and never sends it."""
    exchange.head(302, [("Location", "/good/1"), ("Content-Length", "9")])
    exchange.gone(None)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("endless_continue", "headers"),
        ("endless_body/302", "ok"),
        ("endless_body/404", "404"),
        ("endless_body/503", "503"),
        ("headers_only", "ok"),
    ],
)
def test_a_list_reads_no_more_than_it_needs(server: Server, path: str, said: str) -> None:
    assert said in ask_list(server.url(path), network(tries=2, total_timeout=30))


def test_a_body_that_is_too_slow_on_the_whole_ends() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now = 400
    pace.check(2**22, "the list")
    clock.now = 4000
    with pytest.raises(DataError, match="the list cannot be read: too slow"):
        pace.check(2**22, "the list")
    clock.now = 100_000
    assert pace.is_too_slow(2**40)


# Timeouts


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("silent", {"total_timeout": 0.5}),
        ("drip", {"low_speed_time": 1}),
        ("drip_headers", {"total_timeout": 0.5}),
    ],
)
def test_timeouts(ask: Ask, server: Server, path: str, limit: dict[str, float]) -> None:
    said = ask(server.url(path), network(tries=1, **limit))
    assert any(words in said for words in ("timeout", "timed out", "too slow"))


def test_a_handshake_that_takes_too_long(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/"
        limits = {"connect_timeout": 0.5, "total_timeout": 1}
        assert "time" in ask(url, network(tries=1, **limits))


# Tries and waits


@pytest.mark.parametrize("code", [408, 425, 429, 500, 501, 503, 599])
def test_a_transient_code_is_tried_again(ask: Ask, server: Server, code: int) -> None:
    assert str(code) in ask(server.url(f"status/{code}"), network())
    assert server.asked(f"status/{code}") == 3
    assert ask(server.url(f"then_fine/{code}"), network()) == "ok"


@pytest.mark.parametrize("code", [204, 400, 401, 403, 404, 410, 451])
def test_another_code_is_final(ask: Ask, server: Server, code: int) -> None:
    assert str(code) in ask(server.url(f"status/{code}"), network())
    assert server.asked(f"status/{code}") == 1


@behaviour
def busy(exchange: Exchange) -> None:
    """The code and Retry-After of the path `code/seconds` once, then the photo."""
    code, _, wait = exchange.argument.partition("/")
    if exchange.nth > 1:
        return exchange.reply(photo())
    exchange.reply(code=int(code), headers=[("Retry-After", wait)])


@pytest.mark.parametrize(
    ("path", "least", "most"),
    [
        ("busy/429/50", 50, 50.1),
        ("busy/503/50", 50, 50.1),
        ("busy/503/90000", 100, 100.1),
        ("busy/500/50", 0, 5),
        ("retry_nonsense", 0, 5),
        ("retry_absurd", 100, 100.1),
        ("retry_date", 100, 100.1),
    ],
)
def test_retry_after_is_obeyed_up_to_a_bound(
    ask: Ask, server: Server, path: str, least: float, most: float
) -> None:
    clock = Clock()
    limits = network(tries=2, retry_after_max=100, low_speed_time=300)
    ask(server.url(path), limits, clock=clock)
    assert server.asked(path) == 2
    assert least <= sum(clock.waits) <= most


def test_waits_are_drawn_at_random_and_grow(ask: Ask, server: Server) -> None:
    clock = Clock()
    ask(server.url("status/500"), network(tries=4, backoff=10), clock=clock)
    rng = random.Random(0)
    assert clock.waits == pytest.approx([rng.uniform(0, most) for most in (20, 30, 30)])
