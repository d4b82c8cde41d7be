"""Lays out one class, in a worker process: its photos, and its rows of the dataset's tables."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from allrounder.core import licences
from allrounder.core.candidates import photo_origins
from allrounder.core.class_cache import ClassCache, Code, file_state, inputs_digest
from allrounder.core.errors import DataError
from allrounder.core.funnel import Funnel, class_funnel
from allrounder.core.paths import FINGERPRINTS, MANIFEST, Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, RecipeRow, Status
from allrounder.core.tables import no_formula, read_csv, write_csv
from allrounder.core.tars import StoredBytes, tar_members
from allrounder.params.dataset import DatasetClass, split_folders, split_names
from allrounder.params.schema import Split
from allrounder.split import recipe
from allrounder.split.facts import Tally
from allrounder.split.splitting import split_class

ATTRIBUTION = "ATTRIBUTION.csv"
CODE: Code = ("core", "catalogue", "params", "split"), ("split-folders",)
TABLES = (MANIFEST, ATTRIBUTION, recipe.FILE, FINGERPRINTS)


@dataclass(frozen=True, slots=True)
class Credit:
    """A row: title, author, source and licence ("TASL"), as far as the photo's source has them.

    Source: https://wiki.creativecommons.org/wiki/Recommended_practices_for_attribution
    """

    file: str
    title: str
    author: str
    license: str
    license_url: str
    landing_url: str
    url: str


@dataclass(frozen=True, slots=True)
class ClassJob:
    """A class to lay out."""

    one: DatasetClass
    rules: Split
    licences: Collection[str] | None  # the accepted ones, see `photo_origins`
    stages: Stages
    out: Path  # the dataset
    work: Path  # gets the class's rows, `<key>.<table>`, and empty files
    cache: ClassCache | None = None


def part(work: Path, key: str, table: str) -> Path:
    """The file with a class's rows of a table, and a header."""
    return work / f"{key}.{table}"


def lay_out(job: ClassJob) -> tuple[Tally, Funnel]:
    """Split a class, write its photos and rows, or take them from the cache; returns its counts.

    Raises DataError for a class that is too small.
    """
    if job.cache is None or job.rules.kfold:  # DVC's cache has one file for all folds
        return _lay_out(job)[:2]
    key, inputs = job.one.key, _inputs(job)
    if (facts := job.cache.restore(key, inputs)) is not None:
        return Tally.from_json(facts["tally"]), Funnel.from_json(facts["funnel"])
    tally, funnel, files = _lay_out(job)
    if not funnel.moved_in:  # else it depends on other classes
        facts = {"tally": tally.as_json(), "funnel": funnel.as_json()}
        job.cache.store(key, inputs, files, facts)
    return tally, funnel


def _inputs(job: ClassJob) -> str:
    """A hash of all that decides what `lay_out` writes for a class without photos moved there.

    The table of clean has the SHA-256 of each photo. The table of fingerprints, 1.6 KB a photo, is
    not read: its state tells whether it has changed.
    """
    key, stages = job.one.key, job.stages
    chosen = repr((job.one, job.rules, job.licences and sorted(job.licences), job.out, job.work))
    tables = [folder / f"{key}.csv" for folder in (stages.urls, stages.raw, stages.clean)]
    return inputs_digest(chosen, *tables, file_state(stages.clean / f"{key}.{FINGERPRINTS}"))


def _lay_out(job: ClassJob) -> tuple[Tally, Funnel, list[Path]]:
    """The counts of a class, and the files that were written."""
    key, rules, raw = job.one.key, job.rules, job.stages.raw
    rows = list(read_csv(job.stages.clean / f"{key}.csv", CleanRow))
    kept = {row.file: row for row in rows if row.status is Status.KEPT}
    archive = job.stages.clean / f"{key}.tar"
    stored = _stored(archive, kept)
    origins = cache(lambda one: photo_origins(job.stages.urls, raw, one, job.licences))
    groups = {file: row.group for file, row in kept.items()}
    origin = {file: origins(row.moved_from or key)[row.image_id] for file, row in kept.items()}
    given = {file: candidate.split for file, (_, candidate) in origin.items()}
    numbers = job.work / f"numbers-{os.getpid()}"
    divided = split_class(key, groups, rules, numbers, given)
    manifest: list[ManifestRow] = []
    for place, split in split_folders(rules).items():
        folder = f"{place}/{job.one.folder}"
        if rules.layout == "folders":
            photos = {name: stored[name] for name in divided[place]}
            _write_photos(job.out / folder, archive, photos)
        if split:  # else it is repeated, in a fold's train
            manifest += [
                _row(f"{folder}/{name}", split, job.one, kept[name], *origin[name])
                for name in divided[place]
            ]
    tally = Tally()
    for row in manifest:
        tally.count(row, stored[row.name].size)
    _write_rows(job, manifest, kept, {file: row.sha256 for file, (row, _) in origin.items()})
    by_split = {split: tally.photos[key, split] for split in split_names(rules)}
    files = [part(job.work, key, table) for table in TABLES]
    if rules.layout == "folders":
        places = divided.items()
        files += [job.out / place / job.one.folder / name for place, own in places for name in own]
    return tally, class_funnel(read_csv(raw / f"{key}.csv", RawRow), rows, by_split), files


