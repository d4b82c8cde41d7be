"""What a search for a photo found, and how it is printed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from allrounder.core.text import one_line, printable
from allrounder.core.urls import is_url
from allrounder.takedown.survey import WORK_TREE, Place, Survey, Target

_MOST = 40
"""Names in one list at most."""


@dataclass(frozen=True)
class Findings:
    """A photo, the places that hold it, and the objects of each version."""

    name: str
    target: Target
    survey: Survey
    held: Collection[str]  # contents by MD5
    versions: Mapping[str, frozenset[str]]
    lists: Sequence[str]  # cached lists that name a URL of it

    @cached_property
    def places(self) -> list[Place]:
        """The places that hold it."""
        return sorted(place for md5 in self.held for place in self.survey.places[md5])

    @property
    def in_versions(self) -> str:
        """The versions that have one of its objects. Of commits without a name a few are named."""
        hit = [name for name, own in self.versions.items() if own & set(self.held)]
        rest = len(hit) - _MOST
        return ", ".join(hit[:_MOST]) + (f" and {rest} more" if rest > 0 else "") or "none"


def lines(found: Findings) -> Iterator[str]:
    """The report for people."""
    if not found.target.sha256s:
        yield f"no version that was read has a photo of {found.name}; check the name"
    if not found.places:
        yield f"none of {found.survey.count} objects and files that were read holds {found.name}"
        return
    yield f"photo {found.name}, with copies {len(found.target.sha256s)} hashes:"
    yield from _some(f"  {sha256}" for sha256 in sorted(found.target.sha256s))
    if found.target.urls:
        yield "from:"
        yield from _some(f"  {one_line(url, 200)}" for url in found.target.urls)
    yield f"held by {len(found.places)} of {found.survey.count} objects and files that were read:"
    yield from _some(f"  {_place(found, place)}" for place in found.places)
    yield f"in versions: {found.in_versions}"
    for path in found.lists:
        yield f"its URL only: {path}"
    for url in (url for url in found.target.listed if not is_url(url)):
        yield f"a source's own file, which is left alone: {one_line(url, 200)}"


def _some(texts: Iterator[str]) -> Iterator[str]:
    every = [printable(text) for text in texts]
    yield from every[:_MOST]
    if len(every) > _MOST:
        yield f"  and {len(every) - _MOST} more"


def _place(found: Findings, place: Place) -> str:
    if place.where == WORK_TREE:
        return f"{place.where}  {place.name}"
    paths = sorted(found.survey.paths.get(place.name, ()))
    return f"{place.where}  {place.name}  {', '.join(paths[:3])}".rstrip()
