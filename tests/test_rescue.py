"""Photos that are gone and come from the Wayback Machine, spoken to on loopback by its protocol."""

import hashlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import Candidate, RawRow, Result, Status
from allrounder.download import processes
from allrounder.download.class_quota import ClassQuota, Slot
from allrounder.params.schema import Params
from allrounder.web import hosts
from allrounder.web.transfer import Reply
from allrounder.web.wayback import is_photo, question, raw_capture
from loopback import Handler, Loopback
from webfaults.pictures import photo
from webfaults.project import OTHER, WNID, Project, make_params
from webfaults.server import Server

OK, HTTP = Status.OK, Status.HTTP_ERROR
TIME = "20110704120000"
Answer = tuple[int, bytes, dict[str, str]]


class Archive(Loopback):
    """The availability API and the raw captures of `captured`; `instead` answers go first."""

    def __init__(self) -> None:
        self.captured: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.instead: list[Answer] = []
        self.asked: list[str] = []
        self.at: list[float] = []
        self.under_way = self.most = 0
        super().__init__(_handler(self))

    @property
    def api(self) -> str:
        return f"{self.base}/wayback/available"

    def capture(self, url: str) -> str:
        return f"{self.base}/web/{TIME}id_/{url}"

    def answer(self, path: str) -> Answer:
        if self.instead:
            return self.instead.pop(0)
        if path.startswith("/wayback/available?"):
            query = parse_qs(urlsplit(path).query)
            assert query["timestamp"] == ["2011"]
            url = query["url"][0]
            closest = {
                "available": True,
                "url": f"{self.base}/web/{TIME}/{url}",
                "timestamp": TIME,
                "status": "200",
            }
            found = {"closest": closest} if url in self.captured else {}
            return 200, json.dumps({"url": url, "archived_snapshots": found}).encode(), {}
        return 200, self.captured[path.removeprefix(f"/web/{TIME}id_/")], self.headers


def _handler(archive: Archive) -> type[Handler]:
    class ArchiveHandler(Handler):
        def get(self) -> None:
            archive.at.append(time.monotonic())
            archive.under_way += 1
            archive.most = max(archive.most, archive.under_way)
            archive.asked.append(self.path)
            status, body, headers = archive.answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            archive.under_way -= 1
            self.end_headers()
            self.wfile.write(body)

    return ArchiveHandler


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as running:
        yield running


def project(folder: Path, archive: Archive, *lists: list[str], **changes: object) -> Project:
    classes = dict(zip((WNID, OTHER), lists, strict=False))
    rules = {"rescue": "wayback", "rescue_api": archive.api} | changes
    return Project(folder, classes, download=rules, network={"rescue_interval": 0.01})


def rescued(tmp_path: Path, archive: Archive, url: str, **changes: object) -> RawRow:
    """The row of a URL; all must add up."""
    one = project(tmp_path, archive, [url], **changes)
    row = one.crawl_here()[0]
    one.check_accounts()
    return row


# The protocol

API = "https://archive.org/wayback/available"
CLOSEST = {
    "available": True,
    "url": "http://web.archive.org/web/20130919044612/http://h.example/a.jpg?b=c#d",
    "timestamp": "20130919044612",
    "status": "200",
}


def named(**changes: object) -> str:
    body = {"archived_snapshots": {"closest": CLOSEST | changes}}
    return raw_capture(json.dumps(body).encode(), API)


def test_the_question_names_url_and_date() -> None:
    asked = question(API, "http://h.example/a b.jpg?x=1&y", 2011)
    assert asked == f"{API}?url=http%3A%2F%2Fh.example%2Fa%2520b.jpg%3Fx%3D1%26y&timestamp=2011"


def test_the_raw_capture_is_asked_for_over_https() -> None:
    assert named() == "https://web.archive.org/web/20130919044612id_/http://h.example/a.jpg?b=c#d"


@pytest.mark.parametrize(
    "changes",
    [
        {"available": False},
        {"status": "404"},
        {"url": "http://h.example/a.jpg"},
        {"url": "http://evil.example/web/2011/http://h.example/a.jpg"},
        {"url": "http://evilarchive.org/web/2011/http://h.example/a.jpg"},
        {"url": "file:///web/2011/http://h.example/a.jpg"},
        {"url": "http://[/web/2011/http://h.example/a.jpg"},
        {"url": 7},
    ],
)
def test_what_is_no_capture_of_the_archive_is_not_asked_for(changes: dict[str, object]) -> None:
    assert named(**changes) == ""


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"archived_snapshots": {}}', b'{"archived_snapshots": []}',
     b'{"archived_snapshots": {"closest": {}}}', b"[" * 100_000, b"\xff"],
)  # fmt: skip
def test_an_answer_without_a_capture_is_none(body: bytes) -> None:
    assert raw_capture(body, API) == ""


def taken(body: bytes, at: str = "http://h.example/a.jpg", **headers: str) -> bool:
    names = {name.replace("_", "-").encode(): [v.encode()] for name, v in headers.items()}
    result = judge(body, Bounds(10**6, 1, 10**6))
    result = Result(
        result.status, suffix=result.suffix, final_url=f"https://web.archive.org/web/{TIME}id_/{at}"
    )
    return is_photo(result, Reply(code=200, headers=names, chunks=[body], size=len(body)), True)


