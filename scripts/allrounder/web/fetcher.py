"""Fetches photos and archives to the end: redirects, retries, per-host limits; one result each."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from allrounder.core.errors import DataError
from allrounder.core.photos import Bounds
from allrounder.core.rows import Result, Status
from allrounder.core.urls import (
    BadUrlError,
    ByteRange,
    Cell,
    host_of,
    parse_byte_range,
    request_url,
)
from allrounder.params.schema import Download, Network
from allrounder.params.sources import Source
from allrounder.web.archives import ArchiveDownload
from allrounder.web.dataset_rows import DatasetRowDownload, DatasetRows
from allrounder.web.decisions import (
    WHOLE,
    Decision,
    decide,
    decide_byte_range,
    http_error,
    is_unknown_encoding,
)
from allrounder.web.hosts import LATE, Hosts
from allrounder.web.outage import Outage, Settled
from allrounder.web.policy import BUSY_CODES, Cookies, NetworkPolicy
from allrounder.web.robots import POLL_OTHERS, RobotsAnswer, RobotsFile, RobotsGate
from allrounder.web.row_groups import GroupDownload, RowGroups
from allrounder.web.transfer import Reply, Request, Transfers


@dataclass(slots=True, eq=False)
class Job:
    """A URL that has no result yet: what was requested for it so far, and how to decide."""

    token: Any
    requested: list[str]
    archive: ArchiveDownload | None = None
    part: ByteRange | None = None
    row: DatasetRowDownload | None = None
    asker: int | None = None  # for a robots.txt: the other worker that needs it, or None
    robots: RobotsFile | None = None
    group: GroupDownload | None = None
    failures: int = 0
    timeouts: int = 0
    started: float = 0.0
    refused: bool = False  # the host answered 403
    decode: bool = True
    lane: str = ""
    cookies: Cookies = field(default_factory=Cookies)
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The host, or the lane, whose limits hold for the next request."""
        return self.lane or host_of(self.requested[-1])


@dataclass(slots=True)
class Traffic:
    """Requests, replies and bytes so far. `failures` counts results without any reply.

    `reference` is a URL that was answered: by it a later fetcher knows whether the network works.
    """

    requests: int = 0
    answers: int = 0
    bytes: int = 0
    failures: Counter[tuple[Status, str]] = field(default_factory=Counter)
    reference: str = ""


def sum_of(parts: Sequence[Traffic]) -> Traffic:
    """The traffic of several fetchers together."""
    counts = [(part.requests, part.answers, part.bytes) for part in parts]
    requests, answers, received = map(sum, zip(*counts, strict=True))
    failures = sum((part.failures for part in parts), Counter[tuple[Status, str]]())
    reference = next((part.reference for part in parts if part.reference), "")
    return Traffic(requests, answers, received, failures, reference)


def bounds_of(download: Download, taken_down: frozenset[str] = frozenset()) -> Bounds:
    """The bounds that the params and the takedowns set for a good photo."""
    return Bounds(
        download.max_bytes, download.min_side, download.max_pixels, download.honour_opt_out,
        taken_down,
    )  # fmt: skip


