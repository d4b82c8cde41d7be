"""Drives a clone of the project: git, dvc and the stage scripts as a user runs them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

import warm

GIT = (
    "git", "-c", "user.name=test", "-c", "user.email=test@example.invalid",
    "-c", "maintenance.auto=false", "-c", "gc.auto=0",  # would go on in the background
)  # fmt: skip
OUTPUTS = {
    "fetch_urls": "data/urls", "download": "data/raw", "clean": "data/clean",
    "split": "data/dataset", "report": "reports",
}  # fmt: skip


def snapshot(root: Path, to: Path) -> Path:
    """Commit the files of a work tree, as they are now, into a new repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    subprocess.run([*GIT, "init", "-q", "-b", "main"], cwd=to, check=True)
    subprocess.run([*GIT, "add", "-A", "-f"], cwd=to, check=True)
    subprocess.run([*GIT, "commit", "-qm", "all"], cwd=to, check=True)
    subprocess.run([*GIT, "repack", "-adq"], cwd=to, check=True)  # one file, cheap to clone
    return to


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of xdist's workers makes and all of them use: to be copied only."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    done = shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            make(shared / name)
            done.touch()
    return shared / name


def _environment() -> dict[str, str]:
    """The environment of commands: Python's programs first, no switch of the project's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {k: v for k, v in os.environ.items() if not k.startswith("ALLROUNDER_")} | {"PATH": path}


def _taken_over(path: str, to: str) -> None:
    if {"objects", "md5"} & {*Path(path).parts}:
        os.link(path, to)
    else:
        shutil.copy2(path, to)


class Project:
    """A clone in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def cloned(cls, origin: Path, folder: Path) -> "Project":
        subprocess.run(["git", "clone", "-q", str(origin), str(folder)], check=True)
        return cls(folder)

    @classmethod
    def copied(cls, other: Path, folder: Path) -> "Project":
        """A clone of the test's own, just as another one is.

        Objects of git and DVC are links to the other's: both replace them, and never write into
        one. A test that damages an object must unlink it first.
        """
        return cls(shutil.copytree(other, folder, symlinks=True, copy_function=_taken_over))

    def run(self, *command: str, expect: int = 0, **environment: str) -> str:
        """Run a command in the clone; returns what it printed on both streams."""
        ended = subprocess.run(
            command, cwd=self.folder, env=_environment() | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert ended.returncode == expect, ended.stdout
        return ended.stdout

    def dvc(self, *arguments: str, expect: int = 0, **environment: Any) -> str:
        """Run DVC sooner than `run` does; returns what it printed on both streams."""
        return self._warm("dvc", *arguments, expect=expect, **environment)

    def script(
        self,
        name: str,
        *arguments: str,
        expect: int = 0,
        out: Path | None = None,
        **environment: str,
    ) -> str:
        """Run a script of the project sooner than `run` does; returns what it printed.

        With `out`, its standard output goes to that file.
        """
        return self._warm(f"scripts/{name}.py", *arguments, expect=expect, out=out, **environment)

    def _warm(self, *command: str, expect: int, out: Path | None = None, **environment: str) -> str:
        code, said = warm.run(command, self.folder, _environment() | environment, out)
        assert code == expect, said
        return said

    def repro(self, *arguments: str, **environment: Any) -> str:
        return self.dvc("repro", *arguments, **environment)

    def stage(self, name: str, expect: int = 0) -> str:
        return self.script(name, expect=expect)

    def rebuild(self, *stages: str, expect: int = 0, **environment: Any) -> str:
        """Run stages as DVC does, but without it: dvc.lock stays. Returns what the last printed."""
        *first, last = stages
        for name in first:
            self._remove_output(name)
            self.script(name, **environment)
        self._remove_output(last)
        return self.script(last, expect=expect, **environment)

    def _remove_output(self, stage: str) -> None:
        shutil.rmtree(self.folder / OUTPUTS[stage], ignore_errors=True)

    def git(self, *arguments: str) -> str:
        return self.run(*GIT, *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    @property
    def changes(self) -> str:
        """What git sees as changed or new."""
        return self.git("status", "--porcelain")

    def edit(self, **changes: Any) -> None:
        """Set top-level keys of params.yaml."""
        params = yaml.safe_load(self.read("params.yaml"))
        (self.folder / "params.yaml").write_text(
            yaml.safe_dump(params | changes, sort_keys=False), encoding="utf-8"
        )

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def files(self, *folders: str) -> dict[str, bytes]:
        """All files below some folders, by path."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for folder in folders
            for path in sorted((self.folder / folder).rglob("*"))
            if path.is_file()
        }

    def locked(self, stage: str) -> Any:
        """What dvc.lock says of a stage."""
        return yaml.safe_load(self.read("dvc.lock"))["stages"][stage]


def of_class(files: dict[str, bytes], wnid: str) -> dict[str, bytes]:
    """Those files whose path names a class."""
    return {name: body for name, body in files.items() if re.search(wnid, name)}
