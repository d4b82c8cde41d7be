"""Labels beside VOC's: COCO's 80, Open Images' classes, and the labels that sources use themselves.

Sources of the tables: tables/README.md.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from allrounder.catalogue.synsets import Synset, all_synsets, find_synset

_TABLES = Path(__file__).parent / "tables"
COCO_TABLE, OPEN_IMAGES_TABLE = _TABLES / "coco.csv", _TABLES / "openimages.csv"


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


@cache
def open_images_mids() -> dict[str, str]:
    """The machine id (MID, e.g. /m/0bt9lr) of each wnid in the table."""
    with OPEN_IMAGES_TABLE.open(encoding="utf-8", newline="") as file:
        return {row["wnid"]: row["mid"] for row in csv.DictReader(file)}


def label_matcher(wnids: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The wnid of each normalized label that a source may use for these classes.

    A match depends on the class and the source only, never on the other classes of the params. If
    it did, a list would depend on the order in which classes were added.

    `given` maps a wnid to the source's label: that class is matched by this label only, and no
    other class is. The other classes are matched by their usual labels, as far as these are
    unique. A name of several synsets means the only one of them in ILSVRC, or else none.
    """
    meant: dict[str, str] = {}
    for wnid, label in given.items():
        plain = normalized_label(label)
        meant[plain] = "" if plain in meant else wnid  # given for two classes: means neither
    found = {label: wnid for label, wnid in meant.items() if wnid in wnids}
    for wnid in wnids:
        if wnid not in given:
            for label in usual_labels(wnid) - meant.keys():
                if _named().get(label, wnid) == wnid:
                    found[label] = wnid
    return found


def normalized_label(label: str) -> str:
    """A label in lower case, without underscores and repeated spaces."""
    return " ".join(label.replace("_", " ").casefold().split())


def usual_labels(wnid: str) -> set[str]:
    """A class's usual labels, normalized: wnid, ILSVRC index, and WordNet names.

    The names count one by one, and all of them joined by commas as in ILSVRC's own list.
    """
    synset = find_synset(wnid)
    return {normalized_label(label) for label in (wnid, *(_labels(synset) if synset else ()))}


def _labels(synset: Synset) -> Iterator[str]:
    yield from synset.names
    yield ", ".join(synset.names)
    if synset.ilsvrc_index is not None:
        yield str(synset.ilsvrc_index)


@cache
def _named() -> dict[str, str]:
    """The wnid that each label means in the whole catalogue; '' for an ambiguous label."""
    bearers: dict[str, list[Synset]] = defaultdict(list)
    for synset in all_synsets().values():
        for label in {normalized_label(label) for label in _labels(synset)}:
            bearers[label].append(synset)
    meant = {}
    for label, those in bearers.items():
        known = [synset for synset in those if synset.ilsvrc_index is not None]
        chosen = known or those
        meant[label] = chosen[0].wnid if len(chosen) == 1 else ""
    return meant
