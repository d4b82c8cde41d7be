"""How the params name and number the dataset's classes, folders and splits."""

import re
from dataclasses import dataclass

from allrounder.catalogue.synsets import class_labels, wnid_of
from allrounder.params.schema import Params, Split

SIDES = ("train", "val", "test")
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
    """The names of the splits that a photo may be in: sides, or the folds it is val of."""
    if rules.kfold:
        return [f"fold_{number}" for number in range(1, rules.kfold + 1)]
    return list(SIDES[: len(rules.ratio)])


def split_folders(rules: Split) -> dict[str, str]:
    """The folders of photos, and the split each stands for; '' for the copies in folds' train."""
    if not rules.kfold:
        return {side: side for side in split_names(rules)}
    return {
        f"{fold}/{side}": fold if side == "val" else ""
        for fold in split_names(rules)
        for side in ("train", "val")
    }


@dataclass(frozen=True, slots=True)
class DatasetClass:
    """A class as the dataset names and numbers it."""

    index: int
    wnid: str
    label: str
    folder: str
    voc: str


def dataset_classes(params: Params) -> list[DatasetClass]:
    """The classes in the params' order, their folders named as `split.folders` says."""
    named = class_labels(params.classes)
    found = []
    for index, (wnid, voc) in enumerate(params.classes.items()):
        names = {"wnid": wnid_of(wnid), "voc": voc or "", "label": named[wnid]}
        folder = folder_name(names[params.split.folders])
        found.append(DatasetClass(index, wnid, named[wnid], folder, voc or ""))
    return found
