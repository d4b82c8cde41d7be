"""Lays out the dataset: folders of photos, manifest.csv, classes.csv and the metrics."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from allrounder.catalogue.labels import coco_of
from allrounder.catalogue.synsets import VOC_LABELS
from allrounder.core.files import atomic_write, remove_tree
from allrounder.core.funnel import Funnel, count_moves, total_funnel
from allrounder.core.licences import accepted
from allrounder.core.paths import FINGERPRINTS, MANIFEST, Stages
from allrounder.core.progress import progress
from allrounder.core.rows import RecipeRow
from allrounder.core.tables import no_formula, read_csv
from allrounder.params.dataset import DatasetClass, dataset_classes, split_names
from allrounder.params.schema import Params
from allrounder.split import recipe
from allrounder.split.describe import ATTRIBUTION
from allrounder.split.facts import Tally
from allrounder.split.one_class import ClassJob, lay_out, part


@dataclass(frozen=True, slots=True)
class Built:
    """The counts of a dataset that was laid out."""

    tally: Tally
    funnels: dict[str, Funnel]  # by class key


def build_dataset(
    params: Params, stages: Stages, out: Path, work: Path, each: Callable[..., Any] = map
) -> Built:
    """Split all classes into `out`, write its tables but the recipe, whose rows stay in `work`.

    `each` may be the `map` of a worker pool. Nothing is moved from `work` to `out`: they may be on
    two disks. Raises DataError for a class that is too small.
    """
    remove_tree(work)
    work.mkdir(parents=True)
    tally, by_class = Tally(), dict[str, Funnel]()
    classes = dataset_classes(params)
    licences = accepted(params.clean.licenses)
    jobs = [ClassJob(one, params.split, licences, stages, out, work) for one in classes]
    with progress(total=len(jobs), unit=" classes") as bar:
        for one, found in zip(classes, each(lay_out, jobs), strict=True):
            tally.add(found.tally)
            by_class[one.key] = found.funnel
            bar.update()
    count_moves(by_class)
    _join(out, work, MANIFEST, by_class)
    _join(out, work, FINGERPRINTS, by_class)
    if tally.attributed:
        _join(out, work, ATTRIBUTION, by_class)
    _write_classes(out / "classes.csv", classes, split_names(params.split), tally.photos)
    return Built(tally, by_class)


def write_recipe(out: Path, work: Path, described: Mapping[str, Funnel]) -> None:
    """Write recipe.csv, whose first row of each class has the class's counts."""
    _join(out, work, recipe.FILE, described)


def _join(out: Path, work: Path, table: str, by_class: Mapping[str, Funnel]) -> None:
    """Join the classes' rows of a table in the order of the classes."""
    with atomic_write(out / table) as file:
        for number, (key, funnel) in enumerate(by_class.items()):
            with part(work, key, table).open(encoding="utf-8", newline="") as rows:
                header = rows.readline()
                file.write("" if number else header)
                if table == recipe.FILE:
                    first = next(read_csv(part(work, key, table), RecipeRow))
                    row = replace(first, results=recipe.results_text(funnel))
                    csv.writer(file, lineterminator="\n").writerow(astuple(row))
                    next(csv.reader(rows))
                shutil.copyfileobj(rows, file)


def _write_classes(
    path: Path,
    classes: Sequence[DatasetClass],
    splits: Sequence[str],
    counts: Counter[tuple[str, str]],
) -> None:
    """Write the class table: names and numbers of each class in ImageNet, Pascal VOC and COCO.

    Where a class is one's own, two more columns have the names as the params write them, and the
    synsets.
    """
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
    with atomic_write(path) as file:
        json.dump(metrics, file, indent=2)
        file.write("\n")
