"""Joins the stages' tables, class by class, to what the pages show and what the charts count.

Only the entries to show and counts are kept of a class: memory does not grow with the photos.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from allrounder.core.candidates import candidate_lookup
from allrounder.core.errors import DataError
from allrounder.core.funnel import Funnel, raw_step, stage_of
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import Part, read_csv
from allrounder.core.tars import StoredBytes, tar_members
from allrounder.report.counts import Counts
from allrounder.report.entries import KEPT, Entry, host, original_of

_ROWS, _LEAST, _MOST = 3_000, 30, 300
"""About how many candidates without a photo are shown in all; the bounds for one reason in a class.

The others are only counted, so that a page has room for the photos however many URLs are dead.
"""


@dataclass(frozen=True, slots=True)
class ClassEntries:
    """A class: the entries to show, kept photos first; counts of all that it has."""

    entries: list[Entry]
    left_out: Counter[tuple[str, str]]  # by class and part: what is only counted
    counts: Counts
    strip: list[StoredBytes]  # photos evenly spread over the class


@dataclass
class Gathered:
    """What the pages show, in the classes' order."""

    entries: list[Entry] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    counts: Counts = field(default_factory=Counts)
    strips: dict[str, list[StoredBytes]] = field(default_factory=dict)

    def add(self, key: str, part: ClassEntries) -> None:
        """Add a class."""
        self.entries += part.entries
        self.left_out.update(part.left_out)
        self.counts.add(part.counts)
        self.strips[key] = part.strip

    @cached_property
    def reasons(self) -> list[str]:
        """The reasons that are shown: first kept, then by stage, in the order of `Status`."""
        seen = {entry.reason for entry in self.entries}
        order = [f"{stage}.{status}" for stage in ("download", "clean") for status in Status]
        return [KEPT, *sorted(seen - {KEPT}, key=order.index)]


