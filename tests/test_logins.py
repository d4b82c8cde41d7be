"""Logins of ~/.netrc in a download: they open photos and archives, and no file holds them.

test_policy.py tests which requests get a login.
"""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from allrounder.core.rows import Status
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
    assert [status for status, _ in got].count(Status.OK) == 3, got
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


def test_a_login_that_comes_later_opens_what_was_refused(tmp_path: Path, server: Server) -> None:
    (tmp_path / ".netrc").rename(tmp_path / "mine")
    sources = [{"kind": "csv", "location": server.url("list.csv")}]
    project = Project(tmp_path / "a", {WNID: [server.url("gated/1.jpg")]}, sources=sources)
    assert project.crawl_here()[0].detail == "401"
    (tmp_path / "mine").rename(tmp_path / ".netrc")
    assert project.crawl_here()[0].status is Status.OK
