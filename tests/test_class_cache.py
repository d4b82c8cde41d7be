"""The stages' cache of classes: nothing depends on it but the time that a build takes."""

import contextlib
import json
import os
import random
import runpy
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from allrounder.clean import close_memory, search, slices
from allrounder.core.class_cache import ClassCache, inputs_digest, source_state
from allrounder.core.corrections import HEADER
from allrounder.core.dvc_lock import locked_outs, locked_params
from allrounder.core.errors import DataError, UsageError
from allrounder.core.files import file_md5
from allrounder.core.rows import Status
from allrounder.download.cached_classes import CODE, CachedClasses
from allrounder.download.class_quota import ClassResult
from allrounder.fetch_urls import listing
from allrounder.history import lock
from allrounder.params.classes import read_classes
from allrounder.params.sources import FolderSource
from allrounder.split.facts import Tally
from hostile import encoded, picture
from project import OUTPUTS, Project, of_class

SCRIPTS = Path(__file__).parent.parent / "scripts"
LINKS = "[cache]\n    type = hardlink\n"


@pytest.fixture
def cache(own_folder: None) -> ClassCache:
    """A cache with one class, of two files."""
    for name in ("a.tar", "b.csv", "local.jpg"):
        Path(name).write_text(name)
    found = ClassCache.of_stage(Path(), ["cat"], ((), ()))
    read = {"local.jpg": source_state("local.jpg")}
    found.store("cat", "inputs", [Path("a.tar"), Path("b.csv")], {"n": 1}, read)
    return found


def test_a_class_comes_back_with_its_inodes_and_times(cache: ClassCache) -> None:
    before = Path("a.tar").stat()
    for name in ("a.tar", "b.csv"):
        Path(name).unlink()
    Path("b.csv").write_text("of a run by hand")
    assert cache.restore("cat", "inputs") == {"n": 1}
    now = Path("a.tar").stat()
    assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert Path("b.csv").read_text() == "b.csv"
    assert cache.restore("cat", "inputs") == {"n": 1}  # again, over its own links


@pytest.mark.parametrize(
    "change", ["edit", "edit cached", "lose", "read", "inputs", "entry", "facts", "code", "gone"]
)
def test_a_class_that_changed_is_not_restored(cache: ClassCache, change: str) -> None:
    match change:
        case "edit":
            Path("a.tar").write_text("A.TAR")  # in place, and so in the cache too
        case "edit cached":
            (cache.folder / "cat/0").write_text("A.TAR")
        case "lose":
            (cache.folder / "cat/1").unlink()
        case "read":
            Path("local.jpg").write_text("another photo")
        case "entry":
            (cache.folder / "cat/entry.json").write_text('{"inputs": ')
        case "facts":
            entry = cache.folder / "cat/entry.json"
            entry.write_text(entry.read_text().replace('{"n": 1}', '{"n": 2}'))
        case "code":
            cache = replace(cache, code="other")
        case "gone":
            shutil.rmtree(cache.folder)
    for name in ("a.tar", "b.csv"):
        Path(name).unlink(missing_ok=True)
    assert cache.restore("cat", "other" if change == "inputs" else "inputs") is None
    assert not Path("b.csv").exists()  # all of its files, or none
    assert not (cache.folder / "cat").exists()


