"""Decides when a request may start: limits in all and per host, intervals, waits.

Pure bookkeeping; the time is passed in.
"""

import heapq
import itertools
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, MutableSequence
from types import MappingProxyType
from typing import Generic, TypeVar

from allrounder.web.policy import BUSY_CODES

Job = TypeVar("Job")

WAITS = 4096
"""Entries of a table of waits. Hosts that share an entry by chance wait for each other."""
_FIRST_INTERVAL, _LONGEST_INTERVAL = 0.25, 30.0
_SOME_REFUSALS, _MANY_REFUSALS = 4, 8
_FINAL_REFUSALS = 3
_SLOW = 4.0
"""Seconds between two requests. A host that still answers some URLs by 503, between good answers,
does not throttle: it lacks these files.
"""
LATE = 1.5  # seconds after which a host without an answer is doubtful; it may still answer
FIRST_BUSY_PATIENCE = 30.0
"""Seconds, beyond the longest Retry-After, that a host may be busy before its first good answer."""
BUSY_PATIENCE = 300.0
"""Seconds that a host may be busy after a good answer."""


class _Host(Generic[Job]):
    def __init__(self, name: str, index: int, most: int, min_interval: float) -> None:
        self.name, self.index = name, index  # in the table of waits
        self.most, self.min_interval = most, min_interval
        self.queue: deque[Job] = deque()
        self.in_flight = 0
        self.interval = 0.0  # seconds between two requests, beyond the configured minimum
        self.not_before = 0.0
        self.scheduled = False  # in _ready or _waiting
        self.good = self.silent = 0  # answers other than refusals; failures without any answer
        self.good_at = self.slowed_at = -1.0  # times of the last one
        self.busy_since: float | None = None  # no good answer since then
        self.refusals = self.final_refusals = 0  # 403 in a row; URLs with 403 in all their tries
        self.busy_in_a_row = 0  # 429 and 503
        self.isolated_503 = 0  # those between good answers, at an interval of _SLOW or more
        self.served_after_403 = 0  # URLs that were served after a 403
        self.given_up = 0  # 429 or 503, whichever it answered last, once it was busy for too long


