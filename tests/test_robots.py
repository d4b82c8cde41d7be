"""Opt-outs: robots.txt, headers, and what stands inside a photo. Each leaves its evidence."""

import hashlib
import io
import json
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from allrounder.core.opt_outs import embedded_opt_out
from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import RawRow, Result, Status
from allrounder.core.tars import StoredBytes
from allrounder.download.rounds import shares
from allrounder.history.journal import Journal
from allrounder.history.prior_results import PriorResults, _rows
from allrounder.params.schema import Download, Params
from allrounder.web import hosts
from allrounder.web.decisions import header_opt_out, may_train
from allrounder.web.hosts import Hosts
from allrounder.web.robots import (
    AGENTS,
    MAX_ROBOTS,
    TDM_PATH,
    RobotsAnswer,
    RobotsGate,
    RobotsRules,
    path_matches,
    robots_url,
    tdm_result,
)
from webfaults.archives import photos_tar
from webfaults.pictures import photo
from webfaults.project import OTHER, WNID, Project
from webfaults.server import BEHAVIOURS, Exchange, Server

SITE = "https://h.example"
SHUT = "User-agent: *\nDisallow: /\n"


def against(text: str, path: str = "/a.jpg", everyone: bool = False) -> str:
    """The evidence against a URL, less its signal."""
    result = RobotsRules(text, everyone).result(f"{SITE}{path}")
    return result.opt_out.removeprefix("robots.txt: ") if result else ""


@pytest.mark.parametrize(
    ("text", "named", "everyone"),
    [
        ("", "", ""),
        (SHUT, "", "*"),
        ("User-agent: imagenet-all-rounder\nDisallow: /", *["imagenet-all-rounder"] * 2),
        ("User-agent: GPTBot\nDisallow: /", "GPTBot", "GPTBot"),
        ("USER-AGENT: img2DATASET/1.4 # us\n\ndisallow: /a", "img2dataset", "img2dataset"),
        ("User-agent: Googlebot\nDisallow: /", "", ""),
        ("User-agent: Googlebot\nUser-agent: CCBot\nDisallow: /", "CCBot", "CCBot"),
        ("User-agent: CCBot\nSitemap: x\n\nUser-agent: Bingbot\nDisallow: /", "CCBot", "CCBot"),
        ("User-agent: CCBot\nCrawl-delay: 9\nUser-agent: Bing\nDisallow: /", "CCBot", "CCBot"),
        ("User-agent: CCBot\nDisallow:\nUser-agent: Bingbot\nDisallow: /", "", ""),
        ("User-agent: CCBot\nAllow: /\nUser-agent: CCBot\nDisallow: /a", "CCBot", "CCBot"),
        ("User-agent: CCBot\nDisallow: /\nAllow: /*.jpg$", "", ""),
        ("User-agent: CCBot\nDisallow: /b", "", ""),
        ("User-agent: CCBot\nDisallow: /%61.jpg", "CCBot", "CCBot"),
        ("User-agent: CCBot\r\nDisallow: /", "CCBot", "CCBot"),
        # a group that names us stands for all others
        (SHUT + "User-agent: imagenet-all-rounder\nAllow: /", "", ""),
        (SHUT + "User-agent: imagenet-all-rounder\nDisallow:", "", ""),
        ("User-agent: GPTBot\nDisallow: /\nUser-agent: imagenet-all-rounder\nDisallow:", "", ""),
        # preferences about training name the use, so they hold for whomever they are said to
        ("User-agent: *\nContent-Usage: train-ai=n", *["train-ai=n"] * 2),
        ("User-agent: *\nContent-Usage: /a train-ai=n, search=y", *["train-ai=n"] * 2),
        ("User-agent: *\nContent-Usage: /b train-ai=n", "", ""),
        ("User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /a train-ai=y", "", ""),
        ("User-agent: *\nContent-Signal: search=yes,ai-train=no", *["train-ai=n"] * 2),
        ("User-agent: *\nContent-Usage: search=n", "", ""),
        ("User-agent: Bingbot\nContent-Usage: train-ai=n", "", ""),
        ("<html>User-agent: GPTBot Disallow: /</html>", "", ""),
        ("User-agent\nDisallow: /\nUser-agent GPTBot\nDisallow /", "GPTBot", "GPTBot"),
    ],
)
def test_whom_a_robots_txt_shuts_out(text: str, named: str, everyone: str) -> None:
    assert against(text) == named
    assert against(text, everyone=True) == everyone


