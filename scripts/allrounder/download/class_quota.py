"""One class of a running download: which candidate comes next, which photos count, its two files.

Candidates are requested in rank order. Results arrive in any order, but the photos taken are
always the first N good ones in rank order. Rows and photos are written as soon as they are final,
so memory stays flat for lists of any length.
"""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from allrounder.catalogue.synsets import is_subtree, wnid_of
from allrounder.core.candidates import IdMaker
from allrounder.core.counts import Addable
from allrounder.core.expected import Expect, as_expected, match_of
from allrounder.core.files import part_of
from allrounder.core.rows import RESULT_COLUMNS, Candidate, Match, RawRow, Result, Status
from allrounder.core.tables import CsvWriter, columns, read_csv
from allrounder.core.tars import TarWriter
from allrounder.core.urls import container_of, host_of, is_archive, is_part, is_url, photo_key
from allrounder.web.policy import BUSY_CODES
from allrounder.web.wayback import NO_ANSWER, is_gone

SLACK = 4
"""How many more photos are requested than are needed: a class fetches no more in vain."""
PROBES = 2
"""A host that has never answered is given up after so many URLs without an answer."""
_LIVE_PROBES = 8
"""The most URLs requested at once from a host that has answered, but not in this class."""
MANY_SILENT = 16
"""A host that has answered is given up after so many URLs in a row without an answer."""
_MAX_OPEN = 4_096
"""The most candidates opened at once. Those of failing hosts wait; later ones need not."""
_MAX_HELD_ROWS = 1_000
"""The most rows held back until a host answers or is given up, so that memory stays flat."""
_NEUTRAL = (Status.BAD_URL, Status.BLOCKED, Status.DUPLICATE)


@dataclass(slots=True, eq=False)
class Slot:
    """A candidate that was opened, and its result once it has one. `host` is '' for local files."""

    candidate: Candidate
    rank: int
    host: str = ""
    photo: str = ""  # equal for several addresses of one photo; '' for local files
    result: Result | None = None
    archive: bool = False
    prior: bool = False  # the result is from pins, journal or disk, and so final
    lost: Result | None = None  # its host's result, while a web archive is asked for the photo


@dataclass(slots=True, eq=False)
class _Row:
    """A row in rank order. It is held back while `host` may still be given up."""

    candidate: Candidate
    result: Result
    host: "_Host | None" = None


@dataclass(slots=True, eq=False)
class _Host:
    """A host in the list of one class."""

    name: str
    answered: bool = False  # it may get any number of requests
    in_flight: int = 0
    silent: int = 0  # results without an answer, before any answer
    parked: deque[Slot] = field(default_factory=deque)  # not requested before the host answers
    settled_answer: bool = False  # this and the next two follow the rank order
    silent_rows: list[_Row] = field(default_factory=list)
    given_up: Result | None = None

    def release(self) -> None:
        """Stop holding its rows back."""
        for row in self.silent_rows:
            row.host = None
        self.silent_rows.clear()


