"""Shows synsets as tables for people and as plain values for programs."""

import io
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from allrounder.catalogue.labels import coco_labels, coco_of
from allrounder.catalogue.synsets import (
    VOC_LABELS,
    Synset,
    all_synsets,
    ancestors,
    class_name,
    did_you_mean_voc,
    is_subtree,
    synsets_of,
)
from allrounder.classes.search import Match
from allrounder.core.errors import UsageError
from allrounder.params.classes import Classes

_NO_LIMIT = 100_000
"""Characters of a line that no terminal cuts."""


@dataclass(frozen=True, slots=True)
class Node:
    """A synset in a subtree, with the number of synsets and of ILSVRC classes below it."""

    synset: Synset
    depth: int
    below: int
    ilsvrc_below: int


def walk_subtree(wnid: str) -> list[Node]:
    """A synset and all synsets below it, parents first, in order of their ILSVRC classes.

    A synset with several parents is listed below the first one reached.
    """
    below, ilsvrc_below = _counts()
    nodes: list[Node] = []
    seen = set()
    rest = [(wnid, 0)]
    while rest:
        at, depth = rest.pop()
        if at in seen:
            continue
        seen.add(at)
        nodes.append(Node(all_synsets()[at], depth, below[at], ilsvrc_below[at]))
        children = sorted(_children()[at], key=_importance, reverse=True)
        rest += [(child, depth + 1) for child in children]  # the last one is visited next
    return nodes


def fitting(nodes: Sequence[Node], lines: int) -> list[Node]:
    """The nodes down to the deepest level at which all fit into `lines`, or else the first ones."""
    depth = max(node.depth for node in nodes)
    while depth > 1 and sum(node.depth <= depth for node in nodes) > lines:
        depth -= 1
    return [node for node in nodes if node.depth <= depth][:lines]


def _importance(wnid: str) -> tuple[int, bool, int, str]:
    below, ilsvrc_below = _counts()
    synset = all_synsets()[wnid]
    return -ilsvrc_below[wnid], synset.ilsvrc_index is None, -below[wnid], wnid


@cache
def _children() -> defaultdict[str, list[str]]:
    children = defaultdict(list)
    for synset in all_synsets().values():
        for parent in synset.hypernyms:
            children[parent].append(synset.wnid)
    return children


@cache
def _counts() -> tuple[Counter[str], Counter[str]]:
    """The number of synsets, and of ILSVRC classes, below each synset."""
    below: Counter[str] = Counter()
    ilsvrc_below: Counter[str] = Counter()
    for synset in all_synsets().values():
        above = ancestors(synset.wnid) - {synset.wnid}
        below.update(above)
        if synset.ilsvrc_index is not None:
            ilsvrc_below.update(above)
    return below, ilsvrc_below


_STYLES = {"wnid": "cyan", "VOC": "green", "COCO": "green", "a kind of": "dim"}
_NUMBERS = {"ILSVRC", "URLs", "below", "of ILSVRC", "class", "classes"}
_SHRINKING = {"synset", "names", "a kind of", "which"}
"""Columns that are cut if the screen is too narrow."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen. A width or a number of rows of 0 means no limit."""

    width: int
    rows: int  # that fit beside the header, a last line and the prompt
    colour: bool


def screen(out: TextIO | None, everything: bool) -> Screen:
    """The terminal's size, or 100 x 24 without one. `everything` removes the height limit."""
    size = shutil.get_terminal_size((100, 24))
    terminal = out is not None and out.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = 0 if everything and not terminal else size.columns
    return Screen(width, 0 if everything else max(1, size.lines - 3), colour)


def table(
    titles: Sequence[str],
    rows: Sequence[Mapping[str, object]],
    on: Screen,
    last: str = "",
    more: int = 0,
) -> list[str]:
    """The lines of a table and a `last` line; `more` rows were left out before."""
    shown = rows[: on.rows] if on.rows else rows
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        side: Literal["left", "right"] = "right" if title in _NUMBERS else "left"
        style, shrinks = _STYLES.get(title, ""), title in _SHRINKING
        grid.add_column(title, style=style, justify=side, no_wrap=not shrinks)
    for row in shown:
        cells = ("" if row.get(title) is None else str(row[title]) for title in titles)
        grid.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
    out = io.StringIO()
    colours: Literal["standard"] | None = "standard" if on.colour else None
    Console(
        file=out, width=on.width or _NO_LIMIT, force_terminal=on.colour, color_system=colours
    ).print(grid)
    hidden = more + len(rows) - len(shown)
    ends = [f"… {hidden} more; --all shows them"] * bool(hidden) + [last] * bool(last)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return [*lines, "  ".join(ends)[: on.width or None]] if ends else lines


