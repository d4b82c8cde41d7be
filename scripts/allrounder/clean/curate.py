"""Decides which photos are kept, over all classes at once, and which ones form a group.

Pure functions: nothing is read or written.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from allrounder.catalogue.synsets import wnid_of
from allrounder.clean.fingerprints import Fingerprint
from allrounder.clean.neighbours import Components, Pictures, near_pairs
from allrounder.core.corrections import Action, Correction, PhotoId
from allrounder.core.rows import Status
from allrounder.core.text import one_line
from allrounder.core.urls import host_of, is_url, parse_slice, photo_key
from allrounder.params.schema import Clean

FLAT = 0.6
"""A picture with this share of one grey level has hardly any detail: a notice, or a product."""
_PLAIN, _TEXT_LEVELS = 0.85, 4
FEW, MANY = 3, 5
"""Unrelated URLs that show a notice: that lead a flat picture to one address; of any kind."""
SAME, SIMILAR = 0.985, 0.96
"""Similarities of near-duplicates and of groups, chosen with bench/duplicates.py."""


class Origin(NamedTuple):
    """A URL or path that gave a photo, and the URL of the answer if there was a redirect."""

    url: str
    final_url: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A decoded photo and the decision so far."""

    key: str  # of its class
    image_id: str
    sha256: str  # of the normalized photo
    pixels: int
    origins: Sequence[Origin]  # in its class, of exactly these bytes
    fingerprint: Fingerprint
    upload: str = ""  # id of the upload that it is a copy of, if its URL names one
    in_test_set: str = ""  # the test set that has it, and its name there
    synset: str = ""  # its own, where the class is a whole subtree
    refused: str = ""  # its licence, if clean.licenses does not list it
    status: Status = Status.KEPT
    detail: str = ""
    duplicate_of: str = ""  # as in CleanRow
    group: str = ""
    moved_from: str = ""

    @property
    def photo_id(self) -> PhotoId:
        """The photo's id in raw."""
        return self.moved_from or self.key, self.image_id

    @property
    def name(self) -> str:
        """The file's name without suffix: unique in the dataset, and never from the web."""
        return f"{wnid_of(self.key)}_{self.sha256[:16]}"


def curate(
    items: Sequence[Item],
    per_class: int,
    rules: Clean,
    corrections: Mapping[PhotoId, Correction] | None = None,
    keys: Sequence[str] = (),
) -> list[Item]:
    """The same photos with their decisions. `items` are in class order, then in rank order.

    Photos that `corrections` move stand first in their class; `keys` are all classes in order.
    """
    decided = list(items)
    compared = _Comparisons(items)
    pairs = compared.copies(items, rules.near_radius)
    if corrections:
        parts = _corrected_parts(items, pairs, corrections)
        _exclude(decided, parts, corrections)
    _drop_placeholders(decided, pairs)
    _drop_known(decided, pairs)
    if corrections:
        decided, pairs = _moved(decided, pairs, parts, corrections, keys)
    _drop_duplicates(decided, pairs, rules, compared)
    _drop_surplus(decided, per_class)
    _group(decided, rules, compared)
    return decided


class _Comparisons:
    """Compares the photos. Pictures that were compared once are not compared again."""

    def __init__(self, items: Sequence[Item]):
        self._pictures = Pictures([item.fingerprint for item in items])
        self._rows = {item.photo_id: row for row, item in enumerate(items)}

    def alike_in_class(self, items: Sequence[Item], radius: int) -> Iterator[tuple[int, int]]:
        """Yield pairs of places in `items`, enough to connect similar photos of each class."""
        rows, classes = self._rows_of(items), [item.key for item in items]
        return self._pictures.near_pairs(rows, radius, SIMILAR, classes)

    def copies(self, items: Sequence[Item], radius: int) -> list[tuple[int, int]]:
        """The pairs of copies.

        Flat pictures are not like each other, but may be the same bytes after conversion.
        """
        near = self._pictures.near_pairs(self._rows_of(items), radius, SAME)
        return [*near, *same_text([item.sha256 for item in items])]

    def _rows_of(self, items: Sequence[Item]) -> list[int]:
        return [self._rows[item.photo_id] for item in items]


def _corrected_parts(
    items: Sequence[Item],
    pairs: Sequence[tuple[int, int]],
    corrections: Mapping[PhotoId, Correction],
) -> list[list[int]]:
    """The copies of each picture that a line names: by picture, and those of one upload."""
    linked = chain(pairs, same_text([item.upload for item in items]))
    parts = components(len(items), linked)
    return [part for part in parts if any(items[at].photo_id in corrections for at in part)]