def rows_each(funnels: Iterable[Funnel], photos: int = _LEAST) -> int:
    """How many candidates without a photo to show for each reason in each class.

    `photos` are those that are shown of a class.
    """
    lost = [(step, reasons) for one in funnels for step, reasons in one.lost.items()]
    kinds = sum(len(reasons) for step, reasons in lost if stage_of(step) == "download")
    return max(min(_LEAST, photos), min(_MOST, _ROWS // max(kinds, 1)))


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of each class is shown."""

    rows: int  # candidates without a photo, for each reason: see `rows_each`
    photos: int  # kept and dropped
    strip: int  # photos of a strip


@dataclass(frozen=True, slots=True)
class Tables:
    """The stages' tables, and what must be known of all of them to read one class."""

    stages: Stages
    manifest: Path
    parts: Mapping[str, Sequence[Part]]  # of the manifest, by class
    places: Mapping[str, int]  # the classes' order
    moved: Mapping[str, Collection[str]]  # image ids that left a class, by its key

    def without_parts(self, key: str) -> "Tables":
        """The same for reading one class, small enough to be sent to a worker for each."""
        moved = {key: self.moved.get(key, ())}
        return replace(self, parts={key: self.parts.get(key, ())}, moved=moved)


def read_all(tables: Tables, bounds: Bounds, each: Callable[..., Iterable[Any]] = map) -> Gathered:
    """All classes, one at a time; `each` may be the `map` of a worker pool.

    Raises DataError for a damaged table, and when the tables are not from one build.
    """
    found = Gathered()
    if other := sorted(tables.parts.keys() - tables.places.keys()):
        raise _not_one_build(other[0])
    jobs = [(key, tables.without_parts(key), bounds) for key in tables.places]
    for key, part in zip(tables.places, each(_read_class, jobs), strict=True):
        found.add(key, part)
    return found


def moved_photos(clean: Path, keys: Iterable[str]) -> dict[str, set[str]]:
    """The image ids of the photos that corrections moved away, by the class that they left."""
    moved: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        for row in read_csv(clean / f"{key}.csv", CleanRow):
            if row.moved_from:
                moved[row.moved_from].add(row.image_id)
    return dict(moved)


def _not_one_build(what: object) -> DataError:
    return DataError(f"data/: {what!r} is not in the tables of every stage; run dvc repro")


def _read_class(job: tuple[str, Tables, Bounds]) -> ClassEntries:
    key, tables, bounds = job
    found, left_out, counts = list[Entry](), Counter[tuple[str, str]](), Counts()
    try:
        for entry in _OneClass(key, tables).entries(bounds.rows, left_out, counts.failures):
            found.append(entry)
    except KeyError as error:
        raise _not_one_build(error.args[0]) from None
    found.sort(key=lambda one: (one.reason != KEPT, one.file))
    kept = [one for one in found if one.reason == KEPT]
    counts.add_photos(kept)
    most = min(bounds.strip, len(kept))
    strip = [kept[len(kept) * at // most].stored for at in range(most)]
    shown = sample(found, bounds.photos)
    left_out.update((key, one.part) for one in found)
    left_out.subtract((key, one.part) for one in shown)
    return ClassEntries(shown, +left_out, counts, [one for one in strip if one])


def sample(found: Sequence[Entry], most: int) -> list[Entry]:
    """The entries, with at most `most` of a class's photos; the others keep their order.

    Half of them are dropped photos, of every reason in turn, as far as there are so many. Of the
    kept ones, those come first that a shown photo repeats, then flagged ones and suspects. What
    remains is decided by content hash, so that a build that changes little shows the same.
    """
    photos = [one for one in found if one.stored]
    if len(photos) <= most:
        return list(found)
    kept = [one for one in photos if one.reason == KEPT]
    of_reason: dict[str, list[Entry]] = defaultdict(list)
    for one in sorted(photos, key=_content):
        if one.reason != KEPT:
            of_reason[one.reason].append(one)
    ranked = sorted((at, reason) for reason, own in of_reason.items() for at in range(len(own)))
    dropped = [of_reason[reason][at] for at, reason in ranked]
    dropped = dropped[: max(most // 2, most - len(kept))]
    repeated = {one.duplicate_of for one in dropped}
    kept.sort(key=lambda one: (one.photo_id not in repeated, not one.noted, _content(one)))
    chosen = {id(one) for one in (*dropped, *kept[: most - len(dropped)])}
    return [one for one in found if not one.stored or id(one) in chosen]


def _content(one: Entry) -> tuple[str, str]:
    return one.clean.sha256 if one.clean and one.clean.sha256 else one.raw.sha256, one.raw.image_id


class _OneClass:
    """Joins the tables of one class, and of the classes that photos of it were moved from."""

    def __init__(self, key: str, tables: Tables):
        self._key, self._stages = key, tables.stages
        self._gone = tables.moved.get(key, ())
        self._rows: dict[str, dict[str, CleanRow]] = defaultdict(dict)
        for photo in read_csv(self._stages.clean / f"{key}.csv", CleanRow):
            self._rows[photo.moved_from or key][photo.image_id] = photo
        self._listed: dict[str, ManifestRow] = {
            row.file.rpartition("/")[2]: row
            for row in read_csv(tables.manifest, ManifestRow, tables.parts[key])
        }
        self._cleaned = dict(tar_members(self._stages.clean / f"{key}.tar"))
        self._raw_members: dict[str, dict[str, StoredBytes]] = {}
        self._from = sorted({key, *self._rows}, key=tables.places.__getitem__)

    def entries(
        self, shown: int, left_out: Counter[tuple[str, str]], failures: Counter[tuple[str, str]]
    ) -> Iterator[Entry]:
        """Yield the class's entries, and count those that are left out, and the failures."""
        for origin in self._from:
            candidate_of = candidate_lookup(self._stages.urls / f"{origin}.csv")
            seen, first = Counter[str](), dict[str, str]()
            for row in read_csv(self._stages.raw / f"{origin}.csv", RawRow):
                if row.status is Status.OK:
                    first.setdefault(row.sha256, row.image_id)
                    if photo := self._photo(origin, row.image_id):
                        yield self._taken(origin, row, photo, candidate_of)
                elif origin == self._key and row.status is not Status.ARCHIVE:
                    reason = f"{stage_of(raw_step(row.status))}.{row.status}"
                    seen[reason] += 1
                    if raw_step(row.status) == "taken":
                        failures[host(row.url), row.status] += 1
                    if seen[reason] > (_MOST if row.status is Status.DUPLICATE else shown):
                        left_out[origin, reason] += 1
                        continue
                    copy = row.status is Status.DUPLICATE and row.sha256 in first
                    original = (origin, first[row.sha256]) if copy else None
                    candidate = candidate_of(row.url)
                    yield Entry(origin, reason, row, None, candidate, duplicate_of=original)

    def _photo(self, origin: str, image_id: str) -> CleanRow | None:
        """The row of clean of a photo in raw; None if another class has it. Raises KeyError."""
        if origin != self._key or image_id in self._gone:
            return self._rows[origin].get(image_id)
        return self._rows[origin][image_id]

    def _taken(
        self, origin: str, row: RawRow, photo: CleanRow, candidate_of: Callable[[str], Candidate]
    ) -> Entry:
        listed = self._listed[photo.file] if photo.status is Status.KEPT else None
        if listed and listed.url != row.url:  # a later URL of its bytes has an accepted licence
            row = replace(row, url=listed.url, final_url="", rescued_from=listed.rescued_from)
        reason = KEPT if listed else f"clean.{photo.status}"
        entry = Entry(self._key, reason, row, photo, candidate_of(row.url))
        if listed:
            stored = self._cleaned[photo.file]
            return replace(entry, stored=stored, split=listed.split, file=listed.file)
        stored = self._raw(origin)[row.image_id]
        return replace(entry, stored=stored, duplicate_of=original_of(photo))

    def _raw(self, origin: str) -> dict[str, StoredBytes]:
        if origin not in self._raw_members:
            members = tar_members(self._stages.raw / f"{origin}.tar")
            found = {name.rpartition(".")[0]: stored for name, stored in members}
            self._raw_members[origin] = found
        return self._raw_members[origin]