class Fetcher:
    """Submit URLs, then poll for their results."""

    def __init__(
        self,
        network: Network,
        download: Download,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        waits: MutableSequence[float] | None = None,
        sources: Sequence[Source] = (),
        robots: Path | None = None,
        taken_down: frozenset[str] = frozenset(),
        policy: NetworkPolicy | None = None,
        reference: str = "",
    ):
        self.bounds = bounds_of(download, taken_down)
        self.traffic = Traffic(reference=reference)
        self.load = 0  # URLs submitted that have no result yet
        self._network, self._robots = network, RobotsGate[Job](download, robots)
        self._clock, self._rng = clock, rng or random.Random()
        self._policy = policy or NetworkPolicy.of(network, sources)
        self._transfers = Transfers(self._policy)
        self._rows = DatasetRows(sources, network.allow_private)
        self._groups = RowGroups[Any](self._rows, self._clock)
        self._hosts: Hosts[Job] = Hosts(
            network.connections,
            network.per_host,
            network.min_interval,
            waits,
            network.retry_after_max,
            {RESCUE_LANE: network.rescue_interval},
        )
        self.doubtful: Set[str] = self._hosts.doubtful
        self.answering: Set[str] = self._hosts.answering
        self._outage: Outage[tuple[Job, Result, Reply]] = Outage(reference)
        self._slowest = 0.0  # seconds to the first byte, of the replies in the last while
        self._ended: list[tuple[Any, Result, Reply]] = []

    @property
    def wants_more(self) -> bool:
        """Whether more URLs would keep the connections busier; a slow host's queue does not."""
        total = self._network.connections
        return self.load - self._groups.waiting < 2 * total or 2 * self._transfers.in_flight < total

    def submit(
        self,
        token: Any,
        url: str,
        archive: ArchiveDownload | None = None,
        headers: Mapping[str, tuple[str, ...]] | None = None,
        lane: str = "",
    ) -> None:
        """Request a URL or a byte range; `token` comes back with its result.

        `headers` are more request headers, by the URL of each request. Jobs of one `lane` share the
        limits of one host, whichever hosts they are requested from.
        """
        self.load += 1
        if cell := self._rows.cell(url):
            self._groups.add(token, cell)
            return
        part = parse_byte_range(url)
        try:
            requested = [request_url(part.file if part else url)]
        except BadUrlError as error:
            self._ended.append((token, Result(Status.BAD_URL, str(error)), Reply()))
            return
        row = self._rows.job(url)
        self._admit(Job(token, requested, archive, part, row, lane=lane, headers=headers or {}))

    def poll(self, wait: float) -> Iterator[tuple[Any, Result, Reply]]:
        """Start the requests that may start, wait up to `wait` seconds for replies.

        Yields (token, result, last reply).
        """
        now = self._clock()
        for file, answer in self._robots.poll_others(now):
            if answer:
                self._end_robots(file, answer)
            else:
                self._request_robots(file)
        self._start_groups()
        if not self._outage.suspected:
            for job in self._hosts.start(now, max(LATE, _LATER_THAN_SLOWEST * self._slowest)):
                self._start(job, now)
        if not self._transfers.in_flight and not self._ended and self._hosts.wait(now) is None:
            self._outage.idle()
        if reference := self._outage.check(now):
            self.traffic.requests += 1
            self._transfers.start(None, Request(reference, 0, patience=FIRST_PATIENCE))
        for job, reply in self._transfers.step(self._longest_wait(wait, now)):
            if job is None:
                self.traffic.answers += reply.code != 0
                self._settle(self._outage.checked(reply.code != 0, self._clock()))
            else:
                self._handle(job, reply)
        ended, self._ended = self._ended, []
        self.load -= len(ended)
        yield from ended

    def _longest_wait(self, wait: float, now: float) -> float:
        """Up to `wait` seconds, no longer than until something may start."""
        if self._ended:
            return 0.0
        # During an outage only its checks start, however long jobs are due.
        due = self._outage.wait(now) if self._outage.suspected else self._hosts.wait(now)
        others = POLL_OTHERS if self._robots.requested_by_others else wait
        return min(wait, others, wait if due is None else due)

    def close(self) -> None:
        """Close all connections."""
        self._transfers.close()
        self._robots.close()
        self._groups.close()

    def _admit(self, job: Job) -> None:
        """Queue a job for the host of its last URL, once no robots.txt or tdmrep.json forbids it.

        The params name the places of archives, byte ranges and rows, and the rescue has its API: no
        robots.txt is asked there.
        """
        url = job.requested[-1]
        named = job.archive or job.part or job.row or job.group or job.lane
        if self._robots.obeyed and not (named or job.robots):
            if (verdict := self._robots.verdict(url)) is None:
                for file in self._robots.wait(url, job):
                    self._request_robots(file)
                return
            if refusal := verdict(url):
                refusal = replace(refusal, final_url=_final_url(job))
                self._ended.append((job.token, refusal, Reply()))
                return
        if self._hosts.given_up(job.host):
            self._end_busy(job)
        elif job.started:  # redirected
            self._hosts.add_later(job.host, job, self._clock())
        else:
            self._hosts.add(job.host, job)

    def _start(self, job: Job, now: float) -> None:
        self.traffic.requests += 1
        job.started = now
        silences = self._hosts.silences(job.host)
        self._transfers.start(
            job, replace(self._request(job), patience=self._patience(job, silences))
        )

    def _patience(self, job: Job, silences: int | None) -> float:
        """The seconds that a host has to begin its answer; 0: as the params say.

        A host that has not answered yet in this run gets less, so that dead hosts cost only
        seconds; but more where all hosts are slow, because then this machine's connection is full.
        """
        if silences is None or job.archive or job.group:
            return 0.0
        patience = SECOND_PATIENCE if job.timeouts else FIRST_PATIENCE
        patience = LAST_PATIENCE if silences >= _MANY_SILENCES else patience
        return max(patience, _LATER_THAN_SLOWEST * self._slowest)

    def _request(self, job: Job) -> Request:
        url = job.requested[-1]
        if job.row:
            return job.row.request(url, self.bounds)
        if job.group:
            return job.group.request(url)
        headers = job.headers.get(url, ())
        if login := self._policy.login(url, job.requested[0]):
            headers = (*headers, f"Authorization: {login}")
        if cookies := job.cookies.header(url):
            headers = (*headers, f"Cookie: {cookies}")
        if job.archive:
            job.archive.begin()
            offset = job.archive.request_from
            return Request(url, 0, job.archive.sink, offset, headers=headers)
        if job.robots:
            job.robots.begin()
            return Request(url, 0, job.robots.sink)
        if part := job.part:
            return Request(url, part.size, None, part.offset, part.size, headers)
        return Request(url, self.bounds.max_bytes, headers=headers, decode=job.decode)

    def _handle(self, job: Job, reply: Reply) -> None:
        """Redirect, retry or end a job."""
        now, host = self._clock(), job.host
        values, whole = reply.headers.get(b"retry-after", ()), bool(job.lane)
        asked_wait = self._policy.asked_wait(reply.code, values, whole)
        self._hosts.end(host, now, reply.code, asked_wait, job.started, is_photo=not job.robots)
        self.traffic.answers += reply.code != 0
        streamed = job.archive or job.group
        self.traffic.bytes += streamed.received if streamed else reply.size
        if reply.code:
            self._slowest = max(reply.first_byte, _FADING * self._slowest)
            unfit = job.archive or job.lane  # large, or with an interval of its own
            reference = "" if unfit else job.requested[-1]
            self.traffic.reference = reference or self.traffic.reference
            self._settle(self._outage.answered(host, reference, now))
        decision = self._decide(job, reply)
        if decision.redirect:
            job.requested.append(decision.redirect)
            self._admit(job)
            return
        if reply.code in WHOLE and job.refused:
            self._hosts.end_refused(host, served=True)
        if reply.code == 403 and not job.robots and self._hosts.is_throttle(host):
            job.refused, decision = True, replace(decision, retry=True)
        job.failures += decision.retry
        job.timeouts += decision.result.status is Status.TIMEOUT
        busy = reply.code in (*BUSY_CODES, 403)
        if busy and self._hosts.given_up(host):
            self._end(job, decision.result, reply)
            for other in self._hosts.drain(host):
                self._end_busy(other)
        elif decision.retry and not self._is_last_try(job, host):
            timed_out = decision.result.status is Status.TIMEOUT  # enough time has passed
            at_once = timed_out or (job.robots and job.failures == 1)
            wait = 0.0 if at_once else self._policy.backoff(job.failures, self._rng)
            self._hosts.add_later(host, job, now + wait, last=busy or timed_out)
        else:
            self._end_or_hold(job, decision.result, reply)

    def _is_last_try(self, job: Job, host: str) -> bool:
        throttled = job.refused and self._hosts.serves_after_403(host)
        failures = job.failures // _TRIES_OF_REFUSED if throttled else job.failures
        return self._policy.is_last_try(failures) or job.timeouts >= MAX_TIMEOUTS

    def _end_or_hold(self, job: Job, result: Result, reply: Reply) -> None:
        """End a job; a failure without any answer only once the network is known to work."""
        if reply.code or reply.blocked:
            if job.refused and reply.code == 403:
                self._hosts.end_refused(job.host, served=False)
            self._end(job, result, reply)
        elif job.started < self._outage.back_at:
            self._try_again(job)  # the outage may be what broke it
        else:
            self._settle(self._outage.hold((job, result, reply), is_photo=not job.robots))

    def _settle(self, settled: Settled[tuple[Job, Result, Reply]]) -> None:
        for job, result, reply in settled.failed:
            self._end(job, result, reply)
        for job, _, _ in settled.again:
            self._try_again(job)

    def _try_again(self, job: Job) -> None:
        job.failures = job.timeouts = 0
        self._hosts.add_later(job.host, job, self._clock())

    def _end_busy(self, job: Job) -> None:
        """End a job whose host has been busy for too long, without another request."""
        code = self._hosts.given_up(job.host)
        self._end(job, http_error(code).result, Reply(code=code))

    def _decide(self, job: Job, reply: Reply) -> Decision:
        if job.archive:
            decision = job.archive.decide(reply, job.requested, self.bounds)
            if job.archive.progressed():
                job.failures = 0
            return decision
        if job.robots:
            return job.robots.decide(reply, job.requested, self.bounds)
        if job.group:
            return job.group.decide(reply, job.requested, self.bounds)
        if job.part:
            return decide_byte_range(reply, job.requested, self.bounds, job.part)
        if job.row:
            return job.row.decide(reply, job.requested, self.bounds)
        new_cookie = job.cookies.take(job.requested[-1], reply.headers.get(b"set-cookie", ()))
        if job.decode and is_unknown_encoding(reply):
            job.decode = False  # one more request, which takes the body as it is
            return Decision(Result(Status.OK), redirect=job.requested.pop())
        return decide(reply, job.requested, self.bounds, new_cookie)

    def _end(self, job: Job, result: Result, reply: Reply) -> None:
        if job.robots:
            answer = job.robots.answer(reply, job.timeouts)
            self._end_robots(job.requested[0], answer)
            return
        if not reply.code:
            self.traffic.failures[result.status, result.detail] += 1
        if job.group:
            for cell in self._groups.end(job.group, result, reply, self.bounds):
                self._end_cell(*cell)
            return
        codes = (206,) if job.part else WHOLE
        whole = reply.code in codes and not reply.error and not job.archive
        size = reply.size if whole else None
        self._ended.append(
            (job.token, replace(result, final_url=_final_url(job), bytes=size), reply)
        )

    def _start_groups(self) -> None:
        for found in self._groups.start(self.bounds):
            if isinstance(found, GroupDownload):
                self._admit(Job(None, [request_url(found.cell.file)], group=found))
            else:
                self._end_cell(*found)

    def _end_cell(self, token: Any, cell: Cell, result: Result, reply: Reply) -> None:
        self._ended.append((token, replace(result, final_url=cell.file), reply))

    def _request_robots(self, url: str) -> None:
        patient = self._robots.everyone and url.endswith("/robots.txt")
        self._admit(Job(None, [url], robots=RobotsFile(patient, self._clock)))

    def _end_robots(self, url: str, answer: RobotsAnswer) -> None:
        """Admit the jobs that wait for a host's files. A robots.txt's timeout is one of theirs."""
        jobs, timeouts = self._robots.settle(url, answer)
        for job in jobs:
            job.timeouts = max(job.timeouts, min(timeouts, MAX_TIMEOUTS - 1))
            self._admit(job)


