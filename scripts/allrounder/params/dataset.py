"""Names and numbers of the dataset's classes, folders and splits."""

from dataclasses import dataclass

from allrounder.catalogue.synsets import class_labels, wnid_of
from allrounder.core.names import folder_name
from allrounder.params.schema import Params, Split

SIDES = ("train", "val", "test")


def split_names(rules: Split) -> list[str]:
    """Return the splits that a photo may be in: train, val, test, or the fold it is val of."""
    if rules.kfold:
        return [f"fold_{number}" for number in range(1, rules.kfold + 1)]
    return list(SIDES[: len(rules.ratio)])


def split_folders(rules: Split) -> dict[str, str]:
    """Return the folders of photos and the split of each; '' for the copies in folds' train."""
    if not rules.kfold:
        return {side: side for side in split_names(rules)}
    return {
        f"{fold}/{side}": fold if side == "val" else ""
        for fold in split_names(rules)
        for side in ("train", "val")
    }


@dataclass(frozen=True, slots=True)
class DatasetClass:
    """A class, its index and its names in the dataset."""

    index: int
    wnid: str
    label: str
    folder: str
    voc: str


def dataset_classes(params: Params) -> list[DatasetClass]:
    """Return the classes in the params' order, with folders named by `split.folders`."""
    named = class_labels(params.classes)
    found = []
    for index, (wnid, voc) in enumerate(params.classes.items()):
        names = {"wnid": wnid_of(wnid), "voc": voc or "", "label": named[wnid]}
        folder = folder_name(names[params.split.folders])
        found.append(DatasetClass(index, wnid, named[wnid], folder, voc or ""))
    return found
