"""What make says on a machine that lacks something. Of the documents: test_docs.py."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from project import Project

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('[ "$1" = -c ] && exit 1; echo Python 3.9.2', "is too old: install Python 3.11"),
        ('case "$2" in *ensurepip*) exit 1;; esac; exit 0', "lacks venv: install it"),
        (None, "install Python 3.11 or newer"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="make is for Unix")
def test_make_says_in_one_line_what_is_missing(
    tmp_path: Path, script: str | None, words: str
) -> None:
    fake = tmp_path / "fake-python"
    if script:
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
    command = ["make", "-f", str(ROOT / "Makefile"), "repro", f"PYTHON={fake}"]
    (tmp_path / "requirements.txt").touch()
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    output = [line for line in ended.stdout.splitlines() if not line.startswith("make")]
    assert ended.returncode != 0
    assert len(output) == 1
    assert words in output[0]


@pytest.mark.skipif(os.name == "nt", reason="make is for Unix")
def test_make_installs_what_the_remotes_of_the_clone_need(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("['remote \"a\"']\n    url = ../store\n")
    command = ["make", "-n", "-f", str(ROOT / "Makefile"), "repro"]
    (tmp_path / "requirements.txt").touch()
    for url, packages in (("", ""), ("s3://b/x", "dvc-s3"), ("ssh://h/x", "dvc-s3 dvc-ssh")):
        with (tmp_path / ".dvc/config").open("a") as config:
            config.write(f"['remote \"{packages}\"']\n    url = {url}\n" * bool(url))
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        (install,) = [line for line in ended.stdout.splitlines() if line.startswith("pip install")]
        assert install.partition("-c requirements-remotes.txt ")[2] == packages


@pytest.mark.skipif(os.name == "nt", reason="make is for Unix")
@pytest.mark.parametrize("switch", ["", "offline=1"])
def test_make_replaces_photos_that_a_changed_test_set_drops(tmp_path: Path, switch: str) -> None:
    """The download runs before clean, since it takes as many as clean will need."""
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    said = 'echo "$ALLROUNDER_OFFLINE $*" >> ran\n'
    for name, text in (("python", 'case "$*" in *--judge) exit 1; esac\n'), ("dvc", said)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    command = ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/ready", "repro", *switch.split()]
    (tmp_path / "requirements.txt").touch()
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    ran = (tmp_path / "ran").read_text().splitlines()
    # Asked again after dvc repro, which may bring back an older build from DVC's run-cache.
    assert [line.split()[-1] for line in ran] == ["download", "clean", "repro"] * 2
    assert ran[0].startswith("1 " if switch else " ")


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
_RUN = "scripts/[a-z_]+\\.py|\\.ci/run|requirements[a-z-]*\\.txt"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_safe_and_run_what_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    flow = yaml.safe_load(text)
    assert flow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in text
    for job in flow["jobs"].values():
        assert job["timeout-minutes"]
        for step in job["steps"]:
            # What others write (titles, branches) comes by the environment, never into a script.
            assert "${{" not in step.get("run", "")
            assert all((ROOT / name).exists() for name in re.findall(_RUN, step.get("run", "")))


def test_the_notes_of_a_release_are_its_section(tmp_path: Path) -> None:
    steps = yaml.safe_load(WORKFLOWS[0].read_text(encoding="utf-8"))["jobs"]["release"]["steps"]
    (command,) = re.findall("^awk .*$", steps[-1]["run"], re.MULTILINE)
    text = "# Changes\n\n## 1.2.10 - d\n\nno\n\n## 1.2.1 - d\n\n### yes\n\n## 1.2.0 - d\n\nno\n"
    (tmp_path / "CHANGELOG.md").write_text(text)
    subprocess.run(["bash", "-c", f"TAG=v1.2.1; {command}"], cwd=tmp_path, check=True)
    assert (tmp_path / "notes.md").read_text() == "## 1.2.1 - d\n\n### yes\n\n"


def test_the_other_files_for_github_are_yaml_and_the_pages_for_people_have_true_links() -> None:
    for path in [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]:
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    for page in ("AGENTS.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#\s]+)", text)
        assert links
        assert all((ROOT / link).exists() for link in links)
        assert all((ROOT / name).exists() for name in re.findall(_RUN, text))
    assert len((ROOT / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 25


def test_sections_that_describe_the_dataset_may_be_missing(clone: Project) -> None:
    params = yaml.safe_load(clone.read("params.yaml"))
    for section in ("dataset", "report"):
        params.pop(section, None)
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert "changed command" in clone.dvc("status", "split")


@pytest.mark.skipif(os.name == "nt", reason="make is for Unix")
def test_make_replaces_its_own_environment_only(tmp_path: Path) -> None:
    for name in (".venv", "other"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin/dvc").write_text("#!/elsewhere/bin/python\n")
    command = ["make", "-n", "-f", str(ROOT / "Makefile"), "clean-cache"]
    subprocess.run([*command, "VENV=other"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "other").exists()
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert not (tmp_path / ".venv").exists()
