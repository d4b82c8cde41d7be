"""The names and numbers of the dataset's classes, folders and splits."""

from dataclasses import dataclass

from allrounder.catalogue.synsets import class_labels, wnid_of
from allrounder.core.names import folder_name
from allrounder.params.schema import Params, Split

SPLITS = ("train", "val", "test")


def split_names(rules: Split) -> list[str]:
    """Return the names of the splits; with folds, a photo belongs to the fold whose val has it."""
    if rules.kfold:
        return [f"fold_{number}" for number in range(1, rules.kfold + 1)]
    return list(SPLITS[: len(rules.ratio)])


def split_folders(rules: Split) -> dict[str, str]:
    """Return the split of each folder of photos; '' for folds' train, which repeats photos."""
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
    """Return the classes in the params' order, with folders named as `split.folders` says."""
    labels = class_labels(params.classes)
    found = []
    for index, (key, voc) in enumerate(params.classes.items()):
        names = {"wnid": wnid_of(key), "voc": voc or "", "label": labels[key]}
        folder = folder_name(names[params.split.folders])
        found.append(DatasetClass(index, key, labels[key], folder, voc or ""))
    return found
