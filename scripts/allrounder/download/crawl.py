"""Runs the download: requests the candidates of every class until it has its quota of photos.

The result of a candidate comes from, in this order: dvc.lock's pins, the journal of a killed run,
a local file, the web. Offline, URLs that would have to be requested are only counted.
"""

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from allrounder.core.class_cache import source_state
from allrounder.core.corrections import match_name
from allrounder.core.expected import Expect, is_outdated
from allrounder.core.files import remove_tree
from allrounder.core.interrupts import Interrupts
from allrounder.core.photos import Bounds, judge, judge_length
from allrounder.core.rows import Candidate, Result, Status
from allrounder.core.tables import read_csv
from allrounder.core.tarreader import Member
from allrounder.core.tars import StoredBytes
from allrounder.core.urls import container_of, is_url, parse_byte_range
from allrounder.download.cached_classes import CachedClasses
from allrounder.download.class_quota import ClassQuota, ClassResult, ClassRun, Slot
from allrounder.download.cluster_fetcher import ClusterFetcher
from allrounder.history.journal import Journal
from allrounder.history.local_files import LocalPlaces
from allrounder.history.prior_results import PinnedResults, PriorResults
from allrounder.params.schema import Network, Params
from allrounder.params.sources import Source
from allrounder.web.archives import ArchiveDownload, member_candidate, new_member, rest_unread
from allrounder.web.fetcher import NOTHING_REACHED, POLL, Fetcher, Traffic, nothing_reached
from allrounder.web.policy import is_offline
from allrounder.web.wayback import Rescue, Wayback

_UNTRIED = (Status.UNUSED, Status.ARCHIVE)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the lists are, where the photos go, and the stage's own work folder."""

    urls: Path
    raw: Path
    work: Path


@dataclass(frozen=True, slots=True)
class Share:
    """A process's share of the network."""

    network: Network
    waits: MutableSequence[float]  # of hosts; all processes share them
    active: int  # the most classes under way at once
    robots: Path | None = None  # the folder where processes share the answers for robots.txt
    ray: str = ""  # the address of the cluster whose workers make the requests
    reference: str = ""  # a URL that an earlier round's host answered


class Counts(NamedTuple):
    """The progress of a process: photos taken, URLs with a result, bytes received."""

    taken: int = 0
    tried: int = 0
    bytes: int = 0