class ClassQuota:
    """Pure bookkeeping for one class: its next candidate, requests in flight, photos taken.

    A host is given up when its first PROBES URLs in rank order got no answer, or MANY_SILENT in a
    row after an answer. Its other URLs in this class are not requested and all get the same
    result. This depends only on the list and the answers. `doubtful` are hosts whose last requests
    failed: the class does not wait for their URLs. `answering` are hosts whose last request was
    answered: the class requests more of their URLs at once. Another address of a photo is
    requested only when those before it have failed.

    With `rescue`, a photo that is gone, or whose host was given up, has no result until a web
    archive was asked for it (see `rescues`).
    """

    def __init__(
        self,
        candidates: Iterable[Candidate],
        quota: int,
        window: int,
        doubtful: Set[str] = frozenset(),
        answering: Set[str] = frozenset(),
        rescue: bool = False,
        expect: Expect = Expect.NOTHING,
    ):
        self._rescue, self._lost, self.expect = rescue, list[Slot](), expect
        self._rest = iter(candidates)
        self._next: Candidate | None = next(self._rest, None)
        self._slots: deque[Slot] = deque()  # opened and not settled, in rank order
        self._ready: list[tuple[int, Slot]] = []  # a heap: were parked, may be requested now
        self._rows: deque[_Row] = deque()  # settled and not yielded, in rank order
        self._hosts: dict[str, _Host] = {}
        self._parked = set[str]()  # the hosts with parked slots
        self._photos: dict[str, deque[Slot]] = {}  # by photo: its addresses, the first in flight
        self._good: dict[str, str] = {}  # image id by photo, if an address of it was good
        self._taken: dict[str, str] = {}  # image id by SHA-256
        self._quota, self._window, self._doubtful = quota, window, doubtful
        self._answering = answering
        self._rank = 0  # of the next slot
        self._in_flight = self._waiting = 0  # slots that were requested; that may be requested yet
        self._good_ahead = 0  # good photos that are not settled

    @property
    def taken(self) -> int:
        """Photos taken so far."""
        return len(self._taken)

    @property
    def missing(self) -> int:
        """Photos still to take."""
        return self._quota - self.taken

    @property
    def full(self) -> bool:
        """Whether the quota is met."""
        return self.taken >= self._quota

    @property
    def done(self) -> bool:
        """Whether no more requests or results are to come."""
        if self._slots and self._slots[0].archive:
            return False  # its own row is still to come
        return self.full or (self._next is None and not self._slots)

    def next_slot(self) -> Slot | None:
        """The next candidate to request, or None if none may be requested now."""
        self._unpark_first()
        while not self.full and self._in_flight < self._window and self._needs_more():
            slot = heapq.heappop(self._ready)[1] if self._ready else self._open_next()
            if slot is None:
                return None
            host = self._host(slot)
            if slot.photo in self._good or self._is_under_way(slot):
                self._waiting -= 1  # decided by another address of the photo
            elif host is None or self._may_start(host) > 0 or slot is self._slots[0]:
                self._waiting -= 1
                self._in_flight += 1
                if host:
                    host.in_flight += 1
                return slot
            else:
                host.parked.append(slot)
                self._parked.add(host.name)
        return None

    def record(self, slot: Slot, result: Result, prior: bool = True) -> None:
        """Record the result of a slot. It is ignored if the slot's host was given up before."""
        slot.prior = prior
        self._in_flight -= 1
        if host := self._host(slot):
            host.in_flight -= 1
            if _is_silent(slot, result):
                host.silent += 1
            elif result.status not in _NEUTRAL:
                host.answered = True
            self._unpark(host)
        for name in self._parked & self._answering:
            self._unpark(self._hosts[name])
        if slot.result is None and slot.lost is None:
            if self.may_rescue(slot, result):
                self._lose(slot, result)
            else:
                self._decide(slot, result)

    def may_rescue(self, slot: Slot, result: Result) -> bool:
        """Whether a result is not final, because a web archive is asked for the photo."""
        is_photo = bool(slot.host) and not slot.archive and not is_part(slot.candidate.url)
        return self._rescue and is_photo and not slot.prior and is_gone(result)

    def rescues(self) -> Iterator[Slot]:
        """The slots whose photos to look up in a web archive, each once; then call `end_rescue`."""
        lost, self._lost = self._lost, []
        yield from lost

    def end_rescue(self, slot: Slot, result: Result) -> None:
        """Record the result of a lost slot: its host's if the archive does not have the photo."""
        if slot.result is None:
            self._waiting -= 1
            self._decide(slot, result)

    def _lose(self, slot: Slot, result: Result) -> None:
        slot.lost, slot.result = result, None
        self._waiting += 1
        self._lost.append(slot)

    def _decide(self, slot: Slot, result: Result) -> None:
        slot.result = result = as_expected(slot.candidate, result, self.expect)
        self._good_ahead += result.status is Status.OK
        if result.status is not Status.OK:
            self._next_address(slot)

    @property
    def can_settle(self) -> bool:
        """Whether `settle` makes progress."""
        if self.full or not self._slots:
            return False
        host = self._host(slot := self._slots[0])
        decided = slot.result is not None or bool(host and host.given_up and not slot.lost)
        return decided or slot.photo in self._good

    def settle(self) -> Iterator[tuple[Candidate, Result]]:
        """Yield the results that are final by now, in rank order, each candidate once."""
        while self.can_settle:
            if self._loses_with_host(self._slots[0]):
                continue
            slot = self._slots.popleft()
            self._override(slot)
            assert slot.result
            if slot.photo and slot.result.status is Status.OK:
                self._good[slot.photo] = slot.candidate.image_id
                self._photos.pop(slot.photo, None)
            self._good_ahead -= slot.result.status is Status.OK
            self._rows.append(self._row(slot, slot.result))
            yield from self._final_rows()  # at once: what is held must not depend on timing
        if self.done:
            for row in self._rows:
                row.host = None
        elif not self._slots and self._next and is_archive(self._next.url):
            for row in self._rows:
                self._release(row)  # an archive's rows come next
        yield from self._final_rows()

    def _final_rows(self) -> Iterator[tuple[Candidate, Result]]:
        """Yield the results whose host's later results cannot change them, and those too many."""
        while self._rows and (not self._rows[0].host or len(self._rows) > _MAX_HELD_ROWS):
            row = self._rows.popleft()
            self._release(row)
            yield row.candidate, row.result

    def take(self, candidate: Candidate, result: Result) -> Result:
        """Count a photo in rank order, unless its bytes were taken before: then a duplicate."""
        if result.status is not Status.OK:
            return result
        if (first := self._taken.get(result.sha256)) is not None:
            detail = f"same bytes as {first}"
            return replace(result, status=Status.DUPLICATE, detail=detail, stored=None)
        self._taken[result.sha256] = candidate.image_id
        return result

    def end_archive(self) -> None:
        """Remove the slot of the current archive. `take` has counted its members one by one."""
        slot = self._slots.popleft()
        assert slot.archive
        assert slot.result is None
        self._in_flight -= 1

    def unused(self) -> Iterator[Candidate]:
        """The candidates that were not needed, in rank order. Call it once, when done."""
        yield from (slot.candidate for slot in self._slots)
        if self._next is not None:
            yield self._next
        yield from self._rest

    def _needs_more(self) -> bool:
        """Whether the requests under way may leave the quota unmet."""
        wanted = self._quota + SLACK - self.taken - self._good_ahead
        under_way = self._in_flight + self._waiting
        if self._ready or under_way < wanted:
            return True
        doubtful = [self._hosts[host] for host in self._hosts.keys() & self._doubtful]
        return under_way - sum(host.in_flight + len(host.parked) for host in doubtful) < wanted

    def _open_next(self) -> Slot | None:
        """Open a slot for the next candidate in rank order; None if it has to wait."""
        if self._next is None or len(self._slots) >= max(_MAX_OPEN, 4 * self._window):
            return None
        url = self._next.url
        archive = is_archive(url)
        if (self._slots or self._rows) and archive:
            return None  # an archive may hold any number of photos, so it is read alone
        if self._slots and self._slots[0].archive:
            return None
        on_web = is_url(url) and not archive
        host = host_of(container_of(url)) if on_web else ""
        photo = photo_key(url) if on_web else ""
        slot = Slot(self._next, self._rank, host, photo, archive=archive)
        self._slots.append(slot)
        self._waiting += 1
        self._rank += 1
        self._next = next(self._rest, None)
        return slot

    def _host(self, slot: Slot) -> _Host | None:
        if slot.host and slot.host not in self._hosts:
            self._hosts[slot.host] = _Host(slot.host)
        return self._hosts.get(slot.host)

    def _may_start(self, host: _Host) -> int:
        """How many more of a host's URLs may be requested now, at most half of the window."""
        if host.answered:
            most = PROBES if host.name in self._doubtful else max(PROBES, self._window // 2)
            return most - host.in_flight
        probes = _LIVE_PROBES if host.name in self._answering else PROBES
        return probes - host.in_flight - host.silent

    def _unpark(self, host: _Host) -> None:
        """Make parked slots ready, as many as may be requested."""
        for _ in range(min(self._may_start(host), len(host.parked))):
            slot = host.parked.popleft()
            heapq.heappush(self._ready, (slot.rank, slot))
        if not host.parked:
            self._parked.discard(host.name)

    def _is_under_way(self, slot: Slot) -> bool:
        """Whether an earlier address may still give the photo; the slot is then queued after it."""
        if not slot.photo:
            return False
        others = self._photos.setdefault(slot.photo, deque([slot]))
        if others[0] is slot:
            return False
        if slot not in others:
            others.append(slot)
        return True

    def _next_address(self, slot: Slot) -> None:
        """Make the next address of a photo ready, since this one has failed."""
        others = self._photos.get(slot.photo)
        if others and others[0] is slot:
            others.popleft()
            if not others:
                del self._photos[slot.photo]
            else:
                self._waiting += 1
                heapq.heappush(self._ready, (others[0].rank, others[0]))

    def _unpark_first(self) -> None:
        """Make the first slot ready: all others wait for it, and its result counts for its host."""
        slot = self._slots[0] if self._slots else None
        host = self._host(slot) if slot else None
        if slot and host and not host.given_up and slot in host.parked:
            host.parked.remove(slot)
            heapq.heappush(self._ready, (slot.rank, slot))

    def _loses_with_host(self, slot: Slot) -> bool:
        """Mark a slot as lost if its host was given up; returns whether it did."""
        host, result = self._host(slot), slot.result
        if not (host and host.given_up) or slot.lost or slot.photo in self._good:
            return False
        if slot.prior and result and (result.rescued_from or is_gone(result) or result.transient):
            return False  # the archive was requested before
        slot.prior = False
        if not self.may_rescue(slot, host.given_up):
            return False
        self._drop(slot, host)
        self._lose(slot, host.given_up)
        return True

    def _override(self, slot: Slot) -> None:
        """Give a slot the result of another address of its photo, or of its host if given up."""
        host = self._host(slot)
        if slot.lost and slot.result is None:
            self._waiting -= 1
        if slot.photo in self._good:
            detail = f"same photo as {self._good[slot.photo]}, at another address"
            slot.result = Result(Status.DUPLICATE, detail)
        elif host and host.given_up:
            if slot.result and slot.result.rescued_from and is_gone(host.given_up):
                slot.result = replace(slot.result, http_status=None)
                return
            self._drop(slot, host)
            slot.result = host.given_up
            self._next_address(slot)

    def _drop(self, slot: Slot, host: _Host) -> None:
        """Take a slot out of the counts before its host's result replaces its own."""
        if slot.result is None and self._remove_waiting(host, slot):
            self._waiting -= 1
        self._good_ahead -= slot.result is not None and slot.result.status is Status.OK

    def _remove_waiting(self, host: _Host, slot: Slot) -> bool:
        """Remove a slot that was not requested; False if it was."""
        if slot in host.parked:
            host.parked.remove(slot)
            return True
        entry = (slot.rank, slot)
        if entry not in self._ready:
            return False
        self._ready.remove(entry)
        heapq.heapify(self._ready)
        return True

    def _row(self, slot: Slot, result: Result) -> _Row:
        """The row of a slot in rank order; decides whether its host is given up."""
        host, row = self._host(slot), _Row(slot.candidate, self.take(slot.candidate, result))
        if host is None or host.given_up or result.status in _NEUTRAL:
            return row
        if not _is_silent(slot, result):
            host.settled_answer = True
            host.release()
            return row
        row.host = host
        host.silent_rows.append(row)
        bound = MANY_SILENT if host.settled_answer else PROBES
        if len(host.silent_rows) >= bound:
            lost = [silent for silent in host.silent_rows if not silent.result.rescued_from]
            host.given_up = _given_up(lost[0].result if lost else Result(NO_ANSWER[0]), bound)
            for silent in lost:
                silent.result = host.given_up
            for silent in host.silent_rows:
                silent.host = None
        return row

    def _release(self, row: _Row) -> None:
        """Stop holding a row back, if it is: its host is not given up for it."""
        if host := row.host:
            host.silent -= len(host.silent_rows)
            host.release()
            self._unpark(host)


def _is_silent(slot: Slot, result: Result) -> bool:
    """Whether the candidate's own host gave no answer, or only 429 and 503."""
    if result.rescued_from:
        return result.http_status is None
    if host_of(result.final_url or slot.candidate.url) != slot.host:
        return False  # it answered with a redirect
    return result.status in NO_ANSWER or result.http_status in BUSY_CODES


def _given_up(first: Result, count: int) -> Result:
    detail = f"no answer to {count} URLs: host given up"
    return Result(first.status, detail, first.http_status)


@dataclass
class ClassResult(Addable):
    """How many candidates of a class have which status so far."""

    key: str
    counts: Counter[Status] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)  # HTTP codes of failures
    transient: int = 0  # transient failures
    first_requests: int = 0  # URLs requested of which no earlier version has a result
    unrequested: list[str] = field(default_factory=list)  # URLs that were needed while offline

    @property
    def taken(self) -> int:
        """Photos in the class's archive."""
        return self.counts[Status.OK]

    @property
    def listed(self) -> int:
        """Candidates, without the own rows of archives."""
        return self.counts.total() - self.counts[Status.ARCHIVE]


