"""Walks a synset's subtree for people to look at, with counts of what lies below each synset.

Not for which synsets a class of the params stands for: that is subtrees.py.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from allrounder.subtrees import ancestors
from allrounder.synsets import Synset, synsets


@dataclass(frozen=True, slots=True)
class Node:
    """A synset in a subtree, and how many there are below it, of ILSVRC's and in all."""

    synset: Synset
    depth: int
    below: int
    ilsvrc_below: int


def walk(wnid: str) -> list[Node]:
    """A synset and all below it, parents first, those with most ILSVRC classes before the others.

    One with several parents stands below the first of them that is reached.
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
        nodes.append(Node(synsets()[at], depth, below[at], ilsvrc_below[at]))
        children = sorted(_children()[at], key=_importance, reverse=True)
        rest += [(child, depth + 1) for child in children]  # the last of them comes next
    return nodes


def fitting(nodes: Sequence[Node], lines: int) -> list[Node]:
    """The nodes down to the deepest level at which all fit in so many lines, or the first ones."""
    depth = max(node.depth for node in nodes)
    while depth > 1 and sum(node.depth <= depth for node in nodes) > lines:
        depth -= 1
    return [node for node in nodes if node.depth <= depth][:lines]


def _importance(wnid: str) -> tuple[int, bool, int, str]:
    below, ilsvrc_below = _counts()
    synset = synsets()[wnid]
    return -ilsvrc_below[wnid], synset.ilsvrc_index is None, -below[wnid], wnid


@cache
def _children() -> defaultdict[str, list[str]]:
    children = defaultdict(list)
    for synset in synsets().values():
        for parent in synset.hypernyms:
            children[parent].append(synset.wnid)
    return children


@cache
def _counts() -> tuple[Counter[str], Counter[str]]:
    """How many synsets, and how many of them of ILSVRC, lie below each synset."""
    below: Counter[str] = Counter()
    ilsvrc_below: Counter[str] = Counter()
    for synset in synsets().values():
        above = ancestors(synset.wnid) - {synset.wnid}
        below.update(above)
        if synset.ilsvrc_index is not None:
            ilsvrc_below.update(above)
    return below, ilsvrc_below