class Crawl:
    """One run over some classes, by their quotas."""

    def __init__(
        self,
        params: Params,
        quotas: Mapping[str, int],
        share: Share,
        folders: Folders,
        journal: Journal,
        retry: bool = True,
        taken_down: frozenset[str] = frozenset(),
        cached: CachedClasses | None = None,
    ):
        self._params, self._quotas, self._folders = params, quotas, folders
        self._cached = cached
        self._window, self._active_most = share.network.connections, share.active
        self._journal, self._offline = journal, is_offline()
        self._retry = retry and not self._offline  # transient failures among the pins
        self._fetcher: Fetcher | ClusterFetcher = (
            ClusterFetcher(share.ray, share.network, params, taken_down)
            if share.ray
            else Fetcher(
                share.network,
                params.download,
                waits=share.waits,
                sources=params.sources,
                robots=share.robots,
                taken_down=taken_down,
                reference=share.reference,
            )
        )
        self._wayback = Wayback(self._fetcher.submit, params.download)
        self._bounds, self._expect = self._fetcher.bounds, Expect(params.download.expect)
        self._local = LocalPhotos(params.sources, self._bounds)
        self._active: dict[ClassRun, PriorResults] = {}
        self._done: list[ClassResult] = []
        self._ended = 0

    @property
    def traffic(self) -> Traffic:
        """The requests, replies and bytes so far."""
        return self._fetcher.traffic

    def counts(self) -> Counts:
        """The progress so far."""
        results = [*(run.result for run in self._active), *self._done]
        taken = sum(result.taken for result in results)
        counts = [pair for result in results for pair in result.counts.items()]
        tried = sum(count for status, count in counts if status not in _UNTRIED)
        return Counts(taken, tried, self.traffic.bytes)

    def run(self, interrupts: Interrupts, show: Callable[[Counts], None]) -> list[ClassResult]:
        """Download the classes and publish their files; returns the result of each class.

        Calls `show` with the progress a few times a second. Raises DataError when nothing at all
        can be reached, KeyboardInterrupt when interrupted.
        """
        waiting, shown = deque(self._quotas), 0.0
        try:
            while waiting or self._active:
                if self._may_open(waiting):
                    self._advance(self._open(waiting.popleft()))
                self._finish_classes()
                idle = not self._active or self._may_open(waiting)
                with interrupts.deferred():
                    ended = list(self._fetcher.poll(0 if idle else POLL))
                for token, result, reply in ended:
                    if isinstance(token, Rescue):
                        self._end_rescue(token, self._wayback.end(token, result, reply), reply.body)
                        continue
                    run, slot = token
                    if not run.finished:
                        self._record(run, slot, result, reply.body)
                for rescue, lost in self._wayback.start():
                    self._end_rescue(rescue, lost)
                if (now := time.monotonic()) >= shown + POLL:
                    for run in list(self._active):
                        self._advance(run)  # a host that it waits for may be doubtful by now
                    show(self.counts())
                    shown = now
        finally:
            for run in self._active:
                run.close()
            self._fetcher.close()
        return self._done

    def _may_open(self, waiting: deque[str]) -> bool:
        return bool(waiting) and len(self._active) < self._active_most and self._fetcher.wants_more

    def _open(self, key: str) -> ClassRun:
        """Start a class. Unless the pins fill its quota, pinned transient failures are retried."""
        folders, wanted = self._folders, self._quotas[key]
        uncommitted = self._journal.uncommitted
        pins = PinnedResults(key, self._params, folders.work / key, uncommitted)
        candidates = read_csv(folders.urls / f"{key}.csv", Candidate)
        retry = self._retry and not pins.fills(candidates, wanted)
        hosts = self._fetcher.doubtful, self._fetcher.answering
        rescue = self._params.download.rescue is not None and not self._offline
        candidates = read_csv(folders.urls / f"{key}.csv", Candidate)
        quota = ClassQuota(candidates, wanted, self._window, *hosts, rescue, self._expect)
        run = ClassRun(key, folders.urls, folders.raw, quota)
        places = self._local.places
        self._active[run] = PriorResults(pins, self._journal, self._bounds, retry, places)
        return run

    def _finish_classes(self) -> None:
        for run in [run for run in self._active if run.quota.done]:
            self._done.append(result := run.finish())
            if self._cached:
                self._cached.store(result, self._quotas[run.key], run.local_files)
            del self._active[run]
            remove_tree(self._folders.work / run.key)

    def _advance(self, run: ClassRun) -> None:
        """Request all that a class may request now, and write what is final."""
        prior = self._active[run]
        while (slot := run.next_slot()) is not None:
            url = slot.candidate.url
            if self._cached and not is_url(file := container_of(url)):
                path = self._local.places.path(file)
                run.local_files.setdefault(path, source_state(path))
            if self._bounds.taken_down and match_name(url) in self._bounds.taken_down:
                run.quota.record(slot, Result(Status.TAKEN_DOWN))
            elif slot.archive:
                self._start_archive(run, slot)
            elif (result := self._without_request(prior, slot.candidate)) is not None:
                run.quota.record(slot, result)
            elif is_url(url):
                self._request(run, slot)
            else:
                run.quota.record(slot, self._local.result(url))
        for slot in run.quota.rescues():
            assert slot.lost
            wanted = partial(_is_open, run, slot)
            self._wayback.add(Rescue((run, slot), slot.candidate.url, slot.lost, wanted))

    def _without_request(self, prior: PriorResults, candidate: Candidate) -> Result | None:
        """The result of a candidate that needs no request, or None."""
        result = prior.get(candidate.url)
        if result and not is_outdated(candidate, result, self._expect):
            return result
        part = parse_byte_range(candidate.url)
        fault = judge_length(part.size, self._bounds) if part else None
        return replace(fault, bytes=part.size) if part and fault else None

    def _request(self, run: ClassRun, slot: Slot, archive: ArchiveDownload | None = None) -> None:
        """Request a photo or an archive from the web; offline, only record its URL."""
        if not self._offline:
            run.result.first_requests += self._active[run].is_new(slot.candidate.url)
            self._fetcher.submit((run, slot), slot.candidate.url, archive)
            return
        # No real result: ClassRun.finish publishes no class with such a URL.
        run.result.unrequested.append(slot.candidate.url)
        result = Result(Status.CONNECTION_ERROR, "offline")
        if archive:
            run.end_archive(slot, result)
        else:
            run.quota.record(slot, result)

    def _record(self, run: ClassRun, slot: Slot, result: Result, body: bytes) -> None:
        """Record a result from the web, in the journal too."""
        if slot.archive:
            read = result.status is Status.ARCHIVE  # a final URL is recorded for failures only
            run.end_archive(slot, replace(result, final_url="") if read else result)
        else:
            self._check_reached(run, result)
            if not run.quota.may_rescue(slot, result):
                result = self._journal.add(slot.candidate.url, result, body)
            run.quota.record(slot, result, prior=False)
        self._advance(run)

    def _end_rescue(self, rescue: Rescue, result: Result | None, body: bytes = b"") -> None:
        """Record the result of a photo from the web archive, in the journal too; None: not yet."""
        run, slot = rescue.token
        if result and rescue.is_wanted():
            run.quota.end_rescue(slot, self._journal.add(rescue.url, result, body))
            self._advance(run)

    def _check_reached(self, run: ClassRun, result: Result) -> None:
        self._ended += result.status is not Status.BAD_URL and run.result.first_requests > 0
        if self._ended >= NOTHING_REACHED and not self.traffic.answers:
            raise nothing_reached(self.traffic)

    def _start_archive(self, run: ClassRun, slot: Slot) -> None:
        """Take an archive's members from prior results, then from where those end."""
        url = slot.candidate.url
        run.begin_archive()
        archive = ArchiveRun(run, slot.candidate, self._active[run], self._journal, self._bounds)
        offset, result = 0, None
        if not self._local.places.has(url):
            offset, result = archive.replay()
        if result is None and not is_url(url):
            path = self._local.places.path(url)
            result = self._local.refused(path) or archive.read_local(Path(path))
        if result is not None:
            run.end_archive(slot, result)
        else:
            self._request(run, slot, ArchiveDownload(archive.take, self._bounds, offset))


