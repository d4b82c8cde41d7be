"""Runs the download: asks for every class's candidates until each class has its quota of photos.

A result comes from, in this order: dvc.lock's pins, the journal of a killed run, a local file,
the web (offline: missing URLs are only counted).
"""

import os
import time
from collections import deque
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from allrounder.core.files import remove_tree
from allrounder.core.interrupts import Interrupts
from allrounder.core.photos import Bounds, judge
from allrounder.core.results import Result, is_transient, result_of_body
from allrounder.core.rows import Candidate, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes
from allrounder.core.tarstream import Member
from allrounder.core.urls import is_local_file, is_url, parse_slice
from allrounder.download.class_quota import ClassResult, ClassRun, Slot
from allrounder.history.journal import Journal, JournalEntry
from allrounder.history.prior_results import (
    PinnedResults,
    PriorResults,
    is_retried,
    pins_fill_quota,
)
from allrounder.params.schema import Network, Params
from allrounder.params.sources import Source
from allrounder.web.archives import REST, ArchiveDownload, at_byte, byte_of, member_candidate
from allrounder.web.dataset_rows import DatasetRows
from allrounder.web.decisions import slice_size_fault
from allrounder.web.fetcher import NOTHING_REACHED, POLL, Fetched, Fetcher, Traffic, nothing_reached
from allrounder.web.policy import is_offline


class LocalPhotos:
    """The files of this machine that the sources of a run may list."""

    def __init__(self, sources: Sequence[Source], bounds: Bounds):
        self._roots = [os.path.abspath(root) for source in sources for root in source.local_roots()]
        self._bounds = bounds

    def outcome(self, url: str) -> Result:
        """What becomes of a photo, by its path or slice."""
        part = parse_slice(url)
        path = part.file if part else url
        if refused := self.refused(path):
            return refused
        try:
            if part:
                stored = StoredBytes(Path(path), part.offset, part.size)
                body = stored.read()
            else:
                body = Path(path).read_bytes()
                stored = StoredBytes(Path(path), 0, len(body))
        except OSError as error:
            return Result(Status.CONNECTION_ERROR, f"file: {error.strerror}")
        except ValueError:
            return Result(Status.BAD_URL, "no file can be called so")
        if len(body) < stored.size:
            return Result(Status.TRUNCATED, "file cut off", bytes=len(body))
        return result_of_body(judge(body, self._bounds), body, "", stored, len(body))

    def refused(self, path: str) -> Result | None:
        """What is said of a path that does not lie where a source says, or None."""
        place = Path(os.path.abspath(path))
        if any(place.is_relative_to(root) for root in self._roots):
            return None
        return Result(Status.BAD_URL, "no URL, and in no folder of the sources")