def _final_url(job: Job) -> str:
    """The last URL requested, without a signature.

    The photo of a dataset's row has a signed URL, and files are often redirected to one. A
    capture's URL keeps its query, which is of the photo.
    """
    if job.row:
        return job.requested[0]
    is_whole = job.lane or len(job.requested) == 1
    return job.requested[-1] if is_whole else job.requested[-1].partition("?")[0]


POLL = 0.2  # seconds
RESCUE_LANE = "wayback"  # no host: it has no dot
MAX_TIMEOUTS = 2
"""Timeouts after which a URL is not tried again: each takes as long as hundreds of photos."""
FIRST_PATIENCE, SECOND_PATIENCE, LAST_PATIENCE = 6.0, 3.0, 1.0
_MANY_SILENCES = 8
_LATER_THAN_SLOWEST, _FADING = 4.0, 0.98
_TRIES_OF_REFUSED = 3
"""Tries after 403 that count as one, where a host is known to throttle by 403."""
NOTHING_REACHED = 512
"""After this many URLs without a single reply, the network is down, not the URLs dead."""


def nothing_reached(traffic: Traffic) -> DataError:
    """The error for a run in which no host answered at all."""
    failures = Counter(
        {detail or str(status): n for (status, detail), n in traffic.failures.items()}
    )
    counts = ", ".join(f"{detail}: {count}" for detail, count in sorted(failures.items()))
    blocked = any(status is Status.BLOCKED for status, _ in traffic.failures)
    hint = "put a private host into network.allow_private, or " if blocked else ""
    return DataError(
        f"nothing could be reached: {traffic.requests} requests, no answer ({counts}); {hint}"
        "check the network, the proxy settings and the sources, then run it again"
    )
