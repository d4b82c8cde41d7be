"""Matches a source's own labels to classes: by wnid, ILSVRC index, WordNet name or the params.

A match depends on the class and the source only, never on the other classes of the params. If it
did, a list would depend on the order in which classes were added.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from allrounder.catalogue.synsets import Synset, all_synsets, find_synset


def label_matcher(wnids: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The wnid of each normalized label that a source may use for these classes.

    `given` maps a wnid to the source's label: that class is matched by this label only, and no
    other class is. The other classes are matched by their usual labels, as far as these are
    unique. A name of several synsets means the only one of them in ILSVRC, or else none.
    """
    said: dict[str, str] = {}
    for wnid, label in given.items():
        said[normalized_label(label)] = (
            "" if normalized_label(label) in said else wnid
        )  # given for two classes: means neither
    found = {label: wnid for label, wnid in said.items() if wnid in wnids}
    for wnid in wnids:
        if wnid not in given:
            for label in usual_labels(wnid) - said.keys():
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
