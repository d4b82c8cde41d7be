"""Decides when a request may start: caps in all and per host, intervals, backing off, waiting.

Pure bookkeeping with the time passed in; it opens no connection.
"""

import heapq
import itertools
import zlib
from collections import deque
from collections.abc import Iterator, MutableSequence
from typing import Generic, TypeVar

Job = TypeVar("Job")

BUSY_CODES = (429, 503)
WAITS = 4096
"""Places of a board of waits: few hosts share one, and those that do only wait for each other."""
_FIRST_INTERVAL, _LONGEST_INTERVAL = 0.25, 30.0


class _Host(Generic[Job]):
    def __init__(self, place: int) -> None:
        self.place = place  # on the board of waits
        self.queue: deque[Job] = deque()
        self.in_flight = 0
        self.interval = 0.0  # seconds between two requests, beyond the configured minimum
        self.not_before = 0.0
        self.listed = False  # stands in _ready or _waiting


class Hosts(Generic[Job]):
    """The queues of all hosts. Times are seconds of one monotonic clock.

    `waits` is a board that the processes of a run share: until when a host that answered 429, 503
    or Retry-After is to be left alone, whichever of them it told.
    """

    def __init__(
        self,
        total: int,
        per_host: int,
        min_interval: float,
        retry_after_max: float,
        waits: MutableSequence[float] | None = None,
    ):
        self._waits = [0.0] * WAITS if waits is None else waits
        self._total, self._per_host = total, per_host
        self._min_interval, self._retry_after_max = min_interval, retry_after_max
        self._hosts: dict[str, _Host[Job]] = {}
        self._ready: deque[_Host[Job]] = deque()
        self._waiting: list[tuple[float, int, _Host[Job]]] = []
        self._delayed: list[tuple[float, int, str, Job]] = []
        self._count = itertools.count()
        self._in_flight = 0

    def add(self, host: str, job: Job) -> None:
        """Queue a job behind the others of its host."""
        state = self._host(host)
        state.queue.append(job)
        self._list(state)

    def add_later(self, host: str, job: Job, when: float) -> None:
        """Queue a job for another try, before the others of its host, but not before `when`."""
        heapq.heappush(self._delayed, (when, next(self._count), host, job))

    def start(self, now: float) -> Iterator[Job]:
        """Yield the jobs that may start now, the hosts in turn; each counts as in flight."""
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
                continue  # listed again when a job of it ends or comes
            state.not_before = max(state.not_before, self._waits[state.place])
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

    def end(self, host: str, now: float, code: int = 0, retry_after: float | None = None) -> None:
        """A request has ended: 429 and 503 slow the host down, other answers speed it up again."""
        state = self._host(host)
        state.in_flight -= 1
        self._in_flight -= 1
        wait = 0.0 if retry_after is None else min(retry_after, self._retry_after_max)
        if code in BUSY_CODES:
            state.interval = min(max(2 * state.interval, _FIRST_INTERVAL), _LONGEST_INTERVAL)
            wait = max(wait, state.interval)
        elif code:
            state.interval = 0.0 if state.interval < 0.01 else 0.8 * state.interval
        if wait:
            state.not_before = max(state.not_before, now + wait)
            self._waits[state.place] = max(self._waits[state.place], state.not_before)
        self._list(state)

    def wait(self, now: float) -> float | None:
        """Seconds until a job may start that may not start now; None when there is none."""
        times = [heap[0][0] for heap in (self._waiting, self._delayed) if heap]
        return max(0.0, min(times) - now) if times else None

    def _host(self, host: str) -> _Host[Job]:
        if (state := self._hosts.get(host)) is None:
            place = zlib.crc32(host.encode()) % len(self._waits)
            state = self._hosts[host] = _Host(place)
        return state

    def _list(self, state: _Host[Job]) -> None:
        if state.queue and not state.listed and state.in_flight < self._per_host:
            state.listed = True
            self._ready.append(state)
