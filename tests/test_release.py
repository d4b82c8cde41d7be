"""A release: refused unless all is built, committed and pushed; then it can be had by its tag."""

import datetime
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from allrounder.core.errors import UsageError
from allrounder.versions.comparison import Comparison, Photo, differences
from allrounder.versions.releasing import (
    changelog_section,
    checked_version,
    with_section,
    with_version,
)
from project import Project

ROOT = Path(__file__).resolve().parent.parent
CAT = Photo("1", "train/cat/1.jpg", "train", "n02123394", "Persian cat", "cat", "http://h/1")


def test_a_release_can_be_had_by_its_tag(pulled: Project) -> None:
    """Built before, as `make release` finds it; the stages of this checkout may be newer."""
    pulled.dvc("commit", "--force")
    pulled.commit("the code of today")
    for name in ("user.name", "user.email"):
        pulled.git("config", name, "test@example.invalid")
    (pulled.folder / "notes.txt").touch()
    assert "git has changes: ?? notes.txt; commit or stash" in pulled.script(
        "release", "1.0.0", expect=2
    )
    (pulled.folder / "notes.txt").unlink()
    output = pulled.run("python", "scripts/release.py", "v1.0.0")
    assert "The first release: 200 photos." in output
    assert "the tag v1.0.0 exists" in pulled.script("release", "1.0.0", expect=2)
    assert pulled.changes == ""
    assert "## 1.0.0 - " in pulled.read("CHANGELOG.md")
    (command,) = re.findall(r"^  (dvc artifacts get .*)$", output, re.MULTILINE)
    other = pulled.folder.parent / "other"
    other.mkdir()
    pulled.git("remote", "remove", "origin")
    command = re.sub("get \\S+ ", f"get {pulled.folder} ", command)
    pulled.run("bash", "-ec", f"cd {other} && {command}")
    assert len(list(other.rglob("*.jpg"))) == 200


def test_a_section_tells_what_changed_in_each_class() -> None:
    dog = replace(CAT, sha256="2", wnid="n02109961", label="Eskimo dog", url="http://h/2")
    moved, new = replace(CAT, split="val"), replace(dog, sha256="3")
    found = differences([CAT, dog], [moved, dog, new])
    section = changelog_section(
        "1.1.0",
        "2026-12-01",
        Comparison(("v1.0.0", "HEAD"), [CAT, dog], [moved, dog, new], found),
        3,
    )
    assert section.splitlines() == [
        "## 1.1.0 - 2026-12-01",
        "",
        "3 photos; v1.0.0 had 2.",
        "",
        "| class | photos | added | moved |",
        "| --- | --- | --- | --- |",
        "| Eskimo dog (n02109961) | 2 | 1 |  |",
        "| Persian cat (n02123394) | 1 |  | 1 |",
    ]
    same = changelog_section("1.1.1", "d", Comparison(("v1.1.0", "HEAD"), [dog], [dog], []), 1)
    text = with_section(with_section("# Changes\n\nWords.\n", section), same)
    assert re.findall("^#+ .*$", text, re.M) == [
        "# Changes",
        "## 1.1.1 - d",
        "## 1.1.0 - 2026-12-01",
    ]


@given(st.text("v0123456789.-ab", max_size=8))
def test_only_semantic_versions_are_versions(text: str) -> None:
    try:
        version = checked_version(text)
    except UsageError:
        return
    assert re.match(r"\d+\.\d+\.\d+(-|$)", version)
    assert checked_version(f"v{version}") == version


@pytest.mark.parametrize("version", ["1.0.0", "12.3.4-rc.1"])
def test_the_citation_is_valid_and_has_the_version(version: str) -> None:
    """By the required keys and the types of Citation File Format 1.2.0."""
    text = with_version((ROOT / "CITATION.cff").read_text(encoding="utf-8"), version, "2027-01-02")
    found = yaml.safe_load(text)
    assert found.keys() <= {
        "cff-version", "message", "type", "title", "abstract", "authors", "license", "keywords",
        "version", "date-released", "doi", "repository-code", "url", "identifiers", "references",
    }  # fmt: skip
    assert {"cff-version", "message", "title", "authors"} <= found.keys()
    assert (found["cff-version"], found["type"]) == ("1.2.0", "dataset")
    assert (found["version"], found["date-released"]) == (version, "2027-01-02")
    assert datetime.date.fromisoformat(found["date-released"])
    assert all(isinstance(one.get("name"), str) for one in found["authors"])