@given(
    st.lists(
        st.sampled_from(["User-agent", "useragent", "Allow", "Disallow", "Content-Usage", "Host"])
        .flatmap(lambda field: st.sampled_from(["", ":", " : "]).map(field.__add__))
        .flatmap(
            lambda head: st.one_of(
                st.text(max_size=12), st.sampled_from(["*", "GPTBot", "/", "/*$", "http://[", "%"])
            ).map(head.__add__)
        )
    ).map("\n".join)
    | st.text(max_size=80),
    st.text(st.characters(codec="ascii", exclude_characters=" "), max_size=9),
)
def test_no_robots_txt_raises(text: str, path: str) -> None:
    against(text, f"/{path}", everyone=True)


def test_a_hostile_robots_txt_does_not_grow_in_memory() -> None:
    """Each agent of a head gets the rules: with all kept, that would be a billion of them."""
    heads = "".join(f"User-agent: {n}\n" for n in range(12_000))
    rules = RobotsRules(heads + "Disallow: /*a*a$\n" * 12_000, True)
    assert rules.result(f"{SITE}/a.jpg") is None


def test_each_scheme_host_and_port_has_its_own_file() -> None:
    assert robots_url("http://h.example:81/a/b?c") == "http://h.example:81/robots.txt"


def test_the_table_of_agents_is_sorted_and_dated() -> None:
    head, *lines = AGENTS.read_text(encoding="utf-8").splitlines()
    assert head == "agent,operator,source,as_of"
    assert lines == sorted(lines, key=str.lower)


# With a server