def _exclude(
    items: list[Item], parts: Sequence[list[int]], corrections: Mapping[PhotoId, Correction]
) -> None:
    """Drop the pictures that a line excludes, all copies. An exclusion is stronger than a move."""
    for part in parts:
        lines = {at: corrections[i] for at in part if (i := items[at].photo_id) in corrections}
        named = [at for at, line in lines.items() if line.action is Action.EXCLUDE]
        for at in part if named else ():
            first = at if at in named else named[0]
            detail = one_line(lines[first].reason, 200) or "by hand"
            dropped = replace(items[at], status=Status.EXCLUDED, detail=detail)
            items[at] = dropped if first == at else _duplicate(
                dropped, items[first], Status.EXCLUDED, detail
            )  # fmt: skip


def _moved(
    items: Sequence[Item],
    pairs: Sequence[tuple[int, int]],
    parts: Sequence[list[int]],
    corrections: Mapping[PhotoId, Correction],
    keys: Sequence[str],
) -> tuple[list[Item], list[tuple[int, int]]]:
    """The photos with their classes corrected, in the order of these, and the pairs among them.

    A copy without a line of its own follows the first one that is moved.
    """
    found = list(items)
    for part in parts:
        lines = {at: corrections[i] for at in part if (i := items[at].photo_id) in corrections}
        for at in part:
            line = lines.get(at) or lines[min(lines)]
            item = items[at]
            if item.status is Status.KEPT and line.action is Action.MOVE and line.to != item.key:
                detail = one_line(line.reason, 200)
                found[at] = replace(
                    item, key=line.to, moved_from=item.key, synset="", detail=detail
                )
    places = {key: place for place, key in enumerate(keys)}
    ranked = [(places[one.key], not one.moved_from, at) for at, one in enumerate(found)]
    order = [at for *_, at in sorted(ranked)]
    new = {old: place for place, old in enumerate(order)}
    return [found[at] for at in order], [(new[one], new[two]) for one, two in pairs]


def _drop_placeholders(items: list[Item], pairs: Sequence[tuple[int, int]]) -> None:
    """Drop pictures that are a site's notice, judged by their URLs."""
    for members in components(len(items), pairs):
        if detail := _notice([items[index] for index in members]):
            for index in (at for at in members if items[at].status is Status.KEPT):
                items[index] = replace(items[index], status=Status.PLACEHOLDER, detail=detail)


def _drop_known(items: list[Item], pairs: Sequence[tuple[int, int]]) -> None:
    """Drop pictures of known test sets, all copies."""
    if not any(item.in_test_set for item in items):
        return
    for part in components(len(items), pairs):
        if named := next((items[at].in_test_set for at in part if items[at].in_test_set), ""):
            for at in (at for at in part if items[at].status is Status.KEPT):
                items[at] = replace(
                    items[at], status=Status.IN_TEST_SET, detail=items[at].in_test_set or named
                )


def _notice(copies: Sequence[Item]) -> str:
    """Why copies of one picture are a site's notice, or ''.

    MANY unrelated URLs of one site have the same bytes or lead to one address. If the picture is
    flat, FEW that lead to one address are enough, or FEW of one site, each in another class; if it
    is text-like, two in different classes. The same product on three pages of a shop, or in two of
    its categories, is no notice. Rows of datasets and members of archives
    have no site of their own: there only flat pictures can be notices.
    """
    flat = any(item.fingerprint.flat >= FLAT for item in copies)
    names, sites = set[str](), defaultdict[str, set[tuple[str, str]]](set)
    same, led = defaultdict[tuple[str, str], set[str]](set), defaultdict[str, set[str]](set)
    for item in copies:
        for url, final_url in item.origins:
            site, name = _site_and_name(url)
            names.add(name)
            sites[site].add((item.key, name))
            if site or flat:
                same[site, item.sha256].add(name)
            if final_url and not _same_file(url, final_url):
                led[photo_key(final_url)].add(name)
    wanted = 2 if any(_is_text_like(item.fingerprint) for item in copies) else FEW
    classes = len({item.key for item in copies})
    for target, leading in led.items():
        if len(leading) >= (FEW if flat else MANY):
            return f"{len(leading)} URLs in {classes} classes lead to {one_line(target, 80)}"
    crowded = {site for (site, _), found in same.items() if len(found) >= MANY}
    for site, found in sites.items():
        spread = min(len({key for key, _ in found}), len({name for _, name in found})) >= wanted
        if site in crowded or (flat and spread):
            of = f" of {one_line(site, 80)}" if site else ""
            return f"behind {len(names)} URLs{of} in {classes} classes"
    return ""


