"""ImageNet's synsets: names, ILSVRC index, parents, Pascal VOC label; and subtrees of synsets.

Sources of the tables and WordNet's notice: tables/README.md.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from allrounder.core.text import closest

TABLE = Path(__file__).parent / "tables" / "synsets.csv"

VOC_TABLE = TABLE.with_name("voc.csv")
VOC_LABELS = tuple(
    row.partition(",")[2] for row in VOC_TABLE.read_text(encoding="utf-8").splitlines()[1:]
)
"""Pascal VOC's 20 labels in their usual (alphabetical) order."""


NO_LABELS = frozenset(
    ["", "na", "n_a", "nan", "none", "null", "nil", "inf", "infinity", "true", "false"]
)
"""Labels that readers of tables take for a missing value or a number (pandas' `na_values`)."""


@dataclass(frozen=True, slots=True)
class Synset:
    """A row of the table."""

    wnid: str
    names: tuple[str, ...]
    ilsvrc_index: int | None
    hypernyms: tuple[str, ...]
    voc: str | None
    listed_urls: int
    flickr_urls: int

    @property
    def label(self) -> str:
        """The first usable name as a folder name: `Eskimo dog` is `eskimo_dog`, `nan` is `naan`."""
        labels = (re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in self.names)
        return next((label for label in labels if label not in NO_LABELS), self.wnid)


def find_synset(wnid: str) -> Synset | None:
    """The synset of a wnid, or None. Parses one row only, since every stage starts with this."""
    row = _rows().get(wnid)
    return _synset(row) if row else None


@cache
def all_synsets() -> dict[str, Synset]:
    """All synsets by wnid, in the table's order."""
    return {wnid: _synset(row) for wnid, row in _rows().items()}


@cache
def _rows() -> dict[str, list[str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return {row[0]: row for row in rows}


def _synset(row: list[str]) -> Synset:
    wnid, names, ilsvrc_index, hypernyms, voc, listed_urls, flickr_urls = row
    return Synset(
        wnid,
        tuple(names.split("; ")),
        int(ilsvrc_index) if ilsvrc_index else None,
        tuple(hypernyms.split()),
        voc or None,
        int(listed_urls or 0),
        int(flickr_urls or 0),
    )


def class_labels(keys: Iterable[str]) -> dict[str, str]:
    """A unique label for each class key; where two share a name, their wnids are appended.

    The label of a class of your own is its key.
    """
    synsets = {key: find_synset(wnid_of(key)) for key in keys}
    plain = {key: synset.label if synset else wnid_of(key) for key, synset in synsets.items()}
    counts = Counter(plain.values())
    return {
        key: f"{label}_{wnid_of(key)}" if counts[label] > 1 and synsets[key] else label
        for key, label in plain.items()
    }


def did_you_mean_wnid(text: str) -> str:
    """' Did you mean ...?' for an unknown wnid or a name in its place; or ''."""
    name = text.lower().replace("_", " ")
    found = [
        synset for synset in all_synsets().values() if name in (own.lower() for own in synset.names)
    ]
    if not found and (wnid := closest(text, all_synsets())):
        found = [all_synsets()[wnid]]
    if not found:
        return ""
    best = max(found, key=lambda synset: synset.listed_urls)
    return f" Did you mean {best.wnid} ({best.names[0]})?"


_EVERYDAY = {
    "airplane": "aeroplane", "plane": "aeroplane", "motorcycle": "motorbike", "tv": "tvmonitor",
    "monitor": "tvmonitor", "couch": "sofa", "table": "diningtable",
}  # fmt: skip


def did_you_mean_voc(text: str) -> str:
    """' Did you mean ...?' for an unknown VOC label, or the list of all labels."""
    label = _EVERYDAY.get(text.lower()) or closest(text.lower(), VOC_LABELS)
    return f" Did you mean {label}?" if label else f" VOC has {', '.join(VOC_LABELS)}."


def is_subtree(key: str) -> bool:
    """Whether a class key means the synset and all synsets below it."""
    return key.endswith("+")


def wnid_of(key: str) -> str:
    """The wnid of a class key, without its +."""
    return key.removesuffix("+")


def synsets_of(key: str) -> list[str]:
    """The wnids from which a class takes its photos.

    For a plain wnid, that wnid. For a subtree, its ILSVRC classes in ILSVRC's order (including
    the root if it is one); empty if there are none.
    """
    if not is_subtree(key):
        return [key]
    return [synset.wnid for synset in ilsvrc_synsets() if wnid_of(key) in ancestors(synset.wnid)]


def overlapping_classes(keys: Iterable[str]) -> tuple[str, str] | None:
    """The first subtree among some class keys and another key that shares its photos, or None."""
    classes = list(keys)
    for tree in filter(is_subtree, classes):
        inside = set(synsets_of(tree))
        for key in classes:
            lies_in = wnid_of(tree) in ancestors(wnid_of(key))
            if key != tree and (lies_in or inside.intersection(synsets_of(key))):
                return tree, key
    return None


def class_name(key: str) -> str:
    """A class's name for people: the synset's first name in WordNet."""
    synset = find_synset(wnid_of(key))
    return synset.names[0] if synset else key


@cache
def ancestors(wnid: str) -> frozenset[str]:
    """A synset's wnid and those of all its ancestors. Empty for an unknown wnid."""
    synset = find_synset(wnid)
    if synset is None:
        return frozenset()
    return frozenset([wnid]).union(*map(ancestors, synset.hypernyms))


@cache
def above_ilsvrc() -> frozenset[str]:
    """The wnids of ILSVRC's classes and of all their ancestors."""
    return frozenset().union(*(ancestors(synset.wnid) for synset in ilsvrc_synsets()))


@cache
def ilsvrc_synsets() -> tuple[Synset, ...]:
    """The 1,000 ILSVRC classes in their order."""
    indexed = [synset for synset in all_synsets().values() if synset.ilsvrc_index is not None]
    return tuple(sorted(indexed, key=lambda synset: synset.ilsvrc_index or 0))