Body = str | bytes | Callable[[Exchange], None]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Body], None]:
    """Sets the answer for /robots.txt. There is no tdmrep.json."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BEHAVIOURS, ".well-known", gone)

    def serve(body: Body) -> None:
        data = body.encode() if isinstance(body, str) else body
        answer = data if callable(data) else lambda exchange: exchange.reply(data)
        monkeypatch.setitem(BEHAVIOURS, "robots.txt", answer)

    return serve


Serve = Callable[[Body], None]


def rows(tmp_path: Path, urls: list[str], robots: str = "named", **more: object) -> list[RawRow]:
    """The rows of photos; all must add up."""
    project = Project(tmp_path, {WNID: urls}, download={"robots": robots} | more)
    found = project.crawl()
    project.check_accounts()
    return found


def statuses(found: list[RawRow]) -> list[str]:
    return [row.opt_out or row.detail or row.status for row in found]


def test_robots_txt_is_asked_once_and_before_any_photo(
    tmp_path: Path, server: Server, serve: Serve
) -> None:
    serve("User-agent: GPTBot\nDisallow: /good/2")
    found = rows(tmp_path, [server.url(f"good/{n}") for n in range(4)])
    assert statuses(found) == ["ok", "ok", "robots.txt: GPTBot", "ok"]
    assert found[2].status is Status.OPTED_OUT
    assert found[2].final_url == server.url("good/2")
    assert "/robots.txt" in {one.path for one in server.log[:2]}
    assert (server.asked("robots.txt"), server.asked("good/2")) == (1, 0)


@pytest.mark.parametrize(
    ("robots", "more", "expected", "asked"),
    [
        ("named", {}, "ok", 1),
        ("all", {}, "robots.txt: *", 1),
        ("ignore", {}, "ok", 0),
        ("all", {"honour_opt_out": False}, "ok", 0),
    ],
)
def test_the_params_say_which_rules_hold(
    tmp_path: Path,
    server: Server,
    serve: Serve,
    robots: str,
    more: dict[str, object],
    expected: str,
    asked: int,
) -> None:
    serve(SHUT)
    assert statuses(rows(tmp_path, [server.url("good/1")], robots, **more)) == [expected]
    assert server.asked("robots.txt") == asked


def broken(exchange: Exchange) -> None:
    exchange.reset()


def silent_end(exchange: Exchange) -> None:
    """The connection is closed, and not broken off."""


def gone(exchange: Exchange) -> None:
    exchange.reply(SHUT.encode(), 404)


def forbidden(exchange: Exchange) -> None:
    exchange.reply(SHUT.encode(), 403)


def failing(exchange: Exchange) -> None:
    exchange.reply(SHUT.encode(), 500)


def failing_once(exchange: Exchange) -> None:
    exchange.reply(SHUT.encode(), 500 if exchange.nth == 1 else 200)


def endless(exchange: Exchange) -> None:
    """Longer than what is read, with a Content-Length and rules at the start."""
    exchange.reply(SHUT.encode() + 3 * MAX_ROBOTS * b"#")


def elsewhere(exchange: Exchange) -> None:
    exchange.reply(code=301, headers=[("Location", "/hidden")])


def too_long(exchange: Exchange) -> None:
    """What is read ends within a line."""
    rules = SHUT.encode()
    exchange.reply(b"#" * (MAX_ROBOTS - len(rules)) + b"\n" + rules.rstrip() + b"secret\n")


def broken_off(exchange: Exchange) -> None:
    """The connection ends within a line."""
    exchange.head(headers=[("Content-Length", "999")])
    exchange.send(SHUT.encode().rstrip())


def broken_off_later(exchange: Exchange) -> None:
    exchange.head(headers=[("Content-Length", "999")])
    exchange.send(SHUT.encode() + b"Allow: /")


def circular(exchange: Exchange) -> None:
    exchange.reply(code=302, headers=[("Location", "/robots.txt")])


@pytest.mark.parametrize(
    ("answer", "named", "everyone", "asked"),
    [
        (gone, "ok", "ok", 1),
        (forbidden, "ok", "ok", 1),
        (failing, "ok", "robots.txt: 500", 2),  # RFC 9309, 2.3.1.4, where its rules are obeyed
        (failing_once, "ok", "robots.txt: *", 2),
        (broken, "ok", "ok", 2),
        (silent_end, "ok", "ok", {"named": 1, "all": 2}),
        (endless, "ok", "robots.txt: *", 1),
        (too_long, "ok", "ok", 1),
        (broken_off, "ok", "ok", 2),
        (broken_off_later, "ok", "robots.txt: *", 2),
        (elsewhere, "ok", "robots.txt: *", 1),
        (circular, "ok", "ok", 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_robots_txt_that_cannot_be_read(
    tmp_path: Path,
    server: Server,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[Exchange], None],
    named: str,
    everyone: str,
    asked: int | dict[str, int],
) -> None:
    serve(answer)
    monkeypatch.setitem(BEHAVIOURS, "hidden", lambda exchange: exchange.reply(SHUT.encode()))
    for folder, robots, expected in (("1", "named", named), ("2", "all", everyone)):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        server.requests.clear()
        assert statuses(rows(tmp_path / folder, [server.url("good/1")], robots)) == [expected]
        expected_requests = asked[robots] if isinstance(asked, dict) else asked
        assert server.asked("robots.txt") == expected_requests


def test_a_failure_of_robots_txt_may_pass(tmp_path: Path, server: Server, serve: Serve) -> None:
    serve(failing)
    (row,) = rows(tmp_path, [server.url("good/1")], "all")
    assert (row.status, row.http_status) == (Status.HTTP_ERROR, 500)


def test_a_dead_host_gives_its_photos_their_own_failure(tmp_path: Path, serve: Serve) -> None:
    with Server() as stopped:
        url = stopped.url("good/1")
    with Server() as server:
        serve(SHUT.replace("*", "GPTBot"))
        found = rows(tmp_path, [url, server.url("good/1")])
    assert statuses(found) == ["could not connect", "robots.txt: GPTBot"]


def test_a_redirect_obeys_the_rules_of_where_it_leads(
    tmp_path: Path, server: Server, serve: Serve
) -> None:
    with Server() as other:

        def answer(exchange: Exchange) -> None:
            rules = b"User-agent: CCBot\nDisallow: /" if exchange.server is other else b""
            exchange.reply(rules)

        serve(answer)
        url = server.url(f"to/1.jpg?url={quote(other.url('good/2'), safe='')}")
        found = rows(tmp_path, [url, server.url("good/1")])
    assert statuses(found) == ["robots.txt: CCBot", "ok"]
    assert found[0].final_url == other.url("good/2")
    assert other.requests == {"/robots.txt": 1, TDM_PATH: 1}


RESERVED = [{"location": "/good/2", "tdm-reservation": 1}]


def test_tdmrep_json_is_asked_once_and_before_any_photo(
    tmp_path: Path, server: Server, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("")
    body = json.dumps(RESERVED).encode()
    monkeypatch.setitem(BEHAVIOURS, ".well-known", lambda exchange: exchange.reply(body))
    found = rows(tmp_path, [server.url(f"good/{n}") for n in range(4)])
    assert statuses(found) == ["ok", "ok", "tdmrep.json: tdm-reservation=1", "ok"]
    assert found[2].status is Status.OPTED_OUT
    assert {one.path for one in server.log[:2]} == {"/robots.txt", TDM_PATH}
    assert (server.requests[TDM_PATH], server.asked("good/2")) == (1, 0)
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    assert statuses(rows(tmp_path / "b", [server.url("good/2")], "ignore")) == ["ok"]
    assert server.requests[TDM_PATH] == 1


def test_a_host_is_asked_for_both_files_at_once(
    tmp_path: Path, server: Server, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)

    def together(exchange: Exchange) -> None:
        both.wait(20)
        exchange.reply(b"[]")

    serve(together)
    monkeypatch.setitem(BEHAVIOURS, ".well-known", together)
    assert statuses(rows(tmp_path, [server.url("good/1")])) == ["ok"]
    assert not both.broken


@pytest.mark.parametrize("answer", [gone, failing, broken, silent_end, endless, circular])
def test_a_tdmrep_json_that_cannot_be_read_reserves_nothing(
    tmp_path: Path,
    server: Server,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[Exchange], None],
) -> None:
    serve("User-agent: GPTBot\nDisallow: /good/2")
    monkeypatch.setitem(BEHAVIOURS, ".well-known", answer)
    found = rows(tmp_path, [server.url("good/1"), server.url("good/2")])
    assert statuses(found) == ["ok", "robots.txt: GPTBot"]


@pytest.mark.parametrize(
    ("location", "path", "is_match"),
    [
        ("/", "/a.jpg", True),
        ("*", "/a.jpg", True),
        ("/a", "/a/b.jpg", True),
        ("/a", "/A/b.jpg", False),
        ("a/", "/a/b.jpg", True),
        ("/a$", "/a/b.jpg", False),
        ("/a/b.jpg$", "/a/b.jpg", True),
        ("/*.jpg$", "/a/b.jpg", True),
        ("/*.jpg$", "/a/b.jpg?x", False),
        ("/a*a$", "/a", False),
        ("/a*b*c", "/a-c-b", False),
        ("/%7Ea", "/~a/b.jpg", True),
        ("/a%2Fb", "/a/b", False),
        ("", "/a", True),
        (7, "/a", False),
    ],
)
def test_the_paths_of_a_tdmrep_json(location: object, path: str, is_match: bool) -> None:
    rules = [{"location": location, "tdm-reservation": 1}]
    result = tdm_result(json.dumps(rules).encode())(f"{SITE}{path}")
    assert bool(result) is is_match


def test_the_first_rule_that_matches_holds() -> None:
    rules = [
        {"location": "/a/b", "tdm-reservation": 0},
        {"location": "/a", "tdm-reservation": 1, "tdm-policy": "https://h.example/policy"},
        {"location": "/", "tdm-reservation": 0},
    ]
    result = tdm_result(json.dumps(rules).encode())
    assert [bool(result(f"{SITE}{path}")) for path in ("/a/b", "/a/c", "/c")] == [
        False,
        True,
        False,
    ]


@given(st.binary() | st.recursive(st.text() | st.integers(), st.lists).map(repr).map(str.encode))
def test_no_tdmrep_json_raises(body: bytes) -> None:
    assert tdm_result(body)(f"{SITE}/a.jpg") is None


@given(st.text("ab*$/", max_size=8), st.text("ab/", max_size=8))
def test_patterns_match_as_regular_expressions_do(pattern: str, path: str) -> None:
    pattern = f"/{pattern}"
    parts = pattern.removesuffix("$").split("*")
    form = ".*".join(map(re.escape, parts)) + ("$" if pattern.endswith("$") else "")
    assert path_matches(pattern, f"/{path}") is bool(re.match(form, f"/{path}"))


def test_a_busy_host_keeps_no_photo_of_its_class_waiting(
    tmp_path: Path, server: Server, serve: Serve
) -> None:
    """It answers when the other host's photo was requested, which stands behind all of its URLs."""

    def answer(exchange: Exchange) -> None:
        with_photo = server.asked("good/99")
        busy = exchange.headers["host"].startswith("localhost") and not with_photo
        exchange.reply(b"", 429 if busy else 404)

    serve(answer)
    busy = server.url("good/").replace("127.0.0.1", "localhost")
    urls = [*(f"{busy}{n}" for n in range(20)), server.url("good/99")]
    project = Project(tmp_path, {WNID: urls}, download={"robots": "named"}, network={"tries": 20})
    assert statuses(project.crawl())[:10] == 10 * ["ok"]
    assert server.asked("good/99") == 1


