"""Comparing two versions: photos added, removed, moved, relabelled, class by class."""

import csv
import io
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from allrounder.core.errors import DataError
from allrounder.versions.comparison import (
    Change,
    Comparison,
    Photo,
    by_class,
    comparison_lines,
    differences,
    parse_manifest,
)
from project import Project

HUSKY, CAT, PLANE = "n02109961", "n02123394", "n02690373"


def diff(project: Project, *arguments: str) -> dict[str, Any]:
    """What `diff.py --json` prints."""
    found = json.loads(project.script("diff", *arguments, "--json"))
    assert isinstance(found, dict)
    return found


def changes(found: dict[str, Any], wnid: str) -> dict[str, int]:
    names = ("added", "removed", "moved", "relabelled_in", "relabelled_out", "renamed")
    return {name: found["classes"][wnid][name] for name in names if found["classes"][wnid][name]}


def test_the_committed_version_is_the_same_with_and_without_a_pull(clone: Project) -> None:
    output = clone.script("diff", "HEAD")
    assert output == "HEAD and work tree hold the same 200 photos, in the same places\n"
    found = diff(clone, "HEAD", "main")
    assert found["changes"] == []
    assert found["before"] == {"version": "HEAD", "photos": 200}
    assert not (clone.folder / "data/dataset").exists()
    assert clone.changes == ""


def test_two_versions_of_a_real_history(pulled: Project) -> None:
    clone = pulled
    clone.git("tag", "v1")
    classes = yaml.safe_load(clone.read("params.yaml"))["classes"]
    before = clone.read("data/dataset/manifest.csv")
    fewer = {wnid: voc for wnid, voc in classes.items() if wnid != PLANE} | {HUSKY: None}
    clone.edit(classes=fewer, per_class=16, split={"ratio": [0.5, 0.5], "folders": "wnid"})
    clone.repro("split")
    clone.commit("v2")
    clone.git("tag", "v2")

    found = diff(clone, "v1", "v2")
    assert changes(found, PLANE) == {"removed": 20}
    assert found["classes"][PLANE]["after"] == 0
    old, new = (
        {row["sha256"]: row for row in csv.DictReader(io.StringIO(text)) if row["wnid"] == HUSKY}
        for text in (before, clone.read("data/dataset/manifest.csv"))
    )
    moved = [sha256 for sha256 in new if old[sha256]["split"] != new[sha256]["split"]]
    assert changes(found, HUSKY) == {
        "removed": 4, "moved": len(moved), "relabelled_in": 16, "relabelled_out": 16,
    }  # fmt: skip
    for wnid in set(fewer) - {HUSKY}:
        row = found["classes"][wnid]
        assert (row["before"], row["after"], row["removed"] - row["added"]) == (20, 16, 4)
        assert row["moved"] + row["renamed"] + row["added"] == 16
    rows = [one for one in found["changes"] if one["change"] == "moved"]
    assert {one["sha256"] for one in rows if one["after"]["wnid"] == HUSKY} == set(moved)
    assert {(one["before"]["split"], one["after"]["split"]) for one in rows} == {("train", "val")}

    back = diff(clone, "v2", "v1")
    assert changes(back, PLANE) == {"added": 20}
    assert Counter(one["sha256"] for one in back["changes"]) == Counter(
        one["sha256"] for one in found["changes"]
    )
    assert clone.changes == ""

    comment = clone.script("diff", "--markdown", "v1").splitlines()
    assert comment[0] == "### 144 photos; v1 has 200"
    assert "| airliner (n02690373) | 0 |  | 20 |  |  |  |  |" in comment
    assert "| kept | 200 | 144 | -56 |" in comment

    few = clone.script("diff", "v1", "v2").splitlines()
    assert sum(line.startswith("  removed    train") and PLANE in line for line in few) == 5
    assert few.count("  removed    and 15 more; --all lists them") == 1
    output = clone.script("diff", "v1", "v2", "--all").splitlines()
    assert output[0].split() == [
        "class", "v1", "v2", "added", "removed", "moved",
        "relabelled", "in", "relabelled", "out", "renamed",
    ]  # fmt: skip
    assert f"{PLANE} airliner" in output
    listed = [line for line in output if line.startswith("  removed") and PLANE in line]
    assert len(listed) == 20
    assert all(line.split()[1] in before for line in listed)

    clone.git("checkout", "v1", "--", "dvc.lock")
    clone.dvc("checkout", "data/dataset")
    assert diff(clone, "v2")["changes"] == back["changes"]  # with the work tree


