"""Gathers what the report shows of each photo: its rows in the stages' tables, put together.

Not for pictures (thumbs.py) or for counting (../funnel.py, stats.py).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from allrounder.core.candidates import candidate_lookup
from allrounder.core.errors import DataError
from allrounder.core.funnel import Funnel, raw_step, stage_of
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes, tar_members

KEPT = "kept"
ROWS, _LEAST, _MOST = 3_000, 30, 300
"""Candidates without a photo that are shown, about; at least, at most of a reason in a class.

The rest is counted. So a page has room for the photos, however many URLs are dead.
"""

Key = tuple[str, str]
"""A photo in raw: its class and its image id, which is unique there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo, or a candidate that never became one."""

    wnid: str
    reason: str  # KEPT, or <stage>.<status>
    split: str  # '' when it is not in the dataset
    raw: RawRow
    clean: CleanRow | None
    origin: Candidate
    synset: str
    file: str  # in the dataset's folder
    bytes: int | None
    stored: StoredBytes | None  # where its bytes are
    twin: Key | None  # the photo that this one is a copy of

    @property
    def key(self) -> Key | None:
        """How twins refer to it; None when it never became a photo."""
        return (self.wnid, self.raw.image_id) if self.clean else None


@dataclass(frozen=True, slots=True)
class ClassEntries:
    """A class's entries, kept photos first; and how many candidates by reason are left out."""

    entries: list[Entry]
    left_out: Counter[str]


def rows_each(funnels: Iterable[Funnel]) -> int:
    """How many candidates without a photo to show for each reason in each class."""
    lost = [(step, reasons) for one in funnels for step, reasons in one.lost.items()]
    kinds = sum(len(reasons) for step, reasons in lost if stage_of(step) == "download")
    return max(_LEAST, min(_MOST, ROWS // max(kinds, 1)))


def _read_class(
    wnid: str, stages: Stages, manifest: Sequence[ManifestRow], rows: int
) -> ClassEntries:
    origin = candidate_lookup(stages.urls / f"{wnid}.csv")
    verdicts = {row.image_id: row for row in read_csv(stages.clean / f"{wnid}.csv", CleanRow)}
    taken = {
        name.rpartition(".")[0]: place for name, place in tar_members(stages.raw / f"{wnid}.tar")
    }
    final = dict(tar_members(stages.clean / f"{wnid}.tar"))
    placed = {row.image_id: row for row in manifest}
    first: dict[str, str] = {}  # image id of the photo with these bytes
    found, left_out, seen = [], Counter[str](), Counter[str]()
    for row in read_csv(stages.raw / f"{wnid}.csv", RawRow):
        if row.status is Status.ARCHIVE:
            continue
        if row.status is not Status.OK:
            reason = f"{stage_of(raw_step(row.status))}.{row.status}"
            seen[reason] += 1
            if seen[reason] > rows and row.status is not Status.DUPLICATE:
                left_out[reason] += 1
                continue
            twin = first.get(row.sha256) if row.status is Status.DUPLICATE else None
            found.append(_lost(wnid, reason, row, origin, (wnid, twin) if twin else None))
            continue
        first.setdefault(row.sha256, row.image_id)
        clean = verdicts[row.image_id]
        if kept := placed.get(row.image_id):
            found.append(_kept(wnid, row, clean, kept, origin, final[clean.file]))
        else:
            found.append(_dropped(wnid, row, clean, origin, taken[row.image_id]))
    found.sort(key=lambda entry: (entry.reason != KEPT, entry.file))
    return ClassEntries(found, left_out)


def read_all(
    wnids: Sequence[str], stages: Stages, manifest: Sequence[ManifestRow], shown: int
) -> dict[str, ClassEntries]:
    """The entries of all classes, in their order; `shown` is what `rows_each` says.

    Raises DataError for a broken table, and when the tables are not of one build.
    """
    rows: dict[str, list[ManifestRow]] = {wnid: [] for wnid in wnids}
    try:
        for row in manifest:
            rows[row.wnid].append(row)
        return {wnid: _read_class(wnid, stages, rows[wnid], shown) for wnid in wnids}
    except KeyError as error:
        raise DataError(
            f"data/: {error} is not in the tables of every stage; run dvc repro"
        ) from None


def read_manifest(dataset: Path) -> list[ManifestRow]:
    """The rows of the dataset's manifest."""
    return list(read_csv(dataset / "manifest.csv", ManifestRow))


def _lost(
    wnid: str, reason: str, row: RawRow, origin: Callable[[str], Candidate], twin: Key | None
) -> Entry:
    listed = origin(row.url)
    synset = listed.synset or wnid
    return Entry(wnid, reason, "", row, None, listed, synset, "", row.bytes, None, twin)


def _dropped(
    wnid: str, row: RawRow, clean: CleanRow, origin: Callable[[str], Candidate], stored: StoredBytes
) -> Entry:
    listed, reason = origin(row.url), f"clean.{clean.status}"
    synset, twin = listed.synset or wnid, _twin(clean)
    return Entry(wnid, reason, "", row, clean, listed, synset, "", row.bytes, stored, twin)


def _kept(
    wnid: str,
    row: RawRow,
    clean: CleanRow,
    kept: ManifestRow,
    origin: Callable[[str], Candidate],
    stored: StoredBytes,
) -> Entry:
    """A photo of the dataset: where it is from, and so whose it is, the manifest says.

    That may be a later URL of the same bytes, whose licence will do (origins.py).
    """
    listed, size = origin(kept.url), stored.size
    if kept.url != row.url:
        row = replace(row, url=kept.url, final_url="")
    return Entry(
        wnid, KEPT, kept.split, row, clean, listed, kept.synset, kept.file, size, stored, None
    )


def _twin(clean: CleanRow) -> Key | None:
    """The photo that this one duplicates, or None."""
    key, slash, image_id = clean.duplicate_of.partition("/")
    return (key, image_id) if slash else None