def fields(synset: Synset) -> dict[str, Any]:
    """All facts about a synset, for programs."""
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
        "parents": [{"wnid": wnid, "name": class_name(wnid)} for wnid in synset.hypernyms],
    }


def _row(synset: Synset) -> dict[str, object]:
    """The cells of a synset's row, by column."""
    coco = coco_of(synset.wnid)
    return {
        "wnid": synset.wnid,
        "ILSVRC": synset.ilsvrc_index,
        "VOC": synset.voc,
        "COCO": coco and coco.label,
        "URLs": synset.listed_urls,
        "names": "; ".join(synset.names),
        "a kind of": ", ".join(map(class_name, synset.hypernyms)),
    }


def matches_table(query: str, matches: Sequence[Match], on: Screen) -> list[str]:
    """Search results, best first."""
    rows = [_row(match.synset) for match in matches]
    if rows:
        return table(list(rows[0]), rows, on)
    label = "".join(query.lower().replace("_", " ").split())
    hint = f"; it is a VOC label: classes.py voc {label}" if label in VOC_LABELS else ""
    return [f"no synset like {query!r}{hint}"]


def tree_table(nodes: Sequence[Node], on: Screen) -> list[str]:
    """A subtree, as deep as fits on the screen."""
    shown = fitting(nodes, on.rows) if on.rows else list(nodes)
    rows = []
    for node in shown:
        row = _row(node.synset) | {"synset": "  " * node.depth + node.synset.names[0]}
        counts = {"below": node.below, "of ILSVRC": node.ilsvrc_below} if node.below else {}
        rows.append(row | counts)
    titles = ["synset", "wnid", "ILSVRC", "VOC", "COCO", "URLs", "below", "of ILSVRC"]
    return table(titles, rows, on, more=len(nodes) - len(shown))


def of_voc(label: str) -> list[Synset]:
    """The synsets with a VOC label: ILSVRC's first, then by the number of URLs listed.

    Raises UsageError for an unknown label.
    """
    if label not in VOC_LABELS:
        raise UsageError(f"{label!r} is not a VOC label.{did_you_mean_voc(label)}")
    found = [synset for synset in all_synsets().values() if synset.voc == label]
    return sorted(found, key=lambda s: (s.ilsvrc_index is None, -s.listed_urls, s.wnid))


def voc_table(label: str, classes: Classes, on: Screen) -> list[str]:
    """The synsets of a VOC label; `class` is the index of the class in the params."""
    places = {part.wnid: index for index, one in enumerate(classes.values()) for part in one.parts}
    rows = [_row(synset) | {"class": places.get(synset.wnid)} for synset in of_voc(label)]
    tree = _largest_subtree(label)
    count = len(synsets_of(tree))
    last = f"all {count} of ILSVRC as one class: add {tree}" if count > 1 else ""
    return table(["wnid", "ILSVRC", "COCO", "URLs", "names", "class"], rows, on, last)


def coverage(classes: Classes) -> list[dict[str, Any]]:
    """For each VOC label its classes in the params, or the best synset to add."""
    coco = {label.voc: label.label for label in coco_labels()}
    rows = []
    for index, label in enumerate(VOC_LABELS):
        own = [{"key": key, "name": one.title} for key, one in classes.items() if one.voc == label]
        best = of_voc(label)[0]
        hint = None if own else {"wnid": best.wnid, "name": best.names[0]}
        row = {"index": index, "voc": label, "coco": coco[label], "classes": own}
        rows.append(row | {"suggestion": hint})
    return rows


def coverage_table(classes: Classes, on: Screen) -> list[str]:
    """VOC's 20 labels and the classes of the params for each."""
    rows, missing = [], 0
    for row in coverage(classes):
        own, best = row["classes"], row["suggestion"]
        which = ", ".join(one["name"] + "+" * is_subtree(one["key"]) for one in own)
        if best:
            missing, which = missing + 1, f"none: add {best['wnid']} ({best['name']})"
        rows.append({"VOC": row["voc"], "COCO": row["coco"], "classes": len(own), "which": which})
    nameless = sum(one.voc is None for one in classes.values())
    last = f"{20 - missing} of 20 labels have a class, {missing} have none"
    last += f"; {nameless} classes have no label" if nameless else ""
    return table(["VOC", "COCO", "classes", "which"], rows, on, last)


def _largest_subtree(label: str) -> str:
    """The key of the label's subtree with most ILSVRC classes."""
    of_label = {synset.wnid: synset for synset in of_voc(label)}
    roots = [f"{w}+" for w, synset in of_label.items() if not {*synset.hypernyms} & {*of_label}]
    return max(roots, key=lambda key: len(synsets_of(key)))
