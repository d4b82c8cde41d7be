"""Lists the candidates of every class from all sources, in rank order, each URL once.

Not for speaking to a source: that is sources/.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from allrounder import sources
from allrounder.classfiles import clear_others
from allrounder.csvfiles import write_csv
from allrounder.errors import DataError
from allrounder.names import IdMaker
from allrounder.records import Candidate
from allrounder.sourceparams import Source
from allrounder.web import Web

REQUIRED = ("image_id", "url")
OPTIONAL = ("license", "author", "landing_url", "source", "synset", "title")


def list_classes(
    asked: Sequence[Source], wnids: Sequence[str], web: Web, known: int = 0
) -> dict[str, list[Candidate]]:
    """Ask the sources one after the other; a class's candidates stand in the sources' order.

    `known` classes more are pinned and not asked for. Raises DataError when a source cannot be
    read or knows none of the classes, and when a class has no candidate at all.
    """
    found: dict[str, list[Candidate]] = {wnid: [] for wnid in wnids}
    for source in asked:
        before = sum(map(len, found.values()))
        for wnid, candidate in sources.candidates(source, wnids, web):
            found[wnid].append(replace(candidate, source=source.kind))
        if sum(map(len, found.values())) == before and not known:
            raise DataError(
                f"{sources.described(source)}: lists no photo for any class of the params "
                f"({', '.join(wnids[:10])}{', ...' if len(wnids) > 10 else ''}); "
                "correct its location or remove it"
            )
    if missing := [wnid for wnid, candidates in found.items() if not candidates]:
        names = "; ".join(map(sources.described, asked))
        raise DataError(
            f"class {missing[0]}: no candidate from {names}; add a source or remove the class"
        )
    return {wnid: unique(wnid, candidates) for wnid, candidates in found.items()}


def unique(wnid: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Each URL once, at its best rank, with ids that are safe and unique in the class."""
    ids = IdMaker(wnid)
    first = {}
    for candidate in candidates:
        if candidate.url not in first:
            image_id = ids.make(candidate.image_id, candidate.url)
            first[candidate.url] = replace(candidate, image_id=image_id)
    return list(first.values())


def write_classes(folder: Path, classes: Mapping[str, Sequence[Candidate]]) -> None:
    """Write `<wnid>.csv` for each class; of the optional columns those that a source filled."""
    folder.mkdir(parents=True, exist_ok=True)
    clear_others(folder, classes)
    for wnid, candidates in classes.items():
        known = [name for name in OPTIONAL if any(getattr(row, name) for row in candidates)]
        write_csv(folder / f"{wnid}.csv", Candidate, candidates, [*REQUIRED, *known])
