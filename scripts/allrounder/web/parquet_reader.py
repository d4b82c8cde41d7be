"""Reads pieces of Parquet files with pyarrow, in a process with bounded memory and time."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from allrounder.core.errors import DataError, UsageError
from allrounder.core.text import one_line
from allrounder.core.workers import killed

MAX_FOOTER = 2**24
"""Bytes of a file's footer at most."""
MAX_COLUMN = 2**26
"""Bytes of a row group's column at most: they are in memory while they are read."""
MEMORY = 2**30
"""Bytes of data that the process may have."""
_CHILD = Path(__file__).with_name("parquet_child.py")
_KEPT = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "HOME", "SYSTEMROOT")
"""The environment variables that the process gets. None of them holds a token."""
_KILLED = (-9, -15)


class BrokenParquetError(ValueError):
    """Why a Parquet file cannot be read, in a few words."""


class Range(NamedTuple):
    """Some bytes of a file."""

    offset: int
    size: int


class Group(NamedTuple):
    """A row group: its rows, the bytes of the labels and of the photos, the range of the labels."""

    rows: int
    labels: Range
    photos: Range
    between: tuple[int, int] | None  # the smallest and the largest label, of integers

    def may_have(self, labels: Collection[int | str]) -> bool:
        """Whether it may have one of these labels."""
        if self.between is None:
            return True
        low, high = self.between
        return any(isinstance(label, int) and low <= label <= high for label in labels)


class ParquetReader:
    """Asks a child process, which is started when needed and again after a crash."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def layout(self, footer: tuple[int, bytes], label: str, image: str) -> tuple[str, list[Group]]:
        """The column of the photos' bytes, and the row groups.

        `footer` is the end of the file: the offset of its first byte, and the bytes. Raises
        BrokenParquetError, also for a file without such columns.
        """
        self._ask("layout", [footer], label=label, image=image)
        answer = self._answer()
        groups = [
            Group(rows, Range(*labels), Range(*photos), tuple(between) if between else None)
            for rows, labels, photos, between in answer["groups"]
        ]
        last = footer[0] + len(footer[1])
        for group in groups:
            for place in (group.labels, group.photos):
                if place.offset < 4 or place.size < 1 or sum(place) > last:
                    raise BrokenParquetError("a column lies outside the file")
        return answer["image"], groups

    def labels(
        self, pieces: Sequence[tuple[int, bytes]], group: int, column: str
    ) -> list[int | str | None]:
        """The labels of a row group. `pieces` are the column and the end of the file."""
        self._ask("labels", pieces, group=group, column=column)
        labels: list[int | str | None] = self._answer()["labels"]
        return labels

    def photos(
        self,
        pieces: Sequence[tuple[int, bytes]],
        group: int,
        column: str,
        rows: Sequence[int],
        most: int,
    ) -> Iterator[tuple[int | None, bytes]]:
        """Yield size and bytes of the photo in each of some rows, which ascend, up to a fault.

        The size is None where there is no photo; no bytes of one with more than `most`.
        """
        wanted = {"group": group, "column": column, "rows": list(rows), "most": most}
        with suppress(BrokenParquetError):
            self._ask("photos", pieces, **wanted)
            for _ in rows:
                size = self._answer()["size"]
                yield size, self._read(size) if size is not None and size <= most else b""

    def close(self) -> None:
        """End the child."""
        if self._child:
            self._child.kill()
            self._child.communicate()
        self._child = None

    def _ask(self, call: str, pieces: Sequence[tuple[int, bytes]], **more: object) -> None:
        self._child = self._child or _start()
        file = self._child.stdin
        assert file
        size = max(start + len(body) for start, body in pieces)
        given = {"call": call, "size": size, "pieces": [(s, len(b)) for s, b in pieces], **more}
        with suppress(BrokenPipeError):  # `_answer` reports why the process died
            file.write(json.dumps(given).encode() + b"\n")
            for _, body in pieces:
                file.write(body)
            file.flush()

    def _answer(self) -> dict[str, Any]:
        """The next line of the answer. Raises BrokenParquetError for an error."""
        assert self._child
        assert self._child.stdout
        line = self._child.stdout.readline()
        if not line.endswith(b"\n"):
            self._crashed()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BrokenParquetError(one_line(answer["error"]))
        return answer

    def _read(self, size: int) -> bytes:
        assert self._child
        assert self._child.stdout
        body = self._child.stdout.read(size)
        if len(body) < size:
            self._crashed()
        return body

    def _crashed(self) -> NoReturn:
        """Raise BrokenParquetError, or DataError if this machine has ended the process."""
        child, self._child = self._child, None
        assert child
        with suppress(BrokenPipeError):
            child.communicate()
        if child.returncode in _KILLED:
            raise killed()
        raise BrokenParquetError("crashed its reader")


def check_pyarrow(what: str) -> None:
    """Raise UsageError that starts with `what` if pyarrow is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError(
            f"{what}: Parquet needs pyarrow: pip install pyarrow, or say via: viewer in its source"
        )


def _start() -> "subprocess.Popen[bytes]":
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", str(_CHILD), str(MEMORY)],
            env=kept | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise DataError(f"no process can be started to read Parquet: {error.strerror}") from None
    assert child.stdout
    if child.stdout.readline() != b"{}\n":
        child.communicate()
        raise DataError(
            "pyarrow cannot be imported to read Parquet; python -c 'import pyarrow.parquet' "
            "shows why, or ulimit -v"
        )
    return child
