"""Caches what a stage makes of each class: a class whose inputs are the same is not made again.

DVC deletes a stage's outputs before the stage runs. The cache has hard links to them, which take
no disk space. A restored file keeps its inode and its time, so DVC does not hash it again either.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from allrounder.core.files import remove_tree, replace_text
from allrounder.core.paths import DECODED, WORK

_ENTRY = "entry.json"
_PROJECT = Path(__file__).parents[1]
Code = tuple[Sequence[str], Sequence[str]]
"""The packages of this project, and the libraries, that decide what a stage makes of a class."""


@dataclass(frozen=True, slots=True)
class ClassCache:
    """The cached classes of a stage. The folder may be deleted at any time."""

    folder: Path
    code: str = ""  # a hash of what makes the files, and of the inputs that all classes share

    @classmethod
    def of_stage(cls, work: Path, keys: Collection[str], code: Code, *common: str) -> "ClassCache":
        """The cache in a stage's work folder, without classes that are not in `keys`.

        `common` are inputs that all classes share. Call it before the stage's work: the code may
        be edited meanwhile.
        """
        folder = work / "classes"
        with suppress(FileNotFoundError):
            for entry in folder.iterdir():
                if entry.name not in keys:
                    remove_tree(entry)
        return cls(folder, inputs_digest(code_digest(*code), *common))

    @classmethod
    def of_photos(
        cls, work: Path, keys: Collection[str], code: Code, *common: str
    ) -> "ClassCache | None":
        """The same for a stage whose outputs are large; None where it would take disk space.

        DVC replaces outputs by copies of the files in its own cache, so that links to the outputs
        would be one more copy. If the first `cache.type` is hardlink, all are the same files.
        """
        if not _dvc_links():
            remove_tree(work / "classes")
            return None
        return cls.of_stage(work, keys, code, *common)

    def restore(self, key: str, inputs: str) -> Any | None:
        """Link the files of a class to their places; returns the facts that were stored with them.

        None, and the class is no longer cached, if it was made from other inputs or by other code,
        or if a file was changed since, also one that it was read from.
        """
        folder = self.folder / key
        entry, linked = read_json(folder / _ENTRY), list[str]()
        try:
            if entry is None or (entry["code"], entry["inputs"]) != (self.code, inputs):
                raise ValueError("other inputs")
            links = [f"{folder}/{at}" for at in range(len(entry["files"]))]  # maybe a million
            if [*map(file_state, links)] != entry["states"]:
                raise ValueError("a file was changed")
            if {path: source_state(path) for path in entry["read"]} != entry["read"]:
                raise ValueError("a source was changed")
            for link, name in zip(links, entry["files"], strict=True):
                _link(link, name)
                linked.append(name)
        except (OSError, ValueError):
            for name in linked:
                Path(name).unlink(missing_ok=True)
            remove_tree(folder)
            return None
        return entry["facts"]

    def store(
        self,
        key: str,
        inputs: str,
        files: Sequence[Path],
        facts: Any,
        read: Mapping[str, str] | None = None,
    ) -> None:
        """Cache the files of a class, and facts (JSON).

        `inputs` is a hash of all that decides what they hold, except for the code and the files in
        `read`: by path, the `source_state` of each before it was read.
        """
        folder = self.folder / key
        remove_tree(folder)
        with suppress(OSError):  # a file system without hard links, or on another disk
            folder.mkdir(parents=True)
            for at, path in enumerate(files):
                os.link(path, folder / str(at))
            entry = {
                "code": self.code,
                "inputs": inputs,
                "files": [*map(os.fspath, files)],
                "states": [*map(file_state, files)],
                "read": {**read} if read else {},
                "facts": facts,
            }
            write_json(folder / _ENTRY, entry)


def names_file(store: Path) -> Path:
    """The file beside a store of decoded photos that has the states of its files."""
    return store.with_name(f"{store.name}.json")


def drop_trusted_caches() -> None:
    """Remove what is trusted by size and time: cached classes, states of decoded photos."""
    names_file(DECODED).unlink(missing_ok=True)
    for folder in (*WORK.glob("*/classes"), *WORK.glob("report/*/classes")):
        remove_tree(folder)


def write_json(path: Path, value: Any) -> None:
    """Write a value so that `read_json` notices any damage."""
    body = json.dumps(value)
    replace_text(path, f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}")


def read_json(path: Path) -> Any | None:
    """What `write_json` wrote; None if the file is missing or damaged."""
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return json.loads(body) if hashlib.sha256(body).hexdigest().encode() == digest else None


def _dvc_links() -> bool:
    """Whether DVC makes hard links between its cache and the outputs."""
    from dvc.config import Config, ConfigError  # only the stages need it

    if os.name == "nt":  # which does not remove links to the read-only files of DVC's cache
        return False
    try:
        config = Config(".dvc")["cache"]
        types, folder = config.get("type") or ["copy"], config.get("dir") or ".dvc"
        first = types if isinstance(types, str) else types[0]
        return first == "hardlink" and Path(folder).stat().st_dev == Path().stat().st_dev
    except (ConfigError, KeyError, OSError):
        return False


def _link(source: str, name: str) -> None:
    try:
        os.link(source, name)
    except FileExistsError:
        Path(name).unlink()
        os.link(source, name)
    except FileNotFoundError:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        os.link(source, name)


def file_state(path: str | Path) -> str:
    """What tells that a file has changed: DVC compares the same. '' if it is missing."""
    found = _stat(path)
    return _text(found) if found else ""


def source_state(path: str | Path) -> str:
    """The same for a file to which DVC makes no links; its rights, and any edit, change it too."""
    found = _stat(path)
    return f"{_text(found)} {found.st_ctime_ns}" if found else ""


def _text(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def _stat(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 (a dataset has millions of photos)
    except (OSError, ValueError):
        return None


@cache
def code_digest(code: Sequence[str], libraries: Sequence[str] = ()) -> str:
    """A hash of this project's packages or files in `code`, and of the versions of libraries."""
    digest, places = hashlib.sha256(), [_PROJECT / name for name in code]
    for path in sorted(path for place in places for path in (place, *place.rglob("*"))):
        if path.suffix != ".pyc" and path.is_file():
            digest.update(f"{path.relative_to(_PROJECT)}\0".encode() + path.read_bytes())
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
