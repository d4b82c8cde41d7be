"""Caches what a stage makes of each class: a class whose inputs are the same is not made again.

DVC deletes a stage's outputs before the stage runs. The cache has hard links to them, which take
no disk space. A restored file keeps its inode and its time, so DVC does not hash it again either.
"""

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from allrounder.core.files import remove_tree, replace_text

_ENTRY = "entry.json"


@dataclass(frozen=True, slots=True)
class ClassCache:
    """The cached classes of a stage. The folder may be deleted; without hard links it is empty."""

    folder: Path

    def restore(self, key: str, inputs: str) -> Any | None:
        """Link the files of a class to their places; returns the facts that were stored with them.

        None, and the class is no longer cached, if it was made from other inputs, or if a file was
        changed since, also one that it was read from.
        """
        folder, linked = self.folder / key, list[str]()  # no paths: there may be a million files
        try:
            entry = json.loads((folder / _ENTRY).read_bytes())
            if entry["inputs"] != inputs:
                raise ValueError("other inputs")
            links = [f"{folder}/{at}" for at in range(len(entry["files"]))]
            if [_state(path) for path in (*links, *entry["read"])] != entry["states"]:
                raise ValueError("changed")
            for link, name in zip(links, entry["files"], strict=True):
                _link(link, name)
                linked.append(name)
        except (OSError, ValueError, KeyError, TypeError):
            for name in linked:
                Path(name).unlink()
            remove_tree(folder)
            return None
        return entry["facts"]

    def store(
        self, key: str, inputs: str, files: Sequence[Path], facts: Any, read: Sequence[Path] = ()
    ) -> None:
        """Cache the files of a class, and facts (JSON).

        `inputs` is a hash of all that decides what they hold, except for the files in `read`.
        """
        folder = self.folder / key
        remove_tree(folder)
        with suppress(OSError):  # a file system without hard links, or on another disk
            folder.mkdir(parents=True)
            for at, path in enumerate(files):
                os.link(path, folder / str(at))
            names, others = (list(map(os.fspath, paths)) for paths in (files, read))
            states = [_state(path) for path in (*files, *read)]
            entry = {"inputs": inputs, "files": names, "read": others, "states": states}
            entry["facts"] = facts
            replace_text(folder / _ENTRY, json.dumps(entry))

    @classmethod
    def of_stage(cls, work: Path, keys: Collection[str]) -> "ClassCache":
        """The cache in a stage's work folder, without classes that are not in `keys`."""
        folder = work / "classes"
        with suppress(FileNotFoundError):
            for entry in folder.iterdir():
                if entry.name not in keys:
                    remove_tree(entry)
        return cls(folder)

    @classmethod
    def of_photos(cls, work: Path, keys: Collection[str]) -> "ClassCache | None":
        """The same for a stage whose outputs are large; None where it would take disk space.

        DVC replaces outputs by copies of the files in its own cache, so that links to the outputs
        would be one more copy. If the first `cache.type` is hardlink, all are the same files.
        """
        if not _dvc_links():
            remove_tree(work / "classes")
            return None
        return cls.of_stage(work, keys)


def _dvc_links() -> bool:
    """Whether DVC makes hard links between its cache and the outputs."""
    from dvc.config import Config, ConfigError  # only the stages need it

    try:
        types = Config(".dvc")["cache"].get("type") or ["copy"]
    except (ConfigError, KeyError):
        return False
    return (types if isinstance(types, str) else types[0]) == "hardlink"


def _link(source: str, name: str) -> None:
    try:
        os.link(source, name)
    except FileExistsError:
        Path(name).unlink()
        os.link(source, name)
    except FileNotFoundError:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        os.link(source, name)


def _state(path: str | Path) -> str:
    """What tells that a file has changed: DVC compares the same. '' if it is missing."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a dataset has millions of photos)
    except (OSError, ValueError):
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


@cache
def code_digest(packages: Collection[str], libraries: Collection[str] = ()) -> str:
    """A hash of the files of packages of this project, and of the versions of libraries."""
    digest, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(path for name in packages for path in (root / name).rglob("*")):
        if path.suffix != ".pyc" and path.is_file():
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    for name in libraries:
        digest.update(f"{name}=={metadata.version(name)}\0".encode())
    return digest.hexdigest()


def inputs_digest(*parts: str | bytes | Path) -> str:
    """A hash of texts, bytes and contents of files. A missing file differs from an empty one."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes() if part.exists() else "missing"
        body = part.encode() if isinstance(part, str) else part
        digest.update(f"{type(part).__name__} {len(body)} ".encode() + body)
    return digest.hexdigest()