@dataclass(frozen=True, slots=True)
class ArchiveRun:
    """Takes the members of the archive that is a class's current candidate.

    They become rows `<archive's URL>#<member>`, in the archive's order.
    """

    run: ClassRun
    archive: Candidate
    prior: PriorResults
    journal: Journal
    bounds: Bounds

    def replay(self) -> tuple[int, Result | None]:
        """Take the members in prior results.

        Returns the byte where to read on, and the archive's own result if it needs no reading.
        """
        offset = 0
        for url, prior in self.prior.members(self.archive.url):
            result = self.prior.checked(prior)
            if result is None:
                return offset, None
            name = url.removeprefix(f"{self.archive.url}#")
            candidate = member_candidate(self.archive, name, offset)
            offset = result.resume_at or offset
            if not self.run.add_member(candidate, result):
                return offset, rest_unread(offset)
        return offset, self.prior.of_archive(self.archive.url)

    def take(self, member: Member) -> bool:
        """Take a complete member from the web; returns False when the class needs no more."""
        result = replace(self._judged(member), final_url=self.archive.url)
        candidate = new_member(self.archive, member, self.run.members)
        stored = self.journal.add(candidate.url, result, member.body)
        return self.run.add_member(candidate, stored)

    def read_local(self, path: Path) -> Result:
        """Take the members of a local archive; returns the archive's own result."""

        def take(member: Member) -> bool:
            result = self._judged(member)
            if result.status is Status.OK:
                at = StoredBytes(path, member.body_offset, len(member.body))
                result = replace(result, stored=at)
            candidate = new_member(self.archive, member, self.run.members)
            return self.run.add_member(candidate, result)

        download = ArchiveDownload(take, self.bounds)
        try:
            download.read(path)
        except OSError as error:
            detail = f"file: {error.strerror}"
            return Result(Status.CONNECTION_ERROR, detail, resume_at=download.offset)
        return download.result()

    def _judged(self, member: Member) -> Result:
        if member.status is not Status.OK:
            return Result(member.status, member.detail, resume_at=member.end)
        return replace(judge(member.body, self.bounds), resume_at=member.end)


class LocalPhotos:
    """Reads local files, and byte ranges of them, that the sources of a run may list.

    A list from the web cannot name other files.
    """

    def __init__(self, sources: Sequence[Source], bounds: Bounds):
        self.places = LocalPlaces(sources)
        self._roots = [os.path.abspath(root) for source in sources for root in source.local_roots()]
        self._bounds = bounds

    def result(self, url: str) -> Result:
        """The result of a photo, by its path or byte range."""
        part = parse_byte_range(url)
        path = self.places.path(part.file if part else url)
        if refused := self.refused(path):
            return refused
        try:
            whole = Path(path).stat().st_size
            offset, size = (part.offset, part.size) if part else (0, whole)
            if fault := judge_length(size, self._bounds):
                return replace(fault, bytes=size)
            stored = StoredBytes(Path(path), offset, size)
            body = stored.read()
        except OSError as error:
            return Result(Status.CONNECTION_ERROR, f"file: {error.strerror}")
        except ValueError:
            return Result(Status.BAD_URL, "not a valid file name")
        if len(body) < stored.size:
            return Result(Status.TRUNCATED, "file cut off", bytes=len(body))
        result = judge(body, self._bounds)
        return replace(result, stored=stored) if result.status is Status.OK else result

    def refused(self, path: str) -> Result | None:
        """The result of a path outside the sources' files and folders, or None.

        Only regular files are opened: opening a named pipe would wait for a writer.
        """
        place = Path(os.path.abspath(path))
        if not any(place.is_relative_to(root) for root in self._roots):
            return Result(Status.BAD_URL, "not a URL, and not in a folder of the sources")
        try:
            regular = stat.S_ISREG(Path(path).stat().st_mode)
        except (OSError, ValueError):
            return None  # reading it says why
        return None if regular else Result(Status.BAD_URL, "not a regular file")


def _is_open(run: ClassRun, slot: Slot) -> bool:
    return not run.finished and slot.result is None
