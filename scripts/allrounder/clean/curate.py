"""Decides which photos are kept, over all classes at once, and which ones form a group.

Pure functions: nothing is read or written.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allrounder.clean.columns import Decisions, Ints, Item, Photos
from allrounder.clean.neighbours import Components, Pictures, firsts
from allrounder.core.corrections import Action, Correction
from allrounder.core.rows import Status
from allrounder.core.text import one_line
from allrounder.core.urls import host_of, is_url, parse_byte_range, photo_key
from allrounder.params.schema import Clean

FLAT = 0.6
"""A picture with this share of one grey level has hardly any detail: a notice, or a product."""
_PLAIN, _TEXT_LEVELS = 0.85, 4
"""A text-like picture has a plainer background, or few other grey levels.

Of 157 photos of products on plain backgrounds 1 is text-like, of 300 drawn notices 233.
"""
FEW, MANY = 3, 5
"""The least number of unrelated URLs that show a notice: of a flat picture, of any picture."""
SAME, SIMILAR = 0.985, 0.96
"""Similarities of near-duplicates and of groups, chosen with bench/duplicates.py."""


def judge(
    photos: Photos,
    pictures: Pictures,
    per_class: int,
    rules: Clean,
    corrections: Mapping[int, Correction],
) -> Decisions:
    """The decisions on photos, which are in class order, then in rank order.

    Photos that `corrections` (by row) move stand first in their class.
    """
    decided = Decisions(photos)
    places = {int(row): at for at, row in enumerate(decided.rows) if int(row) in corrections}
    pairs = _copies(decided, pictures, np.arange(len(decided)), rules.near_radius)
    if corrections:
        corrections = {places[row]: line for row, line in corrections.items() if row in places}
        parts = _corrected_parts(decided, pairs, corrections)
        _exclude(decided, parts, corrections)
    _drop_placeholders(decided, pairs)
    _drop_test_set_copies(decided, pairs)
    if corrections:
        pairs = _move(decided, pairs, parts, corrections)
    _drop_duplicates(decided, pairs, rules, pictures)
    _drop_surplus(decided, per_class)
    _group(decided, rules, pictures)
    return decided


def _copies(
    decided: Decisions, pictures: Pictures, places: Ints, radius: int
) -> list[tuple[int, int]]:
    """The pairs of copies among the photos at some places.

    Flat pictures are not like each other, but may be the same bytes after conversion.
    """
    rows = decided.rows[places]
    near = pictures.near_pairs(rows, radius, SAME, remember=True)
    pairs = chain(near, same_value(decided.photos.sha256s[rows]))
    return [(int(places[one]), int(places[two])) for one, two in pairs]


def _corrected_parts(
    decided: Decisions, pairs: Sequence[tuple[int, int]], corrections: Mapping[int, Correction]
) -> list[list[int]]:
    """The copies of each picture that a correction names, and the photos of its upload."""
    linked = chain(pairs, same_value(decided.photos.uploads[decided.rows]))
    parts = components(len(decided), linked, corrections)
    return [part for part in parts if any(at in corrections for at in part)]


def _exclude(
    decided: Decisions, parts: Sequence[list[int]], corrections: Mapping[int, Correction]
) -> None:
    """Drop all copies of pictures that a correction excludes. It is stronger than a move."""
    for part in parts:
        lines = {at: corrections[at] for at in part if at in corrections}
        named = [at for at, line in lines.items() if line.action is Action.EXCLUDE]
        for at in part if named else ():
            first = at if at in named else named[0]
            detail = one_line(lines[first].reason, 200) or "by hand"
            if first == at:
                decided.change(at, status=Status.EXCLUDED, detail=detail)
            else:
                _drop_copy(decided, at, first, Status.EXCLUDED, detail)


def _move(
    decided: Decisions,
    pairs: Sequence[tuple[int, int]],
    parts: Sequence[list[int]],
    corrections: Mapping[int, Correction],
) -> list[tuple[int, int]]:
    """Correct the photos' classes, bring them in the order of these, and return their pairs.

    A copy without a correction of its own follows the first one that is moved.
    """
    numbers = {key: number for number, key in enumerate(decided.photos.keys)}
    moved = np.zeros(len(decided), bool)
    for part in parts:
        lines = {at: corrections[at] for at in part if at in corrections}
        for at in part:
            line = lines.get(at) or lines[min(lines)]
            item = decided[at]
            if item.status is Status.KEPT and line.action is Action.MOVE and line.to != item.key:
                detail = one_line(line.reason, 200)
                decided.change(at, key=line.to, moved_from=item.key, detail=detail)
                decided.classes[decided.rows[at]], moved[at] = numbers[line.to], True
    order = np.lexsort((decided.rows, ~moved, decided.classes[decided.rows]))
    decided.rows, new = decided.rows[order], np.argsort(order)
    return [(int(new[one]), int(new[two])) for one, two in pairs]


def _drop_placeholders(decided: Decisions, pairs: Sequence[tuple[int, int]]) -> None:
    """Drop pictures that are a site's notice, judged by their URLs."""
    photos = decided.photos
    several = np.flatnonzero(photos.origins[decided.rows] > 1).tolist()
    for members in components(len(decided), pairs, several):
        flat, levels = (each[decided.rows[members]] for each in (photos.flat, photos.levels))
        text_like = (flat >= _PLAIN) | ((flat >= FLAT) & (levels <= _TEXT_LEVELS))
        wanted = 2 if text_like.any() else FEW
        copies = [decided[at] for at in members]
        if detail := _notice(copies, bool((flat >= FLAT).any()), wanted):
            for at in filter(decided.is_kept, members):
                decided.change(at, status=Status.PLACEHOLDER, detail=detail)


