"""One archive of photos in a running download: what is known of it, then what comes of it.

Its members become rows `<archive's URL>#<member>`, in the archive's order. Not for fetching it
(archivefetch.py) or for the tar format (tarstream.py).
"""

from dataclasses import replace
from pathlib import Path

from allrounder import pins
from allrounder.download.archivefetch import REST, ArchiveJob, at_byte, byte_of
from allrounder.download.classrun import ClassRun, member_candidate
from allrounder.download.known import Known
from allrounder.download.outcomes import Outcome, Stored, judged
from allrounder.download.photo import Bounds, judge
from allrounder.download.quota import Slot
from allrounder.download.spool import Entry, Spool
from allrounder.download.tarstream import Member
from allrounder.records import Status


class ArchiveRun:
    """Takes the members of the archive that is a slot's candidate."""

    def __init__(self, run: ClassRun, slot: Slot, known: Known, spool: Spool, bounds: Bounds):
        self._run, self._archive = run, slot.candidate
        self._known, self._spool, self._bounds = known, spool, bounds
        run.begin_archive()

    def replay(self) -> tuple[int, Outcome | None]:
        """Take the known members; returns the byte where to go on, or the archive's own outcome."""
        url = self._archive.url
        pinned = self._run.pins.get(url)
        known = dict(self._run.pins.members(url))
        last = (byte_of(pinned.detail) if pinned else 0) or 0
        spooled = {m: entry for m, entry in self._spool.members(url) if m not in known}
        known |= {member: entry.outcome for member, entry in spooled.items()}
        places = [byte_of(outcome.detail) or 0 for outcome in known.values()]
        last = max([last, *(entry.end for entry in spooled.values())])
        stops = [*places, last][1:]
        for (member, outcome), start, end in zip(known.items(), places, stops, strict=True):
            checked = self._known.rechecked(outcome)
            if checked is None:
                return start, None
            name = member.removeprefix(url + "#")
            if not self._run.member(member_candidate(self._archive, name, start), checked):
                return end, Outcome(Status.UNUSED, at_byte(REST, end))
        more = pinned and pinned.status is Status.UNUSED and REST in pinned.detail
        if pinned and not spooled and not more and not (self._run.retry and pins.retried(pinned)):
            return last, pinned
        return last, None

    def take(self, member: Member) -> bool:
        """Take a member that came whole from the web; False when the class needs no more."""
        outcome = self._outcome(member, self._archive.url, None)
        candidate = self._run.member_candidate(self._archive, member)
        entry = Entry(outcome, archive=self._archive.url, end=member.end)
        return self._run.member(candidate, self._spool.add(candidate.url, entry, member.body))

    def read_local(self) -> Outcome:
        """Take the members of an archive of this machine; returns its own outcome."""
        path = Path(self._archive.url)

        def take(member: Member) -> bool:
            stored = Stored(path, member.body_offset, len(member.body))
            candidate = self._run.member_candidate(self._archive, member)
            return self._run.member(candidate, self._outcome(member, "", stored))

        job = ArchiveJob(take, self._bounds.max_bytes)
        try:
            job.read(path)
        except OSError as error:
            return Outcome(Status.CONNECTION_ERROR, at_byte(f"file: {error.strerror}", job.offset))
        verdict = job.verdict()
        return Outcome(verdict.status, verdict.detail)

    def _outcome(self, member: Member, url: str, stored: Stored | None) -> Outcome:
        if member.status is not Status.OK:
            return Outcome(member.status, at_byte(member.detail, member.offset), url)
        verdict = judge(member.body, self._bounds)
        outcome = judged(verdict, member.body, url, stored, len(member.body))
        return replace(outcome, detail=at_byte(outcome.detail, member.offset))