def test_without_hard_links_nothing_is_cached(
    cache: ClassCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError("Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    cache.store("dog", "inputs", [Path("a.tar")], {})
    Path("a.tar").unlink()
    assert cache.restore("dog", "inputs") is None
    assert cache.restore("cat", "inputs") is None


def test_other_classes_are_dropped(cache: ClassCache) -> None:
    work = Path("work")
    Path("work").mkdir()
    cache.folder.rename(work / "classes")
    assert ClassCache.of_stage(work, ["cat"], ((), ())).restore("cat", "inputs")
    assert ClassCache.of_stage(work, ["dog"], ((), ())).restore("cat", "inputs") is None


@pytest.mark.parametrize(
    ("types", "cached"),
    [("hardlink", True), ("hardlink,copy", True), ("reflink,hardlink,copy", False), ("", False)],
)
def test_photos_are_cached_only_where_that_takes_no_space(
    cache: ClassCache, types: str, cached: bool
) -> None:
    Path(".dvc").mkdir()
    Path(".dvc/config.local").write_text(f"[cache]\n    type = {types}\n" if types else "")
    Path("work").mkdir()
    cache.folder.rename("work/classes")
    found = ClassCache.of_photos(Path("work"), ["cat"], ((), ()))
    assert bool(found) == cached == Path("work/classes").exists()


def test_inputs_are_told_apart() -> None:
    parts: list[tuple[Any, ...]] = [("ab", "c"), ("a", "bc"), (b"ab", "c"), ("ab", "c", Path("no"))]
    assert len({inputs_digest(*part) for part in parts}) == len(parts)


def test_counts_come_back_with_the_types_of_their_keys() -> None:
    result, tally = ClassResult("cat", transient=2), Tally()
    result.counts[Status.OK] = tally.photos["n1", "val"] = 3
    found = ClassResult.from_json(json.loads(json.dumps(result.as_json())))
    assert found == result
    assert [*found.counts] == [Status.OK]
    assert type(next(iter(found.counts))) is Status
    assert Tally.from_json(json.loads(json.dumps(tally.as_json()))) == tally


def test_a_class_with_local_files_that_failed_is_read_again(own_folder: None) -> None:
    for name in ("cat.csv", "cat.tar"):
        Path(name).touch()
    cache = ClassCache.of_stage(Path(), ["cat"], CODE)
    pinned = {"./cat.csv": file_md5(Path("cat.csv")), "cat.csv": file_md5(Path("cat.csv"))}
    classes = CachedClasses(cache, Path(), Path(), pinned)
    whole = ClassResult("cat", Counter({Status.OK: 5, Status.TIMEOUT: 1}), transient=1)
    short = ClassResult("cat", Counter({Status.OK: 4, Status.TIMEOUT: 1}), transient=1)
    for result, read, cached in ((whole, {}, True), (short, {}, False), (whole, {"a": ""}, False)):
        shutil.rmtree("classes", ignore_errors=True)
        classes.store(result, 5, read)
        assert bool(classes.restore({"cat": 5})) == cached


def test_a_source_without_photos_is_an_error_after_a_restore_too(tmp_path: Path) -> None:
    for name in ("one/ant", "two"):
        (tmp_path / name).mkdir(parents=True)
    sources = [
        FolderSource(kind="folder", location=str(tmp_path / name)) for name in ("one", "two")
    ]
    classes = read_classes({"ant": None})
    listing.list_classes(sources[:1], classes, None, 0, {"ant": [0]})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="two: lists no photo for any class"):
        listing.list_classes(sources, classes, None, 0, {"ant": [0]})  # type: ignore[arg-type]


def test_a_conflict_in_any_section_of_the_lock_is_noticed(own_folder: None) -> None:
    lock = "schema: '2.0'\nstages:\n  clean:\n    params:\n      params.yaml:\n        a: 1\n"
    Path("dvc.lock").write_text(f"{lock}    outs:\n    - path: data/clean\n      md5: 12.dir\n")
    assert locked_params("clean") == {"a": 1}
    assert locked_outs("clean") == [{"path": "data/clean", "md5": "12.dir"}]
    assert locked_params("split") == {}
    Path("dvc.lock").write_text(f"{lock}<<<<<<< HEAD\n        b: 2\n")
    with pytest.raises(UsageError, match="not valid YAML"):
        locked_params("clean")


# Builds after edits


class Build:
    """A dataset of drawn photos in folders, which the stages' scripts build without DVC."""

    def __init__(self, folder: Path, photos: Path):
        self.folder, self.photos = folder, photos
        self.pinned = dict[str, str]()
        (folder / ".dvc").mkdir(parents=True)
        (folder / ".dvc/config").write_text(LINKS)

    def run(self, classes: list[str], corrections: str, **params: Any) -> dict[str, bytes]:
        """Run all stages, whose outputs DVC has deleted; returns all that they wrote."""
        source = {"kind": "folder", "location": str(self.photos)}
        values = {"sources": [source], "classes": dict.fromkeys(classes), "min_per_class": 1}
        values |= {name: {} for name in ("download", "clean", "split", "dataset", "report")}
        with contextlib.chdir(self.folder), pytest.MonkeyPatch.context() as patch:
            Path("params.yaml").write_text(yaml.safe_dump(values | params, sort_keys=False))
            header = ",".join(HEADER) + "\n"
            Path("corrections.csv").write_text(header + corrections)
            Path("takedowns.csv").write_text(header)
            patch.setattr(lock, "pinned_files", lambda stage: self.pinned)  # as dvc.lock has them
            for name, out in OUTPUTS.items():
                shutil.rmtree(out, ignore_errors=True)
                patch.setattr(sys, "argv", [f"scripts/{name}.py"])
                try:
                    runpy.run_path(str(SCRIPTS / f"{name}.py"))["main"]()
                except (DataError, UsageError) as error:
                    return {name: str(error).encode()}
            self.pinned = {str(path): file_md5(path) for path in Path("data/raw").iterdir()}
            outs = [path for out in ("data", "reports") for path in Path(out).rglob("*")]
            return {str(path): path.read_bytes() for path in outs if path.is_file()}


class Edits:
    """The photos and params of a dataset, and random changes of them."""

    def __init__(self, photos: Path, dice: random.Random):
        self.photos, self.dice = photos, dice
        self.classes, self.params, self.corrections = list[str](), dict[str, Any](), ""
        for name in ("ant", "bee", "cow"):
            self.add(name)

    def add(self, name: str) -> None:
        """Add a class; some of its photos are in other classes too."""
        self.classes.append(name)
        (self.photos / name).mkdir(exist_ok=True)
        for number in range(7):
            self.draw(self.photos / name / f"{number}.jpg")

    def draw(self, path: Path) -> None:
        """Draw a photo, or a copy of another quality of one that may be there."""
        image = picture(self.dice.randrange(60), (48, 40))
        path.write_bytes(encoded(image, "JPEG", quality=self.dice.choice((75, 90))))

    def change(self, build: Build) -> None:
        """Change something: of the dataset, or of what the build has cached."""
        name = self.dice.choice(self.classes)
        paths = sorted((self.photos / name).iterdir())
        path = self.dice.choice(paths)
        match self.dice.choice(("add", "remove", "photo", "draw", "lose", "rule", "line", "cache")):
            case "add":
                self.add(f"new{len([*self.photos.iterdir()])}")
            case "remove" if len(self.classes) > 2:
                self.classes.remove(name)
            case "photo":
                self.draw(self.photos / name / f"{self.dice.randrange(9)}0.jpg")
            case "draw":
                self.draw(path)
            case "lose" if len(paths) > 5:
                path.unlink()
            case "rule":
                self.params = self.dice.choice(
                    ({"per_class": 4}, {"clean": {"quality": 60}}, {"split": {"ratio": [0.5, 0.5]}})
                )
            case "line":
                lines = [
                    f".../photos/{name}/{one.name},"
                    + self.dice.choice(("exclude,", f"move,{self.dice.choice(self.classes)}"))
                    for one in self.dice.sample(paths, 3)
                ]
                self.corrections = "".join(f"{line},by hand,\n" for line in lines)
            case _:
                outs = [one for one in (build.folder / "data").rglob("*") if one.is_file()]
                self.dice.choice(sorted(outs)).write_bytes(b"edited in place, also in the cache")


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_build_after_any_edits_is_that_of_a_fresh_clone(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "_ONE_IN", 3)
        patch.setattr(search, "_SMALL", 0)
        patch.setattr(close_memory, "_FEW", 2)
        photos = Path(folder, "photos")
        photos.mkdir()
        edits, build = Edits(photos, random.Random(seed)), Build(Path(folder, "build"), photos)
        for number in range(3):
            dataset = {"per_class": 6} | edits.params
            built = build.run(edits.classes, edits.corrections, **dataset)
            if number:  # the first build is a fresh one itself
                full = Build(Path(folder, f"fresh{number}"), photos)
                assert built == full.run(edits.classes, edits.corrections, **dataset)
            edits.change(build)


def test_removing_and_adding_classes_leaves_the_others_alone(
    clone: Project, pulled_once: Path
) -> None:
    params, pinned = clone.read("params.yaml"), clone.read("dvc.lock")
    classes = yaml.safe_load(params)["classes"]
    clone.dvc("config", "--local", "cache.type", "hardlink")
    folding_chair, cat, last = "n03376595", "n02123394", [*classes][-1]
    clone.edit(classes={key: voc for key, voc in classes.items() if key not in (cat, last)})
    clone.repro()
    folders = ("data/raw", "data/clean", "data/dataset/train", "data/dataset/val")
    others = "|".join(classes.keys() - {cat, last, folding_chair})  # the chair has a photo of last
    assert of_class(clone.files(*folders), cat) == of_class(clone.files(*folders), last) == {}
    built = of_class(clone.files(*folders), others)
    assert built == of_class(Project(pulled_once).files(*folders), others)
    shutil.rmtree(clone.folder / ".dvc/cache/runs")  # which would restore the version of before
    before = clone.files("data")
    inodes = {name: (clone.folder / name).stat().st_ino for name in before}
    (clone.folder / "params.yaml").write_text(params, encoding="utf-8")
    clone.repro()
    assert clone.read("dvc.lock") == pinned
    assert clone.git("status", "--porcelain", "dvc.lock", "data") == ""
    after = clone.files("data")
    same = [key for key in classes if before.get(table := f"data/clean/{key}.csv") == after[table]]
    kept = [name for name in after if any(key in name for key in same)]
    assert len(kept) > 150
    assert [name for name in kept if (clone.folder / name).stat().st_ino != inodes[name]] == []
