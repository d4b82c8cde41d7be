"""Photos that are gone and come from the Wayback Machine, spoken to on loopback by its protocol."""

import hashlib
import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import Candidate, ManifestRow, RawRow, Result, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import atomic_tar
from allrounder.download import rounds as processes
from allrounder.download.class_quota import ClassQuota, Slot
from allrounder.history import prior_results
from allrounder.history.prior_results import PinnedResults
from allrounder.params.schema import Download, Params
from allrounder.verify.drift import Drift, TakenPhoto
from allrounder.verify.web import Validators, check
from allrounder.web import hosts
from allrounder.web.transfer import Reply
from allrounder.web.wayback import availability_url, is_photo, raw_capture
from loopback import Handler, Loopback
from photoserver import PhotoServer
from project import Project
from webfaults.pictures import photo
from webfaults.project import OTHER, WNID, make_params
from webfaults.project import Project as Folder
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
def faulty() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as running:
        yield running


def project(folder: Path, archive: Archive, *lists: list[str], **changes: object) -> Folder:
    classes = dict(zip((WNID, OTHER), lists, strict=False))
    rules = {"rescue": "wayback", "rescue_api": archive.api} | changes
    return Folder(folder, classes, download=rules, network={"rescue_interval": 0.01})


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
    asked = availability_url(API, "http://h.example/a b.jpg?x=1&y", 2011)
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


def taken(
    body: bytes,
    at: str = "http://h.example/a.jpg",
    site: str = "https://web.archive.org",
    **headers: str,
) -> bool:
    names = {name.replace("_", "-").encode(): [v.encode()] for name, v in headers.items()}
    result = judge(body, Bounds(10**6, 1, 10**6))
    result = Result(result.status, suffix=result.suffix, final_url=f"{site}/web/{TIME}id_/{at}")
    reply = Reply(code=200, headers=names, chunks=[body], size=len(body))
    return is_photo(result, reply, Download(rescue_api=API))


def test_only_a_whole_photo_that_is_no_placeholder_is_taken() -> None:
    good = photo("a")
    assert taken(good)
    assert not taken(good[:-40])
    assert not taken(b"<html>")
    assert not taken(good, at="https://s.yimg.com/pw/images/photo_unavailable.png")
    assert not taken(good, x_archive_orig_etag='W/"d835884373f4d6c8f24742ceabe74946"')
    assert not taken(good, x_archive_orig_x_robots_tag="noai")
    assert not taken(good, x_archive_orig_tdm_reservation="1")
    assert not taken(good, x_archive_orig_content_usage="train-ai=n")
    assert not taken(good, site="https://h.example")


# The download


@pytest.mark.parametrize("code", [404, 410])
def test_a_photo_that_is_gone_is_rescued(
    tmp_path: Path, faulty: Server, archive: Archive, code: int
) -> None:
    url = faulty.url(f"status/{code}?x=1&y=2")
    archive.captured[url] = photo("old")
    row = rescued(tmp_path, archive, url)
    assert row.rescued_from == archive.capture(url)
    assert (row.status, row.http_status, row.detail, row.final_url) == (OK, code, "", "")
    assert row.sha256 == hashlib.sha256(photo("old")).hexdigest()
    assert archive.asked[1:] == [f"/web/{TIME}id_/{url}"]


@pytest.mark.parametrize("on_archive", [True, False])
def test_a_capture_may_be_redirected_within_the_archive(
    tmp_path: Path, faulty: Server, archive: Archive, on_archive: bool
) -> None:
    """`rescued_from` then names the last capture; a photo from elsewhere is none of the archive."""
    url = faulty.url("status/404?x=1&y=2")
    at = archive.capture(f"{url}&z") if on_archive else faulty.url("good/1.jpg")
    archive.captured |= {url: b"", f"{url}&z": photo("old")}
    ask = archive.answer

    def moved(path: str) -> Answer:
        return (302, b"", {"Location": at}) if path.endswith("y=2") else ask(path)

    archive.answer = moved  # type: ignore[method-assign]
    assert rescued(tmp_path, archive, url).rescued_from == (at if on_archive else "")


def test_off_by_default(tmp_path: Path, faulty: Server, archive: Archive) -> None:
    row = rescued(tmp_path, archive, faulty.url("status/404"), rescue=None)
    assert (row.status, row.http_status, row.rescued_from) == (HTTP, 404, "")
    assert not archive.asked


@pytest.mark.parametrize("path", ["good/1.jpg", "status/403", "status/500", "status/401", "html/1"])
def test_a_photo_that_is_not_gone_is_not_looked_for(
    tmp_path: Path, faulty: Server, archive: Archive, path: str
) -> None:
    rescued(tmp_path, archive, faulty.url(path))
    assert not archive.asked


