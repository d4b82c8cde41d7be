"""Joins the class folders of a dataset to Pascal VOC's labels and to ILSVRC's class indices.

It needs nothing but Python, so you can copy it into a project of your own.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FolderLabels:
    """What a class folder is called elsewhere.

    `voc_index` is 0 to 19, or None for a folder without a VOC label. `ilsvrc` holds indices from 0
    to 999, which are rows of an ILSVRC classifier's last layer: usually one; several where classes
    share a folder (`split.folders: voc`); none for a class that ILSVRC does not have by itself.
    """

    folder: str
    voc: str
    voc_index: int | None
    ilsvrc: tuple[int, ...]


def folder_labels(dataset: Path, folders: Iterable[str]) -> list[FolderLabels]:
    """Return the labels of the folders, in the order given (for example `ImageFolder.classes`).

    Raises KeyError for a folder that classes.csv does not name.
    """
    rows: dict[str, list[dict[str, str]]] = {}
    with (dataset / "classes.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["folder"], []).append(row)
    return [_joined(folder, rows[folder]) for folder in folders]


def _joined(folder: str, rows: list[dict[str, str]]) -> FolderLabels:
    voc, index = rows[0]["voc"], rows[0]["voc_index"]
    ilsvrc = tuple(int(row["ilsvrc_index"]) for row in rows if row["ilsvrc_index"])
    return FolderLabels(folder, voc, int(index) if index else None, ilsvrc)
