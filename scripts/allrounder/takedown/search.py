"""Searches all places for one photo and its copies, and prints what was found."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from allrounder.core.corrections import match_name
from allrounder.core.errors import UsageError
from allrounder.core.files import hash_file
from allrounder.core.progress import progress
from allrounder.core.text import one_line, printable
from allrounder.core.urls import is_url
from allrounder.history.versions import repository
from allrounder.params.schema import Params
from allrounder.takedown import survey
from allrounder.takedown.content import Reader
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


class Search:
    """Surveys all places for one photo. What was read once is not read again."""

    def __init__(self, params: Params, photo: str, temporary: Path):
        self._radius, self._temporary = params.clean.near_radius, temporary
        self._reader = Reader(params.clean)
        self._name = self._named(photo)
        self._target = Target()

    def _named(self, photo: str) -> str:
        path, name = Path(photo), match_name(photo)
        if is_url(photo) or photo.startswith(".../") or (len(name) == 64 and not path.exists()):
            return name
        if not path.is_file():
            raise UsageError(f"{photo}: no URL, no SHA-256 and no file; name one of these")
        self._reader.read(path)
        return hash_file(path).sha256

    def run(self) -> Findings:
        """Read all places. The first run finds the copies too."""
        with repository() as repo, progress(unit=" objects", desc="takedown") as bar:
            found = survey.survey(repo, self._reader, self._temporary, bar.update)
            if not self._target.sha256s:
                self._target = survey.find_target(found, self._reader, self._name, self._radius)
            held = survey.holders(found, self._target)
            lists = survey.naming_lists(self._target.urls)
            versions = survey.versions(repo, found)
        return Findings(self._name, self._target, found, held, versions, lists)


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
