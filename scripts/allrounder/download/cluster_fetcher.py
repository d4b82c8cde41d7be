"""Fetches photos on a Ray cluster: one worker for each host; all results come back here.

Lists, quotas, pins, journal and files stay in the download's own process. So the results are
those of a local run, and a killed run goes on in the same way.
"""

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allrounder.cluster.ray_cluster import Cluster, WorkerLostError
from allrounder.core.errors import DataError
from allrounder.core.rows import Result, Status
from allrounder.core.urls import BadUrlError
from allrounder.params.schema import Network, Params
from allrounder.params.sources import HuggingfaceSource
from allrounder.web.fetcher import Job, Traffic, bounds_of, sum_of
from allrounder.web.owned import Orders, OwnedFetcher, Report, plain_job
from allrounder.web.policy import NetworkPolicy
from allrounder.web.transfer import Reply

_CALLS = 2  # exchanges under way with each worker, so that it never waits for this process
_GRACE = 1.0
"""Seconds before a lost worker's hosts get requests again: it may still be running for a moment."""
_STARTS = 5
"""How often the workers are started: all may be lost one time less."""


def why_here(params: Params, urls: Path, keys: Iterable[str]) -> str:
    """Why the cluster cannot download these classes, or ''.

    No class may be fetched by this machine meanwhile: the limits of the hosts would not hold.
    """
    if params.download.rescue:
        return "download.rescue asks one web archive, one photo after the other"
    if any(isinstance(source, HuggingfaceSource) for source in params.sources):
        return "rows of Hugging Face datasets are fetched together"
    if any(b".tar" in (urls / f"{key}.csv").read_bytes().lower() for key in keys):
        return "archives are read in one stream each"
    return ""


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker, its next orders, and its last report."""

    handle: Any
    number: int
    orders: Orders = field(default_factory=Orders)
    calls: list[Any] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    jobs: dict[int, None] = field(default_factory=dict)  # in the order of their submission
    in_flight: int = 0
    traffic: Traffic = field(default_factory=Traffic)


class ClusterFetcher:
    """Submit URLs, then poll for their results, as with a Fetcher; for photos and byte ranges only.

    The cluster is started or connected with the first URL. The limits of `network` hold for each
    worker, and those of one host for all workers together.
    """

    def __init__(
        self, address: str, network: Network, params: Params, taken_down: frozenset[str]
    ) -> None:
        self.bounds = bounds_of(params.download, taken_down)
        self.traffic, self.load = Traffic(), 0
        self.doubtful, self.answering = set[str](), frozenset[str]()
        policy = NetworkPolicy.of(network, params.sources)
        self._address, self._network = address, network
        self._arguments = OwnedFetcher, network, params.download, policy, taken_down
        self._cluster: Cluster | None = None
        self._starts = 0
        self._numbers = itertools.count()
        self._submitted: dict[int, tuple[Any, str]] = {}  # token and URL by the job's number
        self._workers: list[_Worker] = []
        self._owners: dict[str, _Worker] = {}
        self._waits: dict[str, float] = {}  # when a host may be asked again
        self._robots: dict[tuple[int, str], tuple[Job, _Worker]] = {}  # fetched for another worker
        self._past: list[Traffic] = []  # of lost workers
        self._ended: list[tuple[Any, Result, Reply]] = []

    @property
    def wants_more(self) -> bool:
        """Whether more URLs would keep the connections busier; a slow host's queue does not."""
        total = self._network.connections * max(1, len(self._workers))
        in_flight = sum(worker.in_flight for worker in self._workers)
        return self.load < 2 * total or 2 * in_flight < total

    def submit(self, token: Any, url: str, archive: object = None, lane: str = "") -> None:
        """Request a photo or a byte range; `token` comes back with its result."""
        assert archive is None, "why_here"
        assert not lane, "why_here"
        self.load += 1
        number = next(self._numbers)
        try:
            job = plain_job(number, url)
        except BadUrlError as error:
            self._ended.append((token, Result(Status.BAD_URL, str(error)), Reply()))
            return
        self._submitted[number] = token, url
        self._send(job)

    def poll(self, wait: float) -> Iterator[tuple[Any, Result, Reply]]:
        """Wait up to `wait` seconds for results, yield (token, result, last reply)."""
        self._call()
        calls = {call: worker for worker in self._workers for call in worker.calls}
        if self._cluster:
            for call in self._cluster.ready(list(calls), 0 if self._ended else wait):
                if (worker := calls[call]) in self._workers:
                    worker.calls.remove(call)
                    self._receive(self._cluster, worker, call)
            self._call()
        ended, self._ended = self._ended, []
        self.load -= len(ended)
        self.traffic = sum_of([*self._past, *(worker.traffic for worker in self._workers)])
        yield from ended

    def close(self) -> None:
        """End the workers, and the connection to the cluster."""
        if self._cluster:
            for worker in self._workers:
                self._cluster.end(worker.handle)
            self._cluster.close()

    def _send(self, job: Job) -> None:
        worker = self._owner(job.host)
        worker.jobs[job.token] = None
        worker.orders.jobs.append(job)

    def _send_robots(self, job: Job, asker: int) -> None:
        """Send a robots.txt that was redirected to another worker's host to that worker.

        Nothing is sent for a lost worker: the worker that got its jobs asks for itself.
        """
        if all(worker.number != asker for worker in self._workers):
            return
        worker = self._owner(job.host)
        job.asker = None if worker.number == asker else asker
        if job.asker is not None:
            self._robots[asker, job.requested[0]] = job, worker
        worker.orders.jobs.append(job)

    def _owner(self, host: str) -> _Worker:
        """The worker of a host; a new host goes to the worker with the fewest jobs."""
        if host not in self._owners:
            if not self._workers:
                self._start()
            worker = min(self._workers, key=lambda one: (len(one.jobs), len(one.hosts)))
            self._owners[host] = worker
            worker.hosts.add(host)
            until = self._waits.pop(host, 0.0)
            worker.orders.hosts[host] = max(0.0, until - time.monotonic())
        return self._owners[host]

    def _start(self) -> None:
        if self._starts == _STARTS:
            raise DataError(
                f"network.ray: all workers were lost {_STARTS} times; what was fetched is kept, "
                "run it again to go on"
            )
        self._cluster = self._cluster or Cluster(self._address)
        for handle in self._cluster.workers(*self._arguments):
            self._workers.append(_Worker(handle, next(self._numbers)))
        self._starts += 1

    def _call(self) -> None:
        """Keep exchanges under way with the workers that have something to do."""
        hosting = {id(worker) for _, worker in self._robots.values()}
        for worker in self._workers:
            busy = bool(worker.jobs) or id(worker) in hosting
            while len(worker.calls) < _CALLS and (busy or worker.orders):
                worker.calls.append(worker.handle.exchange.remote(worker.orders))
                worker.orders = Orders()

    def _receive(self, cluster: Cluster, worker: _Worker, call: Any) -> None:
        try:
            report: Report = cluster.get(call)
        except WorkerLostError:
            self._lose(cluster, worker)
            return
        now = time.monotonic()
        worker.traffic, worker.in_flight = report.traffic, report.in_flight
        self._waits |= {host: now + seconds for host, seconds in report.busy.items()}
        self.doubtful |= report.doubtful
        self.doubtful -= report.reliable
        for job in report.moved:
            if job.robots:
                self._send_robots(job, worker.number if job.asker is None else job.asker)
            else:
                del worker.jobs[job.token]
                self._send(job)
        for reply in report.robots:
            if self._robots.pop((reply.asker, reply.file), None):
                asker = next(one for one in self._workers if one.number == reply.asker)
                asker.orders.robots.append(reply)
        for number, result, last in report.ended:
            del worker.jobs[number]
            token, _ = self._submitted.pop(number)
            self._ended.append((token, result, last))

    def _lose(self, cluster: Cluster, worker: _Worker) -> None:
        """Give a lost worker's hosts and jobs to others; its hosts keep their waits."""
        cluster.end(worker.handle)
        self._workers.remove(worker)
        self._past.append(worker.traffic)
        free = time.monotonic() + max(_GRACE, self._network.min_interval)
        for host in worker.hosts:
            del self._owners[host]
            self._waits[host] = max(self._waits.get(host, 0.0), free)
        self.doubtful -= worker.hosts
        for number in worker.jobs:
            self._send(plain_job(number, self._submitted[number][1]))
        for (asker, file), (job, holder) in list(self._robots.items()):
            if worker.number == asker:
                del self._robots[asker, file]
            elif holder is worker:
                del self._robots[asker, file]
                self._send_robots(job, asker)
