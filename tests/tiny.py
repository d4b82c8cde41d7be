"""A project of two outputs and five files, made in no time, for what DVC and git can break."""

import csv
import hashlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
import yaml

import warm
from allrounder.core.errors import run
from allrounder.core.files import folder_md5, folder_object
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import columns
from project import GIT

PAGE = Path(__file__).resolve().parent.parent / "docs/versions.md"
RAW = {"n02123394.csv": b"image_id,url,status\n", "n02123394.tar": b"photos" * 100}
PHOTOS = {"train/cat/1.jpg": b"one", "val/cat/2.jpg": b"two"}


def _manifest() -> bytes:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(columns(ManifestRow))
    for file, body in PHOTOS.items():
        sha256, split = hashlib.sha256(body).hexdigest(), file.partition("/")[0]
        row = ManifestRow(
            file, split, 0, "n02123394", "Persian cat", "cat", "n02123394", "1", "http://h/1",
            "folder", sha256, 9, 9, "", "", "",
        )  # fmt: skip
        table.writerow("" if cell is None else cell for cell in astuple(row))
    return out.getvalue().encode()


MANIFEST = _manifest()
DATASET = {"manifest.csv": MANIFEST, **PHOTOS}
PARAMS = """sources: [{kind: folder, location: data/sample}]
classes: {n02123394: cat}
per_class: 5
min_per_class: 1
download: {}
clean: {}
split: {}
dataset: {}
report: {}
"""


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def write(path: str | Path, body: bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(body)


def place(name: str, store: str = ".dvc/cache") -> Path:
    """An object's path in the cache, or in the folder remote `store`."""
    return Path(store, "files/md5", name[:2], name[2:])


def make(*stores: str) -> None:
    """Make the project in the current folder, built, with its objects in these stores."""
    lock: dict[str, dict[str, Any]] = {}
    outs = {"download": ("data/raw", RAW), "split": ("data/dataset", DATASET)}
    for stage, (out, files) in outs.items():
        hashes = {name: md5(body) for name, body in files.items()}
        for name, body in files.items():
            write(f"{out}/{name}", body)
        for store in stores:
            write(place(folder_md5(hashes), store), folder_object(hashes))
            for name, body in files.items():
                write(place(hashes[name], store), body)
        entry = {"path": out, "hash": "md5", "md5": folder_md5(hashes), "size": 600, "nfiles": 3}
        lock[stage] = {"cmd": f"python scripts/{stage}.py", "outs": [entry]}
    lock["split"]["deps"] = [dict(lock["download"]["outs"][0])]
    stages = {
        "download": {"cmd": "python scripts/download.py", "outs": ["data/raw"]},
        "split": {"cmd": "python scripts/split.py", "deps": ["data/raw"], "outs": ["data/dataset"]},
    }
    write("params.yaml", PARAMS.encode())
    write("dvc.yaml", yaml.safe_dump({"stages": stages}).encode())
    write("dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": lock}, sort_keys=False).encode())
    write(
        ".gitignore",
        b".dvc/cache\n.dvc/tmp\n.dvc/config.local\n.allrounder\n/store\n/data\n/.venv\n",
    )
    remote("../store")
    git("init", "-q", "-b", "main")
    commit("all")


def remote(url: str, **options: object) -> None:
    """Name the default remote in .dvc/config."""
    lines = ["[core]", "    remote = r", "['remote \"r\"']", f"    url = {url}"]
    lines += [f"    {name} = {value}" for name, value in options.items()]
    write(".dvc/config", "\n".join(lines).encode())


def git(*arguments: str) -> None:
    subprocess.run([*GIT, *arguments], check=True, capture_output=True)


def commit(message: str) -> None:
    git("add", "-A")
    git("commit", "-qm", message)


def call(main: Callable[[], None], *arguments: str, expect: int = 0) -> None:
    """Run a script's main function with a command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["script", *arguments])
        assert run(main) == expect


def dvc(command: list[str]) -> int:
    """Run DVC here, in a process of its own that has imported it already; returns its exit code."""
    code, output = warm.run(["dvc", *command], Path.cwd(), dict(os.environ))
    print(output, file=sys.stderr)
    return code


def check_pull() -> None:
    """Pull without local data and without a cache; a photo is there again."""
    shutil.rmtree("data")
    shutil.rmtree(".dvc/cache")
    assert dvc(["pull"]) == 0
    assert Path("data/dataset/val/cat/2.jpg").read_bytes() == b"two"


def commands(address: str, instead: str) -> list[list[str]]:
    """The dvc commands of the block in docs/versions.md that has an address, with another one."""
    page = (Path(__file__).parent.parent / "docs/versions.md").read_text(encoding="utf-8")
    (block,) = [
        one for one in re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S) if address in one
    ]
    lines = [
        shlex.split(line.replace(address, instead), comments=True) for line in block.splitlines()
    ]
    assert all(line[0] == "dvc" for line in lines)
    return [line[1:] for line in lines]


def environment(patch: pytest.MonkeyPatch, **values: Any) -> None:
    """Clients of clouds without the user's logins, and without patience."""
    none: Mapping[str, Any] = {
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
    }  # fmt: skip
    for name, value in {**none, **values}.items():
        patch.setenv(name, value)
