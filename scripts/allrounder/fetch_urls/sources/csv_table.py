"""Source `csv`: any table with a column of URLs and one of classes.

CSV, TSV, JSON Lines or Parquet; read once for all classes, never whole in memory.
"""

import contextlib
import csv
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import IO, Any
from urllib.parse import urljoin

from allrounder.catalogue.labels import label_matcher, normalized_label
from allrounder.core.errors import DataError, UsageError
from allrounder.core.names import url_id
from allrounder.core.rows import Candidate
from allrounder.core.text import one_line
from allrounder.core.urls import decode_url, is_url, percent_encode_unprintable
from allrounder.fetch_urls.sources.packed import open_list
from allrounder.params.sources import CsvSource
from allrounder.web.lists import ListClient

MAX_LINE = 2**20
"""Longest line in characters: a file with longer ones is no list of URLs."""
_CHUNK = 2**20
_BATCH = 8192

Cells = list[str]
Choose = Callable[[Sequence[str]], Sequence[str]]
"""Chooses the columns to read from those of the table. Raises UsageError for a missing one."""


def table_rows(file: IO[bytes], form: str, what: str, choose: Choose) -> Iterator[Cells]:
    """Yield the cells of the chosen columns of each row, as text; '' for an empty cell.

    What is not UTF-8 is percent-encoded byte by byte, as `urltext.url_text` does. Raises DataError
    with the line for a row that cannot be read, UsageError when Parquet is not installed.
    """
    if form == "parquet":
        return _parquet(file, what, choose)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="percent", newline="")
    lines = _lines(text, what)
    if form == "jsonl":
        return _jsonl(lines, what, choose)
    return _delimited(lines, "\t" if form == "tsv" else ",", what, choose)


def _lines(text: io.TextIOWrapper, what: str) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise DataError(f"{what}, line {number}: over {MAX_LINE:,} characters; no list")
        yield line


def _delimited(lines: Iterable[str], delimiter: str, what: str, choose: Choose) -> Iterator[Cells]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        places = [header.index(name) for name in choose(header)]
        for cells in reader:
            if len(cells) == len(header):
                yield [cells[place] for place in places]
            elif cells:  # a blank line has none
                raise csv.Error(f"{len(cells)} cells, the header has {len(header)}")
    except csv.Error as error:
        raise DataError(f"{what}, line {reader.line_num}: {error}; correct it") from None


def _jsonl(lines: Iterable[str], what: str, choose: Choose) -> Iterator[Cells]:
    names: Sequence[str] | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{what}, line {number}: no JSON object; correct it")
        if names is None:
            names = choose(list(row))
        yield [_cell_text(row.get(name)) for name in names]
    if names is None:
        choose([])


def _parquet(file: IO[bytes], what: str, choose: Choose) -> Iterator[Cells]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{what}: Parquet needs pyarrow: pip install pyarrow") from None
    with ExitStack() as stack:
        if not file.seekable():  # Parquet's directory stands at its end
            spooled = stack.enter_context(tempfile.TemporaryFile())
            while chunk := file.read(_CHUNK):
                spooled.write(chunk)
            file = spooled
        try:
            table = parquet.ParquetFile(file)
            names = choose(list(table.schema_arrow.names))
            for batch in table.iter_batches(_BATCH, columns=list(dict.fromkeys(names))):
                columns = [batch.column(name).to_pylist() for name in names]
                yield from (
                    [_cell_text(value) for value in cells] for cells in zip(*columns, strict=True)
                )
        except (pyarrow.ArrowException, KeyError, ValueError, OverflowError) as error:
            words = one_line(str(error))[:120]
            raise DataError(f"{what}: broken or no Parquet: {words}") from None


def _cell_text(value: Any) -> str:
    """A cell as text; 7.0 becomes 7, because a column with gaps stores 7 as 7.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        return decode_url(value)
    return str(value) if isinstance(value, str | int | float) else ""


_OPTIONAL = ("id", "license", "author", "landing_url", "title")
_SHOWN = 8


def candidates(
    source: CsvSource, wnids: Sequence[str], web: ListClient
) -> Iterator[tuple[str, Candidate]]:
    """Yield the rows whose label means one of the classes, in the table's order.

    Raises DataError when the table cannot be opened or a row cannot be read, UsageError for a
    column that is not there.
    """
    what = source.name
    meant = label_matcher(wnids, source.labels)
    chosen: list[str] = []

    def choose(there: Sequence[str]) -> Sequence[str]:
        chosen.extend(_columns(source, there, what))
        return [getattr(source, key) or key for key in chosen]

    others: dict[str, None] = {}  # labels of no class, for a hint
    found = without_url = 0
    with open_list(source.location, web, what, source.sha256) as file:
        for cells in table_rows(file, source.form, what, choose):
            row = dict(zip(chosen, cells, strict=True))
            if (wnid := meant.get(normalized_label(row["label"]))) is None:
                if len(others) <= _SHOWN:
                    others[row["label"]] = None
            elif url := _url(source, row["url"]):
                found += 1
                yield wnid, _candidate(wnid, url, row)
            else:
                without_url += 1
    if without_url:
        _warn(what, f"{without_url} rows of these classes have no URL and are skipped")
    if others and not found + without_url:
        shown = ", ".join(repr(label)[:60] for label in list(others)[:_SHOWN])
        _warn(what, f"its labels match no class; it has {shown}; map them in labels")


def _columns(source: CsvSource, there: Sequence[str], what: str) -> list[str]:
    """Return the keys of the source whose columns are read."""
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
    """A URL of the table; a relative one is resolved if the table is from the web."""
    text = text.strip()
    if text and source.is_remote and not is_url(text):
        with contextlib.suppress(ValueError):  # the download reports what is wrong with it
            text = urljoin(source.location, text)
    return percent_encode_unprintable(text)


def _warn(what: str, words: str) -> None:
    print(f"warning: {what}: {words}", file=sys.stderr)