def test_only_a_whole_photo_that_is_no_placeholder_is_taken() -> None:
    good = photo("a")
    assert taken(good)
    assert not taken(good[:-40])
    assert not taken(b"<html>")
    assert not taken(good, at="https://s.yimg.com/pw/images/photo_unavailable.png")
    assert not taken(good, x_archive_orig_etag='W/"d835884373f4d6c8f24742ceabe74946"')
    assert not taken(good, x_archive_orig_x_robots_tag="noai")


# The download


@pytest.mark.parametrize("code", [404, 410])
def test_a_photo_that_is_gone_is_rescued(
    tmp_path: Path, server: Server, archive: Archive, code: int
) -> None:
    url = server.url(f"status/{code}?x=1&y=2")
    archive.captured[url] = photo("old")
    row = rescued(tmp_path, archive, url)
    assert row.rescued_from == archive.capture(url)
    assert (row.status, row.http_status, row.detail, row.final_url) == (OK, code, "", "")
    assert row.sha256 == hashlib.sha256(photo("old")).hexdigest()
    assert archive.asked[1:] == [f"/web/{TIME}id_/{url}"]


def test_off_by_default(tmp_path: Path, server: Server, archive: Archive) -> None:
    row = rescued(tmp_path, archive, server.url("status/404"), rescue=None)
    assert (row.status, row.http_status, row.rescued_from) == (HTTP, 404, "")
    assert not archive.asked


@pytest.mark.parametrize("path", ["good/1.jpg", "status/403", "status/500", "status/401", "html/1"])
def test_a_photo_that_is_not_gone_is_not_looked_for(
    tmp_path: Path, server: Server, archive: Archive, path: str
) -> None:
    rescued(tmp_path, archive, server.url(path))
    assert not archive.asked


def test_a_host_that_is_not_found_loses_all_its_photos(
    tmp_path: Path, server: Server, archive: Archive
) -> None:
    urls = [f"http://gone.invalid/{n}.jpg" for n in range(6)]
    archive.captured |= {url: photo(url) for url in urls[::2]}
    live = server.url("good/1.jpg")
    one = project(tmp_path, archive, [*urls[:3], live, *urls[3:]])
    rows = one.crawl_here()
    one.check_accounts()
    found = {row.url: row for row in rows}
    assert found[live].rescued_from == ""
    for url in urls[::2]:
        assert (found[url].status, found[url].http_status) == (OK, None)
        assert found[url].rescued_from == archive.capture(url)
    assert {found[url].status for url in urls[1::2]} == {Status.CONNECTION_ERROR}
    assert len(archive.asked) == 9
    assert archive.most == 1


@pytest.mark.parametrize("body", [photo("cut")[:-99], b"<html>", b"", photo("tiny", 8)])
def test_a_capture_that_is_no_good_photo_leaves_the_row_as_it_was(
    tmp_path: Path, server: Server, archive: Archive, body: bytes
) -> None:
    url = server.url("status/404")
    archive.captured[url] = body
    row = rescued(tmp_path, archive, url)
    assert (row.status, row.http_status, row.detail, row.rescued_from) == (HTTP, 404, "404", "")


def test_the_same_bytes_are_taken_once(tmp_path: Path, server: Server, archive: Archive) -> None:
    url = server.url("status/404")
    archive.captured[url] = photo("1.jpg")
    one = project(tmp_path, archive, [server.url("good/1.jpg"), url])
    rows = one.crawl_here()
    one.check_accounts()
    assert [row.status for row in rows] == [OK, Status.DUPLICATE]
    assert rows[1].rescued_from


# Politeness


def test_429_and_its_retry_after_are_obeyed(
    tmp_path: Path, server: Server, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_FIRST_INTERVAL", 0.01)
    url = server.url("status/404")
    archive.captured[url] = photo("old")
    archive.instead = [(429, b"", {"Retry-After": "0.3"}), (429, b"", {"Retry-After": "1"})]
    one = project(tmp_path, archive, [url])
    one.params["network"] |= {"tries": 4, "retry_after_max": 0.3}
    assert one.crawl_here()[0].rescued_from
    assert archive.at[2] - archive.at[1] >= 0.29
    assert len(archive.asked) == 4


def test_the_interval_holds_between_both_hosts_and_all_classes(
    tmp_path: Path, server: Server, archive: Archive
) -> None:
    lists = [[server.url(f"status/404?{wnid}{n}") for n in range(3)] for wnid in "ab"]
    archive.captured |= {url: photo(url) for one in lists for url in one}
    one = project(tmp_path, archive, *lists)
    one.params["network"] |= {"rescue_interval": 0.05}
    one.crawl_here()
    assert all(row.rescued_from for wnid in (WNID, OTHER) for row in one.rows(wnid))
    assert archive.most == 1
    gaps = [after - before for before, after in zip(archive.at, archive.at[1:], strict=False)]
    assert len(gaps) == 11
    assert min(gaps) > 0.03  # seconds; the requests leave 0.05 apart


def test_a_rescue_takes_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 4)
    for rescue, count in ((None, 2), ("wayback", 1)):
        raw = make_params([WNID, OTHER], per_class=5000, download={"rescue": rescue})
        assert len(processes.shares(Params.model_validate(raw))) == count


