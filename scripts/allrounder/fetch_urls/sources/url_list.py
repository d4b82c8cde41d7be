"""Source `url-list`: a list as ImageNet published it in Fall 2011, `<wnid>_<n><tab><url>` a line.

Read in one pass for all classes, never whole in memory: the real one has 14 million lines. A list
from the web is kept in the cache.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate
from allrounder.core.urls import decode_url, decode_url_line
from allrounder.fetch_urls.sources.packed import BROKEN, open_list
from allrounder.params.sources import UrlListSource
from allrounder.web.lists import ListClient

_LONGEST = 2**20
"""Longest line in bytes: a longer one comes in pieces, and its URL is too long to be asked for."""


def candidates(
    source: UrlListSource, wnids: Sequence[str], web: ListClient
) -> Iterator[tuple[str, Candidate]]:
    """Yield the lines of the classes, in the list's order.

    Raises DataError when the list cannot be opened, differs from `sha256`, is cut off or has
    another form.
    """
    what = source.name
    wanted = {wnid.encode(): wnid for wnid in wnids}
    with open_list(source.location, web, what, source.sha256) as file:
        lines = _checked(iter(partial(file.readline, _LONGEST), b""), what)
        for line in lines:
            # Nearly every line belongs to another class: compare its first bytes only.
            if (wnid := wanted.get(line[:9])) is not None:
                image_id, _, url = line.partition(b"\t")
                if image_id[9:10] == b"_" and url.strip():
                    yield wnid, Candidate(decode_url(image_id), decode_url_line(url))


def _checked(lines: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Yield the same lines. Raises DataError for broken data or a first line of another form."""
    try:
        first = next(lines, b"")
        if b"\t" not in first:
            form = "'<wnid>_<n><tab><url>'"
            raise DataError(f"{what}: no list of lines {form}; it starts with {first[:60]!r}")
        yield first
        yield from lines
    except BROKEN as error:
        raise DataError(f"{what}: broken or cut off: {error}") from None
