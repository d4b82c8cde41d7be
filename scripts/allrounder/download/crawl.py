"""Runs the download: asks for every class's candidates until each has its quota of photos.

Where an outcome comes from, in this order: dvc.lock's pins, the spool of a run that was cut off,
a file of this machine, the web (unless we are offline: then what is missing is counted).
"""

import time
from collections import deque
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from allrounder import pins
from allrounder.csvfiles import read_csv
from allrounder.download.archivefetch import ArchiveJob
from allrounder.download.archiverun import ArchiveRun
from allrounder.download.classrun import ClassResult, ClassRun
from allrounder.download.fetch import Fetched, Fetcher, Traffic
from allrounder.download.here import Here
from allrounder.download.interrupts import Interrupts
from allrounder.download.known import Known
from allrounder.download.outcomes import Outcome, judged, may_pass
from allrounder.download.progress import Counts
from allrounder.download.quota import Slot
from allrounder.download.slicefetch import unasked
from allrounder.download.spool import Entry, Spool
from allrounder.errors import DataError
from allrounder.offline import offline
from allrounder.params import Network, Params
from allrounder.records import Candidate, Status
from allrounder.slices import parse
from allrounder.urltext import is_file_here, is_web
from allrounder.workdir import remove

if TYPE_CHECKING:
    from allrounder.download.rowpages import RowPages

POLL = 0.2  # seconds
MAX_ACTIVE = 32
"""Classes under way at once at most: enough to keep the connections busy past slow hosts."""
NOTHING_REACHED = 512
"""So many URLs without a single answer from the web: the network is down, not the URLs dead."""


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


class Crawl:
    """One run over some classes."""

    def __init__(
        self,
        params: Params,
        wnids: Sequence[str],
        share: Share,
        folders: Folders,
        spool: Spool,
    ):
        network = share.network
        self._params, self._wnids, self._window = params, wnids, network.connections
        self._urls, self._raw, self._folder = folders.urls, folders.raw, folders.work
        self._spool = spool
        rows = _row_pages(params)
        self._fetcher = Fetcher(
            network, params.download, rows=rows, waits=share.waits, sources=params.sources
        )
        self._active: list[ClassRun] = []
        self._done: list[ClassResult] = []
        self._bounds = self._fetcher.bounds
        self._known = Known(spool, self._bounds)
        self._here = Here(params.sources, self._bounds)
        self._ended, self._offline = 0, offline()

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
            remove(self._folder / run.wnid)

    def _open(self, wnid: str) -> ClassRun:
        quota = self._params.quota
        pinned = pins.RawPins(wnid, self._params, self._folder / wnid)
        listed = read_csv(self._urls / f"{wnid}.csv", Candidate)
        retry = not self._offline and not pins.fills(listed, pinned, quota)
        return ClassRun(wnid, self._urls, self._raw, quota, self._window, pinned, retry)

    def _advance(self, run: ClassRun) -> None:
        """Ask for all that may be asked of a class now."""
        run.settle()
        while slot := run.quota.ask():
            url = slot.candidate.url
            if slot.archive:
                self._archive(run, slot)
            elif (known := self._known.outcome(run, url)) is not None:
                run.quota.answer(slot, known)
            elif (part := parse(url)) and (verdict := unasked(part, self._bounds)):
                run.quota.answer(slot, judged(verdict, b"", "", None, part.size))
            elif is_web(url):
                self._ask(run, slot)
            else:
                run.quota.answer(slot, self._here.outcome(url))
            run.settle()

    def _ask(self, run: ClassRun, slot: Slot, archive: ArchiveJob | None = None) -> None:
        """Ask the web for a photo or an archive; offline, only take note that we should."""
        if not self._offline:
            self._fetcher.submit((run, slot), slot.candidate.url, archive)
            return
        # No fate: a class with such a URL is never put in place (ClassRun.finish).
        run.unasked.append(slot.candidate.url)
        if archive:
            run.archive_ended(slot, Outcome(Status.CONNECTION_ERROR, "offline"))
        else:
            run.quota.answer(slot, Outcome(Status.CONNECTION_ERROR, "offline"))

    def _fetched(self, fetched: Fetched) -> None:
        """Note what the web gave for a URL."""
        run, slot = fetched.token
        if run.finished:
            return
        verdict = fetched.verdict
        if slot.archive:
            final_url = "" if verdict.status is Status.UNUSED else fetched.final_url
            run.archive_ended(slot, Outcome(verdict.status, verdict.detail, final_url))
        else:
            self._check_reached(verdict.status)
            outcome = judged(verdict, fetched.body, fetched.final_url, None, fetched.size)
            if not may_pass(outcome.status, outcome.detail):
                outcome = self._spool.add(slot.candidate.url, Entry(outcome), fetched.body)
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
        if is_file_here(url):
            refused = self._here.refused(url)
            run.archive_ended(slot, refused or archive.read_local())
            return
        offset, ended = archive.replay()
        if ended is None and not is_web(url):
            ended = self._here.refused(url) or archive.read_local()
        if ended is not None:
            run.archive_ended(slot, ended)
        else:
            self._ask(run, slot, ArchiveJob(archive.take, self._bounds.max_bytes, offset))


def _row_pages(params: Params) -> "RowPages | None":
    if not any(source.kind == "huggingface" for source in params.sources):
        return None
    from allrounder.download.rowpages import RowPages  # slow to import, and few need it

    return RowPages(params.sources, params.network.allow_private)


def nothing_reached(traffic: Traffic) -> DataError:
    """What to say when no host answered at all."""
    worst = ", ".join(f"{words}: {count}" for words, count in sorted(traffic.failures.items()))
    private = "private address" in traffic.failures
    hint = "a host of yours belongs into network.allow_private; else " if private else ""
    return DataError(
        f"nothing could be reached: {traffic.requests} requests, no answer ({worst}); {hint}"
        "check the network, the proxy settings and the sources, then run it again"
    )
