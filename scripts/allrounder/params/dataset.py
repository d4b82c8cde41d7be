"""The names and numbers of the dataset's classes, folders and splits."""

import re
from dataclasses import dataclass

from allrounder.catalogue.synsets import Synset, class_labels, find_synset, is_subtree, wnid_of
from allrounder.params.classes import is_wnid
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
    name: str  # as in the params: a wnid, or the name of a class of your own
    wnid: str  # the synset that it is, without +, or ''

    @property
    def is_own(self) -> bool:
        """Whether its name is not a wnid of ImageNet."""
        return not is_wnid(self.key)

    @property
    def synset(self) -> Synset | None:
        """The one synset that it is; None for a subtree."""
        return None if is_subtree(self.key) else find_synset(self.wnid)


def dataset_classes(params: Params) -> list[DatasetClass]:
    """The classes in the params' order, with folders named as `split.folders` says.

    Raises ValueError when two classes would share a folder by accident.
    """
    labels = class_labels(params.classes)
    found: list[DatasetClass] = []
    owners: dict[str, str] = {}
    for index, (key, one) in enumerate(params.classes.items()):
        voc, wnid = one.voc or "", one.synset or ""
        names = {"wnid": wnid_of(key), "voc": voc, "label": labels[key]}
        folder = folder_name(names[params.split.folders])
        other = owners.setdefault(folder, one.name)
        if other != one.name and params.split.folders != "voc":
            raise ValueError(
                f"classes.{one.name}: its folder would be {folder}, as that of {other}; "
                "rename one of them"
            )
        found.append(DatasetClass(index, key, labels[key], folder, voc, one.name, wnid))
    return found