def test_a_failure_of_the_archive_may_pass(
    tmp_path: Path, server: Server, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_FIRST_INTERVAL", 0.01)
    url = server.url("status/404")
    archive.instead = [(503, b"", {})] * 2
    row = rescued(tmp_path, archive, url)
    assert (row.status, row.http_status, row.rescued_from) == (HTTP, 503, "")
    assert row.detail == "404; Wayback Machine: 503"


def test_an_archive_that_never_answers_is_asked_a_few_times(
    tmp_path: Path, server: Server, archive: Archive
) -> None:
    urls = [server.url(f"status/404?{n}") for n in range(9)]
    one = project(tmp_path, archive, urls, rescue_api="http://gone.invalid/available")
    rows = one.crawl_here()
    assert {row.status for row in rows} == {Status.CONNECTION_ERROR}
    assert sum("given up" in row.detail for row in rows) == 6


# Later runs


def test_a_killed_run_keeps_its_rescues(tmp_path: Path, server: Server, archive: Archive) -> None:
    url = server.url("status/404")
    archive.captured[url] = photo("old")
    one = project(tmp_path, archive, [url])
    first = one.crawl_here()
    archive.asked.clear()
    assert one.crawl_here() == first
    assert not archive.asked
    one.params["download"]["rescue"] = None
    assert one.crawl_here()[0].status is HTTP


# Rows do not depend on order or time


class Photo(NamedTuple):
    """What a URL of a host answers, and the archive for it ('': it has none)."""

    status: Status
    host: str
    captured: str
    code: int | None = None


_photos = st.builds(
    Photo,
    st.sampled_from([OK, OK, Status.TIMEOUT, Status.TIMEOUT, Status.TIMEOUT, Status.NOT_IMAGE]),
    st.sampled_from("ab"),
    st.sampled_from(["", "", "p", "q", "r", "s", "t"]),
) | st.builds(
    Photo,
    st.just(HTTP),
    st.sampled_from("ab"),
    st.sampled_from(["", "u", "v", "w"]),
    st.sampled_from([404, 429, 500]),
)


def rows_of(
    listed: list[Photo], quota: int, window: int, chance: random.Random, prior: dict[str, Result]
) -> list[tuple[str, Result]]:
    """The rows of a class whose answers, and those of the archive, come in any order."""
    candidates = [Candidate(str(n), f"http://{one.host}/{n}.jpg") for n, one in enumerate(listed)]
    state = ClassQuota(candidates, quota, window, rescue=True)
    asked: list[Slot] = []
    lost: list[Slot] = []
    rows: list[tuple[str, Result]] = []
    while True:
        rows += [(candidate.url, result) for candidate, result in state.settle()]
        if slot := state.next_slot():
            if result := prior.get(slot.candidate.url):
                state.record(slot, result)
            else:
                asked.append(slot)
            continue
        lost += state.rescues()
        if state.can_settle:
            continue
        if state.done:
            return rows + [(one.url, Result(Status.UNUSED)) for one in state.unused()]
        assert asked or lost, "neither done nor waiting for anything"
        waiting, archived = chance.choice(
            [*((asked, False),) * len(asked), *((lost, True),) * len(lost)]
        )
        slot = waiting.pop(chance.randrange(len(waiting)))
        one = listed[int(slot.candidate.image_id)]
        if not archived:
            sha256 = slot.candidate.url if one.status is OK else ""
            state.record(slot, Result(one.status, "", one.code, sha256=sha256), prior=False)
        elif slot.lost and one.captured:
            code = slot.lost.http_status
            state.end_rescue(slot, Result(OK, "", code, sha256=one.captured, rescued_from="c"))
        elif slot.lost:
            state.end_rescue(slot, slot.lost)


def pinned(rows: list[tuple[str, Result]]) -> dict[str, Result]:
    """The results that a later run has from before."""
    good = {url: replace(row, status=OK, detail="") for url, row in rows if row.sha256}
    failed = (OK, Status.DUPLICATE, Status.UNUSED)
    return good | {url: row for url, row in rows if row.status not in failed}


@given(
    st.lists(_photos, max_size=40),
    st.integers(1, 12),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_rows_depend_on_nothing_but_the_answers(
    listed: list[Photo], quota: int, window: int, chance: random.Random
) -> None:
    first = rows_of(listed, quota, 1, chance, {})
    assert [url for url, _ in first] == [f"http://{p.host}/{n}.jpg" for n, p in enumerate(listed)]
    assert rows_of(listed, quota, window, chance, {}) == first
    assert rows_of(listed, quota, window, chance, pinned(first)) == first
    for (_, row), one in zip(first, listed, strict=True):
        assert one.captured or not row.rescued_from
        assert not (row.rescued_from and one.code in (429, 500) and row.http_status)