class Hosts(Generic[Job]):
    """The queues of all hosts. Times are seconds of one monotonic clock.

    `waits` is a table that the processes of a run share: when a host that answered 429 or 503 may
    get the next request. `longest_wait` is the longest Retry-After that is obeyed. `alone` has the
    smallest interval of each host that gets one request at a time.
    """

    def __init__(
        self,
        total: int,
        per_host: int,
        min_interval: float,
        waits: MutableSequence[float] | None = None,
        longest_wait: float = 0.0,
        alone: Mapping[str, float] = MappingProxyType({}),
    ):
        self.doubtful: set[str] = set()  # hosts whose last replies were failures
        self.answering: set[str] = set()  # hosts whose last reply, also for robots.txt, was good
        self._longest_wait = longest_wait
        self._waits = [0.0] * WAITS if waits is None else waits
        self._total, self._limits = total, (per_host, min_interval)
        self._alone = alone
        self._hosts: dict[str, _Host[Job]] = {}
        self._ready: deque[_Host[Job]] = deque()
        self._waiting: list[tuple[float, int, _Host[Job]]] = []
        self._delayed: list[tuple[float, int, str, Job, bool]] = []
        self._count = itertools.count()
        self._in_flight = 0
        self._unanswered: dict[str, float] = {}  # hosts without a photo's reply: since when

    def add(self, host: str, job: Job) -> None:
        """Queue a job after the others of its host."""
        state = self._host(host)
        state.queue.append(job)
        self._schedule(state)

    def add_later(self, host: str, job: Job, when: float, last: bool = False) -> None:
        """Queue a job for a later try, at `when`, before the others of its host or `last`."""
        heapq.heappush(self._delayed, (when, next(self._count), host, job, last))

    def start(self, now: float, late: float = LATE) -> Iterator[Job]:
        """Yield the jobs that may start now, one host after the other; each is then in flight."""
        for host in [host for host, since in self._unanswered.items() if now - since > late]:
            del self._unanswered[host]
            self.doubtful.add(host)
        while self._delayed and self._delayed[0][0] <= now:
            _, _, host, job, last = heapq.heappop(self._delayed)
            queue = self._host(host).queue
            queue.append(job) if last else queue.appendleft(job)
            self._schedule(self._host(host))
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[2])
        while self._ready and self._in_flight < self._total:
            state = self._ready.popleft()
            state.scheduled = False
            if not state.queue or state.in_flight >= state.most:
                continue  # scheduled again when one of its jobs ends or is added
            state.not_before = max(state.not_before, self._waits[state.index])
            if state.not_before > now:
                state.scheduled = True
                heapq.heappush(self._waiting, (state.not_before, next(self._count), state))
                continue
            state.in_flight += 1
            self._in_flight += 1
            state.not_before = now + max(state.min_interval, state.interval)
            job = state.queue.popleft()
            self._schedule(state)
            if not (state.good or state.silent):
                self._unanswered.setdefault(state.name, now)
            yield job

    def end(
        self,
        host: str,
        now: float,
        code: int = 0,
        asked_wait: float | None = None,
        started: float = 0.0,
        is_photo: bool = True,
    ) -> None:
        """Record that a request that started at `started` has ended. Code 0: without any answer.

        429, 503 and a burst of 403 lengthen the interval between the host's requests, other codes
        shorten it. So do 503s of missing files: see _SLOW.
        A reply to a request from before the last slow-down does not slow down again.
        """
        state = self._host(host)
        if self._unanswered.pop(host, None) is not None and not is_photo:
            self._unanswered[host] = now
        state.in_flight -= 1
        self._in_flight -= 1
        wait = asked_wait or 0.0
        state.refusals = state.refusals + 1 if code == 403 else 0 if code else state.refusals
        state.busy_in_a_row = state.busy_in_a_row + 1 if code in BUSY_CODES else 0
        is_isolated = code == 503 and not wait and state.good and state.busy_in_a_row == 1
        state.isolated_503 += is_isolated and state.interval >= _SLOW
        is_missing_file = is_isolated and state.isolated_503 > _SOME_REFUSALS
        is_busy = code in BUSY_CODES and not is_missing_file
        if is_busy or (state.good and state.refusals >= _SOME_REFUSALS):
            if started > state.slowed_at:
                state.interval = min(max(2 * state.interval, _FIRST_INTERVAL), _LONGEST_INTERVAL)
                state.slowed_at = now
            wait = max(wait, state.interval)
            state.busy_since = now if state.busy_since is None else state.busy_since
            patience = BUSY_PATIENCE if state.good else self._longest_wait + FIRST_BUSY_PATIENCE
            if now + wait > state.busy_since + patience:
                state.given_up = code if code in BUSY_CODES else BUSY_CODES[0]
        elif code:
            state.interval = 0.0 if state.interval < 0.01 else 0.8 * state.interval
        if code and code not in BUSY_CODES and code != 403:
            state.good, state.good_at, state.busy_since = state.good + is_photo, now, None
        state.silent = state.silent + 1 if not code else 0
        (self.answering.add if state.good_at == now else self.answering.discard)(host)
        (self.doubtful.discard if state.good_at == now else self.doubtful.add)(host)
        if wait:
            state.not_before = max(state.not_before, now + wait)
            self._waits[state.index] = max(self._waits[state.index], state.not_before)
        self._schedule(state)

    def busy_for(self, host: str, now: float) -> float:
        """The seconds for which a host gets no request."""
        return max(0.0, self._host(host).not_before - now)

    def postpone(self, host: str, until: float) -> None:
        """Make no request to a host before a time."""
        self._host(host).not_before = max(self._host(host).not_before, until)

    def silences(self, host: str) -> int | None:
        """How many requests have failed without any answer; None once the host has answered."""
        state = self._host(host)
        return None if state.good or state.busy_since is not None else state.silent

    def is_throttle(self, host: str) -> bool:
        """Whether a 403 may mean "too many requests": the host has served photos before.

        Object stores answer 403 for files that do not exist. So if a few URLs got 403 in all their
        tries, and none was served after a 403, only many 403 in a row count as a throttle.
        """
        state = self._host(host)
        if not state.good or state.given_up:
            return False
        unproven = state.final_refusals < _FINAL_REFUSALS or state.refusals >= _MANY_REFUSALS
        return state.served_after_403 > 0 or unproven

    def end_refused(self, host: str, served: bool) -> None:
        """Record that a URL that got a 403 was served later, or got 403 in all its tries."""
        self._host(host).served_after_403 += served
        self._host(host).final_refusals += not served

    def serves_after_403(self, host: str) -> bool:
        """Whether the host served a URL that it had refused by 403."""
        return self._host(host).served_after_403 > 0

    def given_up(self, host: str) -> int:
        """The code of a host that has been busy for too long, 429 or 503; 0 for others."""
        return self._host(host).given_up

    def drain(self, host: str) -> list[Job]:
        """Remove and return the jobs of a host that are queued."""
        state = self._host(host)
        jobs = [*state.queue, *(entry[3] for entry in self._delayed if entry[2] == host)]
        state.queue.clear()
        self._delayed = [entry for entry in self._delayed if entry[2] != host]
        heapq.heapify(self._delayed)
        return jobs

    def wait(self, now: float) -> float | None:
        """The seconds until the next waiting job may start, or None if none waits."""
        times = [heap[0][0] for heap in (self._waiting, self._delayed) if heap]
        return max(0.0, min(times) - now) if times else None

    def _host(self, host: str) -> _Host[Job]:
        if (state := self._hosts.get(host)) is None:
            index = zlib.crc32(host.encode()) % len(self._waits)
            limits = (1, self._alone[host]) if host in self._alone else self._limits
            state = self._hosts[host] = _Host(host, index, *limits)
        return state

    def _schedule(self, state: _Host[Job]) -> None:
        if state.queue and not state.scheduled and state.in_flight < state.most:
            state.scheduled = True
            self._ready.append(state)
