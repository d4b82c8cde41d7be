"""Decides, class by class, which candidate is asked next and which photos are taken.

Pure bookkeeping, no I/O. Candidates are asked in rank order, answers come in any order, and the
photos taken are always the first N good ones in rank order.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from allrounder.download.outcomes import Outcome
from allrounder.records import Candidate, Status
from allrounder.urltext import is_archive

SLACK = 4
"""Photos asked for beyond what is still needed: the most that a class fetches in vain."""


@dataclass(slots=True, eq=False)
class Slot:
    """A candidate that was asked for, and its outcome once it is known."""

    candidate: Candidate
    outcome: Outcome | None = None
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

    def answer(self, slot: Slot, outcome: Outcome) -> None:
        """Note what became of a slot."""
        assert slot.outcome is None
        slot.outcome = outcome
        self._in_flight -= 1
        self._good_ahead += outcome.status is Status.OK

    def settle(self) -> Iterator[tuple[Candidate, Outcome]]:
        """Yield what is final by now, in rank order, each candidate once in all."""
        while not self.full and self._slots and (outcome := self._slots[0].outcome):
            slot = self._slots.popleft()
            self._good_ahead -= outcome.status is Status.OK
            yield slot.candidate, self.take(slot.candidate, outcome)

    def take(self, candidate: Candidate, outcome: Outcome) -> Outcome:
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
