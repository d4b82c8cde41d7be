"""The sources of candidates: one module a kind, each with one function `candidates`.

A module yields `(key, candidate)` in the source's own order within each class and raises DataError
when the source cannot be read. Fields that a source does not state stay empty. Ids need not be
safe or unique. A source that knows only wnids is given wnids instead of classes, and yields them.
"""

from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from typing import cast

from allrounder.catalogue.labels import ClassPart
from allrounder.core.rows import Candidate
from allrounder.core.text import short_list
from allrounder.fetch_urls.sources import folder
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import FolderSource, Source
from allrounder.web.lists import ListClient

Listing = Iterator[tuple[str, Candidate]]


def candidates(
    source: Source,
    parts: Sequence[ClassPart],
    web: ListClient,
    tally: Tally,
    unchanged: Collection[str] = (),
) -> Listing:
    """Yield what a source lists for the classes. Raises DataError when it cannot be read.

    It counts in `tally` what it reads, and what it passes over and why. `unchanged` are keys of
    parts that a folder need not list again.
    """
    if isinstance(source, FolderSource):
        return folder.candidates(source, parts, tally, unchanged)
    module = import_module(f"{__name__}.{source.module}")  # only the kinds that are used
    if not source.knows_wnids_only:
        return cast(Listing, module.candidates(source, parts, web, tally))
    keys = {part.wnid: part.key for part in parts if part.wnid}
    if others := [part.key for part in parts if not part.wnid]:
        tally.note(f"knows ImageNet's synsets only, so it has no photo of {short_list(others)}")
    listed = cast(Listing, module.candidates(source, list(keys), web, tally)) if keys else iter(())
    return ((keys[wnid], candidate) for wnid, candidate in listed)
