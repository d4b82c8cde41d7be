"""Lays out the dataset: folders of photos, tables, descriptions and the metrics."""

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from allrounder.catalogue.labels import coco_of
from allrounder.catalogue.synsets import VOC_LABELS
from allrounder.core.class_cache import ClassCache
from allrounder.core.files import file_sha256, remove_tree, replace_text
from allrounder.core.funnel import Funnel, count_moves, total_funnel
from allrounder.core.licences import accepted
from allrounder.core.paths import CLASSES, FINGERPRINTS, MANIFEST, Stages
from allrounder.core.progress import progress
from allrounder.core.rows import RecipeRow
from allrounder.core.tables import columns, no_formula
from allrounder.params.dataset import DatasetClass, dataset_classes, split_names
from allrounder.params.schema import Params
from allrounder.split import card, croissant, recipe
from allrounder.split.facts import DatasetFacts, Tally
from allrounder.split.one_class import ATTRIBUTION, ClassJob, lay_out, part


def build_dataset(
    params: Params,
    stages: Stages,
    out: Path,
    work: Path,
    each: Callable[..., Any] = map,
    cache: ClassCache | None = None,
) -> tuple[Tally, dict[str, Funnel]]:
    """Split all classes into `out`, and write its tables; returns all counts, and those by class.

    The rows of the recipe stay in `work`. `each` may be the `map` of a worker pool. Nothing is
    moved from `work` to `out`: they may be on two disks. Raises DataError for a class that is too
    small.
    """
    remove_tree(work)
    work.mkdir(parents=True)
    tally, by_class = Tally(), dict[str, Funnel]()
    classes = dataset_classes(params)
    licences = accepted(params.clean.licenses)
    jobs = [ClassJob(one, params.split, licences, stages, out, work, cache) for one in classes]
    with progress(total=len(jobs), unit=" classes") as bar:
        for one, (counts, funnel) in zip(classes, each(lay_out, jobs), strict=True):
            tally.add(counts)
            by_class[one.key] = funnel
            bar.update()
    count_moves(by_class)
    tables = [FINGERPRINTS, MANIFEST, *([ATTRIBUTION] if tally.attributed else [])]  # largest first
    for _ in each(partial(_join, out, work, [*by_class]), tables):
        pass
    _write_classes(out / CLASSES, classes, split_names(params.split), tally.photos)
    return tally, by_class


def write_recipe(out: Path, work: Path, described: Mapping[str, Funnel]) -> None:
    """Write recipe.csv, whose first row of each class has the class's counts."""
    with (out / recipe.FILE).open("wb") as file:
        for number, (key, funnel) in enumerate(described.items()):
            with part(work, key, recipe.FILE).open("rb") as rows:
                header = rows.readline()
                file.write(b"" if number else header)
                cells = next(csv.reader(line.decode("utf-8") for line in iter(rows.readline, b"")))
                cells[columns(RecipeRow).index("results")] = recipe.results_text(funnel)
                first = io.StringIO()
                csv.writer(first, lineterminator="\n").writerow(cells)
                file.write(first.getvalue().encode("utf-8"))
                shutil.copyfileobj(rows, file, 2**20)


def _join(out: Path, work: Path, keys: Sequence[str], table: str) -> None:
    """Join the classes' rows of a table in the order of the classes."""
    with (out / table).open("wb") as file:
        for number, key in enumerate(keys):
            with part(work, key, table).open("rb") as rows:
                header = rows.readline()
                file.write(b"" if number else header)
                shutil.copyfileobj(rows, file, 2**20)


def _write_classes(
    path: Path,
    classes: Sequence[DatasetClass],
    splits: Sequence[str],
    counts: Counter[tuple[str, str]],
) -> None:
    """Write the class table: names and numbers of each class in ImageNet, Pascal VOC and COCO.

    If a class is one of the user's own, two more columns have the names in the params and the
    synsets.
    """
    names = ("class_index", "folder", "wnid", "label", "voc", "ilsvrc_index", "voc_index")
    own = ("name", "synset") if any(one.is_own for one in classes) else ()
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*names, "coco", "coco_index", *splits, *own])
        for one in classes:
            coco = coco_of(one.wnid)
            table.writerow([
                one.index, one.folder, one.key, one.label, one.voc,
                one.synset.ilsvrc_index if one.synset else None,
                VOC_LABELS.index(one.voc) if one.voc else None,
                *((coco.label, coco.index) if coco else (None, None)),
                *(counts[one.key, split] for split in splits),
                *((no_formula(one.name), one.wnid) if own else ()),
            ])  # fmt: skip


def describe(params: Params, funnels: Mapping[str, Funnel], out: Path, tally: Tally) -> None:
    """Describe the dataset in `out` by its own files and the counts of each class.

    The version is the first 12 hex digits of the SHA-256 of manifest.csv.
    """
    version = file_sha256(out / MANIFEST)[:12]
    facts = DatasetFacts(dataset_classes(params), funnels, tally, params.dataset)
    card.write(out, params, facts, version, ATTRIBUTION if (out / ATTRIBUTION).exists() else "")
    if params.split.layout == "folders":  # of Parquet the Hub makes it
        croissant.write(out, params, facts, version)


def summary_line(photos: Mapping[tuple[str, str], int]) -> str:
    """The number of photos, in all and by split (by fold: its val)."""
    counts = Counter[str]()
    for (_, split), count in photos.items():
        counts[split] += count
    by_split = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    classes = len({key for key, _ in photos})
    return f"{counts.total():,} photos of {classes} classes: {by_split}"


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
    replace_text(path, json.dumps(metrics, indent=2) + "\n")
