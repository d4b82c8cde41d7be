"""What the catalogue says, for people as tables and for programs as plain values.

Not for finding synsets (search.py) or for how a table looks (screen.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from allrounder.classes.screen import Column, Screen, table
from allrounder.classes.search import Match
from allrounder.classes.synsettree import Node, fitting
from allrounder.coco import coco_labels, coco_of
from allrounder.errors import UsageError
from allrounder.subtrees import class_name, is_subtree, synsets_of
from allrounder.synsets import VOC_LABELS, Synset, did_you_mean_voc, find, synsets

_SYNSET = (
    Column("wnid", "cyan"),
    Column("ILSVRC", right=True),
    Column("VOC", "green"),
    Column("COCO", "green"),
    Column("URLs", right=True),
    Column("names", elastic=True),
)


def fields(synset: Synset) -> dict[str, Any]:
    """All that is known of a synset."""
    coco = coco_of(synset.wnid)
    return {
        "wnid": synset.wnid,
        "names": synset.names,
        "ilsvrc_index": synset.ilsvrc_index,
        "voc": synset.voc,
        "coco": coco.label if coco else None,
        "coco_index": coco.index if coco else None,
        "listed_urls": synset.listed_urls,
        "flickr_urls": synset.flickr_urls,
        "parents": [{"wnid": wnid, "name": synsets()[wnid].names[0]} for wnid in synset.hypernyms],
    }


def matches_table(query: str, matches: Sequence[Match], on: Screen) -> list[str]:
    """Search results, best first."""
    columns = (*_SYNSET, Column("a kind of", "dim", elastic=True))
    rows = [[*_cells(match.synset), _parents(match.synset)] for match in matches]
    if rows:
        return table(columns, rows, on)
    label = "".join(query.lower().replace("_", " ").split())
    hint = f"; it is a VOC label: classes.py voc {label}" if label in VOC_LABELS else ""
    return [f"no synset like {query!r}{hint}"]


def tree_table(nodes: Sequence[Node], on: Screen) -> list[str]:
    """A subtree, as deep as the screen has room for."""
    shown = fitting(nodes, on.rows) if on.rows else list(nodes)
    columns = (
        Column("synset", elastic=True),
        *_SYNSET[:-1],
        Column("below", right=True),
        Column("of ILSVRC", right=True),
    )
    rows = []
    for node in shown:
        cells = _cells(node.synset)[:-1]
        counts = [str(node.below), str(node.ilsvrc_below)] if node.below else ["", ""]
        rows.append(["  " * node.depth + node.synset.names[0], *cells, *counts])
    return table(columns, rows, on, more=len(nodes) - len(shown))


def of_voc(label: str) -> list[Synset]:
    """The synsets that stand for a VOC label: ILSVRC's first, then by URLs once listed.

    Raises UsageError for what is no VOC label.
    """
    if label not in VOC_LABELS:
        raise UsageError(f"{label!r} is no VOC label.{did_you_mean_voc(label)}")
    found = [synset for synset in synsets().values() if synset.voc == label]
    return sorted(found, key=lambda s: (s.ilsvrc_index is None, -s.listed_urls, s.wnid))


def voc_table(label: str, classes: Mapping[str, str | None], on: Screen) -> list[str]:
    """The synsets of a VOC label; `class` is the index in the params of the class that has it."""
    places = _places(classes)
    columns = (*_SYNSET[:2], *_SYNSET[3:], Column("class", right=True))
    rows = []
    for synset in of_voc(label):
        cells = _cells(synset)
        rows.append([*cells[:2], *cells[3:], str(places.get(synset.wnid, ""))])
    tree = _whole(label)
    count = len(synsets_of(tree))
    last = f"all {count} of ILSVRC as one class: add {tree}" if count > 1 else ""
    return table(columns, rows, on, last)


def coverage(classes: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """For each VOC label the classes of the params that stand for it, and the best one to add."""
    coco = {label.voc: label.label for label in coco_labels()}
    rows = []
    for index, label in enumerate(VOC_LABELS):
        keys = [key for key, voc in classes.items() if voc == label]
        best = of_voc(label)[0]
        rows.append(
            {
                "index": index,
                "voc": label,
                "coco": coco[label],
                "classes": [{"key": key, "name": class_name(key)} for key in keys],
                "suggestion": None if keys else {"wnid": best.wnid, "name": best.names[0]},
            }
        )
    return rows


def coverage_table(classes: Mapping[str, str | None], on: Screen) -> list[str]:
    """VOC's 20 labels, and which classes of the params stand for each."""
    columns = (Column("VOC", "green"), Column("COCO", "green"), Column("classes", right=True))
    rows = []
    covered = coverage(classes)
    for row in covered:
        names = ", ".join(one["name"] + "+" * is_subtree(one["key"]) for one in row["classes"])
        best = row["suggestion"]
        told = f"none: add {best['wnid']} ({best['name']})" if best else names
        rows.append([row["voc"], row["coco"], str(len(row["classes"])), told])
    missing = sum(not row["classes"] for row in covered)
    nameless = sum(voc is None for voc in classes.values())
    last = f"{20 - missing} of 20 labels have a class, {missing} have none"
    last += f"; {nameless} classes stand for none" if nameless else ""
    return table((*columns, Column("which", elastic=True)), rows, on, last)


def _cells(synset: Synset) -> list[str]:
    coco = coco_of(synset.wnid)
    index = "" if synset.ilsvrc_index is None else str(synset.ilsvrc_index)
    labels = [synset.voc or "", coco.label if coco else ""]
    return [synset.wnid, index, *labels, str(synset.listed_urls), "; ".join(synset.names)]


def _parents(synset: Synset) -> str:
    return ", ".join(synsets()[wnid].names[0] for wnid in synset.hypernyms)


def _places(classes: Iterable[str]) -> dict[str, int]:
    return {wnid: index for index, key in enumerate(classes) for wnid in synsets_of(key)}


def _whole(label: str) -> str:
    """The subtree key of the label's root with the most of ILSVRC's classes."""
    roots = [
        synset.wnid + "+"
        for synset in of_voc(label)
        if not any((parent := find(wnid)) and parent.voc == label for wnid in synset.hypernyms)
    ]
    return max(roots, key=lambda key: len(synsets_of(key)))