class ArchiveRun:
    """Takes the members of the archive that is a slot's candidate."""

    def __init__(
        self, run: ClassRun, slot: Slot, known: PriorResults, spool: Journal, bounds: Bounds
    ):
        self._run, self._archive = run, slot.candidate
        self._known, self._spool, self._bounds = known, spool, bounds
        run.begin_archive()

    def replay(self) -> tuple[int, Result | None]:
        """Take the known members; returns the byte where to go on, or the archive's own outcome."""
        url = self._archive.url
        pinned = self._run.pins.get(url)
        known = dict(self._run.pins.members(url))
        last = (byte_of(pinned.detail) if pinned else 0) or 0
        spooled = {m: entry for m, entry in self._spool.members(url) if m not in known}
        known |= {member: entry.outcome for member, entry in spooled.items()}
        places = [byte_of(outcome.detail) or 0 for outcome in known.values()]
        last = max([last, *(entry.end for entry in spooled.values())])
        stops = [*places, last][1:]
        for (member, outcome), start, end in zip(known.items(), places, stops, strict=True):
            checked = self._known.rechecked(outcome)
            if checked is None:
                return start, None
            name = member.removeprefix(url + "#")
            if not self._run.member(member_candidate(self._archive, name, start), checked):
                return end, Result(Status.UNUSED, at_byte(REST, end))
        more = pinned and pinned.status is Status.UNUSED and REST in pinned.detail
        if pinned and not spooled and not more and not (self._run.retry and is_retried(pinned)):
            return last, pinned
        return last, None

    def take(self, member: Member) -> bool:
        """Take a member that came whole from the web; False when the class needs no more."""
        outcome = self._outcome(member, self._archive.url, None)
        candidate = self._run.member_candidate(self._archive, member)
        entry = JournalEntry(outcome, archive=self._archive.url, end=member.end)
        return self._run.member(candidate, self._spool.add(candidate.url, entry, member.body))

    def read_local(self) -> Result:
        """Take the members of an archive of this machine; returns its own outcome."""
        path = Path(self._archive.url)

        def take(member: Member) -> bool:
            stored = StoredBytes(path, member.body_offset, len(member.body))
            candidate = self._run.member_candidate(self._archive, member)
            return self._run.member(candidate, self._outcome(member, "", stored))

        job = ArchiveDownload(take, self._bounds.max_bytes)
        try:
            job.read(path)
        except OSError as error:
            return Result(Status.CONNECTION_ERROR, at_byte(f"file: {error.strerror}", job.offset))
        verdict = job.verdict()
        return Result(verdict.status, verdict.detail)

    def _outcome(self, member: Member, url: str, stored: StoredBytes | None) -> Result:
        if member.status is not Status.OK:
            return Result(member.status, at_byte(member.detail, member.offset), url)
        verdict = judge(member.body, self._bounds)
        outcome = result_of_body(verdict, member.body, url, stored, len(member.body))
        return replace(outcome, detail=at_byte(outcome.detail, member.offset))


MAX_ACTIVE = 32
"""Classes under way at once at most: enough to keep the connections busy past slow hosts."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the lists are, where the photos go, and the stage's own work folder."""

    urls: Path
    raw: Path
    work: Path


@dataclass(frozen=True, slots=True)
class Share:
    """A process's part of the network, and the board of waits that all of them share (hosts.py)."""

    network: Network
    waits: MutableSequence[float]


class Counts(NamedTuple):
    """How far a process is: photos taken, URLs whose fate is known, bytes received."""

    taken: int = 0
    tried: int = 0
    bytes: int = 0