def _write_rows(
    job: ClassJob,
    manifest: list[ManifestRow],
    kept: Mapping[str, CleanRow],
    sha256s: Mapping[str, str],
) -> None:
    """Write the class's rows of all tables; `kept` and `sha256s`, those of raw, by file name."""
    key = job.one.key
    safe = [*map(_without_formulas, manifest)]
    recipe_rows = recipe.class_rows(safe, kept, sha256s)
    write_csv(part(job.work, key, MANIFEST), ManifestRow, safe)
    write_csv(part(job.work, key, ATTRIBUTION), Credit, filter(None, map(_credit, manifest)))
    write_csv(part(job.work, key, recipe.FILE), RecipeRow, recipe_rows)
    _write_fingerprints(job, [row.file for row in manifest])


def _credit(row: ManifestRow) -> Credit | None:
    """The credit of a photo; None for one without author and licence.

    Creative Commons licences with BY ask for this.
    """
    if not (row.author or row.license):
        return None
    form = licences.normal(row.license)
    address = licences.address(form)
    stated = row.license if row.license.startswith(("http://", "https://")) else ""
    title, author, landing, url = map(no_formula, (row.title, row.author, row.landing_url, row.url))
    licence = licences.title(form) if address else no_formula(row.license)
    return Credit(row.file, title, author, licence, address or stated, landing, url)


def _write_fingerprints(job: ClassJob, files: Sequence[str]) -> None:
    """Write the class's table of fingerprints as `clean` did, but by the photos' paths."""
    key = job.one.key
    source = job.stages.clean / f"{key}.{FINGERPRINTS}"
    with source.open("rb") as table, part(job.work, key, FINGERPRINTS).open("wb") as out:
        out.write(table.readline())
        starts, at = dict[bytes, int](), table.tell()
        for line in table:
            starts[line.split(b",", 2)[1]] = at
            at += len(line)
        for file in files:
            folder, _, name = file.rpartition("/")
            table.seek(starts[name.encode()] + 1)
            out.write(b",%s/%s" % (folder.encode(), table.readline()))


def _write_photos(folder: Path, archive: Path, photos: Mapping[str, StoredBytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with archive.open("rb", buffering=0) as file:
        for name, stored in photos.items():
            file.seek(stored.offset)
            with open(f"{folder}/{name}", "wb") as photo:  # buffered, so that it writes all
                photo.write(file.read(stored.size))


def _without_formulas(row: ManifestRow) -> ManifestRow:
    """The row with texts from the web that no spreadsheet evaluates."""
    names = ("author", "title", "license", "landing_url")
    quoted: dict[str, Any] = {name: no_formula(getattr(row, name)) for name in names}
    return replace(row, **quoted)


def _row(
    path: str,
    split: str,
    one: DatasetClass,
    row: CleanRow,
    raw: RawRow,
    candidate: Candidate,
) -> ManifestRow:
    synset = "" if row.moved_from else candidate.synset
    synset = synset or (one.wnid if one.is_own else one.key)
    return ManifestRow(
        path, split, one.index, one.key, one.label, one.voc, synset,
        row.image_id, raw.url, candidate.source, row.sha256, row.width or 0, row.height or 0,
        candidate.license, candidate.author, candidate.landing_url, candidate.title,
        raw.rescued_from, row.moved_from or candidate.moved_from, row.blurred, row.nearly_black,
        row.nearly_white, row.extreme_aspect, row.tiny_for_class, row.suspect, row.suspected_class,
    )  # fmt: skip


def _stored(archive: Path, wanted: Collection[str]) -> dict[str, StoredBytes]:
    """The places of the photos in an archive of clean photos.

    Raises DataError if its members are not exactly the wanted files.
    """
    stored = dict(tar_members(archive))
    if other := sorted(stored.keys() ^ wanted):
        raise DataError(
            f"{archive}: {other[0]} is not in both the tar and its csv; run dvc repro -f clean"
        )
    return stored
