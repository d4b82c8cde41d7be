"""Joins the stages' tables, class by class, to what the pages show and what the charts count.

Of each class only counts and the entries to show are kept, so memory does not grow with the photos.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from allrounder.core.candidates import candidate_lookup
from allrounder.core.class_cache import ClassCache, Code, inputs_digest
from allrounder.core.errors import DataError
from allrounder.core.funnel import Funnel, raw_step, stage_of
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import Part, read_csv, table_bytes
from allrounder.core.tars import StoredBytes, tar_members
from allrounder.core.urls import shown_host
from allrounder.report.entries import KEPT, Entry, original_of
from allrounder.report.stats import Counts

_ROWS, _LEAST, _MOST = 3_000, 30, 300
"""Candidates without a photo that are shown in all, about; the bounds for one reason in a class.

The others are only counted, so that a page has room for the photos however many URLs are dead.
"""
_STRIP = 8
"""Photos of a class in the strip at the top, at most."""
CODE: Code = ("core", "report"), ("pydantic",)
_ENTRIES, _STRIPS = TypeAdapter(list[Entry]), TypeAdapter(dict[str, list[StoredBytes]])


@dataclass
class Gathered:
    """What the pages show of one class or of several, in the classes' order."""

    entries: list[Entry] = field(default_factory=list)  # of a class: kept photos first
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Entries that are counted and not shown, by class and part."""
    counts: Counts = field(default_factory=Counts)
    strips: dict[str, list[StoredBytes]] = field(default_factory=dict)
    """Photos that are evenly spread over each class."""

    def as_json(self) -> dict[str, Any]:
        """All that it has, as JSON can hold it."""
        return {
            "entries": _ENTRIES.dump_python(self.entries, mode="json"),
            "left_out": [*self.left_out.items()],
            "counts": self.counts.as_json(),
            "strips": _STRIPS.dump_python(self.strips, mode="json"),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Gathered":
        """What `as_json` gave."""
        left_out = Counter({(key, part): count for (key, part), count in found["left_out"]})
        entries = _ENTRIES.validate_python(found["entries"])
        strips = _STRIPS.validate_python(found["strips"])
        return cls(entries, left_out, Counts.from_json(found["counts"]), strips)

    def add(self, other: "Gathered") -> None:
        """Add the classes of another one."""
        self.entries += other.entries
        self.left_out.update(other.left_out)
        self.counts.add(other.counts)
        self.strips |= other.strips

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
class _Job:
    """A class to read, and how much of it to show. Small enough to be sent to a worker."""

    key: str
    stages: Stages
    manifest: Path
    parts: Sequence[Part]  # the class's rows of the manifest
    places: Mapping[str, int]  # the classes' order
    gone: Collection[str]  # image ids of photos that corrections moved to other classes
    rows: int  # candidates without a photo, for each reason: see `rows_each`
    photos: int  # kept and dropped
    cache: ClassCache | None  # for a class that no photo was moved to or from


def read_all(
    stages: Stages,
    manifest: Path,
    parts: Mapping[str, Sequence[Part]],
    funnels: Mapping[str, Funnel],
    photos: int,
    each: Callable[..., Iterable[Any]] = map,
    cache: ClassCache | None = None,
) -> Gathered:
    """All classes, one at a time, of each at most about `photos` photos.

    `parts` are the manifest's rows, and `funnels` the counts, by class; `each` may be the `map` of
    a worker pool; `cache` has the classes of the last run. Raises DataError for a damaged table,
    and when the tables are not from one build.
    """
    if other := sorted(parts.keys() - funnels.keys()):
        raise _not_one_build(other[0])
    gone = _moved_photos(stages.clean, funnels)
    rows = rows_each(funnels.values(), photos)
    places = {key: place for place, key in enumerate(funnels)}
    jobs = []
    for key, funnel in funnels.items():
        own = None if gone[key] or funnel.moved_in else cache
        part = parts.get(key, ())
        jobs.append(_Job(key, stages, manifest, part, places, gone[key], rows, photos, own))
    found = Gathered()
    for one in each(_read_class, jobs):
        found.add(one)
    return found


def _moved_photos(clean: Path, funnels: Mapping[str, Funnel]) -> dict[str, set[str]]:
    """The image ids of the photos that corrections moved away, by the class that they left."""
    moved: dict[str, set[str]] = defaultdict(set)
    for key, funnel in funnels.items():
        for row in read_csv(clean / f"{key}.csv", CleanRow) if funnel.moved_in else ():
            if row.moved_from:
                moved[row.moved_from].add(row.image_id)
    return moved


def _not_one_build(what: object) -> DataError:
    return DataError(f"data/: {what!r} is not in the tables of every stage; run dvc repro")


def _read_class(job: _Job) -> Gathered:
    if job.cache is None:
        return _gather(job)
    inputs = _inputs(job)
    if (facts := job.cache.restore(job.key, inputs)) is not None:
        return Gathered.from_json(facts)
    found = _gather(job)
    job.cache.store(job.key, inputs, (), found.as_json())
    return found


def _inputs(job: _Job) -> str:
    """A hash of all that decides what is shown of a class. The tables say what is in the tars."""
    stages = job.stages
    tables = [folder / f"{job.key}.csv" for folder in (stages.urls, stages.raw, stages.clean)]
    listed = table_bytes(job.manifest, job.parts)
    shown = repr((job.key, stages, job.rows, job.photos))
    return inputs_digest(shown, listed, *tables)


def _gather(job: _Job) -> Gathered:
    found = Gathered()
    try:
        entries = list(_OneClass(job).entries(found.left_out, found.counts.failures))
    except KeyError as error:
        raise _not_one_build(error.args[0]) from None
    entries.sort(key=lambda one: (one.reason != KEPT, one.file))
    kept = [one for one in entries if one.reason == KEPT]
    found.counts.add_photos(kept)
    most = min(_STRIP, len(kept))
    strip = [kept[len(kept) * at // most].stored for at in range(most)]
    found.strips[job.key] = [one for one in strip if one]
    found.entries = sample(entries, job.photos)
    found.left_out.update((job.key, one.part) for one in entries)
    found.left_out.subtract((job.key, one.part) for one in found.entries)
    found.left_out = +found.left_out
    return found


def sample(found: Sequence[Entry], most: int) -> list[Entry]:
    """The entries in their order, with at most `most` of a class's photos.

    Half of these are dropped photos, if there are that many, from every reason in turn. Of the kept
    photos, the originals of duplicates that are shown come first, then flagged ones and suspects,
    then others by content hash. So two similar builds show nearly the same photos.
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

    def __init__(self, job: _Job):
        self._job, self._stages, self._key = job, job.stages, job.key
        self._rows: dict[str, dict[str, CleanRow]] = defaultdict(dict)
        for photo in read_csv(self._stages.clean / f"{job.key}.csv", CleanRow):
            self._rows[photo.moved_from or job.key][photo.image_id] = photo
        self._listed = {row.name: row for row in read_csv(job.manifest, ManifestRow, job.parts)}
        self._cleaned = dict(tar_members(self._stages.clean / f"{job.key}.tar"))
        self._raw = cache(self._raw_photos)

    def entries(
        self, left_out: Counter[tuple[str, str]], failures: Counter[tuple[str, str]]
    ) -> Iterator[Entry]:
        """Yield the class's entries, and count those that are left out, and the failures."""
        for origin in sorted({self._key, *self._rows}, key=self._job.places.__getitem__):
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
                        failures[shown_host(row.url), row.status] += 1
                    is_copy = row.status is Status.DUPLICATE
                    if seen[reason] > (_MOST if is_copy else self._job.rows):
                        left_out[origin, reason] += 1
                        continue
                    original = first.get(row.sha256) if is_copy else None
                    yield Entry(
                        origin,
                        reason,
                        row,
                        None,
                        candidate_of(row.url),
                        duplicate_of=(origin, original) if original else None,
                    )

    def _photo(self, origin: str, image_id: str) -> CleanRow | None:
        """The row of clean of a photo in raw; None if another class has it. Raises KeyError."""
        if origin != self._key or image_id in self._job.gone:
            return self._rows[origin].get(image_id)
        return self._rows[origin][image_id]

    def _taken(
        self, origin: str, row: RawRow, photo: CleanRow, candidate_of: Callable[[str], Candidate]
    ) -> Entry:
        if photo.status is not Status.KEPT:
            reason, stored = f"clean.{photo.status}", self._raw(origin)[row.image_id]
            candidate = candidate_of(row.url)
            return Entry(self._key, reason, row, photo, candidate, stored, original_of(photo))
        listed, stored = self._listed[photo.file], self._cleaned[photo.file]
        if listed.url != row.url:  # a later URL of its bytes has an accepted licence
            row = replace(row, url=listed.url, final_url="", rescued_from=listed.rescued_from)
        place = (listed.split, listed.file)
        return Entry(self._key, KEPT, row, photo, candidate_of(row.url), stored, None, *place)

    def _raw_photos(self, origin: str) -> dict[str, StoredBytes]:
        """The photos in the raw archive of a class, by image id."""
        members = tar_members(self._stages.raw / f"{origin}.tar")
        return {name.rpartition(".")[0]: stored for name, stored in members}