def test_a_host_that_is_not_found_loses_all_its_photos(
    tmp_path: Path, faulty: Server, archive: Archive
) -> None:
    urls = [f"http://gone.invalid/{n}.jpg" for n in range(6)]
    archive.captured |= {url: photo(url) for url in urls[::2]}
    live = faulty.url("good/1.jpg")
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
    tmp_path: Path, faulty: Server, archive: Archive, body: bytes
) -> None:
    url = faulty.url("status/404")
    archive.captured[url] = body
    row = rescued(tmp_path, archive, url)
    assert (row.status, row.http_status, row.detail, row.rescued_from) == (HTTP, 404, "404", "")


def test_the_same_bytes_are_taken_once(tmp_path: Path, faulty: Server, archive: Archive) -> None:
    url = faulty.url("status/404")
    archive.captured[url] = photo("1.jpg")
    one = project(tmp_path, archive, [faulty.url("good/1.jpg"), url])
    rows = one.crawl_here()
    one.check_accounts()
    assert [row.status for row in rows] == [OK, Status.DUPLICATE]
    assert rows[1].rescued_from


# Politeness


def test_429_and_its_retry_after_are_obeyed(
    tmp_path: Path, faulty: Server, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_FIRST_INTERVAL", 0.01)
    url = faulty.url("status/404")
    archive.captured[url] = photo("old")
    archive.instead = [(429, b"", {"Retry-After": "1"})]
    one = project(tmp_path, archive, [url])
    one.params["network"] |= {"tries": 4, "retry_after_max": 0.05}
    assert one.crawl_here()[0].rescued_from
    assert archive.at[1] - archive.at[0] >= 0.99  # seconds
    assert len(archive.asked) == 3


def test_an_archive_that_asks_for_a_long_wait_is_not_asked_again(
    tmp_path: Path, faulty: Server, archive: Archive
) -> None:
    archive.instead = [(429, b"", {"Retry-After": "3600"})] * 9
    one = project(tmp_path, archive, [faulty.url(f"status/404?{n}") for n in range(3)])
    assert {row.http_status for row in one.crawl_here()} == {429}
    assert len(archive.asked) == 1


def test_the_interval_holds_between_both_hosts_and_all_classes(
    tmp_path: Path, faulty: Server, archive: Archive
) -> None:
    lists = [[faulty.url(f"status/404?{wnid}{n}") for n in range(3)] for wnid in "ab"]
    archive.captured |= {url: photo(url) for one in lists for url in one}
    one = project(tmp_path, archive, *lists)
    one.params["network"] |= {"rescue_interval": 0.05}
    one.crawl_here()
    assert all(row.rescued_from for wnid in (WNID, OTHER) for row in one.rows(wnid))
    assert archive.most == 1
    assert len(archive.at) == 12
    # Each leaves after the answer before, 0.05 s after that was asked for: however late it arrives.
    gaps = [after - before for before, after in zip(archive.at, archive.at[2:], strict=False)]
    assert min(gaps) > 0.049


def test_a_rescue_takes_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 4)
    for rescue, count in ((None, 2), ("wayback", 1)):
        raw = make_params([WNID, OTHER], per_class=5000, download={"rescue": rescue})
        params = Params.model_validate(raw)
        assert len(processes.shares(params, params.quotas)) == count


