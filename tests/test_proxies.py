"""Proxies from the environment are used, and open no way to private addresses."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import Status
from allrounder.params.schema import Network
from allrounder.web.cache import cached_file
from allrounder.web.lists import ListClient
from allrounder.web.transfer import Transfers
from loopback import Handler, Loopback
from webfaults.project import WNID, Project
from webfaults.server import Server

NAMES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A forwarding proxy on loopback: its URL, and the URLs it was asked for."""
    asked: list[str] = []

    class Proxy(Handler):
        protocol_version = "HTTP/1.0"

        def get(self) -> None:
            asked.append(self.path)
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            body = direct.open(self.path).read()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    with Loopback(Proxy) as running:
        yield running.base, asked


def row(folder: Path, url: str) -> Status:
    """The fate of one URL when no private host is allowed."""
    return Project(folder, {WNID: [url]}, network={"allow_private": []}).crawl_here()[0].status


def test_a_proxy_on_a_private_address_is_used(
    tmp_path: Path,
    server: Server,
    proxy: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, asked = proxy
    monkeypatch.setenv("http_proxy", url)
    assert row(tmp_path, server.url("good/1.jpg")) is Status.OK
    assert asked == [server.url("good/1.jpg")]


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "HTTP_PROXY"])
def test_a_proxy_for_others_leaves_private_addresses_refused(
    tmp_path: Path,
    server: Server,
    proxy: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv(name, proxy[0])
    assert row(tmp_path, server.url("good/1.jpg")) is Status.BLOCKED


@pytest.mark.parametrize("hosts", ["127.0.0.1", "127.0.0.0/8", "*"])
def test_no_proxy_opens_no_way_to_private_addresses(
    tmp_path: Path,
    server: Server,
    proxy: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    hosts: str,
) -> None:
    monkeypatch.setenv("http_proxy", proxy[0])
    monkeypatch.setenv("no_proxy", hosts)
    assert row(tmp_path, server.url("good/1.jpg")) is Status.BLOCKED


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "place", ["h:99999", "[::1", "", "s3cret/x@h:1", "/x@h:1", "h:1#x@h", "h:1?x@h"]
)
def test_what_is_no_proxy_is_refused_and_not_said(
    monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    monkeypatch.setenv(name, f"http://me:s3cret@{place}")
    for use in (lambda: ListClient(Network()), lambda: Transfers(Network())):
        with pytest.raises(UsageError, match=f"environment: {name}: is no address") as caught:
            use()
        assert "s3cret" not in str(caught.value)


def test_a_proxy_of_an_unknown_kind_is_refused_and_not_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "socks9://me:s3cret@h:1")
    with pytest.raises(UsageError, match="environment: all_proxy: is no address") as caught:
        ListClient(Network())
    assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("all_proxy", "socks5h://me:s3cret@h:1")
    ListClient(Network())


def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("http_proxy", "http://me:s3cret@127.0.0.1:9")
    with pytest.raises(DataError, match="Unable to connect to proxy") as caught:
        cached_file(ListClient(Network(tries=1)), "http://h.example/l.txt", "source")
    assert "s3cret" not in str(caught.value)
