"""Files of this machine: atomic writes, the stages' work folders and locks, hashes."""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from allrounder.core.errors import DataError, UsageError
from allrounder.core.paths import LOCK, WORK, is_clutter
from allrounder.core.workers import Item, Result, cores

LOCK_COPY = WORK / "dvc.lock"
"""A copy of dvc.lock as it was when the last stage began: a kill may cut off the file itself."""
_PATIENCE = 5.0
"""Seconds that the other processes of a killed run have to end."""


@contextmanager
def stage_lock(stage: str) -> Iterator[Path]:
    """The stage's work folder, locked for this run.

    Raises DataError that says who holds it: two runs at once, or one that DVC left when it was
    killed.
    """
    folder = WORK / stage
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / "holder"
    try:
        with FileLock(folder / "lock", timeout=0 if _alive(_read_holder(holder)) else _PATIENCE):
            holder.write_text(str(os.getpid()), encoding="utf-8")
            _keep_lock()
            yield folder
            holder.unlink(missing_ok=True)
    except Timeout:
        raise DataError(
            f"another {stage} is running here (process {_read_holder(holder) or 'unknown'}); "
            "wait for it or end it"
        ) from None


def _keep_lock() -> None:
    """Copy dvc.lock, which DVC does not write while a stage runs."""
    if not LOCK.exists():
        LOCK_COPY.unlink(missing_ok=True)
    elif (lock := LOCK.read_bytes()).endswith(b"\n"):  # else it is cut off already
        part_of(LOCK_COPY).write_bytes(lock)
        part_of(LOCK_COPY).replace(LOCK_COPY)


def read_text(path: Path) -> str:
    """The text of a file that users edit.

    Raises UsageError for one that cannot be read, FileNotFoundError for a missing one.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); correct that") from None


def remove_tree(folder: Path) -> None:
    """Remove a folder and its contents, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)


def _read_holder(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return ""


def _alive(pid: str) -> bool:
    if os.name == "nt" or not pid.isdigit():
        return bool(pid)  # Windows has no signal that only tests a process
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def remove_other_classes(folder: Path, keys: Collection[str]) -> None:
    """Remove the files of classes that are not in `keys`, and incomplete `.part` files."""
    for path in folder.iterdir():
        other = path.name.partition(".")[0] not in keys or path.suffix == ".part"
        if other and not is_clutter(path.name):
            path.unlink()


def disguise(head: bytes) -> str:
    """What a file really is that should be a photo, list or object, or '' if unknown.

    `head` are its first bytes, at least 262 of a longer file.
    """
    if head.startswith(b"version https://git-lfs.github.com/"):
        return "a Git LFS pointer; git lfs pull fetches the file"
    if re.match(rb"\s*<(!doctype\s+html|html|head|body)\b", head, re.IGNORECASE):
        return "a web page (HTML)"
    return "a tar" if head[257:262] == b"ustar" else ""


def file_disguise(path: Path) -> str:
    """As `disguise`, of a file. Only regular files are opened."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return disguise(file.read(512))
    except OSError:
        return ""


_CHUNK = 2**20
_BATCH = 32
"""Files in one task: starting a task costs as much as hashing a small photo."""


@dataclass(frozen=True, slots=True)
class FileHashes:
    """A file's hashes, or the reason why it has none."""

    md5: str = ""
    sha256: str = ""
    size: int = 0  # bytes
    error: str = ""


def hash_file(path: Path) -> FileHashes:
    """Hash one file. Only regular files are opened, no pipes or devices."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            return FileHashes(error="not a regular file")
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(min(_CHUNK, info.st_size + 1)):
                md5.update(chunk)
                sha256.update(chunk)
                size += len(chunk)
    except OSError as error:
        return FileHashes(error=error.strerror or type(error).__name__)
    except ValueError:
        return FileHashes(error="not a valid file name")
    return FileHashes(md5.hexdigest(), sha256.hexdigest(), size)


def hash_files(
    paths: Sequence[Path], show: Callable[[int], object] = lambda size: None
) -> Iterator[FileHashes]:
    """Hash files in parallel; yields in their order. `show` gets the size of each."""
    batches = [paths[at : at + _BATCH] for at in range(0, len(paths), _BATCH)]
    workers = min(32, 4 * cores())
    for batch in in_threads(lambda batch: [hash_file(path) for path in batch], batches, workers):
        for one in batch:
            show(one.size)
            yield one


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Call a function for every item in threads; yields in order. An interrupt cancels the rest."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def file_md5(path: Path) -> str:
    """The MD5 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_object(files: Mapping[str, str]) -> bytes:
    """DVC's list of a folder with these files (relative path to MD5), by path.

    As dvc_data.hashfile.tree.Tree.as_bytes.
    """
    entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
    return json.dumps(entries, sort_keys=True).encode()


def folder_md5(files: Mapping[str, str]) -> str:
    """DVC's hash of a folder with these files: the MD5 of its list."""
    return hashlib.md5(folder_object(files), usedforsecurity=False).hexdigest() + ".dir"


def files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder and below, without clutter."""
    for place, names in _walk(folder):
        yield from filter(Path.is_file, (Path(place, name) for name in names))


def folder_size(folder: Path) -> tuple[int, int]:
    """The number of files in a folder and below, without clutter, and their bytes."""
    count = size = 0
    for place, names in _walk(folder):
        for name in names:
            with suppress(OSError):  # a broken link
                info = os.stat(f"{place}/{name}")  # noqa: PTH116 (there may be millions)
                if stat.S_ISREG(info.st_mode):
                    count, size = count + 1, size + info.st_size
    return count, size


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The names of the files in a folder and in each one below, without clutter."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = (name for name in folders if not is_clutter(name))
        yield place, [name for name in names if not is_clutter(name)]


def hash_folder(folder: Path) -> str:
    """The hash that DVC records for a folder as it is now."""
    paths = list(files_below(folder))
    hashes = zip(paths, in_threads(file_md5, paths, cores()), strict=True)
    return folder_md5({path.relative_to(folder).as_posix(): md5 for path, md5 in hashes})


def part_of(path: Path) -> Path:
    """The file that is written in place of `path`, until it is complete and replaces `path`."""
    return path.with_name(path.name + ".part")


@contextmanager
def atomic_write(path: Path) -> Iterator[TextIO]:
    """Open a text file that replaces `path` when the block ends without an error."""
    part = part_of(path)
    with part.open("w", encoding="utf-8", newline="") as file:
        yield file
    part.replace(path)


def replace_text(path: Path, text: str) -> None:
    """Write a text file, or replace it, at once."""
    with atomic_write(path) as file:
        file.write(text)
