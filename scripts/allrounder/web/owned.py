"""A fetcher on a node of a cluster, which sends requests only to its own hosts.

Each host belongs to one fetcher at a time, so its limits, waits and robots.txt hold for the whole
cluster. A redirect to another fetcher's host goes back to the driver, which gives it to that one.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import certifi

from allrounder.core.rows import Result
from allrounder.core.urls import parse_byte_range, request_url
from allrounder.params.schema import Download, Network
from allrounder.web.fetcher import Fetcher, Job, Traffic
from allrounder.web.policy import BUSY_CODES, NetworkPolicy
from allrounder.web.robots import RobotsAnswer
from allrounder.web.transfer import Reply

_EXCHANGE = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class RobotsReply:
    """The answer for a robots.txt that the fetcher number `asker` waits for."""

    asker: int
    file: str
    answer: RobotsAnswer


@dataclass(slots=True)
class Orders:
    """Work for a fetcher: its new hosts, with the seconds before their first request; jobs for its
    hosts; answers for the robots.txt that it waits for."""

    hosts: dict[str, float] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    robots: list[RobotsReply] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.jobs or self.robots)


@dataclass(slots=True)
class Report:
    """A fetcher's work since its last report; `traffic` is the total since its start."""

    ended: list[tuple[int, Result, Reply]]
    moved: list[Job]  # redirected to hosts that are not its own
    robots: list[RobotsReply]
    busy: dict[str, float]  # seconds for which a host is to get no request
    doubtful: set[str]  # hosts that became doubtful
    reliable: set[str]  # hosts that no longer are
    in_flight: int
    traffic: Traffic


def plain_job(number: int, url: str) -> Job:
    """The job for a photo or a byte range. Raises BadUrlError."""
    part = parse_byte_range(url)
    return Job(number, [request_url(part.file if part else url)], part=part)


class OwnedFetcher(Fetcher):
    """Makes requests only within `exchange`, so it does nothing without its driver."""

    def __init__(
        self,
        network: Network,
        download: Download,
        policy: NetworkPolicy,
        taken_down: frozenset[str],
    ):
        if not Path(policy.ca_file).exists():  # the policy is from another machine
            policy = replace(policy, ca_file=certifi.where())
        super().__init__(network, download, taken_down=taken_down, policy=policy)
        self._owned: set[str] = set()
        self._moved: list[Job] = []
        self._answers: list[RobotsReply] = []
        self._busy: set[str] = set()
        self._reported: set[str] = set()  # doubtful hosts, as last reported

    def ready(self) -> bool:
        """Tell the cluster that this worker has started."""
        return True

    def exchange(self, orders: Orders) -> Report:
        """Take orders, work until there is something to report or for a moment, and report it."""
        now = self._clock()
        for host, wait in orders.hosts.items():
            self._owned.add(host)
            self._hosts.postpone(host, now + wait)
        for job in orders.jobs:
            self.load += not job.robots
            self._admit(job)
        for reply in orders.robots:
            self._end_robots(reply.file, reply.answer)
        ended, until = list(self.poll(0)), now + _EXCHANGE
        while not (ended or self._moved or self._answers) and (now := self._clock()) < until:
            ended = list(self.poll(until - now))
        return self._report(ended)

    def _report(self, ended: list[tuple[int, Result, Reply]]) -> Report:
        now, doubtful = self._clock(), set(self.doubtful)
        busy = {host: self._hosts.busy_for(host, now) for host in self._busy}
        report = Report(
            ended, self._moved, self._answers, busy, doubtful - self._reported,
            self._reported - doubtful, self._transfers.in_flight, self.traffic,
        )  # fmt: skip
        self._moved, self._answers, self._busy, self._reported = [], [], set(), doubtful
        return report

    def _admit(self, job: Job) -> None:
        if job.host in self._owned:
            super()._admit(job)
        else:
            self.load -= not job.robots
            self._moved.append(job)

    def _handle(self, job: Job, reply: Reply) -> None:
        host = job.host
        super()._handle(job, reply)
        if reply.code in (*BUSY_CODES, 403):
            self._busy.add(host)

    def _end(self, job: Job, result: Result, reply: Reply) -> None:
        if job.robots and job.asker is not None:
            answer = job.robots.answer(reply, job.timeouts)
            self._answers.append(RobotsReply(job.asker, job.requested[0], answer))
        else:
            super()._end(job, result, reply)
