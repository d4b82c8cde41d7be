"""COCO's 80 labels and Open Images' classes for a synset. Sources: tables/README.md."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from allrounder.catalogue.synsets import find_synset

COCO_TABLE = Path(__file__).parent / "tables" / "coco.csv"


@dataclass(frozen=True, slots=True)
class CocoLabel:
    """A row of the table."""

    index: int  # among the 80, as most detectors number them
    category_id: int  # COCO's own, 1 to 90 with gaps
    label: str
    voc: str | None
    roots: tuple[str, ...]
    not_below: tuple[str, ...]


@cache
def coco_labels() -> tuple[CocoLabel, ...]:
    """The 80 labels in their usual order."""
    with COCO_TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(_label(row) for row in csv.DictReader(file))


def coco_of(wnid: str) -> CocoLabel | None:
    """The COCO label of a synset: that of its nearest ancestor (or itself) which is a label's root.

    None if there is no such ancestor. Of two equally near ones, the first in COCO's order.
    """
    roots, outside = _roots()
    level = [wnid]
    while level:
        if found := [roots[one] for one in level if one in roots]:
            return min(found, key=lambda label: label.index)
        inside = [synset for one in level if one not in outside and (synset := find_synset(one))]
        level = [parent for synset in inside for parent in synset.hypernyms]
    return None


@cache
def _roots() -> tuple[dict[str, CocoLabel], frozenset[str]]:
    roots = {root: label for label in coco_labels() for root in label.roots}
    return roots, frozenset(wnid for label in coco_labels() for wnid in label.not_below)


def _label(row: dict[str, str]) -> CocoLabel:
    wnids = row["roots"].split()
    return CocoLabel(
        int(row["index"]),
        int(row["category_id"]),
        row["label"],
        row["voc"] or None,
        tuple(wnid for wnid in wnids if not wnid.startswith("-")),
        tuple(wnid.removeprefix("-") for wnid in wnids if wnid.startswith("-")),
    )


OPEN_IMAGES_TABLE = Path(__file__).parent / "tables" / "openimages.csv"


@cache
def open_images_mids() -> dict[str, str]:
    """The machine id (MID, e.g. /m/0bt9lr) of each wnid in the table."""
    with OPEN_IMAGES_TABLE.open(encoding="utf-8", newline="") as file:
        return {row["wnid"]: row["mid"] for row in csv.DictReader(file)}
