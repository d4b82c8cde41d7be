"""Decides which photos are kept, over all classes at once, and which ones form a group.

Pure functions: nothing is read or written.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from allrounder.catalogue.synsets import wnid_of
from allrounder.clean.fingerprints import Components, Fingerprint, near_pairs
from allrounder.core.rows import Status
from allrounder.params.schema import Clean

FLAT = 0.6
"""A picture with this share of one grey level has hardly any detail: a notice, not a photo."""
SAME, SIMILAR = 0.988, 0.97
"""Similarities of near-duplicates and of groups, chosen with bench/duplicates.py."""


@dataclass(frozen=True, slots=True)
class Item:
    """A decoded photo and the decision so far."""

    key: str  # of its class
    image_id: str
    sha256: str  # of the normalized photo
    pixels: int
    urls: int  # that served exactly these bytes
    fingerprint: Fingerprint
    upload: str = ""  # id of the upload that it is a copy of, if its URL names one
    synset: str = ""  # its own, where the class is a whole subtree
    refused: str = ""  # its licence, if clean.licenses does not list it
    status: Status = Status.KEPT
    detail: str = ""
    duplicate_of: str = ""  # as in CleanRow
    group: str = ""

    @property
    def name(self) -> str:
        """The file's name without suffix: unique in the dataset, and never from the web."""
        return f"{wnid_of(self.key)}_{self.sha256[:16]}"


def curate(items: Sequence[Item], per_class: int, rules: Clean) -> list[Item]:
    """The same photos with their decisions. `items` are in class order, then in rank order."""
    decided = list(items)
    _drop_placeholders(decided, rules)
    _drop_duplicates(decided, rules)
    _drop_surplus(decided, per_class)
    _group(decided, rules)
    return decided


def _drop_placeholders(items: list[Item], rules: Clean) -> None:
    """Drop a picture with hardly any detail that several URLs or several classes have."""
    flat = [index for index, item in enumerate(items) if item.fingerprint.flat >= FLAT]
    for part in components(len(flat), _near(items, flat, rules.near_radius)):
        members = [flat[position] for position in part]
        classes = {items[index].key for index in members}
        urls = sum(items[index].urls for index in members)
        if len(classes) > 1 or urls > 2:
            for index in members:
                detail = f"behind {urls} URLs in {len(classes)} classes"
                items[index] = replace(items[index], status=Status.PLACEHOLDER, detail=detail)


def _drop_duplicates(items: list[Item], rules: Clean) -> None:
    """Of the same or nearly the same picture keep the best; of one in two classes keep none.

    Photos of one Flickr upload count as one picture here, even if they are different crops of it:
    in two classes they could else be on both sides of the split. Within a class they are no
    duplicates, but a group. A photo with a refused licence still shows that its picture is in two
    classes. It is dropped after that, so it removes no photo that may be used, and connects none.
    """
    alive = _kept(items)
    pairs = _near(items, alive, rules.near_radius)
    uploads = same_text([items[index].upload for index in alive])
    for part in components(len(alive), chain(pairs, uploads)):
        members = [alive[position] for position in part]
        if any(items[index].key != items[members[0]].key for index in members):
            _drop_cross_class(items, members, rules)
    _drop_refused(items)
    usable = [index for index in alive if not items[index].refused]
    if len(usable) < len(alive):
        pairs = _near(items, usable, rules.near_radius)
    for part in components(len(usable), pairs):
        members = [usable[position] for position in part]
        _keep_best(items, [index for index in members if items[index].status is Status.KEPT])


def _drop_cross_class(items: list[Item], members: list[int], rules: Clean) -> None:
    """Drop a picture that appears in several classes, or all but the first class's."""
    first_class = items[members[0]].key
    for index in members:
        if rules.cross_class == "first" and items[index].key == first_class:
            continue
        twin = next(items[i] for i in members if items[i].key != items[index].key)
        detail = f"like {twin.key} {twin.image_id}"
        items[index] = _duplicate(items[index], twin, Status.CROSS_CLASS, detail)


def _drop_refused(items: list[Item]) -> None:
    for index in _kept(items):
        if licence := items[index].refused:
            detail = " ".join(licence.split())[:80]
            items[index] = replace(items[index], status=Status.LICENSE, detail=detail)


def _keep_best(items: list[Item], members: list[int]) -> None:
    """Of the same picture keep the one with the most pixels, or else the first."""
    if not members:
        return
    best = max(members, key=lambda index: (items[index].pixels, -index))
    for index in members:
        if index != best:
            exact = items[index].sha256 == items[best].sha256
            status = Status.EXACT_DUPLICATE if exact else Status.NEAR_DUPLICATE
            detail = f"of {items[best].image_id}"
            items[index] = _duplicate(items[index], items[best], status, detail)


def _duplicate(item: Item, of: Item, status: Status, detail: str) -> Item:
    return replace(item, status=status, detail=detail, duplicate_of=f"{of.key}/{of.image_id}")


def _drop_surplus(items: list[Item], per_class: int) -> None:
    """Keep the first photos of each class; in a subtree the first of each synset in turn.

    Archives are read one after the other, so in rank order the last synsets would lose all.
    """
    turns: dict[str, list[tuple[int, int]]] = defaultdict(list)  # by class: turn, index
    counts: Counter[tuple[str, str]] = Counter()
    for index in _kept(items):
        item = items[index]
        counts[item.key, item.synset] += 1
        turns[item.key].append((counts[item.key, item.synset], index))
    for ranked in turns.values():
        for _, index in sorted(ranked)[per_class:]:
            items[index] = replace(items[index], status=Status.SURPLUS)


def _group(items: list[Item], rules: Clean) -> None:
    """Give similar photos of a class, and photos of one upload, one group id."""
    classes: dict[str, list[int]] = defaultdict(list)
    for index in _kept(items):
        classes[items[index].key].append(index)
    for members in classes.values():
        fingerprints = [items[index].fingerprint for index in members]
        uploads = [items[index].upload for index in members]
        similar = near_pairs(fingerprints, rules.group_radius, SIMILAR)
        for part in components(len(members), chain(similar, same_text(uploads))):
            if len(part) > 1:
                group = min(items[members[position]].name for position in part)
                for position in part:
                    index = members[position]
                    items[index] = replace(items[index], group=group)


def same_text(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield each index with the first index of the same text. Empty texts match nothing."""
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if text and first.setdefault(text, index) != index:
            yield first[text], index


def _kept(items: Sequence[Item]) -> list[int]:
    return [index for index, item in enumerate(items) if item.status is Status.KEPT]


def _near(items: Sequence[Item], indices: Sequence[int], radius: int) -> list[tuple[int, int]]:
    """The pairs of copies among some items, as positions in `indices`.

    Flat pictures are not like each other, but may be the same bytes after conversion.
    """
    near = near_pairs([items[index].fingerprint for index in indices], radius, SAME)
    return [*near, *same_text([items[index].sha256 for index in indices])]


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of `count` nodes, each in ascending order, by their first node."""
    parts = Components(count)
    for i, j in pairs:
        parts.join(i, j)
    found: dict[int, list[int]] = {}
    for node in range(count):
        found.setdefault(parts.root(node), []).append(node)
    return list(found.values())