def test_a_failure_of_the_archive_may_pass(
    tmp_path: Path, faulty: Server, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_FIRST_INTERVAL", 0.01)
    url = faulty.url("status/404")
    archive.instead = [(503, b"", {})] * 2
    row = rescued(tmp_path, archive, url)
    assert (row.status, row.http_status, row.rescued_from) == (HTTP, 503, "")
    assert row.detail == "404; Wayback Machine: 503"


def test_an_archive_that_never_answers_is_asked_a_few_times(
    tmp_path: Path, faulty: Server, archive: Archive
) -> None:
    urls = [faulty.url(f"status/404?{n}") for n in range(9)]
    one = project(tmp_path, archive, urls, rescue_api="http://gone.invalid/available")
    rows = one.crawl_here()
    assert {row.status for row in rows} == {Status.CONNECTION_ERROR}
    assert sum("given up" in row.detail for row in rows) == 6


# Later runs


def test_a_killed_run_keeps_its_rescues(tmp_path: Path, faulty: Server, archive: Archive) -> None:
    url = faulty.url("status/404")
    archive.captured[url] = photo("old")
    one = project(tmp_path, archive, [url])
    first = one.crawl_here()
    archive.asked.clear()
    assert one.crawl_here() == first
    assert not archive.asked
    one.params["download"]["rescue"] = None
    assert one.crawl_here()[0].status is HTTP


HELD = {"rescue": "wayback"}


def prior_result(
    folder: Path, patch: pytest.MonkeyPatch, row: RawRow, held: dict[str, Any], **now: Any
) -> Result | None:
    """The pinned result of a row that was downloaded by the rules `held`, by the rules `now`."""
    pinned_params = {
        "classes": {WNID: None},
        "sources": [{"kind": "url-list", "location": "http://h/l"}],
        "download": held,
    }
    patch.setattr(prior_results, "pinned_params", lambda stage: pinned_params)
    patch.setattr(prior_results, "pinned_file", lambda name, to: folder / Path(name).name)
    write_csv(folder / f"{WNID}.csv", RawRow, [row])
    with atomic_tar(folder / f"{WNID}.tar") as tar:
        if row.status is OK:
            tar.add(f"{row.image_id}.jpg", photo("old"))
    raw = make_params() | {"download": now}
    return PinnedResults(WNID, Params.model_validate(raw), folder).get(row.url)


@pytest.mark.parametrize(
    ("held", "now", "holds"),
    [
        (HELD, HELD, True),
        (HELD, HELD | {"min_side": 40}, True),
        (HELD, {}, False),
        (HELD, HELD | {"rescue_date": 2012}, False),
    ],
)
def test_a_pinned_rescue_holds_under_the_same_rules_of_rescue(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    held: dict[str, Any],
    now: dict[str, Any],
    holds: bool,
) -> None:
    sha256 = hashlib.sha256(photo("old")).hexdigest()
    row = RawRow("a", "http://h/a.jpg", OK, sha256=sha256, http_status=404, rescued_from="http://c")
    result = prior_result(tmp_path, monkeypatch, row, held, **now)
    assert (result is not None) is holds
    assert result is None or (result.rescued_from, result.http_status) == ("http://c", 404)


@pytest.mark.parametrize(
    ("held", "now", "holds"),
    [({}, {}, True), ({}, {"rescue_date": 2012}, True), ({}, HELD, False), (HELD, {}, False)],
)
def test_a_pinned_404_holds_until_it_might_be_rescued(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    held: dict[str, Any],
    now: dict[str, Any],
    holds: bool,
) -> None:
    row = RawRow("a", "http://h/a.jpg", HTTP, "404", http_status=404)
    assert (prior_result(tmp_path, monkeypatch, row, held, **now) is not None) is holds


def test_verify_asks_the_archive_for_a_rescued_photo(tmp_path: Path, archive: Archive) -> None:
    gone = "http://gone.invalid/a.jpg"
    archive.captured[gone] = photo("old")
    sha256 = hashlib.sha256(photo("old")).hexdigest()
    asked = TakenPhoto(WNID, "a", archive.capture(gone), sha256, 1, rescued=True)
    params = Params.model_validate(make_params(network={"rescue_interval": 0}))
    answers = check(params, [asked], 1, Validators(tmp_path / "v"), lambda done: None).answers
    assert [answer.drift for answer in answers] == [Drift.SAME]


# Provenance


def test_manifest_card_and_report_say_where_a_photo_is_from(
    clone: Project, server: PhotoServer, archive: Archive
) -> None:
    server.gone = re.compile(r"/img/.*[02468]\.jpg")
    urls = {path: server.base + path for path in server.paths(WNID)}
    archive.captured = {urls[path]: server.photos[path] for path in urls}
    clone.edit(
        classes={WNID: "dog"},
        sources=[{"kind": "imagenet-api", "location": server.base}],
        per_class=20,
        min_per_class=10,
        download={"rescue": "wayback", "rescue_api": archive.api},
        network={"allow_private": ["127.0.0.1"], "rescue_interval": 0},
    )
    for stage in ("fetch_urls", "download", "clean", "split", "report"):
        clone.stage(stage)
    rows = list(read_csv(clone.folder / "data/dataset/manifest.csv", ManifestRow))
    from_archive = [row for row in rows if row.rescued_from]
    assert 0 < len(from_archive) < len(rows)
    assert all(row.rescued_from == archive.capture(row.url) for row in from_archive)
    assert all(server.gone.search(row.url) for row in from_archive)
    assert f"\n{len(from_archive)} photos were gone" in clone.read("data/dataset/README.md")
    pages = "".join(path.read_text() for path in (clone.folder / "reports").glob("*.html"))
    assert all(row.rescued_from in pages for row in from_archive)


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
