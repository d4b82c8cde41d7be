"""Lists the candidates of every class from all sources, in rank order, each photo once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from allrounder.catalogue.synsets import is_subtree, synsets_of, wnid_of
from allrounder.core.candidates import IdMaker
from allrounder.core.errors import DataError
from allrounder.core.files import remove_other_classes
from allrounder.core.rows import Candidate
from allrounder.core.tables import write_csv
from allrounder.core.urls import MAX_URL_LENGTH, parse_slice, photo_key
from allrounder.fetch_urls import sources
from allrounder.params.sources import Source
from allrounder.web.lists import ListClient

REQUIRED = ("image_id", "url")
OPTIONAL = ("license", "author", "landing_url", "source", "synset", "title")


def list_classes(
    selected: Sequence[Source], keys: Sequence[str], web: ListClient, pinned: int = 0
) -> dict[str, list[Candidate]]:
    """Read the sources one after the other; a class's candidates follow the sources' order.

    For a subtree, each source's candidates come from its synsets in turn. `pinned` is the number
    of other classes, which are pinned. Raises DataError when a source cannot be read or lists
    none of the classes, and when a class has no candidate.
    """
    found: dict[str, list[Candidate]] = {key: [] for key in keys}
    wanted = {key: synsets_of(key) for key in keys}
    wnids = [wnid for part in wanted.values() for wnid in part]
    for source in selected:
        listed: dict[str, list[Candidate]] = {wnid: [] for wnid in wnids}
        for wnid, candidate in sources.candidates(source, wnids, web):
            listed[wnid].append(replace(candidate, source=source.kind))
        if not any(listed.values()) and not pinned:
            raise DataError(
                f"{source.name}: lists no photo for any class of the params "
                f"({', '.join(keys[:10])}{', ...' if len(keys) > 10 else ''}); "
                "correct its location or remove it"
            )
        for key in keys:
            found[key] += _in_turn(key, {wnid: listed[wnid] for wnid in wanted[key]})
    if missing := [key for key, candidates in found.items() if not candidates]:
        names = "; ".join(source.name for source in selected)
        raise DataError(
            f"class {missing[0]}: no candidate from {names}; add a source or remove the class"
        )
    return {key: unique(wnid_of(key), candidates) for key, candidates in found.items()}


def _in_turn(key: str, listed: Mapping[str, Sequence[Candidate]]) -> Iterator[Candidate]:
    """Yield a class's candidates; for a subtree the first of each synset, then the second, ..."""
    if not is_subtree(key):
        yield from listed[key]
        return
    own = [[replace(one, synset=wnid) for one in part] for wnid, part in listed.items()]
    for rank in zip_longest(*own):
        yield from filter(None, rank)


def unique(wnid: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return each photo once, at its best rank, with ids that are safe and unique in the class."""
    ids = IdMaker(wnid)
    first = {}
    for candidate in candidates:
        if len(candidate.url) > MAX_URL_LENGTH and not parse_slice(candidate.url):
            # Never selected for: it stays too long, but fits into every table.
            candidate = replace(candidate, url=candidate.url[: MAX_URL_LENGTH + 1])
        if (photo := photo_key(candidate.url)) not in first:
            image_id = ids.make(candidate.image_id, candidate.url)
            first[photo] = replace(candidate, image_id=image_id)
    return list(first.values())


def write_classes(folder: Path, classes: Mapping[str, Sequence[Candidate]]) -> None:
    """Write `<wnid>.csv` for each class; optional columns only where a source filled one."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_other_classes(folder, classes)
    for wnid, candidates in classes.items():
        known = [name for name in OPTIONAL if any(getattr(row, name) for row in candidates)]
        write_csv(folder / f"{wnid}.csv", Candidate, candidates, [*REQUIRED, *known])
