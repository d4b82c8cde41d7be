"""Labels other than VOC's: COCO's 80, Open Images' classes, and the sources' own labels.

Sources of the tables: tables/README.md.
"""

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from allrounder.catalogue.synsets import Synset, all_synsets, find_synset

_TABLES = Path(__file__).parent / "tables"
COCO_TABLE, OPEN_IMAGES_TABLE = _TABLES / "coco.csv", _TABLES / "openimages.csv"
COMMON_TABLE = _TABLES / "common.csv"


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
    """The COCO label whose root is the synset or its nearest ancestor; None if there is none.

    Of two equally near roots, the first in COCO's order counts.
    """
    roots, excluded = _roots()
    level = [wnid]  # its ancestors, generation by generation
    while level:
        if labels := [roots[wnid] for wnid in level if wnid in roots]:
            return min(labels, key=lambda label: label.index)
        synsets = [find_synset(wnid) for wnid in level if wnid not in excluded]
        level = [parent for synset in synsets if synset for parent in synset.hypernyms]
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


@dataclass(frozen=True, slots=True)
class ClassPart:
    """A class as sources list it, or one synset of a class that is a subtree."""

    key: str  # the class key, or the wnid of a subtree's synset
    wnid: str  # its synset, or ''
    labels: tuple[str, ...] = ()  # its own names, in addition to those of the synset


def label_matcher(
    parts: Sequence[ClassPart], given: Mapping[str, str], indices: bool = True
) -> dict[str, str]:
    """The key of the part that each normalized label of a source means.

    A match depends on the class and the source only, never on the other classes of the params.
    Otherwise a list would depend on the order in which classes were added.

    `given` maps a key or wnid to the source's label: only this label means that class, and it
    means no other one. The other classes are matched by their own names, and by the labels that
    mean their synset (see `meaning`). Without `indices`, ILSVRC's class indices mean nothing.
    """
    keys = {part.wnid: part.key for part in parts} | {part.key: part.key for part in parts}
    given_keys: dict[str, str] = {}  # by label
    for key, label in given.items():
        plain = normalized_label(label)
        given_keys[plain] = "" if plain in given_keys else key  # '': given for two classes
    matches = {label: keys[key] for label, key in given_keys.items() if key in keys}
    for part in parts:
        if part.key not in given and (not part.wnid or part.wnid not in given):
            for label in part_labels(part, indices) - given_keys.keys():
                matches[label] = part.key
    return matches


def label_meanings(
    parts: Sequence[ClassPart], given: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """As `label_matcher`, separately: names, and numbers if they are ILSVRC's class indices.

    See `no_indices`.
    """
    named = label_matcher(parts, given, indices=False)
    both = label_matcher(parts, given)
    return named, {label: key for label, key in both.items() if label not in named}


def may_be_indices(numbers: Collection[int]) -> bool:
    """Whether labels may be ILSVRC's indices: nearly up to 999, or with many gaps.

    Labels without gaps up to a smaller number are the classes of another dataset.
    """
    first, last = min(numbers, default=0), max(numbers, default=0)
    return first >= 0 and 100 <= last < 1000 and (last >= 990 or 2 * len(numbers) <= last)


def no_indices(numbers: Collection[int]) -> str:
    """A warning about numbers that do not look like indices, or ''."""
    if may_be_indices(numbers):
        return ""
    return (
        f"its labels are numbers from {min(numbers, default=0)} to {max(numbers, default=0)}, "
        "which do not look like ILSVRC's class indices; map them in labels"
    )


def part_labels(part: ClassPart, indices: bool = True) -> set[str]:
    """The normalized labels that mean a part: its own names, and those that mean its synset."""
    labels = {normalized_label(label) for label in (part.key, *part.labels)}
    if part.wnid:
        common = {label for label, wnid in common_labels().items() if wnid == part.wnid}
        for label in usual_labels(part.wnid) | common:
            if meaning(label) in (part.wnid, None) and (indices or not label.isdecimal()):
                labels.add(label)
    return labels


def meaning(label: str) -> str | None:
    """The wnid that a normalized label means; '' for an ambiguous one, None for an unknown one.

    VOC's, COCO's and CIFAR-10's names mean what these datasets show. Another name of several
    synsets means the only one of them in ILSVRC, or is ambiguous.
    """
    return common_labels().get(label) or _meanings().get(label)


def synsets_named(label: str) -> list[str]:
    """The wnids of all synsets that have a normalized label among their names."""
    return [
        synset.wnid
        for synset in all_synsets().values()
        if label in map(normalized_label, synset.names)
    ]


@cache
def common_labels() -> dict[str, str]:
    """The wnid of names that WordNet gives to several synsets, or not at all."""
    with COMMON_TABLE.open(encoding="utf-8", newline="") as file:
        return {row["label"]: row["wnid"] for row in csv.DictReader(file)}


def normalized_label(label: str) -> str:
    """A label in lower case, without underscores and repeated spaces."""
    return " ".join(label.replace("_", " ").casefold().split())


def usual_labels(wnid: str) -> set[str]:
    """A synset's usual labels, normalized: wnid, ILSVRC index and WordNet names.

    Each name is a label, and so are all names joined by commas, as in ILSVRC's own list.
    """
    synset = find_synset(wnid)
    return {normalized_label(label) for label in (wnid, *(synset_labels(synset) if synset else ()))}


def synset_labels(synset: Synset) -> Iterator[str]:
    """A synset's usual labels but the wnid: see `usual_labels`."""
    yield from synset.names
    yield ", ".join(synset.names)
    if synset.ilsvrc_index is not None:
        yield str(synset.ilsvrc_index)


@cache
def _meanings() -> dict[str, str]:
    """The wnid that each label means in the whole catalogue; '' for an ambiguous label."""
    synsets: dict[str, list[Synset]] = defaultdict(list)  # by label
    for synset in all_synsets().values():
        for label in {normalized_label(label) for label in synset_labels(synset)}:
            synsets[label].append(synset)
    meanings = {}
    for label, named in synsets.items():
        chosen = [synset for synset in named if synset.ilsvrc_index is not None] or named
        meanings[label] = chosen[0].wnid if len(chosen) == 1 else ""
    return meanings
