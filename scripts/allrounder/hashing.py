"""Hashes files of this machine, many at a time, as fast as the disk gives them.

Threads do: hashlib lets go of the interpreter's lock while it hashes. Not for bytes of the web.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 2**20
_BATCH = 32
"""Files a task: photos are small, and a task costs as much as hashing one."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A file's hashes; or, in a few words, why it has none."""

    md5: str = ""
    sha256: str = ""
    size: int = 0  # bytes
    error: str = ""


def digest(path: Path) -> Digest:
    """Hash one file. What is no plain file (a pipe, a device) is not opened."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            return Digest(error="no plain file")
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(min(_CHUNK, info.st_size + 1)):
                md5.update(chunk)
                sha256.update(chunk)
                size += len(chunk)
    except OSError as error:
        return Digest(error=error.strerror or type(error).__name__)
    except ValueError:
        return Digest(error="no file can be called so")
    return Digest(md5.hexdigest(), sha256.hexdigest(), size)


def digests(
    paths: Sequence[Path], show: Callable[[int], object] = lambda size: None
) -> Iterator[Digest]:
    """Hash files in parallel; yields in their order. `show` is told the bytes of each."""
    batches = [paths[at : at + _BATCH] for at in range(0, len(paths), _BATCH)]
    workers = min(32, 4 * (os.cpu_count() or 1))
    for batch in in_threads(lambda batch: [digest(path) for path in batch], batches, workers):
        for one in batch:
            show(one.size)
            yield one


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Call a function for every item, in threads; yields in order. An interrupt drops the rest."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
