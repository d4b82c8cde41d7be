"""The download's journal: what a running download has fetched, so that a killed run loses nothing.

An append-only file of photos beside a journal with one JSON line a URL. The line is written after
the photo, so a whole line guarantees its bytes; a torn tail of either file is cut off at start.
A photo's hash is checked when the photo is used: see prior_results.py.
"""

import copy
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from allrounder.core.files import replace_text
from allrounder.core.rows import Result, Status
from allrounder.core.tars import StoredBytes
from allrounder.history.lock import locked_output, output_is_cached


class _Files:
    """A file of photos and its journal. Every process of a run has a pair of its own."""

    def __init__(self, folder: Path, number: int):
        tail = f"-{number}" if number else ""
        self._blob_path = folder / f"photos{tail}.blob"
        self._journal_path = folder / f"journal{tail}.jsonl"
        self._size = 0  # of the blob, as far as the journal covers it
        self._blob = self._journal = -1

    def load(self) -> Iterator[tuple[str, Result]]:
        """Yield the journal's results by URL, and cut off its torn tail."""
        if not self._journal_path.exists() or not self._blob_path.exists():
            self._journal_path.unlink(missing_ok=True)
            return
        whole, size = 0, self._blob_path.stat().st_size
        with self._journal_path.open("rb") as journal:
            for line in journal:
                if not line.endswith(b"\n"):
                    break
                try:
                    url, result = self._result(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    break
                if stored := result.stored:
                    if stored.offset + stored.size > size:
                        break
                    self._size = stored.offset + stored.size
                yield url, result
                whole += len(line)
        os.truncate(self._journal_path, whole)

    def open(self) -> None:
        """Open the files for `add`."""
        self._blob = os.open(self._blob_path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
        self._journal = os.open(self._journal_path, os.O_WRONLY | os.O_CREAT | _APPEND, 0o666)
        os.ftruncate(self._blob, self._size)
        os.lseek(self._blob, self._size, os.SEEK_SET)

    def add(self, url: str, result: Result, body: bytes) -> Result:
        """Append a URL's result, its photo first; returns the result with the photo's place."""
        stored = None
        if result.status is Status.OK:
            _write_all(self._blob, body)
            stored = StoredBytes(self._blob_path, self._size, len(body))
            self._size += len(body)
        line: dict[str, Any] = {"url": url} | {name: getattr(result, name) for name in _FIELDS}
        line["offset"] = stored.offset if stored else 0
        _write_all(self._journal, json.dumps(line).encode() + b"\n")
        return replace(result, stored=stored)

    def close(self) -> None:
        """Close the files. What was written stays."""
        os.close(self._blob)
        os.close(self._journal)

    def _result(self, line: dict[str, Any]) -> tuple[str, Result]:
        stored = None
        if line["status"] == Status.OK:
            stored = StoredBytes(self._blob_path, int(line["offset"]), int(line["bytes"]))
        fields = {name: line[name] for name in _FIELDS if name in line}
        fields["status"] = Status(line["status"])
        return line["url"], Result(**fields, stored=stored)


class Journal:
    """The journal of one stage run; use it within `stage_lock`.

    `key` identifies the params that results depend on: if it has changed, only photos are kept,
    no failures. Transient failures are kept only by a run that continues a killed one.
    `fresh` discards what an earlier run left, unless that was killed and fresh too; `confirm` also
    what one left that found other photos than dvc.lock pins.
    `pinned` is what dvc.lock pins now: see `discard_committed`.
    """

    def __init__(
        self, folder: Path, key: str, fresh: bool, pinned: str = "", confirm: bool = False
    ):
        self._folder = folder
        self._mark = folder / _MARK
        folder.mkdir(parents=True, exist_ok=True)
        state = read_state(folder)
        ended = state.get("complete") or (confirm and state.get("compared") and state.get("ended"))
        if fresh and (ended or not state.get("fresh")):
            clear_journal(folder)
        same_key, killed = state.get("key") == key, not state.get("ended", True)
        self._results: dict[str, Result] = {}
        self._all_files = {number: _Files(folder, number) for number in _numbers(folder)}
        for files in self._all_files.values():
            for url, result in files.load():
                is_photo = result.stored and result.resume_at is None and not result.rescued_from
                if is_photo or (same_key and (killed or not result.transient)):
                    self._results[url] = result
        self._members = defaultdict[str, list[tuple[str, Result]]](list)  # by archive
        for url, result in self._results.items():
            if result.resume_at:
                self._members[url.partition("#")[0]].append((url, result))
        self._files = self._all_files[0]
        self._files.open()
        # DVC may lack a part of the last output, if that had more than the pins.
        self.uncommitted = bool(state.get("complete") and self._results)
        self._state = {"key": key, "fresh": fresh, "pinned": pinned} | _RUNNING
        self._write_state()

    def next_round(self) -> "Journal":
        """The journal for the next round of this run, with the results of this round."""
        self.close(killed=True)
        state = self._state
        other = Journal(self._folder, str(state["key"]), bool(state["fresh"]), str(state["pinned"]))
        other.uncommitted = self.uncommitted
        return other

    def of_process(self, number: int) -> "Journal":
        """The journal for another process, forked from this one, with files of its own."""
        other = copy.copy(self)
        other._files = self._all_files.get(number) or _Files(self._folder, number)
        other._files.open()
        return other

    def get(self, url: str) -> Result | None:
        """The result of a URL in an earlier run."""
        return self._results.get(url)

    def members(self, archive: str) -> list[tuple[str, Result]]:
        """The members of an archive that an earlier run read, in its order: (URL, result)."""
        found = self._members.get(archive, ())
        return sorted(found, key=lambda member: member[1].resume_at or 0)

    def add(self, url: str, result: Result, body: bytes = b"") -> Result:
        """Append a URL's result, its photo first; returns the result with the photo's place."""
        return self._files.add(url, result, body)

    def compared(self) -> None:
        """Record that the run is held against dvc.lock: if it differs, `confirm` asks again."""
        self._state["compared"] = True

    def complete(self) -> None:
        """Record that the run wrote its output. A fresh run after it starts with no journal."""
        self._state["complete"] = True

    def close(self, killed: bool = False) -> None:
        """Close the files. What was written stays."""
        self._files.close()
        self._state["ended"] = not killed
        self._write_state()

    def _write_state(self) -> None:
        replace_text(self._mark, json.dumps(self._state))


def discard_committed(folder: Path) -> None:
    """Discard the journal of a run that wrote its output, once DVC has committed all of it.

    dvc.lock pins another output by then. That alone proves nothing: DVC also writes it where it
    could not copy every file to its cache, on a full disk for instance, and for --no-commit.
    """
    state = read_state(folder)
    is_pinned = state.get("complete") and state.get("pinned") != locked_output("download")
    if is_pinned and output_is_cached("download"):
        clear_journal(folder)


def clear_journal(folder: Path) -> None:
    """Delete the journals of all processes, and their photos."""
    for path in [*folder.glob("photos*.blob"), *folder.glob("journal*.jsonl"), folder / _MARK]:
        path.unlink(missing_ok=True)


def _numbers(folder: Path) -> list[int]:
    """The numbers of the processes that left a journal, and 0."""
    tails = (path.stem.removeprefix("journal-") for path in folder.glob("journal-*.jsonl"))
    return [0, *sorted(int(tail) for tail in tails if tail.isdigit())]


_MARK = "run.json"
_RUNNING = {"complete": False, "ended": False}
_FIELDS = tuple(one.name for one in fields(Result) if one.name != "stored")
_BINARY = getattr(os, "O_BINARY", 0)
_APPEND = os.O_APPEND | _BINARY


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_state(folder: Path) -> dict[str, Any]:
    """How the last run with this journal has ended; empty if that is not known."""
    try:
        state = json.loads((folder / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
