"""The sources of candidates, by kind. Each is one function: source and wnids to candidates.

A source yields `(wnid, candidate)` in its own order within each class and raises DataError when
it cannot be read; what it does not know it leaves out. Ids need not be safe or unique yet.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import cast

from allrounder.core.rows import Candidate
from allrounder.params.sources import Source
from allrounder.web.lists import ListClient

Listing = Iterator[tuple[str, Candidate]]

_MODULES = {"csv": "csv_table"}
"""Of kinds whose module has another name: there is a csv in Python itself."""


def candidates(source: Source, wnids: Sequence[str], web: ListClient) -> Listing:
    """What a source lists for the classes. Raises DataError when it cannot be read."""
    name = _MODULES.get(source.kind, source.kind.replace("-", "_"))
    module = import_module(f"{__name__}.{name}")  # of the kinds that are used only
    return cast(Listing, module.candidates(source, wnids, web))
