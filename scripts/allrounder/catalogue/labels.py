"""Tells which class a source's own label means: by wnid, ILSVRC index, WordNet name or the params.

It depends on nothing but the class and the source: whether another class is in the params makes no
difference, or a list would depend on the order in which classes were added.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from allrounder.catalogue.synsets import Synset, all_synsets, find_synset


def label_matcher(wnids: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The wnid for each label, normalised by `plain`, that a source may use for these classes.

    `given` maps wnids to the source's label; such a class goes by that label alone, and no other
    class by it. The others go by what is `usual` for them and for no other synset: a name of
    several means the only one of them in ILSVRC, or else none.
    """
    said: dict[str, str] = {}
    for wnid, label in given.items():
        said[normalized_label(label)] = (
            "" if normalized_label(label) in said else wnid
        )  # said of two: of neither
    found = {label: wnid for label, wnid in said.items() if wnid in wnids}
    for wnid in wnids:
        if wnid not in given:
            for label in usual_labels(wnid) - said.keys():
                if _named().get(label, wnid) == wnid:
                    found[label] = wnid
    return found


def normalized_label(label: str) -> str:
    """A label without regard to case, underscores and repeated spaces."""
    return " ".join(label.replace("_", " ").casefold().split())


def usual_labels(wnid: str) -> set[str]:
    """A class's usual labels, normalised: wnid, ILSVRC index, and WordNet names.

    These one by one and all of them joined by commas, as in ILSVRC's own list.
    """
    synset = find_synset(wnid)
    return (
        {normalized_label(wnid), *(normalized_label(label) for label in _labels(synset))}
        if synset
        else {normalized_label(wnid)}
    )


def _labels(synset: Synset) -> Iterator[str]:
    yield from synset.names
    yield ", ".join(synset.names)
    if synset.ilsvrc_index is not None:
        yield str(synset.ilsvrc_index)


@cache
def _named() -> dict[str, str]:
    """The synset that each label means among all of the catalogue; '' where it means none."""
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