def test_what_cannot_be_compared_is_reported_in_one_line(clone: Project) -> None:
    clone.git("tag", "whole")
    clone.git("rm", "-q", "dvc.lock")
    clone.commit("never built")
    clone.git("tag", "unbuilt")
    for version, code, words in (
        ("v9", 2, "error: v9: no such git revision"),
        ("", 2, "error: an empty git revision"),
        ("HEAD:dvc.yaml", 2, "error: HEAD:dvc.yaml: no such git revision"),
        ("HEAD^{tree}", 2, "error: HEAD^{tree}: no such git revision"),
        ("unbuilt", 1, "error: revision unbuilt names no data/dataset/manifest.csv: it was not"),
    ):
        output = clone.script("diff", "whole", version, expect=code)
        assert len(output.splitlines()) == 1
        assert words in output
    (manifest,) = (
        path
        for path in (clone.folder / "store").rglob("*/*")
        if path.is_file() and path.read_bytes().startswith(b"file,split")
    )
    body = manifest.read_bytes()
    manifest.unlink()  # other clones have it too
    manifest.write_bytes(body[:-1])
    output = clone.script("diff", "whole", "whole", expect=1)
    assert "not the bytes that revision whole names" in output
    manifest.unlink()
    output = clone.script("diff", "whole", "whole", expect=1)
    assert len(output.splitlines()) == 1
    assert "neither DVC's cache nor its remote gives it" in output
    assert "git checkout whole && dvc fetch" in output


def test_a_project_in_a_subfolder_of_a_repository(clone: Project) -> None:
    outer = clone.folder.parent
    shutil.rmtree(clone.folder / ".git")
    clone.run("git", "init", "-q", "-b", "main", str(outer))
    clone.git("add", "-f", ".")
    clone.commit("in a subfolder")
    output = clone.script("diff", "HEAD")
    assert output == "HEAD and work tree hold the same 200 photos, in the same places\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="chown needs root")
def test_a_checkout_of_another_user(clone: Project) -> None:
    for path in (clone.folder, clone.folder / ".git"):
        os.chown(path, 12345, 12345)
    assert "hold the same 200 photos" in clone.script("diff", "HEAD")
    assert "Counts that changed" not in clone.script("diff", "HEAD", "--markdown")
    (clone.folder / "data/metrics.json").unlink()  # then the work tree has no counts
    assert "| kept |" in clone.script("diff", "HEAD", "--markdown")
    lock = clone.read("dvc.lock")
    assert "add safe.directory" in clone.script("merge", "HEAD", expect=2)
    assert clone.read("dvc.lock") == lock


ROW = "file,split,wnid,label,voc,url,sha256\na/b.jpg,train,n1,l,v,u,s\n"


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"", "no column sha256"),
        (ROW.replace(",split", ",side").encode(), "no column split"),
        (ROW.encode()[:-10], "cut off in row 1"),
        (b"\xff" + ROW.encode(), "broken"),
        (ROW.replace("v,u", '"v,u').encode(), "broken"),
    ],
)
def test_broken_manifests(manifest: bytes, words: str) -> None:
    with pytest.raises(DataError, match=f"^v1: its manifest .*{words}"):
        parse_manifest(manifest, "v1")
    assert len(parse_manifest(ROW.encode(), "v1")) == 1


def photo(number: int, wnid: str = "n1", split: str = "train", voc: str = "dog") -> Photo:
    return Photo(str(number), f"{split}/{wnid}/{number}.jpg", split, wnid, wnid, voc, f"u{number}")


def test_a_photo_may_move_and_be_relabelled_at_once() -> None:
    old, new = photo(1), photo(1, "n2", "val")
    found = differences([old], [new])
    assert [one.change for one in found] == [Change.MOVED, Change.RELABELLED]
    assert [one.change for one in differences([old], [replace(old, file="x")])] == [Change.RENAMED]
    assert [one.change for one in differences([old], [replace(old, voc="")])] == [Change.RELABELLED]
    assert differences([old], [replace(old, url="elsewhere")]) == []


def test_a_class_whose_id_is_its_label_is_named_once() -> None:
    found = differences([], [replace(photo(1), label="cat"), photo(2, "n2")])
    ours = [one.photo for one in found]
    lines = list(comparison_lines(Comparison(("v1", "v2"), [], ours, found)))
    assert [line for line in lines if line.startswith("n")] == [
        "n1 cat        0   1      1", "n2            0   1      1", "n1 cat", "n2",
    ]  # fmt: skip


def test_hostile_names_do_not_reach_the_terminal() -> None:
    found = differences([], [replace(photo(1), url="http://a/\x1b[2J\u202e")])
    output = "\n".join(comparison_lines(Comparison(("v1", "v2"), [], [found[0].photo], found)))
    assert "\x1b" not in output
    assert "\u202e" not in output


photos = st.lists(
    st.builds(
        photo,
        st.integers(0, 6),
        st.sampled_from(["n1", "n2", "n3"]),
        st.sampled_from(["train", "val"]),
        st.sampled_from(["dog", "cat"]),
    ),
    max_size=12,
    unique_by=lambda one: (one.sha256, one.wnid),
)


@given(photos, photos)
def test_the_counts_of_every_class_add_up(before: list[Photo], after: list[Photo]) -> None:
    found = differences(before, after)
    assert found == differences(before[::-1], after[::-1])
    for row in by_class(Comparison(("v1", "v2"), before, after, found)).values():
        assert row["after"] == (
            row["before"] + row["added"] - row["removed"]
            + row["relabelled in"] - row["relabelled out"]
        )  # fmt: skip
    swapped = {"added": "removed", "removed": "added"}
    back = Counter(swapped.get(one.change, one.change) for one in differences(after, before))
    assert back == Counter(one.change for one in found)
    assert differences(before, before) == []
