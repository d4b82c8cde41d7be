"""Distinguishes a dead network from dead hosts, so that URLs get no failures from an outage.

Pure bookkeeping; the time is passed in. A failure without any answer is held back until a host
answers after it; then it is final. When many are held back, no request starts until a reference, a
URL that was answered before, is requested again. If it is answered, the network works and the held
failures are final. If not, the network is down until it is; then all held URLs are tried again.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from allrounder.core.errors import DataError

Job = TypeVar("Job")

BURST = 8
"""URLs held back at which the network is checked; doubled each time that it was found working."""
PATIENCE = 300.0
"""Seconds without any answer after which a run ends."""
_REFERENCES = 3
_LONGEST_PAUSE = 5.0  # seconds between two checks


@dataclass(slots=True)
class Settled(Generic[Job]):
    """Jobs that are no longer held back: failed for good, or to be tried again."""

    failed: list[Job] = field(default_factory=list)
    again: list[Job] = field(default_factory=list)


class Outage(Generic[Job]):
    """The held jobs of one fetcher, and what is known about the network."""

    def __init__(self, reference: str = "") -> None:
        self.suspected = False  # no request may start until the network is checked
        self.back_at = 0.0  # when the last outage ended
        self._held: list[Job] = []
        self._photos = 0  # among the held
        # URL by host, in the order of the answers
        self._references: dict[str, str] = {"": reference} if reference else {}
        self._burst, self._checks = BURST, 0
        self._checking = False
        self._down_since: float | None = None
        self._next_check = 0.0

    def hold(self, job: Job, is_photo: bool = True) -> Settled[Job]:
        """Hold a failed job back. Returns it as failed if there is no reference.

        Only photos count towards BURST: some hosts give no answer for robots.txt.
        """
        if not self._references:
            return Settled(failed=[job])
        self._held.append(job)
        self._photos += is_photo
        self.suspected = self.suspected or self._photos >= self._burst
        return Settled()

    def idle(self) -> None:
        """Ask for a check if jobs are held and no request in flight could settle them."""
        self.suspected = bool(self._held)

    def answered(self, host: str, reference: str, now: float) -> Settled[Job]:
        """Record that a host answered; returns the jobs that this settles.

        `reference` is a URL that it will answer again, or ''.
        """
        if reference:
            self._references.pop(host, None)
            self._references[host] = reference
        if len(self._references) > _REFERENCES:
            del self._references[next(iter(self._references))]
        self._burst = BURST
        return self._up(now)

    def check(self, now: float) -> str | None:
        """The reference to request now, if one is due."""
        if not self.suspected or self._checking or now < self._next_check:
            return None
        self._checking = True
        return list(self._references.values())[-1 - self._checks % len(self._references)]

    def checked(self, answered: bool, now: float) -> Settled[Job]:
        """Record whether a check was answered; returns the jobs that this settles.

        Raises DataError when nothing has answered for PATIENCE.
        """
        self._checking = False
        if answered:
            self._burst *= 2
            return self._up(now)
        self._checks += 1
        if self._checks >= len(self._references):
            self._down_since = now if self._down_since is None else self._down_since
            self._next_check = now + min(_LONGEST_PAUSE, 0.5 * self._checks)
            if now - self._down_since > PATIENCE:
                raise DataError(
                    f"nothing has answered for {PATIENCE:.0f} seconds, not even "
                    f"{', '.join(self._references)}; check the network and run it again: what was "
                    "fetched is kept"
                )
        return Settled()

    def wait(self, now: float) -> float | None:
        """The seconds until the next check, or None if none is planned."""
        waiting = self.suspected and not self._checking
        return max(0.0, self._next_check - now) if waiting else None

    def _up(self, now: float) -> Settled[Job]:
        held, self._held, self._photos = self._held, [], 0
        was_down, self._down_since = self._down_since is not None, None
        self.suspected, self._checks, self._next_check = False, 0, 0.0
        if was_down:
            self.back_at = now
            return Settled(again=held)
        return Settled(failed=held)
