"""Source `recipe`: the photos of a dataset, by the `recipe.csv` that is in its folder.

Each row says where a photo is, what it must be, and its split. Nothing in it is trusted: a photo is
fetched, judged and cleaned like any other.
"""

import re
from collections.abc import Iterator, Sequence

from allrounder.catalogue.labels import ClassPart
from allrounder.catalogue.synsets import is_subtree, synsets_of, wnid_of
from allrounder.core.errors import DataError
from allrounder.core.expected import HASH, SHA256
from allrounder.core.rows import Candidate, RecipeRow
from allrounder.core.tables import columns
from allrounder.core.text import one_line
from allrounder.core.urls import is_archive, parse_byte_range, percent_encode_unprintable
from allrounder.fetch_urls.sources.csv_table import table_rows
from allrounder.fetch_urls.sources.packed import open_list
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import CsvSource, RecipeSource
from allrounder.web.lists import ListClient

_NEEDED = ("wnid", "split", "url", "sha256")
_TEXTS = ("image_id", "license", "author", "landing_url", "source", "title", "moved_from")
_SPLIT = re.compile("[a-z0-9_]{1,20}")
_MAX_RESULTS = 10_000


def candidates(
    source: RecipeSource, parts: Sequence[ClassPart], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the rows of the classes, in the recipe's order.

    Raises DataError when the recipe cannot be read or lacks a column.
    """
    keys = {part.wnid: part.key for part in parts if part.wnid} | {
        part.key: part.key for part in parts
    }

    def choose(there: Sequence[str]) -> dict[str, str]:
        if missing := [name for name in _NEEDED if name not in there]:
            raise DataError(
                f"{source.name}: is no recipe.csv: it has no column {missing[0]!r}; "
                "correct its location"
            )
        return {name: name for name in columns(RecipeRow) if name in there}

    table = CsvSource(kind="csv", location=source.location, format="csv")
    with open_list(source.location, web, source.name, source.sha256) as file:
        for cells in table_rows(file, table, source.name, choose):
            tally.read += 1
            row = RecipeRow(**cells)
            key = keys.get(row.wnid) or keys.get(row.synset or wnid_of(row.wnid))
            if is_subtree(row.wnid) and not row.synset and {*synsets_of(row.wnid)} & keys.keys():
                tally.pass_over("was moved into a subtree, and names no synset of it", row.url)
            elif key:
                if fault := _fault(row):
                    tally.pass_over(fault, row.url)
                else:
                    yield key, _candidate(row)


def _fault(row: RecipeRow) -> str:
    """Why a row cannot be used, or ''."""
    if not row.url.strip():
        return "no URL"
    if not SHA256.fullmatch(row.sha256):
        return "sha256: no 64 hex digits in lower case"
    if row.perceptual_hash and not HASH.fullmatch(row.perceptual_hash):
        return "perceptual_hash: no 16 hex digits in lower case"
    if not _SPLIT.fullmatch(row.split):
        return "split: no name of a split"
    if is_archive(row.url.partition("#")[0]) and not parse_byte_range(row.url):
        return "is in an archive, from which single photos are not fetched; list the archive itself"
    return ""


def _candidate(row: RecipeRow) -> Candidate:
    texts = {name: one_line(getattr(row, name)) for name in _TEXTS}
    return Candidate(
        url=percent_encode_unprintable(row.url.strip()),
        expected_sha256=row.sha256,
        expected_hash=row.perceptual_hash,
        split=row.split,
        results=one_line(row.results, _MAX_RESULTS),
        **texts,
    )
