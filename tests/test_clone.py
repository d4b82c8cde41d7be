"""The embedded default in fresh clones: pull, repro, the store; offline."""

import json
import re

import yaml

from project import Project


def test_a_fresh_clone_pulls_and_is_up_to_date(clone: Project) -> None:
    clone.run("dvc", "pull")
    assert "up to date" in clone.run("dvc", "status")
    assert len(list((clone.folder / "data/dataset/train").glob("*/*.jpg"))) == 160
    assert clone.changes == ""


def test_a_fresh_clone_repros_and_is_unchanged_in_git(clone: Project) -> None:
    clone.run("dvc", "repro")  # the plain command, as a user gives it
    assert clone.changes == ""


def test_a_build_that_ignores_the_pins_is_the_same_and_sums_up_each_stage(clone: Project) -> None:
    said = clone.repro("--force", ALLROUNDER_PINS="ignore")
    assert clone.changes == ""
    assert re.search(r"n02109961 Eskimo dog +24 ", said)
    assert "200 photos of 10 classes: 160 train, 40 val" in said
    assert "open reports/index.html" in said


def test_the_store_holds_the_locked_objects_and_nothing_else(clone: Project) -> None:
    store = clone.folder / "store/files/md5"
    wanted = set()
    for stage in yaml.safe_load(clone.read("dvc.lock"))["stages"].values():
        for out in stage["outs"]:
            if out["path"].endswith(".json"):
                continue  # a metrics file, kept in git
            folder = store / out["md5"][:2] / out["md5"][2:]
            wanted |= {out["md5"], *(entry["md5"] for entry in json.loads(folder.read_text()))}
    stored = {path.parent.name + path.name for path in store.glob("*/*")}
    assert stored == wanted
    assert sum(path.stat().st_size for path in store.glob("*/*")) < 6_000_000


def test_a_second_repro_has_nothing_to_do(pulled: Project) -> None:
    assert "Data and pipelines are up to date" in pulled.repro()


def test_the_way_back_that_a_failed_build_prints_works(clone: Project) -> None:
    """In a clone without data, where only the remote has the committed version."""
    sources = [{"kind": "url-list", "location": "list.txt"}]
    (clone.folder / "list.txt").write_text("n02109961_1\t/nowhere/1.jpg\n")
    clone.edit(sources=sources, classes={"n02109961": "dog"})
    output = clone.repro(expect=255)
    (command,) = re.findall("to go back to the committed version: (.+)", output)
    (clone.folder / "list.txt").unlink()
    clone.run("bash", "-ec", command)
    assert clone.changes == ""
    assert len(list((clone.folder / "data/dataset/train").glob("*/*.jpg"))) == 160


def test_bad_params_leave_the_last_build_untouched(pulled: Project) -> None:
    before = pulled.files("data")
    pulled.edit(per_class=10)
    pulled.run("make", "-o", ".venv/ready", "repro", expect=2)
    assert pulled.files("data") == before
