"""The report's pictures are made once: a later report makes only what is new, or damaged."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from allrounder.core.tars import StoredBytes
from allrounder.report import thumbs
from allrounder.report.thumbs import LEVELS, PAGED, Level, Maker


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as running:
        yield running


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, Level]]:
    """What was made: thumbnails are the level's side, then a hash."""
    seen: list[tuple[bytes, Level]] = []

    def thumbnail(body: bytes, level: Level) -> bytes:
        seen.append((body, level))
        return b"" if body == b"broken" else bytes(level.side) + hashlib.sha256(body).digest()

    monkeypatch.setattr(thumbs, "thumbnail", thumbnail)
    return seen


def stored(folder: Path, *bodies: bytes) -> list[StoredBytes]:
    (folder / "photos").write_bytes(b"".join(bodies))
    ends = [sum(map(len, bodies[: at + 1])) for at in range(len(bodies))]
    return [
        StoredBytes(folder / "photos", end - len(body), len(body))
        for end, body in zip(ends, bodies, strict=True)
    ]


def test_a_later_report_makes_only_what_is_new_or_damaged(
    tmp_path: Path, pool: Executor, made: list[tuple[bytes, Level]]
) -> None:
    store = tmp_path / "store"
    with Maker.using(pool, store) as maker:
        first = maker.thumbnails(stored(tmp_path, b"one", b"two", b"broken"), 10**6)
    assert [body for body, _ in made] == [b"one", b"two", b"broken"]
    assert first[2] == b""
    files = sorted(store.iterdir())
    assert len(files) == 2  # a photo that gives nothing is tried again
    (store / "torn.1").write_bytes(b"of a killed run")
    for path in files:
        path.write_bytes(path.read_bytes()[:-1] + b"?" * (path == files[0]))
    made.clear()
    with Maker.using(pool, store) as maker:
        assert maker.thumbnails(stored(tmp_path, b"one", b"two"), 10**6) == first[:2]
    assert {body for body, _ in made} == {b"one", b"two"}
    made.clear()
    with Maker.using(pool, store) as maker:
        assert maker.thumbnails(stored(tmp_path, b"new", b"two"), 10**6)[1] == first[1]
    assert [body for body, _ in made] == [b"new"]
    assert len(list(store.iterdir())) == 2  # without what the last report did not need


def test_sheets_are_kept_by_their_thumbnails(
    tmp_path: Path, pool: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[bytes]] = []

    def sheet(own: list[bytes]) -> bytes:
        drawn.append(own)
        return b"a sheet"

    monkeypatch.setattr(thumbs, "_sheet", sheet)
    for number, shown in enumerate([b"t", b"t", b"u"]):
        with Maker.using(pool, tmp_path / "store") as maker:
            maker.write_sheets(tmp_path / f"{number}", ["n1"], [("n1", shown)])
        assert (tmp_path / f"{number}/n1.jpg").read_bytes() == b"a sheet"
    assert drawn == [[b"t"], [b"u"]]


def test_no_level_is_tried_for_photos_that_need_several_pages(
    tmp_path: Path, pool: Executor, made: list[tuple[bytes, Level]]
) -> None:
    bodies = [b"%03d" % number for number in range(400)]
    with Maker.using(pool, tmp_path / "store") as maker:
        assert len(maker.thumbnails(stored(tmp_path, *bodies), 1000)) == 400
    assert {level for _, level in made} == {LEVELS[-1], PAGED}