def _drop_test_set_copies(decided: Decisions, pairs: Sequence[tuple[int, int]]) -> None:
    """Drop pictures of test sets, all copies."""
    in_sets = decided.photos.in_test_sets
    places = np.flatnonzero(np.isin(decided.rows, [*in_sets])).tolist()
    named = {at: in_sets[int(decided.rows[at])] for at in places}
    for part in components(len(decided), pairs, named) if named else ():
        first = next((named[at] for at in part if at in named), "")
        for at in filter(decided.is_kept, part if first else ()):
            decided.change(at, status=Status.IN_TEST_SET, detail=named.get(at, first))


def _notice(copies: Sequence[Item], flat: bool, wanted: int) -> str:
    """Why copies of one picture are a site's notice, or ''.

    MANY unrelated URLs of one site have the same bytes or lead to one address. If the picture is
    flat, FEW that lead to one address are enough, or `wanted` of one site, each in another class:
    two if it is text-like, else FEW. The same product on three pages of a shop, or in two of its
    categories, is no notice. Rows of datasets and members of archives have no site of their own:
    there only flat pictures can be notices.
    """
    names, sites = set[str](), defaultdict[str, set[tuple[str, str]]](set)
    same_bytes = defaultdict[tuple[str, str], set[str]](set)
    leading_to = defaultdict[str, set[str]](set)
    for item in copies:
        for url, final_url in item.origins:
            site, name = _site_and_name(url)
            names.add(name)
            sites[site].add((item.key, name))
            if site or flat:
                same_bytes[site, item.sha256].add(name)
            if final_url and not _same_file(url, final_url):
                leading_to[photo_key(final_url)].add(name)
    classes = len({item.key for item in copies})
    for target, leading in leading_to.items():
        if len(leading) >= (FEW if flat else MANY):
            return f"{len(leading)} URLs in {classes} classes lead to {one_line(target, 80)}"
    crowded = {site for (site, _), found in same_bytes.items() if len(found) >= MANY}
    for site, found in sites.items():
        spread = min(len({key for key, _ in found}), len({name for _, name in found})) >= wanted
        if site in crowded or (flat and spread):
            whose = f" of {one_line(site, 80)}" if site else ""
            return f"behind {len(names)} URLs{whose} in {classes} classes"
    return ""


def _site_and_name(url: str) -> tuple[str, str]:
    """A photo's site, as `example.org` or `example.co.uk`, and its name there.

    Files, slices, and parts of datasets and archives have site '' and are their own name.
    """
    if not is_url(url) or "#" in url or parse_byte_range(url):
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
    decided: Decisions, pairs: Sequence[tuple[int, int]], rules: Clean, pictures: Pictures
) -> None:
    """Keep the best copy of each picture of a class; drop pictures that are in two classes.

    Photos of one Flickr upload count as one picture here, even if they are different crops of it:
    otherwise two classes could have it on both sides of the split. Within a class they are a group
    and no duplicates. A photo with a refused licence still shows that its picture is in two
    classes. It is dropped after that, before it can replace or connect photos that may be used.
    """
    rows = decided.rows
    uploads = np.where(decided.kept, decided.photos.uploads, 0)[rows]
    for part in components(len(decided), chain(pairs, same_value(uploads)), ()):
        members = [at for at in part if decided.is_kept(at)]
        if len(np.unique(decided.classes[rows[members]])) > 1:
            _drop_cross_class(decided, members, rules)
    refused = decided.photos.refused[rows]
    for at in np.flatnonzero(refused & decided.kept[rows]).tolist():
        detail = " ".join(decided[at].refused.split())[:80]
        decided.change(at, status=Status.LICENSE, detail=detail)
    if refused.any():
        pairs = _copies(decided, pictures, np.flatnonzero(~refused), rules.near_radius)
    for members in components(len(decided), pairs, ()):
        _keep_best(decided, [at for at in members if decided.is_kept(at)])


