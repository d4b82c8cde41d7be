"""Decides which photos are kept, over all classes at once, and which ones form a group.

Pure functions: nothing is read or written.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from allrounder.catalogue.synsets import wnid_of
from allrounder.clean.fingerprints import Fingerprint
from allrounder.clean.near import components, near_pairs
from allrounder.core.rows import Status
from allrounder.params.schema import Clean

FLAT = 0.6
"""A picture with this share of one grey level has hardly any detail: a notice, not a photo."""
SAME, SIMILAR = 0.988, 0.97
"""Likeness that confirms a near-duplicate, and a group; chosen with bench/duplicates.py."""


@dataclass(frozen=True, slots=True)
class Item:
    """A valid photo on trial: where it is from, what it is, and the verdict so far."""

    wnid: str
    image_id: str
    sha256: str  # of the normal form
    pixels: int
    urls: int  # that served these very bytes
    look: Fingerprint
    upload: str = ""  # which photo of which host this is a copy of, if its URL says so
    synset: str = ""  # its own, where the class is a whole subtree
    refused: str = ""  # its licence, when clean.licenses does not list it
    status: Status = Status.KEPT
    detail: str = ""
    duplicate_of: str = ""  # as in CleanRow
    group: str = ""

    @property
    def name(self) -> str:
        """The file's name without suffix: unique in the dataset, and never from the web."""
        return f"{wnid_of(self.wnid)}_{self.sha256[:16]}"


def curate(items: Sequence[Item], per_class: int, rules: Clean) -> list[Item]:
    """The same photos with their verdicts; `items` stand in class order and rank order."""
    judged = list(items)
    _drop_placeholders(judged, rules)
    _drop_copies(judged, rules)
    _drop_surplus(judged, per_class)
    _group(judged, rules)
    return judged


def same_text(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield each index with the first one of the same text; an empty text is like no other."""
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if text and first.setdefault(text, index) != index:
            yield first[text], index


def _kept(items: Sequence[Item]) -> list[int]:
    return [index for index, item in enumerate(items) if item.status is Status.KEPT]


def _drop_placeholders(items: list[Item], rules: Clean) -> None:
    """The same picture with hardly any detail, behind several URLs or in several classes."""
    flat = [index for index, item in enumerate(items) if item.look.flat >= FLAT]
    looks = [items[index].look for index in flat]
    for part in components(len(flat), near_pairs(looks, rules.near_radius, SAME)):
        members = [flat[place] for place in part]
        classes = {items[index].wnid for index in members}
        urls = sum(items[index].urls for index in members)
        if len(classes) > 1 or urls > 2:
            for index in members:
                detail = f"behind {urls} URLs in {len(classes)} classes"
                items[index] = replace(items[index], status=Status.PLACEHOLDER, detail=detail)


def _drop_copies(items: list[Item], rules: Clean) -> None:
    """Of the same or nearly the same picture keep the best; of one in two classes, none.

    One upload is one picture here, also where crops of it no longer look alike: in two classes it
    might else be on both sides of the split. Within a class it is no copy, but a group.
    A photo whose licence is refused still tells that a picture is in two classes; then it is left
    out, so that it knocks out no copy that may be used, and links none.
    """
    alive = _kept(items)
    looks = [items[index].look for index in alive]
    pairs = list(near_pairs(looks, rules.near_radius, SAME))
    uploads = same_text([items[index].upload for index in alive])
    for part in components(len(alive), chain(pairs, uploads)):
        members = [alive[place] for place in part]
        first_class = items[members[0]].wnid
        if any(items[index].wnid != first_class for index in members):
            _drop_cross_class(items, members, first_class, rules)
    _refuse(items)
    usable = [index for index in alive if not items[index].refused]
    if len(usable) < len(alive):
        pairs = list(near_pairs([items[index].look for index in usable], rules.near_radius, SAME))
    for part in components(len(usable), pairs):
        members = [usable[place] for place in part]
        members = [index for index in members if items[index].status is Status.KEPT]
        if members:
            best = max(members, key=lambda index: (items[index].pixels, -index))
            for index in members:
                if index != best:
                    items[index] = _copy_of(items[index], items[best])


def _drop_cross_class(
    items: list[Item], members: list[int], first_class: str, rules: Clean
) -> None:
    """Drop a picture that stands in several classes, or all of it but the first class's."""
    for index in members:
        if rules.cross_class == "first" and items[index].wnid == first_class:
            continue
        twin = next(items[i] for i in members if items[i].wnid != items[index].wnid)
        items[index] = _duplicate(
            items[index], twin, Status.CROSS_CLASS, f"like {twin.wnid} {twin.image_id}"
        )


def _refuse(items: list[Item]) -> None:
    for index in _kept(items):
        if form := items[index].refused:
            detail = " ".join(form.split())[:80]
            items[index] = replace(items[index], status=Status.LICENSE, detail=detail)


def _copy_of(item: Item, best: Item) -> Item:
    same = item.sha256 == best.sha256
    status = Status.EXACT_DUPLICATE if same else Status.NEAR_DUPLICATE
    return _duplicate(item, best, status, f"of {best.image_id}")


def _duplicate(item: Item, of: Item, status: Status, detail: str) -> Item:
    return replace(item, status=status, detail=detail, duplicate_of=f"{of.wnid}/{of.image_id}")


def _drop_surplus(items: list[Item], per_class: int) -> None:
    """Keep the first of each class; of a subtree the first of each synset in turn.

    Archives are taken one after the other: in plain rank order the last synsets would lose all.
    """
    turns: dict[str, list[tuple[int, int]]] = defaultdict(list)  # by class: turn, index
    counts: Counter[tuple[str, str]] = Counter()
    for index in _kept(items):
        item = items[index]
        counts[item.wnid, item.synset] += 1
        turns[item.wnid].append((counts[item.wnid, item.synset], index))
    for ranked in turns.values():
        for _, index in sorted(ranked)[per_class:]:
            items[index] = replace(items[index], status=Status.SURPLUS)


def _group(items: list[Item], rules: Clean) -> None:
    """Give photos of a class that are alike, or of one upload, one group id."""
    classes: dict[str, list[int]] = defaultdict(list)
    for index in _kept(items):
        classes[items[index].wnid].append(index)
    for members in classes.values():
        looks = [items[index].look for index in members]
        uploads = [items[index].upload for index in members]
        pairs = chain(near_pairs(looks, rules.group_radius, SIMILAR), same_text(uploads))
        for part in components(len(members), pairs):
            if len(part) > 1:
                group = min(items[members[place]].name for place in part)
                for place in part:
                    items[members[place]] = replace(items[members[place]], group=group)
