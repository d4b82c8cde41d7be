"""Fetches photos and archives to the end: redirects, retries, per-host limits; one result each."""

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from allrounder.core.errors import DataError
from allrounder.core.photos import Bounds, Verdict
from allrounder.core.rows import Status
from allrounder.core.urls import BadUrlError, Slice, host_of, parse_slice, request_url
from allrounder.params.schema import Download, Network
from allrounder.params.sources import Source
from allrounder.web.archives import ArchiveDownload
from allrounder.web.dataset_rows import DatasetRowDownload, DatasetRows
from allrounder.web.decisions import decide, decide_slice
from allrounder.web.hosts import BUSY_CODES, Hosts
from allrounder.web.policy import retry_after
from allrounder.web.transfer import Reply, Request, Transfers

_LONGEST_BACKOFF = 30.0
_PORTS = {"http": 80, "https": 443}


@dataclass(slots=True, eq=False)
class _Job:
    token: Any
    asked: list[str]
    archive: ArchiveDownload | None = None
    part: Slice | None = None
    row: DatasetRowDownload | None = None
    failures: int = 0
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A finished fetch: the verdict, the last URL asked, and the body of a photo."""

    token: Any
    verdict: Verdict
    final_url: str = ""
    body: bytes = b""
    size: int | None = None
    headers: Mapping[bytes, list[bytes]] = field(default_factory=dict)  # of the last answer


@dataclass(slots=True)
class Traffic:
    """What went over the network so far."""

    requests: int = 0
    answers: int = 0
    bytes: int = 0
    failures: dict[str, int] = field(default_factory=dict)


class Fetcher:
    """Submit URLs, poll for what has ended."""

    def __init__(
        self,
        network: Network,
        download: Download,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        rows: DatasetRows | None = None,
        waits: MutableSequence[float] | None = None,
        sources: Sequence[Source] = (),
    ):
        self.bounds = Bounds(download.max_bytes, download.min_side, download.max_pixels)
        self.traffic = Traffic()
        self.load = 0  # submitted and not yet ended
        self._network, self._honour = network, download.honour_opt_out
        self._clock, self._rng = clock, rng or random.Random()
        self._transfers, self._rows = Transfers(network), rows
        self._logins = login_places(sources)
        self._hosts: Hosts[_Job] = Hosts(
            network.connections,
            network.per_host,
            network.min_interval,
            network.retry_after_max,
            waits,
        )
        self._ended: list[Fetched] = []

    @property
    def hungry(self) -> bool:
        """Whether more URLs would keep the connections busier; a slow host's queue does not."""
        total = self._network.connections
        return self.load < 2 * total or 2 * self._transfers.in_flight < total

    def submit(
        self,
        token: Any,
        url: str,
        archive: ArchiveDownload | None = None,
        headers: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Ask for a URL or a slice; `token` comes back with what became of it.

        `headers` are more request headers, each hop's by its URL as it goes on the wire.
        """
        self.load += 1
        part = parse_slice(url)
        try:
            asked = [request_url(part.file if part else url)]
        except BadUrlError as error:
            self._ended.append(Fetched(token, Verdict(Status.BAD_URL, str(error))))
            return
        row = self._rows.job(url) if self._rows else None
        job = _Job(token, asked, archive, part, row, headers=headers or {})
        self._hosts.add(host_of(asked[0]), job)

    def poll(self, wait: float) -> Iterator[Fetched]:
        """Start what may start, wait up to `wait` seconds, yield what has ended."""
        now = self._clock()
        for job in self._hosts.start(now):
            self.traffic.requests += 1
            self._transfers.start(job, self._request(job))
        due = self._hosts.wait(now)
        wait = 0.0 if self._ended else wait if due is None else min(wait, due)
        for job, reply in self._transfers.step(wait):
            self._reply(job, reply)
        ended, self._ended = self._ended, []
        self.load -= len(ended)
        yield from ended

    def close(self) -> None:
        """Hang up everything."""
        self._transfers.close()

    def _request(self, job: _Job) -> Request:
        url = job.asked[-1]
        if job.row:
            return job.row.request(url, self.bounds)
        headers, login = job.headers.get(url, ()), _place(url) in self._logins
        if job.archive:
            job.archive.begin()
            offset = job.archive.ask_from
            return Request(url, 0, job.archive.sink, offset, headers=headers, login=login)
        if part := job.part:
            return Request(url, part.size, None, part.offset, part.size, headers, login)
        return Request(url, self.bounds.max_bytes, headers=headers, login=login)

    def _reply(self, job: _Job, reply: Reply) -> None:
        now, host = self._clock(), host_of(job.asked[-1])
        asked_to_wait = retry_after(reply.headers.get(b"retry-after", ()))
        busy = reply.code in BUSY_CODES
        self._hosts.end(host, now, reply.code, asked_to_wait if busy else None)
        self.traffic.answers += reply.code != 0
        self.traffic.bytes += job.archive.received if job.archive else reply.size
        if job.archive:
            fate = job.archive.fate(reply, job.asked, self.bounds)
            if job.archive.progressed():
                job.failures = 0
        elif job.part:
            fate = decide_slice(reply, job.asked, self.bounds, self._honour, job.part)
        elif job.row:
            fate = job.row.fate(reply, job.asked, self.bounds, self._honour)
        else:
            fate = decide(reply, job.asked, self.bounds, self._honour)
        job.failures += fate.try_again
        if fate.hop:
            job.asked.append(fate.hop)
            self._hosts.add_later(host_of(fate.hop), job, now)
        elif fate.try_again and job.failures < self._network.tries:
            longest = min(_LONGEST_BACKOFF, self._network.backoff * 2**job.failures)
            self._hosts.add_later(host, job, now + self._rng.uniform(0, longest))
        else:
            if not reply.code:
                words = fate.verdict.detail or str(fate.verdict.status)
                self.traffic.failures[words] = self.traffic.failures.get(words, 0) + 1
            self._finish(job, fate.verdict, reply)

    def _finish(self, job: _Job, verdict: Verdict, reply: Reply) -> None:
        good = verdict.status is Status.OK
        whole = reply.code == (206 if job.part else 200) and not reply.error
        size = reply.size if whole else None
        body = reply.body if good and not job.archive else b""
        final_url, headers = _final_url(job), reply.headers
        self._ended.append(Fetched(job.token, verdict, final_url, body, size, headers))


def login_places(sources: Iterable[Source]) -> frozenset[str]:
    """Where a login of ~/.netrc may go: the sources' hosts, at the port they say or over https.

    A .netrc knows no ports, and behind another one may be somebody else. No other host of a
    photo gets one.
    """
    found: set[str] = set()
    for source in sources:
        if source.login_url:
            with contextlib.suppress(BadUrlError):
                place = _place(request_url(source.login_url))
                found |= {place, _place(f"https://{place.partition('://')[2].rpartition(':')[0]}")}
    return frozenset(found)


def _place(url: str) -> str:
    """Scheme, host and port, which is always said."""
    parts = urlsplit(url)
    netloc = parts.netloc if parts.port else f"{parts.netloc}:{_PORTS[parts.scheme]}"
    return f"{parts.scheme}://{netloc}"


def _final_url(job: _Job) -> str:
    """The last URL asked, without what is another one at each asking.

    A row's photo has a signed URL, and files are often moved to one: what is written holds no
    signature.
    """
    if job.row or len(job.asked) == 1:
        return job.asked[0]
    return job.asked[-1].partition("?")[0]


POLL = 0.2  # seconds
NOTHING_REACHED = 512
"""So many URLs without a single answer from the web: the network is down, not the URLs dead."""


def nothing_reached(traffic: Traffic) -> DataError:
    """What to say when no host answered at all."""
    worst = ", ".join(f"{words}: {count}" for words, count in sorted(traffic.failures.items()))
    private = "private address" in traffic.failures
    hint = "a host of yours belongs into network.allow_private; else " if private else ""
    return DataError(
        f"nothing could be reached: {traffic.requests} requests, no answer ({worst}); {hint}"
        "check the network, the proxy settings and the sources, then run it again"
    )
