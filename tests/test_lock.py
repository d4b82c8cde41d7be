"""What dvc.lock pins goes by content; what cannot be used is reported, never silently dropped."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from allrounder.core.errors import DataError
from allrounder.core.files import file_md5, folder_md5
from allrounder.core.paths import CLEAN, RAW, WORK
from allrounder.core.rows import CleanRow, RawRow, Status
from allrounder.core.tables import write_csv
from allrounder.core.tars import atomic_tar
from allrounder.history import lock, prior_results
from allrounder.history.prior_results import PinnedResults
from allrounder.params.classes import read_classes
from allrounder.params.schema import Params

CAT = "n02123394"
WEB = {"kind": "imagenet-api", "location": "http://h.example"}


def params(*sources: dict[str, Any]) -> Params:
    given = {"sources": list(sources), "classes": {CAT: "cat"}}
    return Params.model_validate(given | {"per_class": 5, "min_per_class": 1})


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a dvc.lock of a build from these sources; without sources it has no params."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(lock.PINS_SWITCH, raising=False)
    monkeypatch.setattr(lock, "pinned_file", lambda path, folder: Path(path))

    def write(*sources: dict[str, Any]) -> None:
        stage: dict[str, Any] = {"outs": [{"path": "data", "md5": "0.dir"}]}
        if sources:
            given = {"sources": list(sources), "classes": {CAT: "cat"}, "per_class": 5}
            stage["params"] = {"params.yaml": given}
        stages = {"fetch_urls": stage, "download": stage}
        Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))

    return write


def test_the_same_list_under_another_path_keeps_its_pins(built: Any) -> None:
    Path("new.txt").write_text("a list")
    pin = hashlib.sha256(b"a list").hexdigest()
    old = {"kind": "url-list", "location": "old.txt", "sha256": pin}
    built(WEB, old)
    assert list(lock.pinned_lists(params(WEB, old))) == [CAT]
    assert list(lock.pinned_lists(params(WEB, old | {"location": "new.txt"}))) == [CAT]
    Path("new.txt").write_text("another list")
    with pytest.raises(DataError, match="another path, and this may be another list"):
        lock.pinned_lists(params(WEB, old | {"location": "new.txt"}))


def test_pins_that_cannot_be_used_are_reported(
    built: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built(WEB, {"kind": "folder", "location": "old"})
    moved = params(WEB, {"kind": "folder", "location": "new"})
    with pytest.raises(DataError, match="ALLROUNDER_PINS=ignore"):
        lock.pinned_lists(moved)
    assert lock.pinned_lists(params(WEB)) == {}
    assert "sources differ from those in dvc.lock" in capsys.readouterr().err
    built()
    for stage in ("fetch_urls", "download"):
        with pytest.raises(DataError, match=f"dvc.lock has no params of {stage}"):
            lock.pinned_params(stage)
    monkeypatch.setenv(lock.PINS_SWITCH, "ignore")
    assert lock.pinned_lists(moved) == lock.pinned_params("download") == {}


def test_the_lists_of_the_last_run_stand_in_for_lost_pins_of_the_same_version_only(
    built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dvc repro --no-commit` writes dvc.lock without the objects."""

    def lost(path: str, folder: Path) -> Path:
        raise DataError("lost")

    monkeypatch.setattr(lock, "pinned_file", lost)
    built(WEB)
    lists = Path("data/urls")
    lists.mkdir(parents=True)
    (lists / f"{CAT}.csv").write_text("image_id,url\n")
    lock.keep_lists(lists, WORK / "fetch_urls")
    with pytest.raises(DataError, match="lost"):
        lock.pinned_lists(params(WEB))  # dvc.lock is of another version
    md5 = folder_md5({f"{CAT}.csv": file_md5(lists / f"{CAT}.csv")})
    text = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(text.replace("0.dir", md5))
    assert lock.pinned_lists(params(WEB))[CAT].read_text() == "image_id,url\n"


@pytest.mark.parametrize("kind", ["url-list", "csv"])
def test_photos_of_a_local_list_stay_pinned_wherever_it_is(built: Any, kind: str) -> None:
    built({"kind": kind, "location": "/home/a/list.csv"})
    assert prior_results._have_urls(lock.pinned_params("download"))
    built({"kind": "folder", "location": "/home/a/photos"})
    assert not prior_results._have_urls(lock.pinned_params("download"))


def test_the_pinned_classes_are_read_once_for_all_classes(
    built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counted(written: Any) -> Any:
        read.append(written)
        return read_classes(written)

    monkeypatch.setattr(prior_results, "read_classes", counted)
    prior_results._classes.cache_clear()
    built(WEB)
    for key in (CAT, CAT, "n02084071"):
        assert PinnedResults(key, params(WEB), Path())._pinned is (key == CAT)
    assert read == [{CAT: "cat"}]


@pytest.mark.parametrize("status", [Status.OK, Status.DUPLICATE])
def test_a_table_and_a_tar_that_disagree_are_one_line(
    built: Any, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    built(WEB)
    with atomic_tar(Path("t.tar")) as tar:
        tar.add("other.jpg", b"a photo")
    write_csv(Path("t.csv"), RawRow, [RawRow("1", "http://h/1", status, sha256="0")])
    monkeypatch.setattr(
        prior_results, "pinned_file", lambda name, to: Path(f"t{Path(name).suffix}")
    )
    with pytest.raises(DataError, match="do not belong together: no photo for http://h/1"):
        PinnedResults(CAT, params(WEB), Path()).get("http://h/1")


@pytest.mark.parametrize(
    ("taken", "kept", "failure", "retried"),
    [
        (6, 5, Status.TIMEOUT, False),
        (5, 5, Status.TIMEOUT, True),  # the reserve is not full
        (7, 4, Status.TIMEOUT, True),  # clean has lost too many
        (7, 4, Status.EMPTY, False),  # would fail again
    ],
)
def test_a_class_that_is_short_after_the_download_or_clean_is_tried_again(
    built: Any, taken: int, kept: int, failure: Status, retried: bool
) -> None:
    built(WEB)
    raw = [RawRow(f"{n}", f"http://h/{n}", Status.OK) for n in range(taken)]
    cleaned = [CleanRow(row.image_id, Status.KEPT) for row in raw[:kept]]
    for folder in (RAW, CLEAN):
        folder.mkdir(parents=True)
    write_csv(RAW / f"{CAT}.csv", RawRow, [*raw, RawRow("x", "http://h/x", failure)])
    write_csv(CLEAN / f"{CAT}.csv", CleanRow, cleaned)
    assert prior_results.incomplete_classes(params(WEB)) == [CAT] * retried
