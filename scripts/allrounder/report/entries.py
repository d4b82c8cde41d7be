"""Joins the stages' tables to what the report shows of each photo."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from allrounder.core.candidates import candidate_lookup
from allrounder.core.corrections import PhotoId, clean_rows
from allrounder.core.errors import DataError
from allrounder.core.funnel import Funnel, raw_step, stage_of
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes, tar_members
from allrounder.core.urls import host_of, is_url

KEPT = "kept"
_ROWS, _LEAST, _MOST = 3_000, 30, 300
"""About how many candidates without a photo are shown in all; the bounds for one reason in a class.

The others are only counted, so that a page has room for the photos however many URLs are dead.
"""
_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,80}", re.ASCII)
LOCAL, MALFORMED = "local files", "malformed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo, or a candidate without one."""

    key: str  # of its class
    reason: str  # KEPT, or <stage>.<status>
    raw: RawRow
    clean: CleanRow | None
    candidate: Candidate
    stored: StoredBytes | None = None  # where its bytes are
    duplicate_of: PhotoId | None = None  # the photo that this one repeats
    split: str = ""  # this and the next: of a photo of the dataset
    file: str = ""  # in the dataset's folder
    thumb: bytes = b""

    @property
    def photo_id(self) -> PhotoId | None:
        """The photo's id; None for a candidate without a photo."""
        return (self.clean.moved_from or self.key, self.raw.image_id) if self.clean else None

    @property
    def bytes(self) -> int:
        """The photo's size; without a photo, the size of the reply."""
        return self.stored.size if self.stored else self.raw.bytes or 0


@dataclass
class Gathered:
    """The entries, by class, kept photos first; what is only counted."""

    entries: list[Entry] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)  # by class and reason
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Candidates that were requested and not taken, by host and status."""

    @cached_property
    def reasons(self) -> list[str]:
        """The reasons that occur: first kept, then by stage, in the order of `Status`."""
        seen = {entry.reason for entry in self.entries}
        order = [f"{stage}.{status}" for stage in ("download", "clean") for status in Status]
        return [KEPT, *sorted(seen - {KEPT}, key=order.index)]


def rows_each(funnels: Iterable[Funnel]) -> int:
    """How many candidates without a photo to show for each reason in each class."""
    lost = [(step, reasons) for one in funnels for step, reasons in one.lost.items()]
    kinds = sum(len(reasons) for step, reasons in lost if stage_of(step) == "download")
    return max(_LEAST, min(_MOST, _ROWS // max(kinds, 1)))


def host(url: str) -> str:
    """A URL's host as ASCII text; LOCAL for a path, MALFORMED for anything else."""
    if not is_url(url):
        return MALFORMED if re.match(r"[a-z][a-z0-9+.-]+:", url, re.IGNORECASE) else LOCAL
    name = host_of(url)
    try:
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        return MALFORMED
    return name if _HOST.fullmatch(name) else MALFORMED


def read_all(
    keys: Collection[str], stages: Stages, manifest: Sequence[ManifestRow], shown: int
) -> Gathered:
    """The entries of all classes, in their order; `shown` comes from `rows_each`.

    Raises DataError for a damaged table, and when the tables are not from one build.
    """
    kept: dict[str, dict[str, ManifestRow]] = defaultdict(dict)
    for row in manifest:
        kept[row.moved_from or row.wnid][row.image_id] = row
    found, places = Gathered(), {key: place for place, key in enumerate(keys)}
    try:
        cleaned = Cleaned(keys, stages)
        for key in keys:
            found.entries += _read_class(key, stages, cleaned, kept.pop(key, {}), shown, found)
        if kept:
            raise KeyError(next(iter(kept)))
        found.entries.sort(key=lambda one: (places[one.key], one.reason != KEPT, one.file))
    except KeyError as error:
        raise DataError(
            f"data/: {error} is not in the tables of every stage; run dvc repro"
        ) from None
    return found


class Cleaned:
    """The rows of clean by a photo's id in raw, and where the kept photos' bytes are."""

    def __init__(self, keys: Collection[str], stages: Stages):
        self.rows = clean_rows(keys, stages.clean)
        self.stored = {key: dict(tar_members(stages.clean / f"{key}.tar")) for key in keys}


def _read_class(
    key: str,
    stages: Stages,
    cleaned: Cleaned,
    kept: dict[str, ManifestRow],
    shown: int,
    counted: Gathered,
) -> Iterator[Entry]:
    """Yield a class's entries, and count those that are left out, and the failures."""
    candidate_of = candidate_lookup(stages.urls / f"{key}.csv")
    raw_bytes = {
        name.rpartition(".")[0]: stored for name, stored in tar_members(stages.raw / f"{key}.tar")
    }
    first: dict[str, str] = {}  # sha256: image id of the first photo with these bytes
    seen = Counter[str]()
    for row in read_csv(stages.raw / f"{key}.csv", RawRow):
        if row.status is Status.ARCHIVE:
            continue
        if row.status is not Status.OK:
            reason = f"{stage_of(raw_step(row.status))}.{row.status}"
            copy = row.status is Status.DUPLICATE
            seen[reason] += 1
            if raw_step(row.status) == "taken":
                counted.failures[host(row.url), row.status] += 1
            if seen[reason] > shown and not copy:
                counted.left_out[key, reason] += 1
                continue
            original = (key, first[row.sha256]) if copy and row.sha256 in first else None
            entry = Entry(key, reason, row, None, candidate_of(row.url), duplicate_of=original)
        else:
            first.setdefault(row.sha256, row.image_id)
            (to, photo), listed = cleaned.rows[key, row.image_id], kept.get(row.image_id)
            if listed and listed.url != row.url:  # a later URL of its bytes has an accepted licence
                row = replace(row, url=listed.url, final_url="", rescued_from=listed.rescued_from)
            entry = Entry(to, f"clean.{photo.status}", row, photo, candidate_of(row.url))
            if listed:
                stored, split, file = cleaned.stored[to][photo.file], listed.split, listed.file
                entry = replace(entry, reason=KEPT, stored=stored, split=split, file=file)
            else:
                stored, original = raw_bytes[row.image_id], original_of(photo)
                entry = replace(entry, stored=stored, duplicate_of=original)
        yield entry


def original_of(photo: CleanRow) -> PhotoId | None:
    """The photo that this one repeats, or None."""
    key, slash, image_id = photo.duplicate_of.partition("/")
    return (key, image_id) if slash else None