class ClassRun:
    """Writes `<key>.csv` and `<key>.tar` while the class's results arrive."""

    def __init__(self, key: str, urls: Path, raw: Path, quota: ClassQuota):
        self.key, self.quota, self.result = key, quota, ClassResult(key)
        self.finished = False
        shared = read_csv(urls / f"{key}.csv", Candidate) if is_subtree(key) else ()
        self._archives_left = sum(is_archive(candidate.url) for candidate in shared)
        self._enough = quota.missing  # photos taken at which the current archive is left
        self._ids = IdMaker(wnid_of(key))
        self.members: set[str] = set()  # URLs of archives' members
        self.local_files = dict[str, str]()  # that were read, and their states before
        self._table_path, self._tar_path = raw / f"{key}.csv", raw / f"{key}.tar"
        self._file = part_of(self._table_path).open("w", encoding="utf-8", newline="")
        self._rows = CsvWriter(self._file, columns(RawRow))
        self._tar = TarWriter(part_of(self._tar_path))

    def next_slot(self) -> Slot | None:
        """Write the results that are final by now; returns the next slot to request, or None."""
        while True:
            for candidate, result in self.quota.settle():
                self._write(candidate, result)
            slot = self.quota.next_slot()
            if slot is not None or not self.quota.can_settle:
                return slot

    def begin_archive(self) -> None:
        """Start an archive. Each archive of a subtree gives an even share of the photos."""
        if self._archives_left:
            self._enough = self.quota.taken + -(-self.quota.missing // self._archives_left)
            self._archives_left -= 1

    def add_member(self, candidate: Candidate, result: Result) -> bool:
        """Write a member of the current archive; returns False when no more are wanted."""
        self.members.add(candidate.url)
        self._write(candidate, self.quota.take(candidate, result))
        return self.quota.taken < self._enough

    def end_archive(self, slot: Slot, result: Result) -> None:
        """Write the archive's own row."""
        self.quota.end_archive()
        self._write(slot.candidate, result)

    def finish(self) -> ClassResult:
        """Write the unused candidates and publish the two files.

        Offline, nothing is published if a URL would have been requested.
        """
        unrequested = len(self.result.unrequested)
        self.finished = not unrequested
        for candidate in self.quota.unused() if self.finished else ():
            self._write(candidate, Result(Status.UNUSED))
        self.close()
        for path in (self._tar_path, self._table_path):
            part_of(path).replace(path) if self.finished else part_of(path).unlink()
        if unrequested:
            self.result.counts[Status.CONNECTION_ERROR] -= unrequested  # these have no result
        return self.result

    def close(self) -> None:
        """Close the two files."""
        self._tar.close()
        self._file.close()

    def _write(self, candidate: Candidate, result: Result) -> None:
        image_id = candidate.image_id
        if result.status is Status.OK:
            assert result.stored
            image_id = self._ids.make(image_id, candidate.url)
            self._tar.copy(f"{image_id}.{result.suffix}", result.stored)
        self.result.counts[result.status] += 1
        self.result.transient += result.transient
        if result.http_status and not result.rescued_from:
            self.result.codes[result.http_status] += 1
        shared = {name: getattr(result, name) for name in RESULT_COLUMNS}
        match = match_of(candidate, result)
        compare = match is Match.CHANGED and self.quota.expect is Expect.PICTURE
        expected = candidate.expected_hash if compare else ""
        row = RawRow(image_id, candidate.url, **shared, match=match, expected_hash=expected)
        self._rows.write(row)
