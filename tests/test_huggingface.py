"""Source huggingface against a server that speaks the dataset viewer's API; its rows downloaded."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import TypeAdapter

from allrounder.catalogue.labels import ClassPart, label_matcher
from allrounder.catalogue.synsets import all_synsets
from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.fetch_urls import listing
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network
from allrounder.params.sources import HuggingfaceSource, Source
from allrounder.web import lists as web
from allrounder.web.dataset_rows import MAX_PAGE
from allrounder.web.lists import ListClient
from allrounder.web.policy import hub_token, may_send_token
from project import Project
from viewerserver import DATASET, REVISION, Reply, ViewerServer
from webfaults import project as faults

HUSKY, CAT, PLANE = "n02109961", "n02123394", "n02690373"
CRANE_BIRD, CRANE_MACHINE = "n02012849", "n03126707"
SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
NAMES = ["Eskimo dog, husky", "Persian cat", "airliner"]
LABELS = {"_type": "ClassLabel", "names": NAMES}
STRINGS = {"_type": "Value", "dtype": "string"}
SECRET = "_".join(("hf", "Only", "For", "The", "Hub"))  # stands nowhere in this form
NETWORK: dict[str, Any] = {
    "tries": 2,
    "backoff": 0.01,
    "total_timeout": 30,
    "allow_private": ["127.0.0.1"],
}
PHOTOS = [
    (label, path.read_bytes())
    for number in range(1, 11)
    for label, wnid in enumerate((HUSKY, CAT, PLANE))
    for path in [SAMPLE / wnid / f"{wnid}_{number:03d}.jpg"]
]


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token of whoever runs the tests, no proxy."""
    for name in (
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HF_ENDPOINT",
        "XDG_CACHE_HOME",
        "http_proxy",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def viewer() -> Iterator[ViewerServer]:
    with ViewerServer(PHOTOS, LABELS) as running:
        yield running


def listed(
    viewer: ViewerServer, *wnids: str, network: dict[str, Any] | None = None, **more: Any
) -> dict[str, list[Candidate]]:
    source = TypeAdapter[Source](Source).validate_python(viewer.source(**more))
    asker = ListClient(Network(**(NETWORK | (network or {}))))
    return {
        key: list(found)
        for key, found in listing.list_classes(
            [source], read_classes(dict.fromkeys(wnids or (HUSKY, CAT))), asker
        ).items()
    }


def rows(found: list[Candidate]) -> list[int]:
    """The rows that candidates stand for."""
    return [int(re.search(r"&offset=(\d+)&length=1#", c.url)[1]) for c in found]  # type: ignore[index]


def test_rows_are_listed_by_addresses_that_stay(viewer: ViewerServer) -> None:
    found = listed(viewer)
    assert rows(found[HUSKY]) == list(range(0, 30, 3))
    assert rows(found[CAT]) == list(range(1, 30, 3))
    first = found[CAT][0]
    assert first.image_id == "photos_train_1"
    assert first.url == (
        f"{viewer.base}/rows?dataset=owner/photos&config=default&split=train&offset=1&length=1"
        f"#image@{REVISION}"
    )
    assert listed(viewer) == found
    assert "Signature" not in repr(found)


def test_pages_are_followed_to_the_end_and_only_for_the_classes(viewer: ViewerServer) -> None:
    viewer.rows = [(n % 2, b"") for n in range(450)]
    assert rows(listed(viewer, CAT)[CAT]) == list(range(1, 450, 2))
    assert [(q["where"], q["offset"]) for q in viewer.filters] == [
        ('"label"=1', "0"),
        ('"label"=1', "100"),
        ('"label"=1', "200"),
    ]
    assert viewer.asked["/rows"] == 0


def test_a_limit_is_kept_and_reported(
    viewer: ViewerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    viewer.rows = [(0, b"")] * 450
    assert rows(listed(viewer, HUSKY, limit=130)[HUSKY]) == list(range(130))
    assert f"class {HUSKY}: 130 of 450 rows listed; raise its limit" in capsys.readouterr().err


def test_a_partial_index_is_reported(
    viewer: ViewerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    listed(viewer)
    assert "warning" not in capsys.readouterr().err
    viewer.partial = True
    listed(viewer)
    said = capsys.readouterr().err
    assert said.count("warning:") == 1
    assert "source huggingface owner/photos: the viewer has indexed only its first 5 GB" in said


@pytest.mark.parametrize(
    ("feature", "labels", "more"),
    [
        (LABELS, [0, 1], {}),
        ({"_type": "ClassLabel", "names": [HUSKY, CAT]}, [0, 1], {}),
        ({"_type": "ClassLabel", "names": ["HUSKY", "persian_cat"]}, [0, 1], {}),
        ({"_type": "ClassLabel", "names": ["sled dog", "puss"]}, [0, 1],
         {"labels": {HUSKY: "Sled dog", CAT: "puss"}}),
        ({"_type": "Value", "dtype": "int64"}, [248, 283], {}),
        ({"_type": "Value", "dtype": "uint16"}, [7, 8], {"labels": {HUSKY: "7", CAT: "8"}}),
        (STRINGS, [HUSKY, CAT], {}),
        (STRINGS, ["husky", "persian_cat"], {}),
        (STRINGS, ["Eskimo dog, husky", "Persian cat"], {}),
        (STRINGS, ["musher's", "puss"], {"labels": {HUSKY: "musher's", CAT: "puss"}}),
    ],
)  # fmt: skip
def test_labels_of_every_type_are_understood(
    feature: dict[str, Any], labels: list[int | str], more: dict[str, Any]
) -> None:
    with ViewerServer([(labels[n % 2], b"") for n in range(6)], feature) as viewer:
        found = listed(viewer, **more)
    assert rows(found[HUSKY]) == [0, 2, 4]
    assert rows(found[CAT]) == [1, 3, 5]


@pytest.mark.parametrize("bounds", [(0, 9), (0, 396), (1, 1000), (-1, 999), (0, 10**15)])
def test_other_numbers_than_ilsvrc_has_are_no_indices(
    bounds: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    with ViewerServer([(248, b""), (283, b"")], {"_type": "Value", "dtype": "int64"}) as viewer:
        viewer.statistics = dict(zip(("min", "max"), bounds, strict=True))
        assert rows(listed(viewer, CAT, labels={CAT: "283"})[CAT]) == [1]
        with pytest.raises(DataError, match="lists no photo for any class"):
            listed(viewer)
        said = capsys.readouterr().err
    last = min(bounds[1], 1999)
    assert f"numbers from {bounds[0]} to {last}, which do not look like" in said


def test_the_thousand_of_ilsvrc_go_by_their_index() -> None:
    thousand = {s.ilsvrc_index: s for s in all_synsets().values() if s.ilsvrc_index is not None}
    names = [", ".join(thousand[index].names) for index in range(1000)]
    assert names[134].startswith("crane")
    names[517] = "crane2"  # a ClassLabel has each name once
    assert "crane" not in label_matcher(
        [ClassPart(CRANE_MACHINE, CRANE_MACHINE)], {}
    )  # the name alone says nothing
    feature = {"_type": "ClassLabel", "names": names}
    with ViewerServer([(134, b""), (517, b"")], feature) as viewer:
        found = listed(viewer, CRANE_MACHINE, CRANE_BIRD)
    assert rows(found[CRANE_BIRD]) == [0]
    assert rows(found[CRANE_MACHINE]) == [1]


def test_unknown_labels_are_reported_with_those_there_are(
    viewer: ViewerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="lists no photo for any class"):
        listed(viewer, "n04273569")
    said = capsys.readouterr().err
    assert "'Eskimo dog, husky', 'Persian cat', 'airliner'; map them in labels" in said


def test_a_licence_is_passed_on(viewer: ViewerServer) -> None:
    viewer.license = "cc-by-4.0\nand more"
    assert {c.license for c in listed(viewer)[CAT]} == {"cc-by-4.0 and more"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"config": "de"}, "has no split de/train, but 'default/train'; correct its config or"),
        ({"split": "test"}, "has no split default/test, but 'default/train'"),
        ({"label_column": "lable"}, "no column 'lable', but 'image', 'label'"),
        ({"image_column": "label"}, "'label' holds no photos; those that do: 'image'"),
        ({"label_column": "image"}, "'image' holds neither class labels nor"),
    ],
)
def test_wrong_params_are_reported_with_what_is_there(
    viewer: ViewerServer, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        listed(viewer, **more)
    assert str(caught.value).startswith(f"source huggingface {DATASET}: ")


def error(status: int, code: str = "", words: str = "") -> Reply:
    return status, {"X-Error-Code": code} if code else {}, json.dumps({"error": words}).encode()


def page(**content: Any) -> Reply:
    return 200, {}, json.dumps(content).encode()


TERMS = f"accept the terms of https://huggingface.co/datasets/{DATASET} there and set HF_TOKEN"
REFUSALS: list[tuple[str, Reply, str]] = [
    ("/splits", error(401, "ExternalUnauthenticatedError"), f"answered 401; {TERMS}"),
    ("/splits", error(404, "ExternalAuthenticatedError"), f"answered 404; {TERMS}"),
    ("/filter", error(403), f"answered 403; {TERMS}"),
    ("/splits", error(404, "ResponseNotFound", "Not found."),
     "answered 404 (ResponseNotFound: Not found.); correct its dataset, config or split"),
    ("/filter", error(422, "InvalidParameter", "Parameter 'where' is invalid"),
     "(InvalidParameter: Parameter 'where' is invalid); correct its columns and labels"),
    ("/filter", error(429), "answered 429 (no reason given); run it again later"),
    ("/filter", error(500, "UnexpectedError", "not\nnow"),
     "answered 500 (UnexpectedError: not now); run it again later"),
    ("/info", (200, {}, b"<!doctype html><html>"), "answered no JSON: '<!doctype html><html>'"),
    ("/info", (200, {}, b""), "answered no JSON: ''"),
    ("/filter", (200, {}, b'{"rows": [{"row_idx'), "answered no JSON: '{"),
    ("/filter", (200, {}, b"[" * 100_000), "answered no JSON: '[[["),
    ("/filter", (200, {"Content-Length": "999"}, b'{"rows": []}'), "cannot be read"),
    ("/splits", page(splits=["default"]), "in another form than documented"),
    ("/info", page(dataset_info=None), "in another form than documented"),
    ("/info", page(dataset_info={"features": []}), "in another form than documented"),
    ("/filter", page(rows={}, num_rows_total=1), "in another form than documented"),
    ("/filter", page(rows=[{"row": {}}], num_rows_total=1), "in another form than documented"),
    ("/filter", page(rows=[{"row_idx": -1, "row": {"label": 0}}], num_rows_total=1),
     "in another form than documented"),
    ("/filter", page(rows=[{"row_idx": 0, "row": {"label": 5}}], num_rows_total=1),
     "in another form than documented"),
    ("/filter", (200, {}, b"[]"), "in another form than documented"),
    ("/filter", page(rows=[], num_rows_total=7), f"class {HUSKY}: an empty page after 0 of 7 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "reply", "words"), REFUSALS)
def test_what_comes_back_is_named(
    viewer: ViewerServer, call: str, reply: Reply, words: str
) -> None:
    viewer.faults[call] = lambda path: reply
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        listed(viewer)
    said = str(caught.value)
    assert said.startswith(f"source huggingface {DATASET}: ")
    assert "\n" not in said


def test_an_answer_is_bounded(viewer: ViewerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_PAGE", 10_000)
    viewer.faults["/filter"] = lambda path: (200, {}, b"[" * 10_001)
    with pytest.raises(DataError, match=r"/filter.* answered more than 10,000 bytes"):
        listed(viewer)


def test_a_page_that_moved_is_found(viewer: ViewerServer) -> None:
    viewer.faults["/info"] = lambda path: (307, {"Location": f"/moved{path}"}, b"")
    viewer.faults["/moved/info"] = lambda path: (200, {}, json.dumps(INFO).encode())
    assert rows(listed(viewer)[CAT]) == list(range(1, 30, 3))


INFO = {"dataset_info": {"features": {"image": {"_type": "Image"}, "label": LABELS}}}


def test_a_dataset_that_changes_while_it_is_listed_is_an_error(viewer: ViewerServer) -> None:
    def change(path: str) -> None:
        viewer.revision += "0"

    viewer.faults["/filter"] = change
    with pytest.raises(DataError, match="it was changed while it was listed; run it again"):
        listed(viewer)


@pytest.mark.parametrize(("seconds", "is_listed"), [(100, True), (200, False)])
def test_a_reply_that_is_not_ready_is_waited_for(
    viewer: ViewerServer, seconds: float, is_listed: bool
) -> None:
    now = [0.0]
    asker = ListClient(
        Network(**NETWORK | {"tries": 1}),
        sleep=lambda wait: now.__setitem__(0, now[0] + wait),
        clock=lambda: now[0],
    )
    viewer.faults["/info"] = lambda path: (
        error(500, "ResponseNotReady") if now[0] < seconds else None
    )
    source = TypeAdapter[Source](Source).validate_python(viewer.source())
    if is_listed:
        assert rows(list(listing.list_classes([source], read_classes({CAT: None}), asker)[CAT]))
    else:
        with pytest.raises(DataError, match=r"\(ResponseNotReady.*\); run it again later"):
            listing.list_classes([source], read_classes({CAT: None}), asker)
        assert 120 <= now[0] < 130


def test_a_fault_that_passes_costs_nothing(viewer: ViewerServer) -> None:
    once = iter([error(500, "ResponseNotReady"), (200, {"Content-Length": "99"}, b'{"rows": [')])
    viewer.faults["/filter"] = lambda path: next(once, None)
    assert rows(listed(viewer)[HUSKY]) == list(range(0, 30, 3))


# The token


def test_the_token_is_found_where_the_hub_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub_token() == ""
    (tmp_path / "cache/huggingface").mkdir(parents=True)
    (tmp_path / "cache/huggingface/token").write_text("hf_cache\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/token").write_text("hf_home\n")
    (tmp_path / "path").write_text("hf_path\r\n")
    found = []
    monkeypatch.delenv("HF_HOME")
    for name, value in (
        ("XDG_CACHE_HOME", "cache"),
        ("HF_HOME", "home"),
        ("HF_TOKEN_PATH", "path"),
    ):
        monkeypatch.setenv(name, str(tmp_path / value))
        found.append((hub_token(), _by_the_hubs_own_client()))
    monkeypatch.setenv("HF_TOKEN", " hf_environment ")
    found.append((hub_token(), _by_the_hubs_own_client()))
    names = ("hf_cache", "hf_home", "hf_path", "hf_environment")
    assert found == [(name, name) for name in names]


def _by_the_hubs_own_client() -> str:
    code = "import huggingface_hub; print(huggingface_hub.get_token())"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


@pytest.mark.parametrize("text", ["hf_a b", "hf_a\r\nX-Other: 1", "hf_é"])
def test_what_no_header_can_hold_is_refused_and_not_printed(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", text)
    with pytest.raises(UsageError, match="environment: HF_TOKEN: holds no token") as caught:
        hub_token()
    assert "hf_a" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://hub.example/rows?x", True),
        ("https://HUB.example:443/", True),
        ("https://hub.example:444/", False),
        ("http://hub.example/", False),
        ("https://hub.example.evil/", False),
        ("https://hub.example@evil/", False),
        ("https://evil/https://hub.example/", False),
        ("https://hub.example:x/", False),
    ],
)
def test_the_token_goes_to_its_own_place_only(url: str, may: bool) -> None:
    assert may_send_token(url, "https://hub.example", []) is may


def test_plain_http_is_for_ones_own_hosts() -> None:
    assert not may_send_token("http://hub.example/", "http://hub.example", ["other"])
    assert may_send_token("http://hub.example/", "http://hub.example", ["Hub.example"])


def test_the_token_opens_a_gated_dataset(
    viewer: ViewerServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    viewer.token = SECRET
    with pytest.raises(DataError, match=f"answered 401; {TERMS}"):
        listed(viewer)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(DataError, match=f"answered 404; {TERMS}"):
        listed(viewer)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert len(listed(viewer)[CAT]) == 10  # and ~/.netrc does not take its place
    (tmp_path / ".netrc").unlink()
    with pytest.raises(DataError, match="answered 401"):
        listed(viewer, network={"allow_private": []})  # plain http


def test_a_server_that_says_the_token_is_not_quoted(
    viewer: ViewerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    for reply in (error(422, SECRET, SECRET), (200, {}, SECRET.encode())):
        viewer.faults["/filter"] = lambda path, reply=reply: reply  # type: ignore[misc]
        with pytest.raises(DataError) as caught:
            listed(viewer)
        assert SECRET not in str(caught.value)
    viewer.split = SECRET
    viewer.faults.clear()
    with pytest.raises(UsageError, match=r"has no split default/train, but 'default/\.\.\.'"):
        listed(viewer)


@pytest.mark.parametrize("call", ["/info", "/filter"])
def test_a_redirect_elsewhere_goes_without_the_token(
    viewer: ViewerServer, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    viewer.faults[call] = lambda path: (302, {"Location": f"{viewer.photos}/elsewhere"}, b"")
    viewer.faults["photo"] = lambda path: (200, {}, b"{}")
    with pytest.raises(DataError):
        listed(viewer)
    assert viewer.headers["photos"]
    assert all("authorization" not in headers for _, headers in viewer.headers["photos"])


# The download


def downloaded(viewer: ViewerServer, folder: Path, *only: int, **sections: Any) -> list[RawRow]:
    """The rows of the huskies (or of some of them) after a download of what was listed."""
    urls = [c.url for c in listed(viewer, HUSKY)[HUSKY]]
    urls = [urls[number] for number in only] or urls
    project = faults.Project(folder, {HUSKY: urls}, sources=[viewer.source()], **sections)
    found = project.crawl_here()
    assert [row.url for row in found] == urls
    return found


def test_the_photo_comes_over_its_page(viewer: ViewerServer, tmp_path: Path) -> None:
    found = downloaded(viewer, tmp_path)
    assert [row.status for row in found] == [Status.OK] * 10
    assert found[0].final_url == found[0].url.partition("#")[0]
    assert viewer.asked["/rows"] == viewer.asked["photo"] == 10
    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"Signature" not in everything
    assert b"offset=3&" in everything


def test_a_second_run_asks_nothing(viewer: ViewerServer, tmp_path: Path) -> None:
    urls = [c.url for c in listed(viewer, HUSKY)[HUSKY]]
    project = faults.Project(tmp_path, {HUSKY: urls}, sources=[viewer.source()])
    project.crawl_here()
    first = project.result()
    viewer.asked.clear()
    project.crawl_here()
    assert not viewer.asked
    assert project.result() == first


def test_an_expired_signature_is_renewed_once(viewer: ViewerServer, tmp_path: Path) -> None:
    viewer.expired = lambda row, nth: nth == 2  # the first one was given by the listing
    assert [row.status for row in downloaded(viewer, tmp_path)] == [Status.OK] * 10
    assert viewer.asked["/rows"] == viewer.asked["photo"] == 20


def test_what_stays_expired_is_an_http_error(viewer: ViewerServer, tmp_path: Path) -> None:
    viewer.expired = lambda row, nth: row == 0
    found = downloaded(viewer, tmp_path)
    assert (found[0].status, found[0].detail) == (Status.HTTP_ERROR, "403")
    assert [row.status for row in found[1:]] == [Status.OK] * 9
    assert viewer.asked["/rows"] == 11


def _row(index: int = 0, **image: Any) -> dict[str, Any]:
    return {"row_idx": index, "row": {"image": image, "label": 0}, "truncated_cells": []}


def _good(content: Any) -> Reply:
    return 200, {"X-Revision": REVISION}, json.dumps(content).encode()


PAGES: list[tuple[Reply, Status, str, int]] = [
    # the row's page, its fate, how often it is asked
    (error(404), Status.HTTP_ERROR, "404", 1),
    (error(410), Status.HTTP_ERROR, "410", 1),
    (error(401), Status.NO_ACCESS, "401; the dataset asks for a token", 1),
    (error(403), Status.NO_ACCESS, "403; the dataset asks for a token", 1),
    (error(404, "ExternalAuthenticatedError"), Status.NO_ACCESS,
     "404; the dataset asks for a token", 1),
    (error(422), Status.HTTP_ERROR, "422", 1),
    (error(429), Status.HTTP_ERROR, "429", 2),
    (error(500, "ResponseNotReady"), Status.HTTP_ERROR, "500", 2),
    (error(503), Status.HTTP_ERROR, "503", 2),
    ((500, {}, b" " * (MAX_PAGE + 1)), Status.HTTP_ERROR, "500", 2),
    ((204, {}, b""), Status.HTTP_ERROR, "204", 1),
    ((200, {}, b"{}"), Status.REDIRECT_ERROR, "the dataset has changed since listed", 1),
    ((200, {"X-Revision": "0123abc"}, b"{}"), Status.REDIRECT_ERROR,
     "the dataset has changed since listed", 1),
    (_good({}), Status.REDIRECT_ERROR, "the row's page names no photo", 1),
    (_good({"rows": []}), Status.REDIRECT_ERROR, "the row's page names no photo", 1),
    (_good({"rows": [_row()]}), Status.REDIRECT_ERROR, "the row's page names no photo", 1),
    (_good({"rows": [_row(src=["x"])]}), Status.REDIRECT_ERROR,
     "the row's page names no photo", 1),
    (_good({"rows": [_row(3, src="http://127.0.0.1/")]}), Status.REDIRECT_ERROR,
     "the row's page names no photo", 1),
    (_good({"rows": [_row(src="file:///etc/passwd")]}), Status.REDIRECT_ERROR,
     "to a bad URL: scheme file", 1),
    (_good({"rows": [_row(src="data:image/png;base64,x")]}), Status.REDIRECT_ERROR,
     "to a bad URL: scheme data", 1),
    (_good({"rows": [_row(src="http://u:p@127.0.0.1/")]}), Status.REDIRECT_ERROR,
     "to a bad URL: userinfo", 1),
    (_good({"rows": [_row(src="http://" + "x" * 9000)]}), Status.REDIRECT_ERROR,
     "to a bad URL: too long", 1),
    (_good({"rows": [_row(src="http://10.0.0.1/x.jpg")]}), Status.BLOCKED, "private address", 1),
    ((200, {"X-Revision": REVISION}, b"<html>"), Status.REDIRECT_ERROR,
     "the row's page names no photo", 1),
    ((200, {"X-Revision": REVISION}, b""), Status.REDIRECT_ERROR,
     "the row's page names no photo", 1),
    ((200, {"X-Revision": REVISION}, b"[" * 100_000), Status.REDIRECT_ERROR,
     "the row's page names no photo", 1),
    ((200, {"X-Revision": REVISION, "Content-Length": "99"}, b'{"rows": ['), Status.TRUNCATED,
     "body cut off", 2),
    ((200, {"X-Revision": REVISION}, b" " * (MAX_PAGE + 1)), Status.REDIRECT_ERROR,
     f"the row's page has more than {MAX_PAGE} bytes", 1),
    ((302, {"Location": "/rows/elsewhere"}, b""), Status.HTTP_ERROR, "404", 1),
    ((302, {"Location": "ftp://x/"}, b""), Status.REDIRECT_ERROR,
     "to a bad URL: scheme ftp", 1),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "status", "detail", "asked"), PAGES)
def test_each_fault_of_a_page_is_one_result(
    viewer: ViewerServer, tmp_path: Path, reply: Reply, status: Status, detail: str, asked: int
) -> None:
    viewer.faults["/rows"] = lambda path: reply if "offset=0&" in path else None
    urls = [c.url for c in listed(viewer, HUSKY)[HUSKY]][:2]
    projects = [
        faults.Project(tmp_path / name, {HUSKY: some}, sources=[viewer.source()])
        for name, some in (("alone", urls[:1]), ("beside another", urls))
    ]
    (alone,) = projects[0].crawl_here()
    # Counted alone: where another row was served before, a 403 may mean "too many requests".
    assert sum("/rows?" in path and "offset=0&" in path for path, _ in viewer.headers["api"]) == (
        asked
    )
    found, other = projects[1].crawl_here()
    for row in (alone, found):
        assert (row.status, row.detail) == (status, detail)
        assert row.final_url == row.url.partition("#")[0]
    assert other.status is Status.OK


def test_the_photos_own_faults_are_those_of_any_photo(viewer: ViewerServer, tmp_path: Path) -> None:
    first = "cached-assets/0/"
    viewer.faults["photo"] = lambda path: (200, {}, b"<html>") if first in path else None
    found = downloaded(viewer, tmp_path, 0, 1)
    assert (found[0].status, found[0].detail) == (Status.NOT_IMAGE, "a web page (HTML)")
    assert found[1].status is Status.OK


def test_pages_and_photos_make_no_endless_chain(viewer: ViewerServer, tmp_path: Path) -> None:
    viewer.faults["photo"] = lambda path: (302, {"Location": f"{path}&more"}, b"")
    found = downloaded(viewer, tmp_path, 0, download={"reserve": 0})
    assert (found[0].status, found[0].detail) == (
        Status.REDIRECT_ERROR, "more than 5 redirects",
    )  # fmt: skip


def test_a_changed_dataset_is_never_another_photo(
    viewer: ViewerServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    urls = [c.url for c in listed(viewer, HUSKY)[HUSKY]]
    viewer.revision = "0" * 40
    viewer.rows.reverse()
    project = faults.Project(tmp_path, {HUSKY: urls}, sources=[viewer.source()])
    found = project.crawl_here()
    assert {row.status for row in found} == {Status.REDIRECT_ERROR}
    assert viewer.asked["photo"] == 0
    said = capfd.readouterr().err
    assert said.count("has changed since it was listed; list it again: ALLROUNDER_PINS=ignore") == 1


def test_without_a_token_the_run_says_so_once_and_another_asks_again(
    viewer: ViewerServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    urls = [c.url for c in listed(viewer, HUSKY)[HUSKY]]
    viewer.token = SECRET
    project = faults.Project(tmp_path, {HUSKY: urls}, sources=[viewer.source()])
    found = project.crawl_here()
    assert {row.status for row in found} == {Status.NO_ACCESS}
    assert {row.http_status for row in found} == {401}
    assert capfd.readouterr().err.count(f"dataset {DATASET} answered 401: {TERMS}") == 1
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert {row.status for row in project.crawl_here()} == {Status.OK}


def test_the_download_sends_the_token_to_pages_of_the_sources_only(
    viewer: ViewerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    urls = [c.url for c in listed(viewer, HUSKY)[HUSKY]]
    viewer.token = SECRET
    mine = urls[0]
    foreign = [  # what another list could name, to have it fetched with the user's rights
        mine.replace("owner/photos", "owner/private"),
        mine.replace("/rows?", "/rows/../rows?"),
        mine.replace("&offset=0", "&offset=0&x=1"),
        mine.replace(viewer.base, viewer.photos),
    ]
    for headers in viewer.headers.values():
        headers.clear()
    project = faults.Project(tmp_path, {HUSKY: [*foreign, mine]}, sources=[viewer.source()])
    found = project.crawl_here()
    assert [row.status is Status.OK for row in found] == [False] * 4 + [True]
    with_token = [path for path, headers in viewer.headers["api"] if "authorization" in headers]
    parts = urlsplit(mine)
    assert with_token == [f"{parts.path}?{parts.query}"]
    assert viewer.headers["photos"]
    assert all("authorization" not in headers for _, headers in viewer.headers["photos"])


@pytest.mark.parametrize("is_hub", [True, False])
def test_a_photo_that_is_a_file_on_the_hub_gets_the_token(
    viewer: ViewerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_hub: bool
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HF_ENDPOINT", viewer.photos if is_hub else "https://hub.example")
    body = SAMPLE.joinpath(HUSKY, f"{HUSKY}_001.jpg").read_bytes()
    file = f"/datasets/{DATASET}/resolve/{REVISION}/0.jpg"
    viewer.faults["/rows"] = lambda path: _good({"rows": [_row(src=viewer.photos + file)]})
    viewer.faults["photo"] = lambda path: (302, {"Location": f"{viewer.base}/cdn"}, b"")
    viewer.faults["/cdn"] = lambda path: (200, {}, body)
    assert downloaded(viewer, tmp_path, 0)[0].status is Status.OK
    asked = {urlsplit(path).path: headers for path, headers in
             [*viewer.headers["photos"], *viewer.headers["api"]]}  # fmt: skip
    assert asked[file].get("authorization") == (f"Bearer {SECRET}" if is_hub else None)
    assert "authorization" not in asked["/cdn"]


@pytest.mark.parametrize("where", ["api", "photos"])
def test_the_photo_and_a_page_elsewhere_never_get_the_token(
    viewer: ViewerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    body = SAMPLE.joinpath(HUSKY, f"{HUSKY}_001.jpg").read_bytes()
    if where == "api":  # the photo lies beside the page, as it does on the real host
        src = f"{viewer.base}/cached-assets/0"
        viewer.faults["/cached-assets/0"] = lambda path: (200, {}, body)
        viewer.faults["/rows"] = lambda path: _good({"rows": [_row(src=src)]})
    else:  # the page has moved to another host
        moved = _good({"rows": [_row(src=f"{viewer.photos}/photo")]})
        to = {"Location": f"{viewer.photos}/page"}
        viewer.faults["/rows"] = lambda path: (302, to, b"")
        viewer.faults["photo"] = lambda path: moved if path == "/page" else (200, {}, body)
    assert downloaded(viewer, tmp_path, 0)[0].status is Status.OK
    carried = {
        (name, urlsplit(path).path)
        for name, requests in viewer.headers.items()
        for path, headers in requests
        if "authorization" in headers
    }
    assert carried == {("api", f"/{call}") for call in ("splits", "info", "filter", "rows")}


def test_column_names_are_only_names(viewer: ViewerServer, tmp_path: Path) -> None:
    odd = 'im@ge, "näm#e"'
    source = HuggingfaceSource.model_validate(viewer.source(image_column=odd))
    info = json.loads(json.dumps(INFO).replace('"image"', json.dumps(odd)))
    viewer.faults["/info"] = lambda path: _good(info)
    url = listed(viewer, HUSKY, image_column=odd)[HUSKY][0].url
    assert url.endswith(f"#im%40ge%2C%20%22n%C3%A4m%23e%22@{REVISION}")
    row = _row()
    row["row"] = {odd: {"src": f"{viewer.photos}/cached-assets/0/x?Signature=s9"}, "label": 0}
    viewer.faults["/rows"] = lambda path: _good({"rows": [row]})
    project = faults.Project(tmp_path, {HUSKY: [url]}, sources=[source.model_dump()])
    assert project.crawl_here()[0].status is Status.OK


# Both stages, as a user runs them


def _use(clone: Project, viewer: ViewerServer, **changes: Any) -> None:
    network = NETWORK | {"retry_after_max": 0}
    settings = {"sources": [viewer.source()], "network": network, "per_class": 4}
    settings |= {"min_per_class": 3, "classes": {HUSKY: "dog", CAT: "cat"}}
    clone.edit(**(settings | changes))


def test_a_gated_dataset_end_to_end(clone: Project, viewer: ViewerServer) -> None:
    viewer.token = SECRET
    _use(clone, viewer)
    said = clone.script("fetch_urls", expect=1)
    assert f"error: source huggingface {DATASET}: " in said
    assert f"answered 401; {TERMS}" in said

    said = clone.repro("split", HF_TOKEN=SECRET)
    built = clone.files("data")
    assert sum(name.startswith("data/dataset/train/") for name in built) >= 4

    # Nothing more is asked for what is pinned, also without the token and with new signatures.
    viewer.asked.clear()
    said += clone.rebuild("fetch_urls", "download")
    assert clone.files("data") == built
    assert not viewer.asked

    _use(clone, viewer, classes={HUSKY: "dog", CAT: "cat", PLANE: "aeroplane"})
    said += clone.repro("download", HF_TOKEN=SECRET)
    assert {query["where"] for query in viewer.filters} == {
        '"label"=0', '"label"=1', '"label"=2',
    }  # fmt: skip
    assert [q["where"] for q in viewer.filters].count('"label"=0') == 1
    built = clone.files("data/urls", "data/raw")
    said += clone.rebuild("fetch_urls", "download", HF_TOKEN=SECRET, ALLROUNDER_PINS="ignore")
    assert clone.files("data/urls", "data/raw") == built

    # The token is nowhere, nor is a signed URL; and no host of photos was told.
    assert SECRET not in said
    assert "Signature" not in said
    for path in clone.folder.parent.rglob("*"):
        if path.is_file():
            body = path.read_bytes()
            assert SECRET.encode() not in body, path
            assert viewer.photos.encode() not in body, path
    assert all("authorization" not in headers for _, headers in viewer.headers["photos"])


def test_a_token_that_is_refused_is_not_printed(viewer: ViewerServer, tmp_path: Path) -> None:
    urls = [c.url for c in listed(viewer, HUSKY)[HUSKY]]
    viewer.token = "hf_another"
    project = faults.Project(tmp_path, {HUSKY: urls}, sources=[viewer.source()])
    code, said = project.run(HF_TOKEN=SECRET)
    assert code == 1
    assert f"dataset {DATASET} answered 404: {TERMS}" in said
    assert SECRET not in said
    assert viewer.asked["photo"] == 0
    viewer.token = SECRET
    assert project.run(HF_TOKEN=SECRET)[0] == 0  # what was refused is asked again
