"""A release: refused unless all is built, committed and pushed; then it can be had by its tag."""

import datetime
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import release
import tiny
import warm
from allrounder.core.errors import UsageError
from allrounder.versions.comparison import Comparison, Photo, differences
from allrounder.versions.releasing import (
    changelog_section,
    checked_version,
    with_section,
    with_version,
)

ROOT = Path(__file__).resolve().parent.parent
CAT = Photo("1", "train/cat/1.jpg", "train", "n02123394", "Persian cat", "cat", "http://h/1")


def run_here(command: list[str]) -> int:
    """As `release.run_python`, sooner."""
    if command[0] == "-m":
        return tiny.dvc(command[2:])
    script = str(ROOT / "scripts" / Path(command[0]).name)
    code, output = warm.run([script, *command[1:]], Path.cwd(), dict(os.environ))
    print(output, file=sys.stderr)
    return code


@pytest.mark.usefixtures("own_folder")
def test_a_release_can_be_had_by_its_tag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release, "run_python", run_here)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.invalid")
    tiny.make(".dvc/cache")
    for page in ("CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / page, page)
    artifacts = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["artifacts"]
    with Path("dvc.yaml").open("a") as file:
        yaml.safe_dump({"artifacts": artifacts}, file)
    tiny.call(release.main, "1.0.0", expect=2)
    assert "error: git has changes: " in capsys.readouterr().err
    tiny.commit("all")
    tiny.remote("gs://bucket/path")
    tiny.commit("a remote that cannot be used")
    tiny.call(release.main, "1.0.0", expect=1)
    assert (
        "check failed: the remote has the data; see above. Nothing was" in capsys.readouterr().err
    )
    tiny.git("reset", "-q", "--hard", "HEAD~1")
    tiny.call(release.main, "1.0.0", expect=1)
    assert "git does not have all of its objects, so nobody else" in capsys.readouterr().err
    tiny.git("add", "-f", "store")
    tiny.git("commit", "-qm", "store")
    _fail_in_git(monkeypatch, capsys)
    tiny.call(release.main, "v1.0.0")
    output = capsys.readouterr().out
    assert "The first release: 2 photos." in output
    assert "## 1.0.0 - " in Path("CHANGELOG.md").read_text()
    tiny.call(release.main, "1.0.0", expect=2)
    assert "the tag v1.0.0 exists" in capsys.readouterr().err
    for command in re.findall(r"^  dvc ((?:get|artifacts get) .*)$", output, re.MULTILINE):
        assert tiny.dvc([*shlex.split(command), "-o", command.partition(" ")[0]]) == 0
        assert Path(command.partition(" ")[0], "val/cat/2.jpg").read_bytes() == b"two"


def _fail_in_git(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A release that git refuses leaves nothing behind."""
    before = git_state()
    hook = Path(".git/hooks/pre-commit")
    tiny.write(hook, b"#!/bin/sh\necho 'lint: page 3'; echo 'lint failed' >&2; exit 1\n")
    hook.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(release, "run_python", lambda command: 0)
        tiny.call(release.main, "1.0.0", expect=2)
        said = capsys.readouterr().err
        assert "lint: page 3\nerror: git commit: lint failed; correct that, then run" in said
        assert git_state() == before
        hook.unlink()
        tiny.git("config", "tag.gpgSign", "true")
        tiny.git("config", "gpg.program", "false")
        tiny.call(release.main, "1.0.0", expect=2)
        assert "error: git tag: " in capsys.readouterr().err
        assert git_state() == before
        tiny.git("config", "tag.gpgSign", "false")


def git_state() -> bytes:
    command = "git status --porcelain; git rev-parse HEAD; git tag --list"
    return subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout


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


def test_without_git_there_is_no_release(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    tiny.call(release.main, "1.0.0", expect=2)
    assert "error: git: No such file or directory; install git" in capsys.readouterr().err
