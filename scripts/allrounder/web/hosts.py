"""Decides when a request may start: limits in all and per host, intervals, waits.

Pure bookkeeping; the time is passed in.
"""

import heapq
import itertools
import zlib
from collections import deque
from collections.abc import Iterator, MutableSequence
from typing import Generic, TypeVar

from allrounder.web.policy import BUSY_CODES

Job = TypeVar("Job")

WAITS = 4096
"""Entries of a table of waits. Hosts that share an entry by chance wait for each other."""
_FIRST_INTERVAL, _LONGEST_INTERVAL = 0.25, 30.0


class _Host(Generic[Job]):
    def __init__(self, index: int) -> None:
        self.index = index  # in the table of waits
        self.queue: deque[Job] = deque()
        self.in_flight = 0
        self.interval = 0.0  # seconds between two requests, beyond the configured minimum
        self.not_before = 0.0
        self.listed = False  # in _ready or _waiting


class Hosts(Generic[Job]):
    """The queues of all hosts. Times are seconds of one monotonic clock.

    `waits` is a table that the processes of a run share: the times until which no process asks a
    host that answered 429 or 503.
    """

    def __init__(
        self,
        total: int,
        per_host: int,
        min_interval: float,
        waits: MutableSequence[float] | None = None,
    ):
        self._waits = [0.0] * WAITS if waits is None else waits
        self._total, self._per_host = total, per_host
        self._min_interval = min_interval
        self._hosts: dict[str, _Host[Job]] = {}
        self._ready: deque[_Host[Job]] = deque()
        self._waiting: list[tuple[float, int, _Host[Job]]] = []
        self._delayed: list[tuple[float, int, str, Job]] = []
        self._count = itertools.count()
        self._in_flight = 0

    def add(self, host: str, job: Job) -> None:
        """Queue a job after the others of its host."""
        state = self._host(host)
        state.queue.append(job)
        self._list(state)

    def add_later(self, host: str, job: Job, when: float) -> None:
        """Queue a job for a later try, at `when` and before the others of its host."""
        heapq.heappush(self._delayed, (when, next(self._count), host, job))

    def start(self, now: float) -> Iterator[Job]:
        """Yield the jobs that may start now, one host after the other; each is then in flight."""
        while self._delayed and self._delayed[0][0] <= now:
            _, _, host, job = heapq.heappop(self._delayed)
            self._host(host).queue.appendleft(job)
            self._list(self._host(host))
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[2])
        while self._ready and self._in_flight < self._total:
            state = self._ready.popleft()
            state.listed = False
            if not state.queue or state.in_flight >= self._per_host:
                continue  # listed again when one of its jobs ends or is added
            state.not_before = max(state.not_before, self._waits[state.index])
            if state.not_before > now:
                state.listed = True
                heapq.heappush(self._waiting, (state.not_before, next(self._count), state))
                continue
            state.in_flight += 1
            self._in_flight += 1
            state.not_before = now + max(self._min_interval, state.interval)
            job = state.queue.popleft()
            self._list(state)
            yield job

    def end(self, host: str, now: float, code: int = 0, asked_wait: float | None = None) -> None:
        """Note that a request has ended, with the seconds that the host asks to wait.

        429 and 503 lengthen the interval between the host's requests, other codes shorten it.
        """
        state = self._host(host)
        state.in_flight -= 1
        self._in_flight -= 1
        wait = asked_wait or 0.0
        if code in BUSY_CODES:
            state.interval = min(max(2 * state.interval, _FIRST_INTERVAL), _LONGEST_INTERVAL)
            wait = max(wait, state.interval)
        elif code:
            state.interval = 0.0 if state.interval < 0.01 else 0.8 * state.interval
        if wait:
            state.not_before = max(state.not_before, now + wait)
            self._waits[state.index] = max(self._waits[state.index], state.not_before)
        self._list(state)

    def wait(self, now: float) -> float | None:
        """Return the seconds until a job may start that has to wait, or None without one."""
        times = [heap[0][0] for heap in (self._waiting, self._delayed) if heap]
        return max(0.0, min(times) - now) if times else None

    def _host(self, host: str) -> _Host[Job]:
        if (state := self._hosts.get(host)) is None:
            index = zlib.crc32(host.encode()) % len(self._waits)
            state = self._hosts[host] = _Host(index)
        return state

    def _list(self, state: _Host[Job]) -> None:
        if state.queue and not state.listed and state.in_flight < self._per_host:
            state.listed = True
            self._ready.append(state)
