"""Runs the download: asks for every class's candidates until each has its quota of photos.

Where an outcome comes from, in this order: dvc.lock's pins, the spool of a run that was cut off,
a file of this machine, the web.
"""

import hashlib
import os
import sys
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path

from allrounder import pins, spool
from allrounder.archivefetch import REST, ArchiveJob, at_byte, byte_of
from allrounder.classrun import ClassRun, member_candidate
from allrounder.csvfiles import read_csv
from allrounder.errors import DataError
from allrounder.fetch import Fetched, Fetcher, Traffic
from allrounder.interrupts import Interrupts
from allrounder.outcomes import Outcome, Stored, may_pass
from allrounder.params import Params
from allrounder.photo import Verdict, judge
from allrounder.progress import Progress
from allrounder.quota import Slot
from allrounder.records import Candidate, Status
from allrounder.spool import Entry, Spool
from allrounder.tarstream import Member
from allrounder.urltext import is_web

POLL = 0.2  # seconds
NOTHING_REACHED = 512
"""So many URLs without a single answer from the web: the network is down, not the URLs dead."""
_CHUNK = 2**20


class Crawl:
    """One run over all classes. `folder` is the stage's own work folder."""

    def __init__(self, params: Params, urls: Path, raw: Path, spool: Spool, folder: Path):
        self._params, self._urls, self._raw = params, urls, raw
        self._spool, self._folder = spool, folder
        self._fetcher = Fetcher(params.network, params.download)
        self._bounds = self._fetcher.bounds
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
                    while waiting and self._fetcher.load < 2 * self._params.network.connections:
                        active.append(self._open(waiting.popleft()))
                        self._advance(active[-1])
                        interrupts.check()
                        if active[-1].quota.done:
                            break
                    for run in [run for run in active if run.quota.done]:
                        active.remove(run)
                        run.finish()
                        spool.remove(self._folder / run.wnid)
                        done.append(run)
                    for fetched in self._fetcher.poll(POLL if active else 0):
                        self._fetched(fetched)
                    interrupts.check()
                    progress.show(active, done)
        finally:
            for run in active:
                run.close()
            self._fetcher.close()
        order = list(self._params.classes)
        return sorted(done, key=lambda run: order.index(run.wnid))

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
            elif (known := self._known(run, url)) is not None:
                run.quota.answer(slot, known)
            elif is_web(url):
                self._fetcher.submit((run, slot), url)
            else:
                run.quota.answer(slot, self._local(url))
            run.settle()

    def _known(self, run: ClassRun, url: str) -> Outcome | None:
        """The outcome that is pinned or spooled, if it still holds under today's bounds."""
        if not is_web(url) and Path(url.partition("#")[0]).exists():
            return None  # files here may have changed; reading them costs nothing
        known = run.pins.get(url)
        if known is not None and run.retry and pins.retried(known):
            known = None
        return self._rechecked(known or self._spool.get(url))

    def _rechecked(self, known: Outcome | None) -> Outcome | None:
        """A remembered outcome, its photo judged again; None when its bytes are damaged."""
        if known is None or known.stored is None:
            return known
        body = known.stored.read()
        if hashlib.sha256(body).hexdigest() != known.sha256:
            print(f"warning: damaged, asked again: {known.final_url}", file=sys.stderr)
            return None
        verdict = judge(body, self._bounds)
        if verdict.status is Status.OK:
            return known
        return replace(known, status=verdict.status, detail=verdict.detail, suffix="", stored=None)

    def _local(self, url: str) -> Outcome:
        """The outcome of a file of this machine, which must lie where a source says."""
        path = Path(os.path.abspath(url))
        if not any(path.is_relative_to(root) for root in self._roots):
            return Outcome(Status.BAD_URL, "no URL, and in no folder of the sources")
        try:
            body = path.read_bytes()
        except OSError as error:
            return Outcome(Status.CONNECTION_ERROR, f"file: {error.strerror}")
        return self._judged(body, "", Stored(Path(url), 0, len(body)))

    def _judged(self, body: bytes, final_url: str, stored: Stored | None = None) -> Outcome:
        return judged(judge(body, self._bounds), body, final_url, stored, len(body))

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
        """Replay what is known of an archive, then read on where that ends."""
        url = slot.candidate.url
        local = not is_web(url)
        offset, ended = self._replay(run, slot) if not local else (0, None)
        if ended is not None:
            run.archive_ended(slot, ended)
        elif local:
            run.archive_ended(slot, self._local_archive(run, slot))
        else:
            job = ArchiveJob(partial(self._member, run, slot), self._bounds.max_bytes, offset)
            self._fetcher.submit((run, slot), url, job)

    def _replay(self, run: ClassRun, slot: Slot) -> tuple[int, Outcome | None]:
        """Take the known members of an archive; returns where to go on, or the archive's end."""
        url = slot.candidate.url
        pinned = run.pins.get(url)
        known = dict(run.pins.members(url))
        last = (byte_of(pinned.detail) if pinned else 0) or 0
        spooled = {m: entry for m, entry in self._spool.members(url) if m not in known}
        known |= {member: entry.outcome for member, entry in spooled.items()}
        places = [byte_of(outcome.detail) or 0 for outcome in known.values()]
        last = max([last, *(entry.end for entry in spooled.values())])
        stops = [*places, last][1:]
        for (member, outcome), start, end in zip(known.items(), places, stops, strict=True):
            checked = self._rechecked(outcome)
            if checked is None:
                return start, None
            name = member.removeprefix(url + "#")
            if not run.member(member_candidate(slot.candidate, name, start), checked):
                return end, Outcome(Status.UNUSED, at_byte(REST, end))
        more = pinned and pinned.status is Status.UNUSED and REST in pinned.detail
        if pinned and not spooled and not more and not pins.retried(pinned):
            return last, pinned
        return last, None

    def _member(self, run: ClassRun, slot: Slot, member: Member) -> bool:
        """Take a member that came whole from the web; False when the class needs no more."""
        outcome = self._member_outcome(member, slot.candidate.url, None)
        candidate = run.member_candidate(slot.candidate, member)
        entry = Entry(outcome, archive=slot.candidate.url, end=member.end)
        return run.member(candidate, self._spool.add(candidate.url, entry, member.body))

    def _member_outcome(self, member: Member, url: str, stored: Stored | None) -> Outcome:
        if member.status is not Status.OK:
            return Outcome(member.status, at_byte(member.detail, member.offset), url)
        outcome = self._judged(member.body, url, stored)
        return replace(outcome, detail=at_byte(outcome.detail, member.offset))

    def _local_archive(self, run: ClassRun, slot: Slot) -> Outcome:
        """Read an archive of this machine; returns its own outcome."""
        path = Path(slot.candidate.url)

        def take(member: Member) -> bool:
            stored = Stored(path, member.body_offset, len(member.body))
            outcome = self._member_outcome(member, "", stored)
            return run.member(run.member_candidate(slot.candidate, member), outcome)

        if not any(Path(os.path.abspath(path)).is_relative_to(root) for root in self._roots):
            return Outcome(Status.BAD_URL, "no URL, and in no folder of the sources")
        job = ArchiveJob(take, self._bounds.max_bytes)
        try:
            with path.open("rb") as file:
                while (chunk := file.read(_CHUNK)) and job.feed(chunk):
                    pass
        except OSError as error:
            return Outcome(Status.CONNECTION_ERROR, at_byte(f"file: {error.strerror}", job.offset))
        verdict = job.verdict()
        return Outcome(verdict.status, verdict.detail)


def judged(
    verdict: Verdict, body: bytes, final_url: str, stored: Stored | None, size: int | None = None
) -> Outcome:
    """The outcome of a photo's bytes; the hash and the place only of a good one."""
    good = verdict.status is Status.OK
    return Outcome(
        verdict.status,
        verdict.detail,
        final_url,
        len(body) if body else size,
        hashlib.sha256(body).hexdigest() if good else "",
        verdict.suffix,
        stored if good else None,
    )


def nothing_reached(traffic: Traffic) -> DataError:
    """What to say when no host answered at all."""
    worst = ", ".join(f"{words}: {count}" for words, count in sorted(traffic.failures.items()))
    return DataError(
        f"nothing could be reached: {traffic.requests} requests, no answer ({worst}); "
        "check the network, the proxy settings and the sources, then run it again"
    )