def _is_text_like(look: Fingerprint) -> bool:
    """Whether a picture is plain but for letters: few of 16 grey levels have 1 % of its pixels.

    Of 157 photos of products on plain backgrounds 1 is, of 300 drawn notices 233.
    """
    levels = np.bincount(np.frombuffer(look.thumb, np.uint8) >> 4, minlength=16)
    used = int((levels * 100 > levels.sum()).sum())
    return look.flat >= _PLAIN or (look.flat >= FLAT and used <= _TEXT_LEVELS)


def _site_and_name(url: str) -> tuple[str, str]:
    """A photo's site, as `example.org` or `example.co.uk`, and its name there.

    Files, slices, and parts of datasets and archives have site '' and are their own name.
    """
    if not is_url(url) or "#" in url or parse_slice(url):
        return "", url
    host = host_of(url)
    *parts, last = host.split(".")
    kept = 2 if len(last) == 2 and parts and len(parts[-1]) <= 3 else 1
    site = host if last.isdigit() or ":" in last else ".".join([*parts[-kept:], last])
    key = photo_key(url)
    return site, key.partition("/")[2] or key


def _same_file(url: str, final_url: str) -> bool:
    """Whether a redirect only leads to another host or folder, e.g. from http to https."""
    return photo_key(url).rpartition("/")[2] == photo_key(final_url).rpartition("/")[2]


def _drop_duplicates(
    items: list[Item], pairs: Sequence[tuple[int, int]], rules: Clean, compared: _Comparisons
) -> None:
    """Keep the best copy of each picture of a class; drop pictures that are in two classes.

    Photos of one Flickr upload count as one picture here, even if they are different crops of it:
    otherwise two classes could have it on both sides of the split. Within a class they are a group
    and no duplicates. A photo with a refused licence still shows that its picture is in two
    classes. It is dropped after that, before it can replace or connect photos that may be used.
    """
    uploads = [item.upload if item.status is Status.KEPT else "" for item in items]
    for part in components(len(items), chain(pairs, same_text(uploads))):
        members = [index for index in part if items[index].status is Status.KEPT]
        if len({items[index].key for index in members}) > 1:
            _drop_cross_class(items, members, rules)
    _drop_refused(items)
    usable = [index for index, item in enumerate(items) if not item.refused]
    if len(usable) < len(items):
        near = compared.copies([items[index] for index in usable], rules.near_radius)
        pairs = [(usable[one], usable[two]) for one, two in near]
    for members in components(len(items), pairs):
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
    """Of copies of a picture keep the one with the most pixels; of equals the first."""
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
    return replace(item, status=status, detail=detail, duplicate_of="/".join(of.photo_id))


def _drop_surplus(items: list[Item], per_class: int) -> None:
    """Keep the first photos of each class; in a subtree the first of each synset in turn.

    Archives are read one after the other, so in rank order the last synsets would lose all.
    """
    turns: dict[str, list[tuple[int, int]]] = defaultdict(list)  # by class: turn, index
    counts: Counter[tuple[str, str]] = Counter()
    for index in _kept(items):
        item = items[index]
        counts[item.key, item.synset] += not item.moved_from
        turn = 0 if item.moved_from else counts[item.key, item.synset]
        turns[item.key].append((turn, index))
    for ranked in turns.values():
        for _, index in sorted(ranked)[per_class:]:
            items[index] = replace(items[index], status=Status.SURPLUS)


def _group(items: list[Item], rules: Clean, compared: _Comparisons) -> None:
    """Give similar photos of a class, and photos of one upload, one group id."""
    kept = _kept(items)
    uploads = [items[at].upload and f"{items[at].key} {items[at].upload}" for at in kept]
    similar = compared.alike_in_class([items[at] for at in kept], rules.group_radius)
    for part in components(len(kept), chain(similar, same_text(uploads))):
        if len(part) > 1:
            group = min(items[kept[place]].name for place in part)
            for place in part:
                items[kept[place]] = replace(items[kept[place]], group=group)


def same_text(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield each index with the first index of the same text. Empty texts match nothing."""
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if text and first.setdefault(text, index) != index:
            yield first[text], index


def _kept(items: Sequence[Item]) -> list[int]:
    return [index for index, item in enumerate(items) if item.status is Status.KEPT]


def copies(fingerprints: Sequence[Fingerprint], radius: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of near-duplicates, enough to connect all copies of a picture."""
    return near_pairs(fingerprints, radius, SAME)


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of `count` nodes, each in ascending order, by their first node."""
    parts = Components(count)
    for i, j in pairs:
        parts.join(i, j)
    found: dict[int, list[int]] = {}
    for node in range(count):
        found.setdefault(parts.root(node), []).append(node)
    return list(found.values())
