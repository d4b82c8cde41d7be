"""The sources of candidates, by kind. Each is one function: source and wnids to candidates.

A source yields `(wnid, candidate)` in its own order within each class and raises DataError when
it cannot be read; what it does not know it leaves out. Ids need not be safe or unique yet.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from allrounder.records import Candidate
from allrounder.sourceparams import Source
from allrounder.sources import (
    csv_table,
    folder,
    huggingface,
    ilsvrc,
    imagenet_api,
    open_images,
    synset_tar,
    url_list,
    webdataset,
)
from allrounder.web import Web

Listing = Iterator[tuple[str, Candidate]]

_KINDS: dict[str, Callable[[Any, Sequence[str], Web], Listing]] = {
    "folder": folder.candidates,
    "imagenet-api": imagenet_api.candidates,
    "url-list": url_list.candidates,
    "synset-tar": synset_tar.candidates,
    "ilsvrc": ilsvrc.candidates,
    "webdataset": webdataset.candidates,
    "huggingface": huggingface.candidates,
    "csv": csv_table.candidates,
    "open-images": open_images.candidates,
}


def candidates(source: Source, wnids: Sequence[str], web: Web) -> Listing:
    """What a source lists for the classes. Raises DataError when it cannot be read."""
    return _KINDS[source.kind](source, wnids, web)


def described(source: Source) -> str:
    """A source's name in messages."""
    return f"source {source.kind} {source.location}"
