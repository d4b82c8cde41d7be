"""One class of a running download: which candidate comes next, which photos count, its two files.

Candidates are asked in rank order and answers come in any order, but the photos taken are always
the first N good ones in rank order. Rows and photos are written as soon as they are final.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from allrounder.catalogue.synsets import is_subtree, wnid_of
from allrounder.core.names import IdMaker
from allrounder.core.results import Result
from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.core.tables import CsvWriter, columns, read_csv
from allrounder.core.tars import TarWriter
from allrounder.core.tarstream import Member
from allrounder.core.urls import is_archive
from allrounder.history.prior_results import PinnedResults
from allrounder.web.archives import new_member

SLACK = 4
"""Photos asked for beyond what is still needed: the most that a class fetches in vain."""


@dataclass(slots=True, eq=False)
class Slot:
    """A candidate that was asked for, and its outcome once it is known."""

    candidate: Candidate
    outcome: Result | None = None
    archive: bool = False


class ClassQuota:
    """The state of one class: its place in the ranks, what is in flight and what was taken."""

    def __init__(self, candidates: Iterable[Candidate], quota: int, window: int):
        self._rest = iter(candidates)
        self._next: Candidate | None = next(self._rest, None)
        self._slots: deque[Slot] = deque()  # asked, not settled; in rank order
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
        """Whether nothing more is to be asked or awaited."""
        if self._slots and self._slots[0].archive:
            return False  # its own row is still to come
        return self.full or (self._next is None and not self._slots)

    def ask(self) -> Slot | None:
        """The next candidate to ask for, or None as long as nothing more should be asked."""
        if self._next is None or self.full or len(self._slots) >= 4 * self._window:
            return None
        if self._in_flight >= self._window:
            return None
        if self.taken + self._good_ahead + self._in_flight >= self._quota + SLACK:
            return None
        archive = is_archive(self._next.url)
        if self._slots and (archive or self._slots[0].archive):
            return None  # how many photos an archive holds is not known before it was read
        slot = Slot(self._next, archive=archive)
        self._slots.append(slot)
        self._in_flight += 1
        self._next = next(self._rest, None)
        return slot

    def answer(self, slot: Slot, outcome: Result) -> None:
        """Note what became of a slot."""
        assert slot.outcome is None
        slot.outcome = outcome
        self._in_flight -= 1
        self._good_ahead += outcome.status is Status.OK

    def settle(self) -> Iterator[tuple[Candidate, Result]]:
        """Yield what is final by now, in rank order, each candidate once in all."""
        while not self.full and self._slots and (outcome := self._slots[0].outcome):
            slot = self._slots.popleft()
            self._good_ahead -= outcome.status is Status.OK
            yield slot.candidate, self.take(slot.candidate, outcome)

    def take(self, candidate: Candidate, outcome: Result) -> Result:
        """Count a photo whose turn it is, unless its bytes were taken before."""
        if outcome.status is not Status.OK:
            return outcome
        if (first := self._taken.get(outcome.sha256)) is not None:
            detail = f"same bytes as {first}"
            return replace(outcome, status=Status.DUPLICATE, detail=detail, stored=None)
        self._taken[outcome.sha256] = candidate.image_id
        return outcome

    def drop_archive(self) -> None:
        """Forget the archive in turn: its members were counted one by one with `take`."""
        slot = self._slots.popleft()
        assert slot.archive
        assert slot.outcome is None
        self._in_flight -= 1

    def leftovers(self) -> Iterator[Candidate]:
        """The candidates that were not needed, in rank order; call it once, when done."""
        yield from (slot.candidate for slot in self._slots)
        if self._next is not None:
            yield self._next
        yield from self._rest


@dataclass(frozen=True, slots=True)
class ClassResult:
    """What came of a class: how many candidates had which fate."""

    wnid: str
    counts: Counter[Status]
    unasked: tuple[str, ...] = ()  # offline: URLs whose fate only the web knows

    @property
    def taken(self) -> int:
        """Photos in the class's archive."""
        return self.counts[Status.OK]


class ClassRun:
    """Writes `<wnid>.csv` and `<wnid>.tar` while the class's fates become known."""

    def __init__(
        self,
        wnid: str,
        urls: Path,
        raw: Path,
        quota: int,
        window: int,
        pins: PinnedResults,
        retry: bool,
    ):
        self.wnid, self.pins, self.retry = wnid, pins, retry
        self.quota = ClassQuota(read_csv(urls / f"{wnid}.csv", Candidate), quota, window)
        self.counts: Counter[Status] = Counter()
        self.finished = False
        self._archives_left = _archives(urls / f"{wnid}.csv") if is_subtree(wnid) else 0
        self._enough = quota  # photos to have when the archive in turn is left
        self.unasked: list[str] = []
        self._ids = IdMaker(wnid_of(wnid))
        self._members: set[str] = set()
        self._table_path, self._tar_path = raw / f"{wnid}.csv", raw / f"{wnid}.tar"
        self._file = _part(self._table_path).open("w", encoding="utf-8", newline="")
        self._rows = CsvWriter(self._file, columns(RawRow))
        self._tar = TarWriter(_part(self._tar_path))

    def settle(self) -> None:
        """Write what is final by now."""
        for candidate, outcome in self.quota.settle():
            self._write(candidate, outcome)

    def begin_archive(self) -> None:
        """Be ready for the archive in turn: of a subtree's archives each gives an even share."""
        if self._archives_left:
            self._enough = self.quota.taken + -(-self.quota.missing // self._archives_left)
            self._archives_left -= 1

    def member(self, candidate: Candidate, outcome: Result) -> bool:
        """Write a member of the archive in turn; False when no more are wanted."""
        self._members.add(candidate.url)
        self._write(candidate, self.quota.take(candidate, outcome))
        return self.quota.taken < self._enough

    def member_candidate(self, archive: Candidate, member: Member) -> Candidate:
        """The candidate that a member is, with a URL that no member before it had."""
        return new_member(archive, member, self._members)

    def archive_ended(self, slot: Slot, outcome: Result) -> None:
        """Write the archive's own row: what was not read of it, or why it could not be."""
        self.quota.drop_archive()
        self._write(slot.candidate, outcome)

    def finish(self) -> ClassResult:
        """Write what was not needed and put the two files in place, unless URLs went unasked."""
        if self.unasked:
            self.close()
            self.counts[Status.CONNECTION_ERROR] -= len(self.unasked)  # it was no fate
            _part(self._tar_path).unlink()
            _part(self._table_path).unlink()
            return ClassResult(self.wnid, self.counts, tuple(self.unasked))
        for candidate in self.quota.leftovers():
            self._write(candidate, Result(Status.UNUSED))
        self.close()
        _part(self._tar_path).replace(self._tar_path)
        _part(self._table_path).replace(self._table_path)
        self.finished = True
        return ClassResult(self.wnid, self.counts)

    def close(self) -> None:
        """Close the files where they are."""
        self._tar.close()
        self._file.close()

    def _write(self, candidate: Candidate, outcome: Result) -> None:
        image_id = candidate.image_id
        if outcome.status is Status.OK:
            assert outcome.stored
            image_id = self._ids.make(image_id, candidate.url)
            self._tar.copy(f"{image_id}.{outcome.suffix}", outcome.stored)
        self.counts[outcome.status] += 1
        self._rows.write(
            RawRow(
                image_id,
                candidate.url,
                outcome.status,
                outcome.detail,
                outcome.final_url,
                outcome.bytes,
                outcome.sha256,
            )
        )


def _archives(table: Path) -> int:
    return sum(is_archive(candidate.url) for candidate in read_csv(table, Candidate))


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
