"""Takedown: which objects hold a photo or its copies, and that none does after a purge."""

import csv
import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

import takedown as script
from allrounder.clean.test_sets import HEADER
from allrounder.core.corrections import load_takedowns
from allrounder.core.errors import UsageError
from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import RawRow, Status
from allrounder.core.tables import write_csv
from allrounder.core.tars import TarWriter
from allrounder.params.loading import load_params
from allrounder.params.schema import Clean
from allrounder.takedown import purge
from allrounder.takedown.content import Content, Reader
from allrounder.takedown.search import Search
from allrounder.takedown.survey import Survey, Target, find_target, holders
from hostile import encoded, picture
from project import Project

RAW = [encoded(picture(1), "JPEG", comment=b"as served"), encoded(picture(1), "PNG"),
       encoded(picture(2), "JPEG")]  # fmt: skip
SHA = [hashlib.sha256(body).hexdigest() for body in RAW]


def page(*rows: list[object]) -> str:
    data = {"columns": ["sha256", "url", "thumb"], "rows": rows}
    script = f'<script type="application/json" id="data">{json.dumps(data)}</script>'
    return f"<!doctype html>\n<html>{script}</html>"


def write_tar(path: Path, bodies: list[bytes]) -> None:
    writer = TarWriter(path)
    for number, body in enumerate(bodies):
        writer.add(f"{number}.jpg", body)
    writer.close()


def test_what_a_file_holds_is_told_by_its_bytes(tmp_path: Path) -> None:
    reader, path = Reader(Clean()), tmp_path / "object"

    def read(body: bytes) -> Content:
        path.write_bytes(body)
        return reader.read(path)

    write_tar(path, RAW)
    assert reader.read(path).photos == set(SHA)
    assert read(path.read_bytes()[:-12_000]).photos < set(SHA)  # cut off
    assert read(RAW[0]).photos == {SHA[0]}
    shown = read(page([SHA[0], "u0", "AAAA"], [SHA[1], "u1"], [SHA[2], "u2", ""]).encode()).shown
    assert shown == {SHA[0], "u0"}
    table = f"{HEADER},val/cat/n1_{SHA[0][:16]}.jpg,00,1,1,AA,\n,b.jpg,00,1,1,AA,\n"
    assert read(table.encode()).shown == {SHA[0][:16]}
    assert read(b'<!doctype html><script type="application/json">{oops</script>') == Content()
    assert read(b'[{"md5": "ab", "relpath": "x/y.jpg"}]').files == {"x/y.jpg": "ab"}
    assert read(b"a,b\n1,2\n") == read(b"") == Content()
    write_csv(path, RawRow, [RawRow("a", "http://h/a", Status.OK, sha256=SHA[0]),
                             RawRow("b", "http://h/b", Status.UNUSED)])  # fmt: skip
    assert [one.urls for one in reader.read(path).sources] == [("http://h/a",)]


def surveyed(tmp_path: Path) -> tuple[Survey, Reader]:
    """Raw archives of two classes, a table, and the objects of a report."""
    reader, found = Reader(Clean()), Survey()
    for name, bodies in {"n1": RAW[:1], "n2": RAW[1:2], "n3": RAW[2:]}.items():
        write_tar(tmp_path / f"{name}.tar", bodies)
        found.contents[f"{name}-tar"] = reader.read(tmp_path / f"{name}.tar")
        found.paths[f"{name}-tar"].add(f"{name}.tar")
    write_csv(tmp_path / "t.csv", RawRow, [
        RawRow("a", "http://h/a", Status.OK, "", "http://cdn/a", sha256=SHA[0]),
        RawRow("b", "http://h/b", Status.OK, sha256=SHA[1]),
    ])  # fmt: skip
    found.contents["table"] = reader.read(tmp_path / "t.csv")
    sheets = {f"plots/sheets/{name}.jpg": f"{name}-sheet" for name in ("n1", "n2", "n3")}
    found.contents["list"] = Content(files={"index.html": "page", **sheets})
    found.contents["page"] = Content(shown=frozenset({SHA[1]}))
    found.contents["prints"] = Content(shown=frozenset({SHA[0][:16]}))
    found.contents |= {oid: Content() for oid in sheets.values()}
    return found, reader


