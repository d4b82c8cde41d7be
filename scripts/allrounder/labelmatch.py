"""Tells which class a source's own label means: by wnid, ILSVRC index, WordNet name or the params.

Not for guessing: a label that could mean two of the classes means none.
"""

from collections.abc import Iterator, Mapping, Sequence

from allrounder.synsets import find


def matcher(wnids: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The wnid for each label, normalised by `plain`, that a source may use for these classes.

    `given` maps wnids to the source's label; such a class goes by that label alone. The others go
    by their wnid, their ILSVRC index, and their WordNet names, one by one or all of them joined
    by commas as in ILSVRC's own list.
    """
    meant: dict[str, set[str]] = {}
    for wnid in wnids:
        for label in [given[wnid]] if wnid in given else _usual(wnid):
            meant.setdefault(plain(label), set()).add(wnid)
    return {label: next(iter(found)) for label, found in meant.items() if len(found) == 1}


def plain(label: str) -> str:
    """A label without regard to case, underscores and repeated spaces."""
    return " ".join(label.replace("_", " ").casefold().split())


def _usual(wnid: str) -> Iterator[str]:
    yield wnid
    if synset := find(wnid):
        yield from synset.names
        yield ", ".join(synset.names)
        if synset.ilsvrc_index is not None:
            yield str(synset.ilsvrc_index)
