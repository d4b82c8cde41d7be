"""Compares the photos that were taken from one tar with what is in it now, while it streams by.

The tar is asked for once, whatever the number of photos, and hung up behind the last of them.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from allrounder.download.archivefetch import ArchiveJob
from allrounder.download.classrun import new_member
from allrounder.download.photo import Bounds, Verdict, judge
from allrounder.download.tarstream import Member
from allrounder.records import Candidate, Status
from allrounder.verify.drift import Answer, Drift, of_bytes, of_failure
from allrounder.verify.webphotos import Photo

_CUT_OFF = ("archive cut off", "body cut off")


class TarCheck:
    """One tar and the photos asked of it."""

    def __init__(self, url: str, wanted: Sequence[Photo], bounds: Bounds):
        self.url = url
        self.answers: list[Answer] = []
        self._bounds = bounds
        self._archive = Candidate("", url)
        self._wanted = {photo.url: photo for photo in wanted}
        self._seen: set[str] = set()
        pairs = sorted((photo.url, photo.sha256) for photo in wanted)
        self.content = hashlib.sha256(repr(pairs).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def asked(self) -> int:
        """Photos asked of it."""
        return len(self._wanted) + len(self.answers)

    def take(self, member: Member) -> bool:
        """Compare a member; False when no more are wanted."""
        url = new_member(self._archive, member, self._seen).url
        self._seen.add(url)
        if photo := self._wanted.pop(url, None):
            self.answers.append(self._compared(photo, member))
        return bool(self._wanted)

    def _compared(self, photo: Photo, member: Member) -> Answer:
        if member.status is not Status.OK:
            return of_failure(photo, member.status, member.detail)
        verdict = judge(member.body, self._bounds)
        if verdict.status is not Status.OK:
            return of_failure(photo, verdict.status, verdict.detail)
        return of_bytes(photo, hashlib.sha256(member.body).hexdigest())

    def end(self, verdict: Verdict, final_url: str = "") -> list[Answer]:
        """All answers, once the tar is at its end or could not be had."""
        rest = [self._without(photo, verdict, final_url) for photo in self._wanted.values()]
        self._wanted.clear()
        self.answers += rest
        return self.answers

    def unmodified(self) -> list[Answer]:
        """All answers, when the host says that the tar is as it was."""
        same = [Answer(photo, Drift.SAME, unmodified=True) for photo in self._wanted.values()]
        self._wanted.clear()
        self.answers += same
        return self.answers

    def read_local(self) -> list[Answer]:
        """Compare a tar of this machine."""
        job = ArchiveJob(self.take, self._bounds.max_bytes)
        try:
            job.read(Path(self.url))
        except FileNotFoundError:
            return self.end(Verdict(Status.BAD_URL, "no such file"))
        except OSError as error:
            return self.end(Verdict(Status.CONNECTION_ERROR, f"file: {error.strerror}"))
        return self.end(job.verdict())

    def _without(self, photo: Photo, verdict: Verdict, final_url: str) -> Answer:
        """The answer for a photo that did not come."""
        status, detail = verdict.status, verdict.detail.partition("; byte ")[0]
        if status is Status.UNUSED:
            return Answer(photo, Drift.GONE, "not in the archive")
        if status is Status.TRUNCATED and not detail.startswith(_CUT_OFF):
            return Answer(photo, Drift.GONE, f"no tar any more: {detail}")
        return of_failure(photo, status, detail, final_url)