class Crawl:
    """One run over some classes."""

    def __init__(
        self,
        params: Params,
        wnids: Sequence[str],
        share: Share,
        folders: Folders,
        spool: Journal,
    ):
        network = share.network
        self._params, self._wnids, self._window = params, wnids, network.connections
        self._urls, self._raw, self._folder = folders.urls, folders.raw, folders.work
        self._spool = spool
        rows = DatasetRows(params.sources, params.network.allow_private)
        self._fetcher = Fetcher(
            network, params.download, rows=rows, waits=share.waits, sources=params.sources
        )
        self._active: list[ClassRun] = []
        self._done: list[ClassResult] = []
        self._bounds = self._fetcher.bounds
        self._known = PriorResults(spool, self._bounds)
        self._here = LocalPhotos(params.sources, self._bounds)
        self._ended, self._offline = 0, is_offline()

    @property
    def traffic(self) -> Traffic:
        """What went over the network."""
        return self._fetcher.traffic

    def counts(self) -> Counts:
        """How far this is."""
        runs = [run.counts for run in self._active]
        runs += [result.counts for result in self._done]
        taken = sum(counts[Status.OK] for counts in runs)
        return Counts(taken, sum(counts.total() for counts in runs), self.traffic.bytes)

    def run(self, interrupts: Interrupts, show: Callable[[Counts], None]) -> list[ClassResult]:
        """Download the classes; returns what came of them, their files in place.

        `show` is told again and again how far this is. Raises DataError when nothing at all can
        be reached, KeyboardInterrupt when interrupted.
        """
        waiting, shown = deque(self._wnids), 0.0
        try:
            while waiting or self._active:
                if self._may_open(waiting):
                    self._active.append(self._open(waiting.popleft()))
                    self._advance(self._active[-1])
                self._finish_classes()
                idle = not self._active or self._may_open(waiting)
                with interrupts.deferred():
                    ended = list(self._fetcher.poll(0 if idle else POLL))
                for fetched in ended:
                    self._fetched(fetched)
                if (now := time.monotonic()) >= shown + POLL:
                    show(self.counts())
                    shown = now
        finally:
            for run in self._active:
                run.close()
            self._fetcher.close()
        return self._done

    def _may_open(self, waiting: deque[str]) -> bool:
        return bool(waiting) and len(self._active) < MAX_ACTIVE and self._fetcher.hungry

    def _finish_classes(self) -> None:
        """Take the classes that are done off the list, their files in place."""
        for run in [run for run in self._active if run.quota.done]:
            self._done.append(run.finish())
            self._active.remove(run)
            remove_tree(self._folder / run.wnid)

    def _open(self, wnid: str) -> ClassRun:
        quota = self._params.quota
        pinned = PinnedResults(wnid, self._params, self._folder / wnid)
        listed = read_csv(self._urls / f"{wnid}.csv", Candidate)
        retry = not self._offline and not pins_fill_quota(listed, pinned, quota)
        return ClassRun(wnid, self._urls, self._raw, quota, self._window, pinned, retry)

    def _advance(self, run: ClassRun) -> None:
        """Ask for all that may be asked of a class now."""
        run.settle()
        while slot := run.quota.ask():
            url = slot.candidate.url
            if slot.archive:
                self._archive(run, slot)
            elif (known := self._known.get(run.pins, run.retry, url)) is not None:
                run.quota.answer(slot, known)
            elif (part := parse_slice(url)) and (verdict := slice_size_fault(part, self._bounds)):
                run.quota.answer(slot, result_of_body(verdict, b"", "", None, part.size))
            elif is_url(url):
                self._ask(run, slot)
            else:
                run.quota.answer(slot, self._here.outcome(url))
            run.settle()

    def _ask(self, run: ClassRun, slot: Slot, archive: ArchiveDownload | None = None) -> None:
        """Ask the web for a photo or an archive; offline, only take note that we should."""
        if not self._offline:
            self._fetcher.submit((run, slot), slot.candidate.url, archive)
            return
        # No fate: a class with such a URL is never put in place (ClassRun.finish).
        run.unasked.append(slot.candidate.url)
        if archive:
            run.archive_ended(slot, Result(Status.CONNECTION_ERROR, "offline"))
        else:
            run.quota.answer(slot, Result(Status.CONNECTION_ERROR, "offline"))

    def _fetched(self, fetched: Fetched) -> None:
        """Note what the web gave for a URL."""
        run, slot = fetched.token
        if run.finished:
            return
        verdict = fetched.verdict
        if slot.archive:
            final_url = "" if verdict.status is Status.UNUSED else fetched.final_url
            run.archive_ended(slot, Result(verdict.status, verdict.detail, final_url))
        else:
            self._check_reached(verdict.status)
            outcome = result_of_body(verdict, fetched.body, fetched.final_url, None, fetched.size)
            if not is_transient(outcome.status, outcome.detail):
                outcome = self._spool.add(slot.candidate.url, JournalEntry(outcome), fetched.body)
            run.quota.answer(slot, outcome)
        self._advance(run)

    def _check_reached(self, status: Status) -> None:
        self._ended += status is not Status.BAD_URL
        if self._ended >= NOTHING_REACHED and not self.traffic.answers:
            raise nothing_reached(self.traffic)

    def _archive(self, run: ClassRun, slot: Slot) -> None:
        """Take what is known of an archive, then read on where that ends."""
        url = slot.candidate.url
        archive = ArchiveRun(run, slot, self._known, self._spool, self._bounds)
        if is_local_file(url):
            refused = self._here.refused(url)
            run.archive_ended(slot, refused or archive.read_local())
            return
        offset, ended = archive.replay()
        if ended is None and not is_url(url):
            ended = self._here.refused(url) or archive.read_local()
        if ended is not None:
            run.archive_ended(slot, ended)
        else:
            self._ask(run, slot, ArchiveDownload(archive.take, self._bounds.max_bytes, offset))
