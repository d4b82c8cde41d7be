"""The download's journal: what a running download has fetched, so that a killed run loses nothing.

An append-only file of photos beside a journal with one JSON line a URL. The line is written after
the photo, so a whole line guarantees its bytes; a torn tail of either file is cut off at start.
"""

import copy
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allrounder.core.results import Result
from allrounder.core.rows import Status
from allrounder.core.tars import StoredBytes


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A journal line: a URL's outcome; for a member of an archive also the next one's place."""

    outcome: Result
    archive: str = ""
    end: int = 0


class _Files:
    """A file of photos and its journal; every process of a run has a pair of its own."""

    def __init__(self, folder: Path, number: int):
        tail = f"-{number}" if number else ""
        self._blob_path = folder / f"photos{tail}.blob"
        self._journal_path = folder / f"journal{tail}.jsonl"
        self._size = 0  # of the blob, as far as the journal vouches for it
        self._blob = self._journal = -1

    def load(self) -> Iterator[tuple[str, JournalEntry]]:
        """Yield what the journal says, by URL, and cut off its torn tail."""
        if not self._journal_path.exists() or not self._blob_path.exists():
            self._journal_path.unlink(missing_ok=True)
            return
        whole = 0
        with self._journal_path.open("rb") as journal:
            for line in journal:
                if not line.endswith(b"\n"):
                    break
                try:
                    url, entry = self._entry(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    break
                if stored := entry.outcome.stored:
                    if hashlib.sha256(stored.read()).hexdigest() != entry.outcome.sha256:
                        break
                    self._size = stored.offset + stored.size
                yield url, entry
                whole += len(line)
        os.truncate(self._journal_path, whole)

    def open(self) -> None:
        """Be ready to add."""
        self._blob = os.open(self._blob_path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
        self._journal = os.open(self._journal_path, os.O_WRONLY | os.O_CREAT | _APPEND, 0o666)
        os.ftruncate(self._blob, self._size)
        os.lseek(self._blob, self._size, os.SEEK_SET)

    def add(self, url: str, entry: JournalEntry, body: bytes) -> Result:
        """Note a URL's outcome, its photo first; returns the outcome with the place of it."""
        outcome, stored = entry.outcome, None
        if outcome.status is Status.OK:
            _write_all(self._blob, body)
            stored = StoredBytes(self._blob_path, self._size, len(body))
            self._size += len(body)
        line: dict[str, Any] = {"url": url, "status": outcome.status, "detail": outcome.detail}
        line |= {"final_url": outcome.final_url, "bytes": outcome.bytes, "sha256": outcome.sha256}
        line |= {"suffix": outcome.suffix, "offset": stored.offset if stored else 0}
        line |= {"archive": entry.archive, "end": entry.end}
        _write_all(self._journal, json.dumps(line).encode() + b"\n")
        return replace(outcome, stored=stored)

    def close(self) -> None:
        """Close the files; what was noted stays."""
        os.close(self._blob)
        os.close(self._journal)

    def _entry(self, line: dict[str, Any]) -> tuple[str, JournalEntry]:
        stored = None
        if line["status"] == Status.OK:
            stored = StoredBytes(self._blob_path, int(line["offset"]), int(line["bytes"]))
        outcome = Result(
            Status(line["status"]),
            line["detail"],
            line["final_url"],
            line["bytes"],
            line["sha256"],
            line["suffix"],
            stored,
        )
        return line["url"], JournalEntry(outcome, line["archive"], line["end"])


class Journal:
    """The spool of one stage run; use it within `workdir.locked`.

    `key` stands for the params that outcomes depend on: under another key only photos are kept,
    not the reasons against others. `pinned` is what dvc.lock pins now: see `sweep`. `fresh`
    forgets what an earlier run left, unless that was cut off and fresh too.
    """

    def __init__(self, folder: Path, key: str, fresh: bool, pinned: str = ""):
        self._folder = folder
        self._mark = folder / _MARK
        folder.mkdir(parents=True, exist_ok=True)
        discard_committed(folder, pinned)
        state = _read_state(self._mark)
        if fresh and (not state.get("fresh") or state.get("complete")):
            _clear(folder)
        self._same_key = state.get("key") == key
        self._entries: dict[str, JournalEntry] = {}
        self._all_files = {number: _Files(folder, number) for number in _numbers(folder)}
        for files in self._all_files.values():
            for url, entry in files.load():
                if self._same_key or entry.outcome.stored:
                    self._entries[url] = entry
        self._files = self._all_files[0]
        self._files.open()
        self._state = {"key": key, "fresh": fresh, "complete": False, "pinned": pinned}
        self._mark.write_text(json.dumps(self._state), encoding="utf-8")

    def of_process(self, number: int) -> "Journal":
        """The spool for another process of the run, forked from this one: with its own files."""
        other = copy.copy(self)
        other._files = self._all_files.get(number) or _Files(self._folder, number)
        other._files.open()
        return other

    def get(self, url: str) -> Result | None:
        """The outcome that an earlier run noted for a URL."""
        entry = self._entries.get(url)
        return entry.outcome if entry else None

    def members(self, archive: str) -> Iterator[tuple[str, JournalEntry]]:
        """The members of an archive that an earlier run took note of, in order, by URL."""
        if self._same_key:
            yield from (
                (url, entry) for url, entry in self._entries.items() if entry.archive == archive
            )

    def add(self, url: str, entry: JournalEntry, body: bytes = b"") -> Result:
        """Note a URL's outcome, its photo first; returns the outcome with the place of it."""
        return self._files.add(url, entry, body)

    def complete(self) -> None:
        """Note that the run came to its end: a fresh one after it starts from nothing."""
        self._state["complete"] = True
        self._mark.write_text(json.dumps(self._state), encoding="utf-8")

    def close(self) -> None:
        """Close the files; what was noted stays."""
        self._files.close()


def discard_committed(folder: Path, pinned: str) -> None:
    """Forget a run that ended and was committed since: dvc.lock pins another output than before.

    Until DVC has taken the output into its cache, the spool is what a kill cannot take away.
    """
    state = _read_state(folder / _MARK)
    if state.get("complete") and state.get("pinned") != pinned:
        _clear(folder)


def _clear(folder: Path) -> None:
    for path in [*folder.glob("photos*.blob"), *folder.glob("journal*.jsonl"), folder / _MARK]:
        path.unlink(missing_ok=True)


def _numbers(folder: Path) -> list[int]:
    """The numbers of the processes that left files, and 0."""
    tails = (path.stem.removeprefix("journal-") for path in folder.glob("journal-*.jsonl"))
    return [0, *sorted(int(tail) for tail in tails if tail.isdigit())]


_MARK = "run.json"
_BINARY = getattr(os, "O_BINARY", 0)
_APPEND = os.O_APPEND | _BINARY


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
