"""Source `csv`: any table with a column of URLs and one of classes.

CSV, TSV, JSON Lines or Parquet; read once for all classes, never whole in memory.
"""

import contextlib
import csv
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, cast
from urllib.parse import urljoin

from allrounder.catalogue.labels import label_matcher, normalized_label
from allrounder.core.candidates import url_id
from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import Candidate
from allrounder.core.text import decode_text, one_line
from allrounder.core.urls import decode_url, is_url, percent_encode_unprintable
from allrounder.fetch_urls.sources.packed import MAX_LINE, open_list, skip_mark
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import CsvSource
from allrounder.web.lists import ListClient

_CHUNK = 2**20
_BATCH = 8192  # rows
_AVERAGE = 2**13
"""Bytes of a Parquet column's cells on average: a batch is in memory at once."""
_LONGEST = 2**16
"""Characters of a cell that are looked at: far more than any URL or author has."""

Cells = list[str]
Choose = Callable[[Sequence[str]], Sequence[str]]
"""Chooses the columns to read from those of the table. Raises UsageError for a missing one."""


def table_rows(
    file: io.BufferedReader, form: str, what: str, choose: Choose, quotes: bool | None = None
) -> Iterator[Cells]:
    """Yield the cells of the chosen columns of each row, as text; '' for an empty cell.

    Bytes that are not UTF-8 become surrogates. Raises DataError with the line for a row that
    cannot be read, UsageError when Parquet is not installed.
    """
    if form == "parquet":
        return _parquet(file, what, choose)
    skip_mark(file, what)
    if quotes is None:  # TSV has none by its definition, but some programs write it like CSV
        quotes = form == "csv" or file.peek(1).startswith(b'"')
    text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
    lines = _lines(text, what)
    if form == "jsonl":
        return _jsonl(lines, what, choose)
    delimiter = "\t" if form == "tsv" else ","
    if quotes:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_NONE)
    return _delimited(reader, what, choose)


def _lines(text: io.TextIOWrapper, what: str) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise DataError(f"{what}, line {number}: over {MAX_LINE:,} characters; no list")
        yield line


def _delimited(reader: Any, what: str, choose: Choose) -> Iterator[Cells]:
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


def _parquet(file: io.BufferedReader, what: str, choose: Choose) -> Iterator[Cells]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{what}: Parquet needs pyarrow: pip install pyarrow") from None
    with ExitStack() as stack:
        if not file.seekable():  # Parquet's directory stands at its end
            spooled = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, spooled, _CHUNK)
            file = cast(io.BufferedReader, spooled)
        try:
            table = parquet.ParquetFile(file)
            names = choose(list(table.schema_arrow.names))
            _check_cells(table.metadata, names, what)
            # Repeated texts stay one object each, however often they stand in a column.
            table = parquet.ParquetFile(file, read_dictionary=list(dict.fromkeys(names)))
            for batch in table.iter_batches(_BATCH, columns=list(dict.fromkeys(names))):
                columns = [_values(batch.column(name)) for name in names]
                yield from (
                    [_cell_text(value) for value in cells] for cells in zip(*columns, strict=True)
                )
        except (pyarrow.ArrowException, KeyError, ValueError, OverflowError) as error:
            words = one_line(str(error))[:120]
            raise DataError(f"{what}: broken or no Parquet: {words}") from None


def _check_cells(metadata: Any, names: Sequence[str], what: str) -> None:
    """Raise DataError for columns whose cells are too large for a batch in memory."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            size, cells = column.total_uncompressed_size, max(1, column.num_values)
            if column.path_in_schema.split(".")[0] in names and (
                size > _CHUNK and size > _AVERAGE * cells
            ):
                name = column.path_in_schema
                raise DataError(f"{what}: column {name!r} has {size:,} bytes in {cells:,} cells")


def _values(column: Any) -> list[Any]:
    """The values of a column; equal ones of a dictionary are one object."""
    if not hasattr(column, "dictionary"):
        return list(column.to_pylist())
    places = column.indices.to_pylist()
    used = sorted({place for place in places if place is not None})
    texts = dict(zip(used, column.dictionary.take(used).to_pylist(), strict=True))
    return [texts.get(place) for place in places]


def _cell_text(value: Any) -> str:
    """A cell as text; 7.0 becomes 7, because a column with gaps stores 7 as 7.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value) if isinstance(value, str | int | float) else ""


_OPTIONAL = ("id", "license", "author", "landing_url", "title")
_SHOWN = 8


def candidates(
    source: CsvSource, wnids: Sequence[str], web: ListClient, tally: Tally
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
    matched = False
    with open_list(source.location, web, what, source.sha256) as file:
        for cells in table_rows(file, source.form, what, choose, source.quotes):
            tally.read += 1
            row = {key: cell[:_LONGEST] for key, cell in zip(chosen, cells, strict=True)}
            label = _text(row["label"])
            if (wnid := meant.get(normalized_label(label))) is None:
                if len(others) <= _SHOWN:
                    others[label] = None
                if not label.strip():
                    tally.pass_over("no label", row["url"])
                continue
            matched = True
            if url := _url(source, row["url"]):
                yield wnid, _candidate(wnid, url, row)
            else:
                tally.pass_over("no URL", f"row {tally.read:,}")
    if others and not matched:
        shown = ", ".join(repr(label)[:60] for label in list(others)[:_SHOWN])
        tally.warn(f"its labels match no class; it has {shown}; map them in labels")


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
    texts = {key: one_line(_text(row.get(key, ""))) for key in _OPTIONAL}
    return Candidate(texts.pop("id") or url_id(wnid, url), url, **texts)


def _url(source: CsvSource, text: str) -> str:
    """A URL of the table; a relative one is resolved if the table is from the web."""
    text = decode_url(text.encode("utf-8", "surrogateescape")) if _is_raw(text) else text.strip()
    if text and source.is_remote and not is_url(text):
        with contextlib.suppress(ValueError):  # the download reports what is wrong with it
            text = urljoin(source.location, text)
    return percent_encode_unprintable(text)


def _text(cell: str) -> str:
    """A cell that is no URL: UTF-8, or else Windows' or ISO's Latin-1."""
    return decode_text(cell.encode("utf-8", "surrogateescape")) if _is_raw(cell) else cell


def _is_raw(cell: str) -> bool:
    """Whether a cell has bytes that are no UTF-8."""
    return not cell.isascii() and any("\udc80" <= letter <= "\udcff" for letter in cell)
