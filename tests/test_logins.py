"""A login of ~/.netrc opens what the sources name, photos and archives too; nobody else gets it."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter

from allrounder.core.rows import Status
from allrounder.params.schema import Network
from allrounder.params.sources import Source
from allrounder.web.fetcher import login_places
from allrounder.web.lists import ListClient
from webfaults.archives import photos_tar
from webfaults.pictures import photo
from webfaults.project import WNID, Project
from webfaults.server import Exchange, Server, behaviour

LOGIN = "Basic " + b64encode(b"me:mine").decode()
NETRC = "machine 127.0.0.1 login me password mine\nmachine localhost login me password mine\n"


@behaviour
def gated(exchange: Exchange) -> None:
    """Photos, and archives of them, for who logs in."""
    if exchange.headers.get("authorization") != LOGIN:
        return exchange.reply(code=401, headers=[("WWW-Authenticate", "Basic")])
    is_tar = exchange.path.endswith(".tar")
    exchange.reply(photos_tar(2) if is_tar else photo(exchange.argument))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("NETRC", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".netrc").write_text(NETRC)
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Server() as running:
        yield running


def crawl(folder: Path, urls: list[str], location: str) -> list[tuple[Status, str]]:
    sources = [{"kind": "csv", "location": location}]
    rows = Project(folder, {WNID: urls}, sources=sources).crawl_here()
    return [(row.status, row.detail) for row in rows]


def test_a_login_opens_the_photos_and_archives_of_the_sources_host(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [server.url("gated/1.jpg"), server.url("gated/x.tar")]
    got = crawl(tmp_path / "a", urls, server.url("list.csv"))
    assert [status for status, _ in got].count(Status.OK) == 3
    (tmp_path / ".netrc").rename(tmp_path / "Geheimnü")
    monkeypatch.setenv("NETRC", "~/Geheimnü")
    assert crawl(tmp_path / "b", urls, server.url("list.csv")) == got


def test_no_other_host_gets_a_login(tmp_path: Path, server: Server) -> None:
    other = server.root.replace("127.0.0.1", "localhost")
    urls = [server.url("gated/1.jpg"), server.url(f"to?url={quote(f'{other}/good/1', safe='')}")]
    urls += [f"{other}/gated/2.jpg", server.url("gated/3.jpg")]
    got = crawl(tmp_path / "a", urls, server.url("list.csv"))
    assert got == [
        (Status.OK, ""),
        (Status.OK, ""),
        (Status.NO_ACCESS, "401"),
        (Status.OK, ""),
    ]
    asked = {(e.headers["host"].split(":")[0], "authorization" in e.headers) for e in server.log}
    assert asked == {("127.0.0.1", True), ("localhost", False)}
    everything = b"".join(p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert b"mine" not in everything
    assert LOGIN.removeprefix("Basic ").encode() not in everything


def test_no_other_port_of_a_host_gets_a_login(tmp_path: Path, server: Server) -> None:
    with Server() as other:
        urls = [server.url("gated/1.jpg"), other.url("gated/2.jpg")]
        urls += [server.url(f"to?url={quote(other.url('good/3.jpg'), safe='')}")]
        got = crawl(tmp_path, urls, server.url("list.csv"))
        assert [detail for _, detail in got] == ["", "401", ""]
        assert len(other.log) == 2
        assert not any("authorization" in exchange.headers for exchange in other.log)


@pytest.mark.parametrize("netrc", [NETRC, "default login me password mine\n"])
@pytest.mark.parametrize("token", ["", "t0ken"])
def test_a_list_that_has_moved_to_another_host_takes_no_login_along(
    tmp_path: Path, server: Server, netrc: str, token: str
) -> None:
    (tmp_path / ".netrc").write_text(netrc)
    web = ListClient(Network(allow_private=["localhost"]))
    other = server.root.replace("127.0.0.1", "localhost")
    moved = server.url(f"to?url={quote(f'{other}/good/1', safe='')}")
    assert web.api_reply(moved, "source", token).code == 200
    assert [e.headers["host"].split(":")[0] for e in server.log] == ["127.0.0.1", "localhost"]
    assert ["authorization" in e.headers for e in server.log] == [True, False]


def test_a_login_that_comes_later_opens_what_was_refused(tmp_path: Path, server: Server) -> None:
    (tmp_path / ".netrc").rename(tmp_path / "mine")
    sources = [{"kind": "csv", "location": server.url("list.csv")}]
    project = Project(tmp_path / "a", {WNID: [server.url("gated/1.jpg")]}, sources=sources)
    assert project.crawl_here()[0].detail == "401"
    (tmp_path / "mine").rename(tmp_path / ".netrc")
    assert project.crawl_here()[0].status is Status.OK


@pytest.mark.parametrize(
    ("source", "places"),
    [
        ({"kind": "csv", "location": "https://H.example/l.csv"}, {"https://h.example:443"}),
        ({"kind": "csv", "location": "https://[::1]/l.csv"}, {"https://[::1]:443"}),
        (
            {"kind": "synset-tar", "location": "http://h.example:81/{wnid}.tar"},
            {"http://h.example:81", "https://h.example:443"},
        ),
        ({"kind": "huggingface", "dataset": "a/b"}, set()),
        ({"kind": "folder", "location": "photos"}, set()),
    ],
)
def test_a_login_is_for_the_sources_hosts(source: dict[str, str], places: set[str]) -> None:
    assert login_places([TypeAdapter[Source](Source).validate_python(source)]) == places
