"""Lays out the dataset: folders of photos, manifest.csv, classes.csv and the metrics."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from allrounder.catalogue.labels import coco_of
from allrounder.catalogue.synsets import VOC_LABELS, find_synset, wnid_of
from allrounder.core.candidates import photo_origins
from allrounder.core.errors import DataError
from allrounder.core.files import atomic_write
from allrounder.core.funnel import funnels, total_funnel
from allrounder.core.licences import accepted
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import tar_members
from allrounder.params.dataset import DatasetClass, dataset_classes, split_folders, split_names
from allrounder.params.schema import Params, Split
from allrounder.split.splitting import split_class


def build_dataset(params: Params, stages: Stages, out: Path, work: Path) -> list[ManifestRow]:
    """Split all classes into `out`, write its manifest and class table, and return the manifest.

    `work` is an empty folder on the same disk. Raises DataError for a class that is too small.
    """
    manifest: list[ManifestRow] = []
    classes = dataset_classes(params)
    for one in classes:
        key = one.key
        kept = {
            row.file: row
            for row in read_csv(stages.clean / f"{key}.csv", CleanRow)
            if row.status is Status.KEPT
        }
        unpack(stages.clean / f"{key}.tar", work / key / key, kept)
        groups = {file: row.group for file, row in kept.items()}
        split_class(work / key / key, work / "out", groups, params.split)
        origins = photo_origins(stages.urls, stages.raw, key, accepted(params.clean.licenses))
        manifest += _lay_out_class(one, params.split, origins, kept, work / "out", out)
        shutil.rmtree(work / key)
    write_csv(out / "manifest.csv", ManifestRow, manifest)
    _write_classes(out / "classes.csv", classes, split_names(params.split), manifest)
    return manifest


def _lay_out_class(
    one: DatasetClass,
    rules: Split,
    origins: Mapping[str, tuple[str, Candidate]],
    kept: Mapping[str, CleanRow],
    divided: Path,
    out: Path,
) -> Iterator[ManifestRow]:
    """Move a class's files from `divided` to their folders; yield a row for each photo."""
    for place, split in split_folders(rules).items():
        target = out / place / one.folder
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted((divided / place / one.key).iterdir()):
            file.rename(target / file.name)
            if not split:
                continue  # repeated in a fold's train
            row = kept[file.name]
            url, candidate = origins[row.image_id]
            path, size = f"{place}/{one.folder}/{file.name}", (row.width or 0, row.height or 0)
            yield ManifestRow(
                path, split, one.index, one.key, one.label, one.voc, candidate.synset or one.key,
                row.image_id, url, candidate.source, row.sha256, *size,
                candidate.license, candidate.author, candidate.landing_url, candidate.title,
            )  # fmt: skip


def unpack(archive: Path, folder: Path, wanted: Mapping[str, CleanRow]) -> None:
    """Unpack an archive of clean photos.

    Raises DataError if its members are not exactly the wanted files.
    """
    folder.mkdir(parents=True)
    count = 0
    with archive.open("rb") as file:
        for name, stored in tar_members(archive):
            if name not in wanted:
                raise DataError(f"{archive}: {name} is not in its csv; run dvc repro -f clean")
            file.seek(stored.offset)
            (folder / name).write_bytes(file.read(stored.size))
            count += 1
    if count != len(wanted):
        raise DataError(f"{archive}: {count} of {len(wanted)} photos; run dvc repro -f clean")


def _write_classes(
    path: Path,
    classes: Sequence[DatasetClass],
    splits: Sequence[str],
    manifest: Sequence[ManifestRow],
) -> None:
    """Write the class table: names and numbers of each class in ImageNet, Pascal VOC and COCO."""
    counts = Counter((row.wnid, row.split) for row in manifest)
    with atomic_write(path) as file:
        names = ("class_index", "folder", "wnid", "label", "voc", "ilsvrc_index", "voc_index")
        print(*names, "coco", "coco_index", *splits, sep=",", file=file)
        for one in classes:
            synset = find_synset(one.key)
            ilsvrc = synset.ilsvrc_index if synset else None
            cells: list[object] = [one.index, one.folder, one.key, one.label, one.voc]
            cells += ["" if ilsvrc is None else ilsvrc]
            cells += [VOC_LABELS.index(one.voc) if one.voc else ""]
            coco = coco_of(wnid_of(one.key))
            cells += [coco.label, coco.index] if coco else ["", ""]
            print(*cells, *(counts[one.key, split] for split in splits), sep=",", file=file)


def summary_line(manifest: Sequence[ManifestRow]) -> str:
    """Return the number of photos, in all and by split (by fold: its val)."""
    counts = Counter(row.split for row in manifest)
    by_split = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    classes = len({row.wnid for row in manifest})
    return f"{len(manifest):,} photos of {classes} classes: {by_split}"


def write_metrics(
    path: Path, params: Params, stages: Stages, manifest: Sequence[ManifestRow]
) -> None:
    """Write the number of photos at each step of the funnel, for each class and in all."""
    by_class = funnels(
        params.classes, stages.raw, stages.clean, manifest, split_names(params.split)
    )
    metrics = {
        "all": total_funnel([*by_class.values()]).as_metrics(),
        "classes": {key: funnel.as_metrics() for key, funnel in by_class.items()},
    }
    with atomic_write(path) as file:
        json.dump(metrics, file, indent=2)
        file.write("\n")
