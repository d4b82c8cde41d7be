"""What make says on a machine that lacks something. Of the documents: test_docs.py."""

import os
import subprocess
from pathlib import Path

import pytest

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
