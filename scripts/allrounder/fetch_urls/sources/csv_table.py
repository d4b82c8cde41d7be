"""Source `csv`: any table with a column of URLs and one of classes; the door for everything else.

Read once for all classes, never whole in memory. Not for the formats: that is tablerows.py.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from urllib.parse import urljoin

from allrounder.errors import UsageError
from allrounder.fetch_urls.labelmatch import matcher, plain
from allrounder.fetch_urls.sources.opened import opened
from allrounder.fetch_urls.tablerows import rows
from allrounder.fetch_urls.web import Web
from allrounder.names import url_id
from allrounder.records import Candidate
from allrounder.sourceparams import CsvSource
from allrounder.urltext import is_web, one_line, printable

_OPTIONAL = ("id", "license", "author", "landing_url", "title")
_SHOWN = 8


def candidates(
    source: CsvSource, wnids: Sequence[str], web: Web
) -> Iterator[tuple[str, Candidate]]:
    """Yield the rows whose label means one of the classes, in the table's order.

    Raises DataError when the table cannot be opened or a row cannot be read, UsageError for a
    column that is not there.
    """
    what = f"source csv {source.location}"
    meant = matcher(wnids, source.labels)
    chosen: list[str] = []

    def choose(there: Sequence[str]) -> Sequence[str]:
        chosen.extend(_columns(source, there, what))
        return [getattr(source, key) or key for key in chosen]

    others: dict[str, None] = {}  # labels that mean no class, for a hint
    found = without_url = 0
    with opened(source.location, web, what, source.sha256) as file:
        for cells in rows(file, source.form, what, choose):
            row = dict(zip(chosen, cells, strict=True))
            if (wnid := meant.get(plain(row["label"]))) is None:
                if len(others) <= _SHOWN:
                    others[row["label"]] = None
            elif url := _url(source, row["url"]):
                found += 1
                yield wnid, _candidate(wnid, url, row)
            else:
                without_url += 1
    if without_url:
        _warn(what, f"{without_url} rows of these classes have no URL and are passed over")
    if others and not found + without_url:
        shown = ", ".join(repr(label)[:60] for label in list(others)[:_SHOWN])
        _warn(what, f"no label of it means one of the classes; it has {shown}; say which in labels")


def _columns(source: CsvSource, there: Sequence[str], what: str) -> list[str]:
    """The keys of the source whose columns to read."""
    keys = ["url", "label"]
    keys += [key for key in _OPTIONAL if getattr(source, key) or key in there]
    for key in keys:
        name = getattr(source, key) or key
        if there.count(name) > 1:
            raise UsageError(f"{what}: {key}: it has {there.count(name)} columns {name!r}")
        if name not in there:
            shown = ", ".join(repr(column)[:60] for column in there[:_SHOWN]) or "none"
            more = ", ..." if len(there) > _SHOWN else ""
            raise UsageError(f"{what}: {key}: it has no column {name!r}, but {shown}{more}")
    if source.form == "jsonl":  # a row may have keys that the first one lacks
        keys += [key for key in _OPTIONAL if key not in keys]
    return keys


def _candidate(wnid: str, url: str, row: dict[str, str]) -> Candidate:
    texts = {key: one_line(row.get(key, "")) for key in _OPTIONAL}
    return Candidate(texts.pop("id") or url_id(wnid, url), url, **texts)


def _url(source: CsvSource, text: str) -> str:
    """A URL of the table; a relative one is resolved where the table came from the web."""
    text = text.strip()
    if text and is_web(source.location) and not is_web(text):
        with contextlib.suppress(ValueError):  # the download says what is wrong with it
            text = urljoin(source.location, text)
    return printable(text)


def _warn(what: str, words: str) -> None:
    print(f"warning: {what}: {words}", file=sys.stderr)
