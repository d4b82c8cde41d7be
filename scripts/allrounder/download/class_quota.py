"""One class of a running download: which candidate comes next, which photos count, its two files.

Candidates are requested in rank order and results arrive in any order, but the photos taken are
always the first N good ones in rank order. Rows and photos are written as soon as they are final,
so memory stays flat for lists of any length.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from allrounder.catalogue.synsets import is_subtree, wnid_of
from allrounder.core.files import part_of
from allrounder.core.names import IdMaker
from allrounder.core.rows import Candidate, RawRow, Result, Status
from allrounder.core.tables import CsvWriter, columns, read_csv
from allrounder.core.tarreader import Member
from allrounder.core.tars import TarWriter
from allrounder.core.urls import is_archive
from allrounder.web.archives import new_member

SLACK = 4
"""Photos requested beyond those still needed: the most that a class fetches without need."""


@dataclass(slots=True, eq=False)
class Slot:
    """A candidate that was requested, and its result once there is one."""

    candidate: Candidate
    result: Result | None = None
    archive: bool = False


class ClassQuota:
    """Pure bookkeeping for one class: its next candidate, requests in flight, photos taken."""

    def __init__(self, candidates: Iterable[Candidate], quota: int, window: int):
        self._rest = iter(candidates)
        self._next: Candidate | None = next(self._rest, None)
        self._slots: deque[Slot] = deque()  # requested and not settled, in rank order
        self._taken: dict[str, str] = {}  # sha256: image_id
        self._quota, self._window = quota, window
        self._in_flight = self._good_ahead = 0

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
        """The next candidate to request, or None while nothing more should be requested."""
        if self._next is None or self.full or len(self._slots) >= 4 * self._window:
            return None
        if self._in_flight >= self._window:
            return None
        if self.taken + self._good_ahead + self._in_flight >= self._quota + SLACK:
            return None
        archive = is_archive(self._next.url)
        if self._slots and (archive or self._slots[0].archive):
            return None  # an archive may hold any number of photos, so it is read alone
        slot = Slot(self._next, archive=archive)
        self._slots.append(slot)
        self._in_flight += 1
        self._next = next(self._rest, None)
        return slot

    def record(self, slot: Slot, result: Result) -> None:
        """Record the result of a slot."""
        assert slot.result is None
        slot.result = result
        self._in_flight -= 1
        self._good_ahead += result.status is Status.OK

    def settle(self) -> Iterator[tuple[Candidate, Result]]:
        """Yield the results that are final by now, in rank order, each candidate once."""
        while not self.full and self._slots and (result := self._slots[0].result):
            slot = self._slots.popleft()
            self._good_ahead -= result.status is Status.OK
            yield slot.candidate, self.take(slot.candidate, result)

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


@dataclass(frozen=True, slots=True)
class ClassResult:
    """How many candidates of a class had which status."""

    key: str
    counts: Counter[Status]
    unasked: tuple[str, ...] = ()  # offline: URLs that would have to be requested

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

    def __init__(self, key: str, urls: Path, raw: Path, quota: int, window: int):
        self.key = key
        self.quota = ClassQuota(read_csv(urls / f"{key}.csv", Candidate), quota, window)
        self.counts: Counter[Status] = Counter()
        self.finished = False
        self.unasked: list[str] = []
        self._archives_left = _archives(urls / f"{key}.csv") if is_subtree(key) else 0
        self._enough = quota  # photos taken at which the current archive is left
        self._ids = IdMaker(wnid_of(key))
        self._members: set[str] = set()
        self._table_path, self._tar_path = raw / f"{key}.csv", raw / f"{key}.tar"
        self._file = part_of(self._table_path).open("w", encoding="utf-8", newline="")
        self._rows = CsvWriter(self._file, columns(RawRow))
        self._tar = TarWriter(part_of(self._tar_path))

    def settle(self) -> None:
        """Write the results that are final by now."""
        for candidate, result in self.quota.settle():
            self._write(candidate, result)

    def begin_archive(self) -> None:
        """Start an archive. Each archive of a subtree gives an even share of the photos."""
        if self._archives_left:
            self._enough = self.quota.taken + -(-self.quota.missing // self._archives_left)
            self._archives_left -= 1

    def add_member(self, candidate: Candidate, result: Result) -> bool:
        """Write a member of the current archive; returns False when no more are wanted."""
        self._members.add(candidate.url)
        self._write(candidate, self.quota.take(candidate, result))
        return self.quota.taken < self._enough

    def member_candidate(self, archive: Candidate, member: Member) -> Candidate:
        """The candidate of a member, with a URL that no member before it had."""
        return new_member(archive, member, self._members)

    def end_archive(self, slot: Slot, result: Result) -> None:
        """Write the archive's own row."""
        self.quota.end_archive()
        self._write(slot.candidate, result)

    def finish(self) -> ClassResult:
        """Write the unused candidates and publish the two files, unless URLs went unasked."""
        if self.unasked:
            self.close()
            self.counts[Status.CONNECTION_ERROR] -= len(self.unasked)  # these have no result
            part_of(self._tar_path).unlink()
            part_of(self._table_path).unlink()
            return ClassResult(self.key, self.counts, tuple(self.unasked))
        for candidate in self.quota.unused():
            self._write(candidate, Result(Status.UNUSED))
        self.close()
        part_of(self._tar_path).replace(self._tar_path)
        part_of(self._table_path).replace(self._table_path)
        self.finished = True
        return ClassResult(self.key, self.counts)

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
        self.counts[result.status] += 1
        self._rows.write(
            RawRow(
                image_id,
                candidate.url,
                result.status,
                result.detail,
                result.final_url,
                result.bytes,
                result.sha256,
                result.http_status,
                result.resume_at,
            )
        )


def _archives(table: Path) -> int:
    return sum(is_archive(candidate.url) for candidate in read_csv(table, Candidate))