@pytest.mark.parametrize("name", [SHA[0], SHA[1], "h/a", "cdn/a", "h/b"])
def test_copies_are_found_by_picture_from_any_name(tmp_path: Path, name: str) -> None:
    found, reader = surveyed(tmp_path)
    target = find_target(found, reader, name, 8)
    assert set(SHA[:2]) <= target.sha256s
    assert SHA[2] not in target.sha256s
    assert target.listed == ("http://h/a", "http://h/b")
    assert "http://cdn/a" in target.urls
    assert holders(found, target) == {"n1-tar", "n2-tar", "page", "prints", "n1-sheet", "n2-sheet"}


@pytest.mark.parametrize("name", ["https://h/a.jpg", ".../photos/cat/a.jpg", "f" * 64])
def test_a_photo_is_named_as_the_manifest_names_it(name: str, tmp_path: Path) -> None:
    params = load_params(Path(__file__).parent.parent / "params.yaml")
    Search(params, name, tmp_path)
    with pytest.raises(UsageError, match="no URL, no SHA-256 and no file"):
        Search(params, f"x{name}", tmp_path)


def test_an_unknown_photo_is_held_by_nothing(tmp_path: Path) -> None:
    found, reader = surveyed(tmp_path)
    for name in ("f" * 64, "h/other"):
        assert holders(found, find_target(found, reader, name, 8)) == set()


def test_the_download_keeps_no_bytes_that_are_taken_down() -> None:
    bounds = Bounds(10**6, 32, 10**6, taken_down=frozenset({SHA[0]}))
    assert judge(RAW[0], bounds).status is Status.TAKEN_DOWN
    assert judge(RAW[1], bounds).status is Status.OK


@pytest.mark.usefixtures("own_folder")
def test_the_exclusion_is_added_once_and_a_move_stays() -> None:
    head = "match,action,class,reason,by\n"
    Path("takedowns.csv").write_text(head)
    Path("corrections.csv").write_text(f"{head}http://h/a,move,n1,,me\n")
    target = Target(frozenset(SHA[:2]), ("http://h/a", "http://h/b"), ("http://h/a", "http://h/b"))
    for _ in range(2):
        purge.exclude(target, ["n1"], "asked for\nby mail")
    assert load_takedowns() == {*SHA[:2], "h/a", "h/b"}
    assert Path("takedowns.csv").read_text().count("exclude,,asked for by mail,") == 4
    assert Path("corrections.csv").read_text() == (
        f"{head}http://h/a,move,n1,,me\nhttp://h/b,exclude,,asked for by mail,\n"
    )
    Path("takedowns.csv").write_text(f"{head}http://h/a,move,n1,,\n")
    with pytest.raises(UsageError, match=r"^takedowns\.csv, line 2: class"):
        load_takedowns()


def test_a_purge_is_refused_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["takedown.py", SHA[0], "--purge"])
    monkeypatch.setattr(sys, "stdin", Path("/dev/null").open())  # noqa: SIM115
    with pytest.raises(UsageError, match="add --yes"):
        script.main()


def test_after_a_purge_no_object_holds_the_photo(pulled: Project) -> None:
    clone = pulled
    clone.git("tag", "v1")
    with (clone.folder / "data/dataset/manifest.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["wnid"] == "n02123394")
    cached = clone.folder / ".allrounder/split/classes/n02123394/0"  # as with linked caches
    cached.parent.mkdir(parents=True)
    shutil.copyfile(clone.folder / "data/dataset" / row["file"], cached)
    said = clone.script("takedown", row["url"], "--purge", "--yes", "--reason", "asked for")
    assert f"work tree  data/dataset/{row['file']}" in said
    assert "  cache  " in said
    assert "  remote store  " in said
    lost = said.partition("versions that can no longer be had: ")[2].splitlines()[0]
    assert "v1" in lost.split(", ")
    assert "work tree" not in lost
    photo = (clone.folder / row["url"]).read_bytes()  # the sample's own file stays
    assert not (clone.folder / ".allrounder/thumbnails").exists()
    assert not [*(clone.folder / ".allrounder").rglob("classes")]
    assert f"files that were read holds {hashlib.sha256(photo).hexdigest()}" in said
    bodies = clone.files(
        "data/raw", "data/clean", "data/dataset", "store", ".dvc/cache", ".allrounder"
    )
    assert row["url"] in said.partition("left alone: ")[2]
    assert not [name for name, body in bodies.items() if photo in body]
    assert f"{row['url']},taken_down," in clone.read("data/raw/n02123394.csv")
    assert clone.read("data/dataset/manifest.csv").count("n02123394,persian_cat") == 20
    assert row["sha256"] not in clone.read("data/dataset/manifest.csv")
    assert clone.dvc("status") == "Data and pipelines are up to date.\n"
