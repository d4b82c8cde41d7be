"""The names and numbers of the dataset's classes, folders and splits."""

import re
from dataclasses import dataclass

from allrounder.catalogue.synsets import class_labels, wnid_of
from allrounder.params.schema import Params, Split

SPLITS = ("train", "val", "test")
_SPLIT_WORDS = re.compile(
    r"(?<![a-z])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?![a-z])"
)


def folder_name(label: str) -> str:
    """A class's folder name: its label, but `bullet_trains` for `bullet_train`.

    Hugging Face's imagefolder reads any folder with a split's name as a separate word as that
    split, so val/bullet_train/ would count as train too. Source: SPLIT_KEYWORDS and
    KEYWORDS_IN_DIR_NAME_BASE_PATTERNS in datasets/data_files.py of huggingface/datasets.
    """
    return _SPLIT_WORDS.sub(r"\1s", label)


def split_names(rules: Split) -> list[str]:
    """The names of the splits; with folds, a photo belongs to the fold whose val has it."""
    if rules.kfold:
        return [f"fold_{number}" for number in range(1, rules.kfold + 1)]
    return list(SPLITS[: len(rules.ratio)])


def split_folders(rules: Split) -> dict[str, str]:
    """The split of each folder of photos; '' for folds' train, which repeats photos."""
    if not rules.kfold:
        return {split: split for split in split_names(rules)}
    return {
        f"{fold}/{part}": fold if part == "val" else ""
        for fold in split_names(rules)
        for part in ("train", "val")
    }


@dataclass(frozen=True, slots=True)
class DatasetClass:
    """A class of the dataset."""

    index: int
    key: str
    label: str
    folder: str
    voc: str


def dataset_classes(params: Params) -> list[DatasetClass]:
    """The classes in the params' order, with folders named as `split.folders` says."""
    labels = class_labels(params.classes)
    found = []
    for index, (key, voc) in enumerate(params.classes.items()):
        names = {"wnid": wnid_of(key), "voc": voc or "", "label": labels[key]}
        folder = folder_name(names[params.split.folders])
        found.append(DatasetClass(index, key, labels[key], folder, voc or ""))
    return found
