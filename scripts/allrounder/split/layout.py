"""Lays out the dataset: folders of photos, manifest.csv, classes.csv and the metrics."""

import csv
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from allrounder.catalogue.labels import coco_of
from allrounder.catalogue.synsets import VOC_LABELS
from allrounder.core.candidates import photo_origins
from allrounder.core.errors import DataError
from allrounder.core.files import atomic_write
from allrounder.core.funnel import Funnel, total_funnel
from allrounder.core.licences import accepted
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, Status
from allrounder.core.tables import no_formula, read_csv, write_csv
from allrounder.core.tars import StoredBytes, tar_members
from allrounder.params.dataset import DatasetClass, dataset_classes, split_folders, split_names
from allrounder.params.schema import Params
from allrounder.split.splitting import split_class


def build_dataset(params: Params, stages: Stages, out: Path, work: Path) -> list[ManifestRow]:
    """Split all classes into `out`, write its manifest and class table, and return the manifest.

    Nothing is moved from `work` to `out`: they may be on two disks. Raises DataError for a class
    that is too small.
    """
    manifest: list[ManifestRow] = []
    licences = accepted(params.clean.licenses)
    origins = cache(lambda key: photo_origins(stages.urls, stages.raw, key, licences))
    classes = dataset_classes(params)
    for one in classes:
        rows = read_csv(stages.clean / f"{one.key}.csv", CleanRow)
        kept = {row.file: row for row in rows if row.status is Status.KEPT}
        stored = _stored(stages.clean / f"{one.key}.tar", kept)
        groups = {file: row.group for file, row in kept.items()}
        given = {
            file: origins(row.moved_from or one.key)[row.image_id][1].split
            for file, row in kept.items()
        }
        divided = split_class(one.key, groups, params.split, work, given)
        for place, split in split_folders(params.split).items():
            folder = f"{place}/{one.folder}"
            (out / folder).mkdir(parents=True, exist_ok=True)
            for name in divided[place]:
                (out / folder / name).write_bytes(stored[name].read())
                if split:  # else it is repeated, in a fold's train
                    row = kept[name]
                    origin = origins(row.moved_from or one.key)[row.image_id]
                    manifest.append(_row(f"{folder}/{name}", split, one, row, *origin))
    write_csv(out / "manifest.csv", ManifestRow, map(_without_formulas, manifest))
    _write_classes(out / "classes.csv", classes, split_names(params.split), manifest)
    return manifest


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
    url: str,
    candidate: Candidate,
    rescued_from: str,
) -> ManifestRow:
    synset = "" if row.moved_from else candidate.synset
    synset = synset or (one.wnid if one.is_own else one.key)
    return ManifestRow(
        path, split, one.index, one.key, one.label, one.voc, synset,
        row.image_id, url, candidate.source, row.sha256, row.width or 0, row.height or 0,
        candidate.license, candidate.author, candidate.landing_url, candidate.title,
        rescued_from, row.moved_from or candidate.moved_from, row.blurred, row.nearly_black,
        row.nearly_white, row.extreme_aspect, row.tiny_for_class, row.suspect, row.looks_like,
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


def _write_classes(
    path: Path,
    classes: Sequence[DatasetClass],
    splits: Sequence[str],
    manifest: Sequence[ManifestRow],
) -> None:
    """Write the class table: names and numbers of each class in ImageNet, Pascal VOC and COCO.

    Where a class is one's own, two more columns have the names as the params write them, and the
    synsets.
    """
    counts = Counter((row.wnid, row.split) for row in manifest)
    names = ["class_index", "folder", "wnid", "label", "voc", "ilsvrc_index", "voc_index"]
    own = ["name", "synset"] if any(one.is_own for one in classes) else []
    with atomic_write(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*names, "coco", "coco_index", *splits, *own])
        for one in classes:
            ilsvrc = one.synset.ilsvrc_index if one.synset else None
            cells: list[object] = [one.index, one.folder, one.key, one.label, one.voc]
            cells += ["" if ilsvrc is None else ilsvrc]
            cells += [VOC_LABELS.index(one.voc) if one.voc else ""]
            coco = coco_of(one.wnid)
            cells += [coco.label, coco.index] if coco else ["", ""]
            cells += [counts[one.key, split] for split in splits]
            table.writerow([*cells, *([no_formula(one.name), one.wnid] if own else [])])


def summary_line(manifest: Sequence[ManifestRow]) -> str:
    """The number of photos, in all and by split (by fold: its val)."""
    counts = Counter(row.split for row in manifest)
    by_split = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    classes = len({row.wnid for row in manifest})
    return f"{len(manifest):,} photos of {classes} classes: {by_split}"


def write_metrics(path: Path, by_class: Mapping[str, Funnel], per_class: int) -> None:
    """Write the number of photos at each step of the funnel, for each class and in all.

    Also the number asked for, and how many classes are short of it.
    """
    metrics = {
        "asked": per_class * len(by_class),
        "short": sum(funnel.steps["kept"] < per_class for funnel in by_class.values()),
        "all": total_funnel(by_class.values()).as_metrics(),
        "classes": {key: funnel.as_metrics() for key, funnel in by_class.items()},
    }
    with atomic_write(path) as file:
        json.dump(metrics, file, indent=2)
        file.write("\n")
