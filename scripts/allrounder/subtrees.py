"""Classes that are a whole subtree of ImageNet, written `n02084071+` in the params.

Says which synsets a class key stands for. Not for taking photos evenly from them.
"""

from collections.abc import Iterable
from functools import cache

from allrounder.synsets import Synset, find, synsets


def is_subtree(key: str) -> bool:
    """Whether a class key of the params means the synset and all below it."""
    return key.endswith("+")


def wnid_of(key: str) -> str:
    """The wnid of a class key, without its +."""
    return key.removesuffix("+")


def synsets_of(key: str) -> list[str]:
    """The wnids that a class takes its photos from.

    For a plain wnid that one itself; for a subtree those of its ILSVRC classes, itself included
    if it is one, in ILSVRC's order. Empty if there is none.
    """
    if not is_subtree(key):
        return [key]
    return [synset.wnid for synset in _ilsvrc() if wnid_of(key) in ancestors(synset.wnid)]


def overlap(keys: Iterable[str]) -> tuple[str, str] | None:
    """A subtree among some class keys, and another of them that would share photos with it."""
    classes = list(keys)
    for tree in filter(is_subtree, classes):
        inside = set(synsets_of(tree))
        for key in classes:
            lies_in = wnid_of(tree) in ancestors(wnid_of(key))
            if key != tree and (lies_in or inside.intersection(synsets_of(key))):
                return tree, key
    return None


def class_name(key: str) -> str:
    """A class's name for people: WordNet's first one."""
    synset = find(wnid_of(key))
    return synset.names[0] if synset else key


@cache
def ancestors(wnid: str) -> frozenset[str]:
    """A synset's wnid and those of all its ancestors, on every path up. None's are none."""
    synset = find(wnid)
    if synset is None:
        return frozenset()
    return frozenset([wnid]).union(*map(ancestors, synset.hypernyms))


@cache
def above_ilsvrc() -> frozenset[str]:
    """The wnids of ILSVRC's classes and of all their ancestors."""
    return frozenset().union(*(ancestors(synset.wnid) for synset in _ilsvrc()))


@cache
def _ilsvrc() -> tuple[Synset, ...]:
    """The ILSVRC thousand in their order; a subtree is found by going up from each of them."""
    indexed = [synset for synset in synsets().values() if synset.ilsvrc_index is not None]
    return tuple(sorted(indexed, key=lambda synset: synset.ilsvrc_index or 0))
