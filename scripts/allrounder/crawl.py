"""Runs the download: asks for every class's candidates until each has its quota of photos.

Where an outcome comes from, in this order: dvc.lock's pins, the spool of a run that was cut off,
a file of this machine, the web.
"""

import os
from collections import deque
from pathlib import Path

from allrounder import pins
from allrounder.archivefetch import ArchiveJob
from allrounder.archiverun import ArchiveRun
from allrounder.classrun import ClassRun
from allrounder.csvfiles import read_csv
from allrounder.errors import DataError
from allrounder.fetch import Fetched, Fetcher, Traffic
from allrounder.interrupts import Interrupts
from allrounder.known import Known
from allrounder.outcomes import Outcome, Stored, judged, may_pass
from allrounder.params import Params
from allrounder.photo import judge
from allrounder.progress import Progress
from allrounder.quota import Slot
from allrounder.records import Candidate, Status
from allrounder.spool import Entry, Spool, remove
from allrounder.urltext import is_file_here, is_web

POLL = 0.2  # seconds
MAX_ACTIVE = 32
"""Classes under way at once at most: enough to keep the connections busy past slow hosts."""
NOTHING_REACHED = 512
"""So many URLs without a single answer from the web: the network is down, not the URLs dead."""


class Crawl:
    """One run over all classes. `folder` is the stage's own work folder."""

    def __init__(self, params: Params, urls: Path, raw: Path, spool: Spool, folder: Path):
        self._params, self._urls, self._raw = params, urls, raw
        self._spool, self._folder = spool, folder
        self._fetcher = Fetcher(params.network, params.download)
        self._bounds = self._fetcher.bounds
        self._known = Known(spool, self._bounds)
        self._roots = [
            os.path.abspath(source.location.partition("{wnid}")[0])
            for source in params.sources
            if not is_web(source.location)
        ]
        self._ended = 0

    @property
    def traffic(self) -> Traffic:
        """What went over the network."""
        return self._fetcher.traffic

    def run(self) -> list[ClassRun]:
        """Download all classes; returns them in the params' order, their files in place.

        Raises DataError when nothing at all can be reached, KeyboardInterrupt when interrupted.
        """
        waiting, active, done = deque(self._params.classes), list[ClassRun](), list[ClassRun]()
        total = self._params.quota * len(waiting)
        try:
            with Interrupts() as interrupts, Progress(total, self.traffic) as progress:
                while waiting or active:
                    if waiting and len(active) < MAX_ACTIVE and self._fetcher.hungry:
                        active.append(self._open(waiting.popleft()))
                        self._advance(active[-1])
                    done += self._finished(active)
                    may_open = waiting and len(active) < MAX_ACTIVE and self._fetcher.hungry
                    with interrupts.deferred():
                        ended = list(self._fetcher.poll(POLL if active and not may_open else 0))
                    for fetched in ended:
                        self._fetched(fetched)
                    interrupts.check_parent()
                    progress.show(active, done)
        finally:
            for run in active:
                run.close()
            self._fetcher.close()
        order = list(self._params.classes)
        return sorted(done, key=lambda run: order.index(run.wnid))

    def _finished(self, active: list[ClassRun]) -> list[ClassRun]:
        """Take the classes that are done off the list, their files in place."""
        done = [run for run in active if run.quota.done]
        for run in done:
            run.finish()
            active.remove(run)
            remove(self._folder / run.wnid)
        return done

    def _open(self, wnid: str) -> ClassRun:
        quota, window = self._params.quota, self._params.network.connections
        pinned = pins.RawPins(wnid, self._params, self._folder / wnid)
        listed = read_csv(self._urls / f"{wnid}.csv", Candidate)
        retry = not pins.fills(listed, pinned, quota)
        return ClassRun(wnid, self._urls, self._raw, quota, window, pinned, retry)

    def _advance(self, run: ClassRun) -> None:
        """Ask for all that may be asked of a class now."""
        run.settle()
        while slot := run.quota.ask():
            url = slot.candidate.url
            if slot.archive:
                self._archive(run, slot)
            elif (known := self._known.outcome(run, url)) is not None:
                run.quota.answer(slot, known)
            elif is_web(url):
                self._fetcher.submit((run, slot), url)
            else:
                run.quota.answer(slot, self._local(url))
            run.settle()

    def _local(self, url: str) -> Outcome:
        """The outcome of a file of this machine."""
        if refused := self._refused(url):
            return refused
        try:
            body = Path(url).read_bytes()
        except OSError as error:
            return Outcome(Status.CONNECTION_ERROR, f"file: {error.strerror}")
        except ValueError:
            return Outcome(Status.BAD_URL, "no file can be called so")
        stored = Stored(Path(url), 0, len(body))
        return judged(judge(body, self._bounds), body, "", stored, len(body))

    def _refused(self, url: str) -> Outcome | None:
        """What is said of a path that does not lie where a source says: lists cannot name files."""
        path = Path(os.path.abspath(url))
        if any(path.is_relative_to(root) for root in self._roots):
            return None
        return Outcome(Status.BAD_URL, "no URL, and in no folder of the sources")

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
            refused = self._refused(url)
            run.archive_ended(slot, refused or archive.read_local())
            return
        offset, ended = archive.replay()
        if ended is None and not is_web(url):
            ended = self._refused(url) or archive.read_local()
        if ended is not None:
            run.archive_ended(slot, ended)
        else:
            job = ArchiveJob(archive.take, self._bounds.max_bytes, offset)
            self._fetcher.submit((run, slot), url, job)


def nothing_reached(traffic: Traffic) -> DataError:
    """What to say when no host answered at all."""
    worst = ", ".join(f"{words}: {count}" for words, count in sorted(traffic.failures.items()))
    return DataError(
        f"nothing could be reached: {traffic.requests} requests, no answer ({worst}); "
        "check the network, the proxy settings and the sources, then run it again"
    )