def _drop_cross_class(decided: Decisions, members: list[int], rules: Clean) -> None:
    """Drop a picture that appears in several classes, or all but the first class's."""
    items = {at: decided[at] for at in members}
    for at, item in items.items():
        if rules.cross_class == "first" and item.key == items[members[0]].key:
            continue
        twin = next(other for other in members if items[other].key != item.key)
        detail = f"like {items[twin].key} {items[twin].image_id}"
        _drop_copy(decided, at, twin, Status.CROSS_CLASS, detail)


def _keep_best(decided: Decisions, members: list[int]) -> None:
    """Of copies of a picture keep the one with the most pixels; of equals the first."""
    items = {at: decided[at] for at in members}
    best = max(members, key=lambda at: (items[at].pixels, -at), default=-1)
    for at in members:
        if at != best:
            exact = items[at].sha256 == items[best].sha256
            status = Status.EXACT_DUPLICATE if exact else Status.NEAR_DUPLICATE
            _drop_copy(decided, at, best, status, f"of {items[best].image_id}")


def _drop_copy(decided: Decisions, at: int, of: int, status: Status, detail: str) -> None:
    name = "/".join(decided[of].photo_id)
    decided.change(at, status=status, detail=detail, duplicate_of=name)


def _drop_surplus(decided: Decisions, per_class: int) -> None:
    """Keep the first photos of each class; in a subtree the first of each synset in turn.

    Archives are read one after the other, so in rank order the last synsets would lose all.
    """
    places = decided.kept_places()
    rows = decided.rows[places]
    classes, moved = decided.classes[rows], decided.classes[rows] != decided.photos.classes[rows]
    synsets = np.where(moved, -1, decided.photos.synsets[rows])
    turns = np.where(moved, 0, 1 + _earlier_equals(classes, synsets))
    order = np.lexsort((places, turns, classes))
    ranks = _earlier_equals(classes[order], np.zeros(len(order), np.int64))
    decided.drop_surplus(places[order[ranks >= per_class]])


def _earlier_equals(one: Ints, two: Ints) -> Ints:
    """How many equal pairs of values stand before each."""
    order = np.lexsort((two, one))
    new = np.r_[True, (np.diff(one[order]) != 0) | (np.diff(two[order]) != 0)][: len(order)]
    starts = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    counts = np.zeros(len(order), np.int64)
    counts[order] = np.arange(len(order)) - starts
    return counts


def _group(decided: Decisions, rules: Clean, pictures: Pictures) -> None:
    """Give similar photos of a class, and photos of one upload, one group id."""
    kept = decided.kept_places()
    rows = decided.rows[kept]
    uploads, classes = decided.photos.uploads[rows], decided.classes[rows]
    in_class = np.where(uploads > 0, uploads * len(decided.photos.keys) + classes, 0)
    order = np.argsort(classes, kind="stable")
    edges = np.flatnonzero(np.diff(classes[order])) + 1
    similar = (
        (int(places[one]), int(places[two]))
        for places in np.split(order, edges)
        for one, two in pictures.pairs_of_class(rows[places], rules.group_radius, SIMILAR)
    )
    for part in components(len(kept), chain(similar, same_value(in_class)), ()):
        places = kept[part].tolist()
        group = min(decided[at].name for at in places)
        for at in places:
            decided.change(at, group=group)


def same_value(values: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yield each index with the first index of the same value. 0 and '' match nothing."""
    first, nothing = firsts(values), np.zeros(1, values.dtype)
    for at in np.flatnonzero((first != np.arange(len(values))) & (values != nothing)).tolist():
        yield int(first[at]), at


def components(
    count: int, pairs: Iterable[tuple[int, int]], single: Iterable[int] | None = None
) -> list[list[int]]:
    """The connected components of `count` nodes, each in ascending order, by their first node.

    Of nodes that are connected with none only those in `single`, if it is given.
    """
    parts = Components(count)
    joined = np.zeros(count, bool)
    joined[[*single] if single is not None else slice(None)] = True
    for i, j in pairs:
        parts.join(i, j)
        joined[[i, j]] = True
    found: dict[int, list[int]] = {}
    for node in np.flatnonzero(joined).tolist():
        found.setdefault(parts.root(node), []).append(node)
    return list(found.values())
