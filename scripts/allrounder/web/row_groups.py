"""Fetches photos in Parquet files: a row group's column at a time, for all its photos together.

A photo is compressed together with others, so it is no byte range of the file.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from allrounder.core.photos import Bounds
from allrounder.core.rows import Result, Status
from allrounder.core.urls import Cell
from allrounder.web.dataset_rows import DatasetRows
from allrounder.web.decisions import (
    CUT_OFF,
    NO_RANGES,
    WRONG_RANGE,
    Decision,
    decide_body,
    decide_redirect,
    has_range,
    http_error,
    transport_failure,
)
from allrounder.web.parquet_reader import MAX_COLUMN, MAX_FOOTER, ParquetReader, check_pyarrow
from allrounder.web.policy import Pace
from allrounder.web.transfer import Reply, Request

Job = TypeVar("Job")
Ended = tuple[Job, Cell, Result, Reply]
"""A job, its cell, the result and the reply that has the photo."""
AT_ONCE = 4
"""Row groups under way at once: they are in memory."""
_KEPT = 2**27
"""Bytes of row groups that are kept for classes that ask later, and of footers."""
_BROKEN = Result(Status.NOT_IMAGE, "its row group is broken")


def size_fault(cell: Cell) -> Result | None:
    """The result of a cell that is refused for the bytes to read alone, or None."""
    sizes = [last + 1 - first for first, last in (cell.footer, cell.chunk)]
    if sizes[0] > MAX_FOOTER or sizes[1] > MAX_COLUMN:
        return Result(Status.TOO_LARGE, f"a row group of more than {MAX_COLUMN} bytes")
    return None


class GroupDownload:
    """The download of a row group's column; first of its file's footer, unless that is known."""

    def __init__(self, cell: Cell, rows: DatasetRows, footer: bytes, clock: Callable[[], float]):
        self.cell, self.footer, self.column = cell, footer, b""
        self.received = 0  # bytes of this request
        self.headers: dict[bytes, list[bytes]] = {}  # of the column's reply
        self._rows, self._clock = rows, clock
        self._body, self._pace = bytearray(), Pace(clock)

    @property
    def _place(self) -> tuple[int, int]:
        return self.cell.chunk if self.footer else self.cell.footer

    def request(self, url: str) -> Request:
        """The request to make now."""
        self._body, self._pace, self.received = bytearray(), Pace(self._clock), 0
        first, last = self._place
        return Request(url, 0, self._sink, first, last + 1 - first, self._rows.hub_headers(url))

    def _sink(self, reply: Reply, chunk: bytes) -> bool:
        self.received += len(chunk)
        first, last = self._place
        too_slow = self._pace.is_too_slow(self.received)
        if reply.code != 206 or too_slow or self.received > last + 1 - first:
            return False
        self._body += chunk
        return True

    def decide(self, reply: Reply, requested: list[str], bounds: Bounds) -> Decision:
        """Decide on how a request ended; a redirect to the file itself asks for the column."""
        if reply.code == 200:
            return NO_RANGES
        if reply.redirect is not None:
            return decide_redirect(reply.redirect, requested)
        if reply.code in (401, 403) and len(requested) == 1:
            dataset = self.cell.file.partition("/datasets/")[2].partition("/resolve/")[0]
            return self._rows.refused(dataset, reply.code)
        if reply.code and reply.code != 206:
            return http_error(reply.code)
        first, last = self._place
        is_longer = self.received > last + 1 - first
        if reply.code and (is_longer or not has_range(reply, first, last)):
            return Decision(Result(Status.TRUNCATED, WRONG_RANGE))
        if reply.stopped:
            return Decision(Result(Status.TRUNCATED, "too slow"), retry=True)
        if failed := transport_failure(reply, bounds):
            return failed
        if len(self._body) < last + 1 - first:
            return CUT_OFF
        if self.footer:
            self.column, self.headers = bytes(self._body), reply.headers
            return Decision(Result(Status.OK))
        self.footer, url = bytes(self._body), requested[0]
        requested.clear()
        return Decision(Result(Status.OK), redirect=url)


class RowGroups(Generic[Job]):
    """The row groups that jobs wait for. Each is requested once for all that wait.

    A row group that failed is not requested again in this run, so all its photos get the same
    result. A row group is identified by its cell with row 0.
    """

    def __init__(self, rows: DatasetRows, clock: Callable[[], float] = time.monotonic):
        self.waiting = 0  # jobs
        self._rows, self._clock, self._reader = rows, clock, ParquetReader()
        self._jobs: dict[Cell, list[tuple[Job, Cell]]] = {}
        self._queue: deque[Cell] = deque()
        self._under_way = 0
        self._footers: dict[tuple[str, tuple[int, int]], bytes] = {}
        self._kept: dict[Cell, GroupDownload] = {}
        self._failed: dict[Cell, tuple[Result, Reply]] = {}

    def add(self, job: Job, cell: Cell) -> None:
        """Let a job wait for its photo."""
        jobs = self._jobs.setdefault(first := replace(cell, row=0), [])
        jobs.append((job, cell))
        self.waiting += 1
        if len(jobs) == 1:
            self._queue.append(first)

    def start(self, bounds: Bounds) -> Iterator[GroupDownload | Ended[Job]]:
        """Yield the row groups to request now, and the results of jobs that need no request."""
        while self._queue and self._under_way < AT_ONCE:
            first = self._queue.popleft()
            if first in self._failed:
                yield from self._fail(first, *self._failed[first])
            elif kept := self._kept.get(first):
                yield from self._read(first, kept, bounds)
            elif fault := size_fault(first):
                yield from self._fail(first, fault, Reply())
            else:
                check_pyarrow(f"download: {first.file}")
                self._under_way += 1
                footer = self._footers.get((first.file, first.footer), b"")
                yield GroupDownload(first, self._rows, footer, self._clock)

    def end(
        self, group: GroupDownload, result: Result, reply: Reply, bounds: Bounds
    ) -> Iterator[Ended[Job]]:
        """Yield the results of the jobs that waited for a row group."""
        first = group.cell
        self._under_way -= 1
        if group.footer:
            self._footers[first.file, first.footer] = group.footer
        if result.status is Status.OK:
            self._kept[first] = group
            yield from self._read(first, group, bounds)
        else:
            self._failed[first] = result, reply
            yield from self._fail(first, result, reply)
        while sum(len(one.column) for one in self._kept.values()) > _KEPT:
            del self._kept[next(iter(self._kept))]
        while sum(map(len, self._footers.values())) > _KEPT:
            del self._footers[next(iter(self._footers))]

    def close(self) -> None:
        """End the process that reads."""
        self._reader.close()

    def _taken(self, first: Cell) -> list[tuple[Job, Cell]]:
        jobs = self._jobs.pop(first)
        self.waiting -= len(jobs)
        return jobs

    def _fail(self, first: Cell, result: Result, reply: Reply) -> Iterator[Ended[Job]]:
        for job, cell in self._taken(first):
            yield job, cell, result, reply

    def _read(self, first: Cell, group: GroupDownload, bounds: Bounds) -> Iterator[Ended[Job]]:
        """Yield the results of the jobs of a row group that was fetched.

        Photos before a fault in the file are read, whichever rows after it are wanted.
        """
        jobs = sorted(self._taken(first), key=lambda one: one[1].row)
        pieces = [(first.chunk[0], group.column), (first.footer[0], group.footer)]
        rows = sorted({cell.row for _, cell in jobs})
        photos = self._reader.photos(pieces, first.group, first.column, rows, bounds.max_bytes)
        row = size = None
        reply = Reply()
        for job, cell in jobs:
            if cell.row != row:
                row, (size, body) = cell.row, next(photos, (-1, b""))
                reply = Reply(code=206, headers=group.headers, chunks=[body], size=len(body))
            yield job, cell, _judged(size, reply, bounds), reply


def _judged(size: int | None, reply: Reply, bounds: Bounds) -> Result:
    """The result of a photo by its size, None if its row has none and -1 if it cannot be read."""
    if size == -1:
        return _BROKEN
    if not size:
        return Result(Status.EMPTY, "no photo in its row")
    if size > bounds.max_bytes:
        return Result(Status.TOO_LARGE, f"more than {bounds.max_bytes} bytes", bytes=size)
    return replace(decide_body(reply, bounds).result, bytes=size)
