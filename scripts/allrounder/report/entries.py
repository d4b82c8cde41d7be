"""Gathers what the report shows of each photo: its rows in the stages' tables, joined."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from allrounder.core.candidates import candidate_lookup
from allrounder.core.errors import DataError
from allrounder.core.funnel import Funnel, raw_step, stage_of
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes, tar_members

KEPT = "kept"
_ROWS, _LEAST, _MOST = 3_000, 30, 300
"""About how many candidates without a photo are shown in all; the bounds for one reason in a class.

The others are only counted, so that a page has room for the photos however many URLs are dead.
"""

PhotoId = tuple[str, str]
"""A photo in raw: its class key and its image id, which is unique in the class."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo, or a candidate without one."""

    key: str  # of its class
    reason: str  # KEPT, or <stage>.<status>
    split: str  # '' when it is not in the dataset
    raw: RawRow
    clean: CleanRow | None
    candidate: Candidate
    synset: str
    file: str  # in the dataset's folder
    bytes: int | None
    stored: StoredBytes | None  # where its bytes are
    duplicate_of: PhotoId | None  # the photo that this one repeats

    @property
    def photo_id(self) -> PhotoId | None:
        """The photo's id; None for a candidate without a photo."""
        return (self.key, self.raw.image_id) if self.clean else None


@dataclass(frozen=True, slots=True)
class ClassEntries:
    """A class's entries, kept photos first, and the number of entries left out, by reason."""

    entries: list[Entry]
    left_out: Counter[str]


def rows_each(funnels: Iterable[Funnel]) -> int:
    """Return how many candidates without a photo to show for each reason in each class."""
    lost = [(step, reasons) for one in funnels for step, reasons in one.lost.items()]
    kinds = sum(len(reasons) for step, reasons in lost if stage_of(step) == "download")
    return max(_LEAST, min(_MOST, _ROWS // max(kinds, 1)))


def read_all(
    keys: Sequence[str], stages: Stages, manifest: Sequence[ManifestRow], shown: int
) -> dict[str, ClassEntries]:
    """Return the entries of all classes, in their order; `shown` comes from `rows_each`.

    Raises DataError for a damaged table, and when the tables are not from one build.
    """
    rows: dict[str, list[ManifestRow]] = {key: [] for key in keys}
    try:
        for row in manifest:
            rows[row.wnid].append(row)
        return {key: _read_class(key, stages, rows[key], shown) for key in keys}
    except KeyError as error:
        raise DataError(
            f"data/: {error} is not in the tables of every stage; run dvc repro"
        ) from None


def _read_class(
    key: str, stages: Stages, manifest: Sequence[ManifestRow], shown: int
) -> ClassEntries:
    candidate_of = candidate_lookup(stages.urls / f"{key}.csv")
    clean = {row.image_id: row for row in read_csv(stages.clean / f"{key}.csv", CleanRow)}
    raw_bytes = {
        name.rpartition(".")[0]: stored for name, stored in tar_members(stages.raw / f"{key}.tar")
    }
    clean_bytes = dict(tar_members(stages.clean / f"{key}.tar"))
    kept = {row.image_id: row for row in manifest}
    first: dict[str, str] = {}  # sha256: image id of the first photo with these bytes
    found, left_out, seen = [], Counter[str](), Counter[str]()
    for row in read_csv(stages.raw / f"{key}.csv", RawRow):
        if row.status is Status.ARCHIVE:
            continue
        if row.status is not Status.OK:
            reason = f"{stage_of(raw_step(row.status))}.{row.status}"
            seen[reason] += 1
            if seen[reason] > shown and row.status is not Status.DUPLICATE:
                left_out[reason] += 1
                continue
            original = first.get(row.sha256) if row.status is Status.DUPLICATE else None
            entry = _entry(key, reason, row, None, candidate_of(row.url))
            found.append(replace(entry, duplicate_of=(key, original) if original else None))
            continue
        first.setdefault(row.sha256, row.image_id)
        photo = clean[row.image_id]
        if listed := kept.get(row.image_id):
            found.append(_kept(listed, row, photo, candidate_of, clean_bytes[photo.file]))
        else:
            entry = _entry(key, f"clean.{photo.status}", row, photo, candidate_of(row.url))
            found.append(replace(entry, stored=raw_bytes[row.image_id]))
    found.sort(key=lambda entry: (entry.reason != KEPT, entry.file))
    return ClassEntries(found, left_out)


def _entry(
    key: str, reason: str, row: RawRow, photo: CleanRow | None, candidate: Candidate
) -> Entry:
    """Return an entry that is not in the dataset."""
    return Entry(
        key, reason, "", row, photo, candidate, candidate.synset or key, "", row.bytes, None,
        original_of(photo) if photo else None,
    )  # fmt: skip


def original_of(photo: CleanRow) -> PhotoId | None:
    """Return the photo that this one repeats, or None."""
    key, slash, image_id = photo.duplicate_of.partition("/")
    return (key, image_id) if slash else None


def _kept(
    listed: ManifestRow,
    row: RawRow,
    photo: CleanRow,
    candidate_of: Callable[[str], Candidate],
    stored: StoredBytes,
) -> Entry:
    """Return a photo of the dataset, with the URL and candidate that the manifest names.

    That may be a later URL of the same bytes whose licence is accepted (see provenance.py).
    """
    if listed.url != row.url:
        row = replace(row, url=listed.url, final_url="")
    return Entry(
        listed.wnid, KEPT, listed.split, row, photo, candidate_of(listed.url), listed.synset,
        listed.file, stored.size, stored, None,
    )  # fmt: skip
