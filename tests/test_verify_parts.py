"""verify --web on photos that lie inside something: byte ranges of files, rows of a Hub dataset."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

import tiny
from allrounder.core.rows import Result, Status
from allrounder.core.urls import ByteRange
from allrounder.params.schema import Params
from allrounder.params.sources import HuggingfaceSource
from allrounder.verify.drift import (
    Drift,
    TakenPhoto,
    _tables,
    drift_of,
    find_placeholders,
)
from allrounder.verify.web import Validators, check
from allrounder.web.dataset_rows import row_url
from shardserver import ShardServer
from viewerserver import REVISION, ViewerServer
from webfaults.pictures import photo
from webfaults.project import WNID, make_params

BODY = photo("a")
SHARD = b"x" * 512 + BODY + b"y" * 512


def of(url: str, body: bytes = BODY) -> TakenPhoto:
    return TakenPhoto(WNID, "a", url, hashlib.sha256(body).hexdigest(), len(body))


def drift(requested: TakenPhoto, folder: Path, **changes: Any) -> Drift:
    params = Params.model_validate(make_params([WNID]) | changes)
    (answer,) = check(
        params, [requested], 1, Validators(folder / "v.json"), lambda done: None
    ).answers
    return answer.drift


def part(file: str) -> str:
    return ByteRange(file, "a.jpg", 512, len(BODY)).url


def test_a_byte_range_on_the_web_is_requested_as_such(tmp_path: Path) -> None:
    with ShardServer({"/a.tar": SHARD}) as server:
        requested = of(part(f"{server.base}/a.tar"))
        assert drift(requested, tmp_path) is Drift.SAME
        assert server.log == [("/a.tar", f"bytes=512-{511 + len(BODY)}")]
        server.files["/a.tar"] = SHARD.replace(b"\xff\xd8", b"\xff\xd7")
        assert drift(requested, tmp_path) is Drift.CHANGED
        del server.files["/a.tar"]
        assert drift(requested, tmp_path) is Drift.GONE


def test_a_byte_range_of_a_local_file_is_read(tmp_path: Path) -> None:
    shard = tmp_path / "a #1.tar"
    shard.write_bytes(SHARD)
    requested = of(part(str(shard)))
    assert drift(requested, tmp_path) is Drift.SAME
    shard.write_bytes(SHARD[:600])
    assert drift(requested, tmp_path) is Drift.CHANGED
    shard.unlink()
    assert drift(requested, tmp_path) is Drift.GONE


@pytest.mark.parametrize(("body", "expected"), [(BODY, Drift.SAME), (photo("b"), Drift.CHANGED)])
def test_a_row_is_requested_by_way_of_its_page(
    tmp_path: Path, body: bytes, expected: Drift
) -> None:
    with ViewerServer([(7, body)], {"_type": "Value", "dtype": "int64"}) as viewer:
        source = viewer.source()
        requested = of(row_url(HuggingfaceSource.model_validate(source), 0, REVISION))
        assert drift(requested, tmp_path, sources=[source]) is expected
        assert viewer.asked == {"/rows": 1, "photo": 1}
        # Of a source that is no longer in the params it is not known what to ask.
        assert drift(requested, tmp_path) is Drift.NOT_ASKED


@pytest.mark.parametrize(
    ("keys", "final_urls", "placeholder"),
    [
        ("aaaaa", ["", "", "", "", ""], True),
        ("abc", ["", "", ""], True),
        ("aaa", ["http://h.example/gone.png"] * 3, True),
        ("aaa", ["", "", ""], False),  # a product that replaced the photos of a few pages
        ("aab", ["", "http://h.example/gone.png", ""], False),
    ],
)
def test_where_urls_changed_to_one_picture_their_number_tells_whether_it_is_a_notice(
    keys: str, final_urls: list[str], placeholder: bool
) -> None:
    answers = [
        drift_of(
            TakenPhoto(key, str(n), f"http://h.example/{n}", "1", 9),
            Result(Status.OK, final_url=final, sha256="2"),
        )
        for n, (key, final) in enumerate(zip(keys, final_urls, strict=True))
    ]
    expected = Drift.PLACEHOLDER if placeholder else Drift.CHANGED
    assert {one.drift for one in find_placeholders(answers)} == {expected}


def test_tables_that_a_failed_build_left_are_not_those_of_the_version(
    own_folder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.environment(monkeypatch)
    tiny.make("store", ".dvc/cache")
    tiny.write("data/raw/n02123394.csv", b"other")
    (table,) = _tables(Path("store")).values()
    assert table.read_bytes() == tiny.RAW["n02123394.csv"]