@pytest.mark.parametrize("code", [429, 503])
def test_all_rows_of_a_busy_host_have_the_code_that_it_answered(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Also those of a class none of whose URLs were requested before the host was given up."""
    monkeypatch.setattr(hosts, "FIRST_BUSY_PATIENCE", -1)
    lists = {wnid: [server.url(f"status/{code}?{wnid}{n}") for n in range(4)] for wnid in "ab"}
    lists = dict(zip((WNID, OTHER), lists.values(), strict=True))
    project = Project(tmp_path, lists, network={"processes": 1, "per_host": 1, "tries": 9})
    project.crawl_here()
    found = [row for wnid in lists for row in project.rows(wnid)]
    assert {(row.detail, row.http_status) for row in found} == {
        ("no answer to 2 URLs: host given up", code)
    }
    assert len(server.log) < 8


def test_another_class_of_the_host_does_not_ask_again(
    tmp_path: Path, server: Server, serve: Serve
) -> None:
    serve("User-agent: GPTBot\nDisallow: /good/2")
    lists = {WNID: [server.url("good/1")], OTHER: [server.url("good/2"), server.url("good/3")]}
    network = {"processes": 1}
    project = Project(tmp_path, lists, download={"robots": "named"}, network=network)
    project.crawl()
    assert statuses(project.rows(OTHER)) == ["robots.txt: GPTBot", "ok"]
    assert server.asked("robots.txt") == 1


def test_the_processes_of_a_run_ask_once_together(
    tmp_path: Path, server: Server, serve: Serve
) -> None:
    serve("User-agent: GPTBot\nDisallow: /good/2")
    lists = {wnid: [server.url(f"good/{wnid}"), server.url("good/2")] for wnid in (WNID, OTHER)}
    network = {"processes": 2, "per_host": 8}
    download = {"robots": "named"}
    project = Project(tmp_path, lists, per_class=1000, download=download, network=network)
    params = Params.model_validate(project.params)
    assert len(shares(params, params.quotas)) == 2
    project.crawl()
    for wnid in lists:
        assert statuses(project.rows(wnid)) == ["ok", "robots.txt: GPTBot"]
    assert server.asked("robots.txt") == 1


def test_what_a_process_leaves_another_one_requests(tmp_path: Path) -> None:
    file, tdm, download = f"{SITE}/robots.txt", f"{SITE}{TDM_PATH}", Download()
    one, other = (RobotsGate[str](download, tmp_path) for _ in range(2))
    assert one.wait(f"{SITE}/1", "a") == [file, tdm]
    assert one.wait(f"{SITE}/9", "z") == []
    assert not other.wait(f"{SITE}/2", "b")
    assert list(other.poll_others(1)) == []
    one.close()
    assert sorted(other.poll_others(2)) == [(tdm, None), (file, None)]
    rules = RobotsAnswer(200, 1, b"User-agent: CCBot\nDisallow: /2")
    assert other.settle(file, rules) == ([], 0)
    assert other.verdict(f"{SITE}/2") is None
    assert other.settle(tdm, RobotsAnswer(404)) == (["b"], 1)
    third = RobotsGate[str](download, tmp_path)
    assert not third.wait(f"{SITE}/3", "c")
    for each, answer in third.poll_others(1):
        assert answer
        third.settle(each, answer)
    verdict = third.verdict(f"{SITE}/3")
    assert verdict
    assert verdict(f"{SITE}/2")
    assert not verdict(f"{SITE}/3")


# Headers


@pytest.mark.parametrize(
    ("name", "value", "evidence"),
    [
        ("tdm-reservation", "1", "tdm-reservation: 1"),
        ("tdm-reservation", "0", ""),
        ("content-usage", "train-ai=n", "Content-Usage: train-ai=n"),
        ("content-usage", "search=y, train-ai=n;x=1", "Content-Usage: train-ai=n"),
        ("content-usage", "train-ai=n, train-ai=y", ""),
        ("content-usage", "train-ai=y", ""),
        ("content-usage", "search=n", ""),
        ("content-usage", "xtrain-ai=n", ""),
        ("x-robots-tag", "noai", "X-Robots-Tag: noai"),
    ],
)
def test_headers_against_training(name: str, value: str, evidence: str) -> None:
    result = header_opt_out({name.encode(): [value.encode()]})
    assert (result.opt_out if result else "") == evidence


@given(st.text(max_size=40))
def test_no_preference_raises(text: str) -> None:
    may_train(text)


def test_a_header_of_a_real_answer_is_read(
    tmp_path: Path, server: Server, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = [("TDM-Reservation", "1")]
    monkeypatch.setitem(BEHAVIOURS, "tdm", lambda one: one.reply(photo(), headers=headers))
    found = rows(tmp_path, [server.url("tdm/1")], "ignore")
    assert statuses(found) == ["tdm-reservation: 1"]


def test_headers_of_a_streamed_archive_hold_for_its_photos(
    tmp_path: Path, server: Server, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, tar = [("X-Robots-Tag", "noai")], photos_tar(2)
    monkeypatch.setitem(BEHAVIOURS, "tar", lambda one: one.reply(tar, headers=headers))
    (row,) = rows(tmp_path, [server.url("tar/1.tar")], "ignore")
    assert (row.status, row.opt_out) == (Status.OPTED_OUT, "X-Robots-Tag: noai")
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    found = rows(tmp_path / "b", [server.url("tar/1.tar")], "ignore", honour_opt_out=False)
    assert [row.status for row in found] == ["ok", "ok", "archive"]


# Inside a photo


DMI = "http://ns.useplus.org/ldf/vocab/DMI-"
ATTRIBUTE = '<rdf:Description plus:DataMining="%s"/>'
ELEMENT = "<plus:DataMining>%s</plus:DataMining>"
RESOURCE = '<p:DataMining rdf:resource="%s"/>'


def with_xmp(form: str, xmp: str, packed: bool = False) -> bytes:
    out, info = io.BytesIO(), PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp, zip=packed)
    with Image.open(io.BytesIO(photo("xmp", 64))) as image:
        image.save(out, form, **{"pnginfo": info} if form == "PNG" else {"xmp": xmp.encode()})
    return out.getvalue()


def evidence_of(body: bytes) -> str:
    return result.opt_out if (result := embedded_opt_out(body)) else ""


@pytest.mark.parametrize("syntax", [ATTRIBUTE, ELEMENT, RESOURCE])
@pytest.mark.parametrize(
    ("value", "forbids"),
    [
        ("PROHIBITED", True),
        ("PROHIBITED-AIMLTRAINING", True),
        ("PROHIBITED-GENAIMLTRAINING", True),
        ("PROHIBITED-EXCEPTSEARCHENGINEINDEXING", True),
        ("PROHIBITED-SEECONSTRAINT", True),
        ("ALLOWED", False),
        ("UNSPECIFIED", False),
    ],
)
def test_the_data_mining_property(syntax: str, value: str, forbids: bool) -> None:
    body = with_xmp("JPEG", syntax % (DMI + value))
    assert evidence_of(body) == (f"plus:DataMining: DMI-{value}" if forbids else "")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_property_in_each_format(form: str) -> None:
    body = with_xmp(form, ELEMENT % f"{DMI}PROHIBITED")
    result = judge(body, Bounds(10**6, 1, 10**6, honour_opt_out=True))
    assert (result.status, result.opt_out) == (
        Status.OPTED_OUT,
        "plus:DataMining: DMI-PROHIBITED",
    )
    assert judge(body, Bounds(10**6, 1, 10**6)).status is Status.OK


def test_compressed_xmp_is_read() -> None:
    assert evidence_of(with_xmp("PNG", ELEMENT % f"{DMI}PROHIBITED", True)).endswith("PROHIBITED")


def png_with(kind: bytes, data: bytes, padding: int) -> bytes:
    """A PNG with a large chunk and one of text behind its pixels."""
    body = with_xmp("PNG", "")
    chunks = ((b"prVt", padding * b"x"), (kind, data))
    packed = (
        struct.pack(">I", len(text)) + name + text + struct.pack(">I", zlib.crc32(name + text))
        for name, text in chunks
    )
    return body[:-12] + b"".join(packed) + body[-12:]


def test_xmp_in_each_kind_of_chunk_of_a_png() -> None:
    """Behind the pixels, as ExifTool may write it, and in hexadecimal, as ImageMagick does."""
    xmp = (ELEMENT % f"{DMI}PROHIBITED").encode().ljust(300)
    lines = "".join(f"{xmp[at : at + 36].hex()}\n" for at in range(0, len(xmp), 36))
    profile = f"\nxmp\n{len(xmp):8}\n{lines}".encode()
    for kind, data in (
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)),
        (b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(profile)),
        (b"tEXt", b"Raw profile type xmp\0" + profile),
    ):
        assert evidence_of(png_with(kind, data, 2**21)) == "plus:DataMining: DMI-PROHIBITED"
        assert evidence_of(png_with(kind, data[:30], 9)) == ""


def test_another_property_is_none() -> None:
    other = '<x plus:DataMining="DMI-ALLOWED" Iptc4xmpExt:DigitalSourceType="DMI-PROHIBITED"/>'
    assert evidence_of(with_xmp("JPEG", other)) == ""


JUMBF = b"jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71\x03c2pa\x00"


def with_segment(data: bytes) -> bytes:
    """A JPEG with an APP11 segment."""
    body = photo("c2pa", 64)
    return body[:2] + b"\xff\xeb" + struct.pack(">H", len(data) + 2) + data + body[2:]


def test_a_c2pa_manifest_is_noted_and_no_opt_out() -> None:
    result = judge(with_segment(JUMBF), Bounds(10**6, 1, 10**6, honour_opt_out=True))
    assert (result.status, result.detail) == (Status.OK, "has a C2PA manifest")


@pytest.mark.parametrize(("use", "forbids"), [("notAllowed", True), ("allowed", False)])
def test_an_assertion_against_training(use: str, forbids: bool) -> None:
    head = b"cawg.training-mining\0\xa1\x67entries\xa1\x70cawg.ai_training\xa1\x63use"
    body = with_segment(JUMBF + head + bytes([0x60 + len(use)]) + use.encode())
    assert evidence_of(body) == ("c2pa.training-mining: ai_training" if forbids else "")


# Tables and hosts


def test_an_opt_out_of_an_older_table_has_its_evidence(tmp_path: Path) -> None:
    """Then only this header counted, and the detail was its directive."""
    table = tmp_path / "n1.csv"
    table.write_text(
        f"image_id,url,status,detail,http_status\n1,{SITE}/1,opted_out,noai,\n2,{SITE}/2,ok,,\n"
    )
    assert [row.opt_out for row in _rows(table, "n1.csv")] == ["X-Robots-Tag: noai", ""]


def test_a_photo_of_before_is_judged_by_its_metadata(tmp_path: Path) -> None:
    body = with_xmp("JPEG", ATTRIBUTE % f"{DMI}PROHIBITED")
    (tmp_path / "1.jpg").write_bytes(body)
    stored = StoredBytes(tmp_path / "1.jpg", 0, len(body))
    sha256 = hashlib.sha256(body).hexdigest()
    result = Result(Status.OK, sha256=sha256, suffix="jpg", stored=stored)
    bounds = Bounds(10**6, 1, 10**6, honour_opt_out=True)
    prior = PriorResults(None, None, bounds, False)  # type: ignore[arg-type]
    checked = prior.checked(result)
    assert checked
    assert (checked.status, checked.opt_out, checked.stored) == (
        Status.OPTED_OUT,
        "plus:DataMining: DMI-PROHIBITED",
        None,
    )


def test_a_journal_of_before_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "", fresh=False)
    journal.add(f"{SITE}/1", Result(Status.HTTP_ERROR, "404", http_status=404))
    journal.close()
    file = tmp_path / "journal.jsonl"
    file.write_text(file.read_text().replace(', "opt_out": ""', ""))
    after = Journal(tmp_path, "", fresh=False)
    assert after.get(f"{SITE}/1")
    after.close()


def test_a_host_that_is_late_is_doubtful_until_it_answers() -> None:
    hosts = Hosts[str](4, 4, 0.0)
    hosts.add("h", "job")
    assert list(hosts.start(0)) == ["job"]
    assert list(hosts.start(1)) == []
    assert not hosts.doubtful
    assert list(hosts.start(2)) == []
    assert hosts.doubtful == {"h"}
    hosts.end("h", 3, 200)
    assert list(hosts.start(9)) == []
    assert not hosts.doubtful


@pytest.mark.parametrize("code", [0, 429])
def test_a_host_that_fails_for_robots_txt_is_doubtful(code: int) -> None:
    hosts = Hosts[str](4, 4, 0.0)
    hosts.add("h", "job")
    assert list(hosts.start(0))
    hosts.end("h", 1, code, is_photo=False)
    assert hosts.doubtful == {"h"}


def test_an_answer_to_robots_txt_does_not_make_a_403_a_throttle() -> None:
    hosts: Hosts[str] = Hosts(8, 8, 0)
    hosts.add("h", "robots.txt")
    assert list(hosts.start(0)) == ["robots.txt"]
    hosts.end("h", 0, 404, is_photo=False)
    assert not hosts.is_throttle("h")
    assert not hosts.doubtful
