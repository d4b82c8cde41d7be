"""The sources of candidates: one module a kind, each with one function `candidates`.

It yields `(wnid, candidate)` in the source's own order within each class and raises DataError when
the source cannot be read. What a source does not say stays empty. Ids need not be safe or unique.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import cast

from allrounder.core.rows import Candidate
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import Source
from allrounder.web.lists import ListClient

Listing = Iterator[tuple[str, Candidate]]


def candidates(source: Source, wnids: Sequence[str], web: ListClient, tally: Tally) -> Listing:
    """Yield what a source lists for the classes. Raises DataError when it cannot be read.

    It counts in `tally` what it reads, and what it passes over and why.
    """
    module = import_module(f"{__name__}.{source.module}")  # only the kinds that are used
    return cast(Listing, module.candidates(source, wnids, web, tally))
