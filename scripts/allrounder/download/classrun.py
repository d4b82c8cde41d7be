"""One class of a running download: its quota, and its two files as they are written.

Rows and photos are written in rank order as soon as they are final, so that memory stays flat
however long the list is. Not for fetching: that is crawl.py.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from allrounder.csvfiles import CsvWriter, columns, read_csv
from allrounder.download.archivefetch import at_byte
from allrounder.download.outcomes import Outcome
from allrounder.download.quota import ClassQuota, Slot
from allrounder.download.tarstream import Member
from allrounder.names import IdMaker, url_id
from allrounder.pins import RawPins
from allrounder.records import Candidate, RawRow, Status
from allrounder.slices import parse
from allrounder.subtrees import is_subtree, wnid_of
from allrounder.tars import TarWriter
from allrounder.urltext import is_archive


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
        self, wnid: str, urls: Path, raw: Path, quota: int, window: int, pins: RawPins, retry: bool
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

    def member(self, candidate: Candidate, outcome: Outcome) -> bool:
        """Write a member of the archive in turn; False when no more are wanted."""
        self._members.add(candidate.url)
        self._write(candidate, self.quota.take(candidate, outcome))
        return self.quota.taken < self._enough

    def member_candidate(self, archive: Candidate, member: Member) -> Candidate:
        """The candidate that a member is, with a URL that no member before it had."""
        return new_member(archive, member, self._members)

    def archive_ended(self, slot: Slot, outcome: Outcome) -> None:
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
            self._write(candidate, Outcome(Status.UNUSED))
        self.close()
        _part(self._tar_path).replace(self._tar_path)
        _part(self._table_path).replace(self._table_path)
        self.finished = True
        return ClassResult(self.wnid, self.counts)

    def close(self) -> None:
        """Close the files where they are."""
        self._tar.close()
        self._file.close()

    def _write(self, candidate: Candidate, outcome: Outcome) -> None:
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


def member_candidate(archive: Candidate, name: str, offset: int) -> Candidate:
    """The candidate that a member of an archive is: `<archive's URL>#<member's name>`."""
    plain = "".join(c if c.isprintable() else "?" for c in name)
    url = f"{archive.url}#{plain}"
    if parse(url):
        url += "?"  # it is no slice, whatever it is called
    stem = plain.rpartition("/")[2].rpartition(".")[0]
    return Candidate(stem or url_id(archive.image_id, at_byte(url, offset)), url)


def new_member(archive: Candidate, member: Member, seen: Collection[str]) -> Candidate:
    """The candidate that a member is, with a URL that is none of those seen before."""
    candidate = member_candidate(archive, member.name, member.offset)
    if candidate.url in seen:
        candidate = member_candidate(archive, f"{member.name}@{member.offset}", member.offset)
    return candidate


def _archives(table: Path) -> int:
    return sum(is_archive(candidate.url) for candidate in read_csv(table, Candidate))


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
