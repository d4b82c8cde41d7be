"""Source `csv`: any table with a column of URLs or paths, and one of classes.

CSV, TSV, JSON Lines or Parquet; read once for all classes, never whole in memory.
"""

import contextlib
import csv
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin

from allrounder.catalogue.labels import ClassPart, label_meanings, no_indices, normalized_label
from allrounder.core.candidates import url_id
from allrounder.core.errors import DataError, UsageError
from allrounder.core.expected import HASH, SHA256
from allrounder.core.parquet import check_pyarrow
from allrounder.core.rows import Candidate
from allrounder.core.text import OR_WINDOWS_1252, decode_text, one_line, short_list
from allrounder.core.urls import is_url, percent_encode_unprintable
from allrounder.fetch_urls.sources.packed import MAX_LINE, UTF8, detected_encoding, open_list
from allrounder.fetch_urls.tally import Tally
from allrounder.history.local_files import quoted_path
from allrounder.params.classes import class_key
from allrounder.params.sources import CsvSource, shown_location
from allrounder.web.lists import ListClient

_CHUNK = 2**20
_BATCH, _SMALL_BATCH = 8192, 64  # rows; of lists and the like, repeated texts are copied
_AVERAGE = 2**13
"""Bytes of a Parquet column's cells on average: a batch is in memory at once."""
_LONGEST = 2**16
"""Characters of a cell that are looked at: far more than any URL or author has."""

Row = dict[str, Any]
"""The cells of a row, by the keys of its columns."""
Choose = Callable[[Sequence[str]], Mapping[str, str]]
"""Chooses which of a table's columns to read: key to name. Raises UsageError if one is missing."""


def table_rows(
    file: io.BufferedReader, source: CsvSource, what: str, choose: Choose
) -> Iterator[Row]:
    """Yield the chosen cells of each row.

    Raises DataError with the line for a row that cannot be read, UsageError when Parquet is not
    installed.
    """
    if source.form == "parquet":
        return _parquet(file, what, choose)
    if not (encoding := source.encoding or detected_encoding(file)):
        raise DataError(f"{what}: is not text; correct its location, or name its encoding")
    if source.form == "jsonl":
        return _jsonl(_lines(file, encoding, what), what, choose)
    quotes = source.quotes
    if quotes is None:  # TSV has none by its definition, but some programs write it like CSV
        start = file.peek(8)[:8].decode(encoding, "ignore")
        quotes = source.form == "csv" or start.lstrip("\ufeff").startswith('"')
    reader = csv.reader(
        _lines(file, encoding, what),
        strict=True,
        delimiter=source.delimiter or ("\t" if source.form == "tsv" else ","),
        escapechar=source.escape,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
    )
    return _delimited(reader, source.columns, what, choose)


def _lines(file: io.BufferedReader, encoding: str, what: str) -> Iterator[str]:
    errors = OR_WINDOWS_1252 if encoding == UTF8 else "strict"
    text = io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="")
    number = 0
    try:
        while line := text.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise DataError(
                    f"{what}, line {number}: more than {MAX_LINE:,} characters; correct the "
                    "location, or name its format"
                )
            yield line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeError:
        where = f"{what}, after line {number}"
        raise DataError(f"{where}: is not {encoding}; correct its encoding") from None


def _delimited(
    reader: Any, header: Sequence[str] | None, what: str, choose: Choose
) -> Iterator[Row]:
    try:
        header = header or [name.strip() for name in next(reader, [])]
        places = {key: header.index(name) for key, name in choose(header).items()}
        for cells in reader:
            if len(cells) == len(header):
                yield {key: cells[place] for key, place in places.items()}
            elif cells:  # a blank line has none
                raise csv.Error(f"{len(cells)} cells, the header has {len(header)}")
    except csv.Error as error:
        raise DataError(f"{what}, line {reader.line_num}: {error}; correct it") from None


def _jsonl(lines: Iterable[str], what: str, choose: Choose) -> Iterator[Row]:
    names: Mapping[str, str] | None = None
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
        yield {key: _value(row, name) for key, name in names.items()}
    if names is None:
        choose([])


def _parquet(file: io.BufferedReader, what: str, choose: Choose) -> Iterator[Row]:
    check_pyarrow(f"{what}: Parquet")
    import pyarrow
    from pyarrow import parquet

    with ExitStack() as stack:
        if not file.seekable():  # a Parquet file is read from its end
            spooled = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, spooled, _CHUNK)
            file = cast(io.BufferedReader, spooled)
        try:
            table = parquet.ParquetFile(file)
            names = choose(list(table.schema_arrow.names))
            leaves = [table.schema.column(number).path for number in range(len(table.schema))]
            wanted = list(dict.fromkeys(_column(name, leaves) for name in names.values()))
            _check_cells(table.metadata, wanted, what)
            # Repeated texts stay one object each, however often they stand in a column.
            flat = [name for name in wanted if name in leaves]
            table = parquet.ParquetFile(file, read_dictionary=flat)
            size = _BATCH if flat == wanted else _SMALL_BATCH
            for batch in table.iter_batches(size, columns=wanted):
                columns = [_values(column) for column in batch.columns]
                for cells in zip(*columns, strict=True):
                    row = dict(zip(batch.schema.names, cells, strict=True))
                    yield {key: _value(row, name) for key, name in names.items()}
        except (pyarrow.ArrowException, KeyError, ValueError, OverflowError) as error:
            words = one_line(str(error))[:120]
            raise DataError(f"{what}: broken or no Parquet: {words}; download it again") from None


def _column(name: str, leaves: Sequence[str]) -> str:
    """The column to read for a name: `a.b` itself, or all of `a` if b is in a list."""
    return name if any(_is_in(leaf, name) for leaf in leaves) else name.partition(".")[0]


def _is_in(leaf: str, name: str) -> bool:
    return f"{leaf}.".startswith(f"{name}.")


def _check_cells(metadata: Any, names: Sequence[str], what: str) -> None:
    """Raise DataError for columns whose cells are too large for a batch in memory."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            size, cells = column.total_uncompressed_size, max(1, column.num_values)
            name = column.path_in_schema
            is_read = any(_is_in(name, wanted) for wanted in names)
            if is_read and size > _CHUNK and size > _AVERAGE * cells:
                raise DataError(
                    f"{what}: column {name!r} has {size:,} bytes in {cells:,} cells; name another"
                )


def _values(column: Any) -> list[Any]:
    """The values of a column; equal ones of a dictionary are one object."""
    if not hasattr(column, "dictionary"):
        return list(column.to_pylist())
    places = column.indices.to_pylist()
    used = sorted({place for place in places if place is not None})
    texts = dict(zip(used, column.dictionary.take(used).to_pylist(), strict=True))
    return [texts.get(place) for place in places]


def _value(row: dict[str, Any], name: str) -> Any:
    """The value of a key, or of `a.b`: key b of the value of a, or of each item if it is a list."""
    if name in row:
        return row[name]
    value: Any = row
    for key in name.split("."):
        if isinstance(value, list):
            value = [one.get(key) for one in value if isinstance(one, dict)]
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _cell_text(value: Any) -> str:
    """A cell as text; 7.0 becomes 7, because a column with gaps stores 7 as 7.0."""
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        return decode_text(value[:_LONGEST])
    return str(value) if isinstance(value, int | float) else ""


_EXPECTED = {"expected_sha256": SHA256, "expected_hash": HASH}
_OPTIONAL = ("id", "license", "author", "landing_url", "title", *_EXPECTED)
_SHOWN = 8


def candidates(
    source: CsvSource, parts: Sequence[ClassPart], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the rows whose label means one of the classes, in the table's order.

    Raises DataError when the table cannot be opened or a row cannot be read, UsageError for a
    column that is not there.
    """
    own = class_key(source.wnid) if source.wnid else None
    only = [part for part in parts if own in (part.key, part.wnid)]
    classes = _LabelClasses(source, parts, web, tally)
    others: dict[str, None] = {}  # labels of no class, for a hint
    matched = False
    for place in source.places if only or not source.wnid else ():
        for row in _rows(source, place, web):
            tally.read += 1
            labels = [] if only else _labels(row["label"], source.label_separator)
            # A class once, however many of the labels mean it.
            keys = dict.fromkeys(part.key for part in only)
            keys |= {key: None for label in labels if (key := classes.key(label))}
            if not keys:
                if len(others) <= _SHOWN:
                    others |= dict.fromkeys(labels)
                if not any(label.strip() for label in labels):
                    tally.pass_over("no label", _cell_text(row["url"]))
                continue
            matched = True
            url, reason = _url(source, place, _cell_text(row["url"]))
            if not url:
                tally.pass_over(reason, f"row {tally.read:,}")
                continue
            if fault := _expected_fault(row):
                tally.pass_over(fault, url)
                continue
            for key in keys:
                yield key, _candidate(key, url, row)
    if others and not matched:
        tally.warn(
            f"its labels match no class; it has {short_list(list(others))}; map them in labels"
        )


class _LabelClasses:
    """The class that each label of a table means; whether numbers are ILSVRC's indices."""

    def __init__(
        self, source: CsvSource, parts: Sequence[ClassPart], web: ListClient, tally: Tally
    ):
        self._source, self._parts, self._web, self._tally = source, parts, web, tally
        self._named, self._indices = label_meanings(parts, source.given_labels)
        self._has_indices = source.ilsvrc_indices

    def key(self, label: str) -> str:
        """The key of a class, or ''."""
        plain = normalized_label(label)
        if key := self._named.get(plain):
            return key
        if key := self._indices.get(plain):
            if self._has_indices is None:
                self._has_indices = self._labels_look_like_indices()
            return key if self._has_indices else ""
        self._tally.check_ambiguous(plain, self._parts)
        return ""

    def _labels_look_like_indices(self) -> bool:
        """Read all labels of the source once more to decide."""
        numbers = {
            int(label)
            for place in self._source.places
            for row in _rows(self._source, place, self._web)
            for label in _labels(row["label"], self._source.label_separator)
            if re.fullmatch("[0-9]{1,9}", label.strip())
        }
        if fault := no_indices(numbers):
            self._tally.warn(f"{fault}, or say ilsvrc_indices: true")
        return not fault


def _rows(source: CsvSource, part: str, web: ListClient) -> Iterator[Row]:
    """The rows of one file, by the keys of the source."""
    what = f"source csv {part}"
    with open_list(part, web, what, source.sha256) as file:
        yield from table_rows(file, source, what, partial(_columns, source, what))


def _labels(cell: Any, separator: str | None) -> list[str]:
    """The labels of a cell: a list's items, also of a JSON list in a text, or a text's parts."""
    if isinstance(cell, str) and cell.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            cell = json.loads(cell)
    texts = [_cell_text(one) for one in (cell if isinstance(cell, list) else [cell])]
    return [label for text in texts for label in text.split(separator)] if separator else texts


def _columns(source: CsvSource, what: str, there: Sequence[str]) -> dict[str, str]:
    """The columns that are read, by the source's keys."""
    keys = ["url"] if source.wnid else ["url", "label"]
    keys += [key for key in _OPTIONAL if getattr(source, key) or key in there]
    is_nested = source.form in ("jsonl", "parquet")
    for key in keys:
        name = getattr(source, key) or key
        if there.count(name) > 1:
            raise UsageError(f"{what}: {key}: it has {there.count(name)} columns {name!r}")
        if name not in there and not (is_nested and name.partition(".")[0] in there):
            raise UsageError(f"{what}: {key}: it has no column {name!r}, but {short_list(there)}")
    if source.form == "jsonl":  # a row may have keys that the first one lacks
        keys += [key for key in _OPTIONAL if key not in keys]
    return {key: getattr(source, key) or key for key in keys}


def _expected_fault(row: Row) -> str:
    """Normalize the hashes that a row expects of its photo; returns what is wrong, or ''."""
    for key, form in _EXPECTED.items():
        row[key] = _cell_text(row.get(key)).strip().lower()
        if row[key] and not form.fullmatch(row[key]):
            return f"{key}: no {64 if form is SHA256 else 16} hex digits"
    return ""


def _candidate(key: str, url: str, row: Row) -> Candidate:
    texts = {name: one_line(_cell_text(row.get(name))) for name in _OPTIONAL}
    return Candidate(texts.pop("id") or url_id(key, url), url, **texts)


def _url(source: CsvSource, table: str, text: str) -> tuple[str, str]:
    """The URL of a row, or '' and why it has none.

    A text that is no URL is the path of a file below the source's base, or else relative to the
    table's URL.
    """
    text = text.strip()
    if not text:
        return "", "no URL"
    if is_url(text) or "://" in text:
        return percent_encode_unprintable(text), ""
    if path := _local_file(source, table, text):
        return path, ""
    if is_url(table):
        with contextlib.suppress(ValueError):  # the download reports what is wrong with it
            text = urljoin(table, text)
    elif Path(text).is_absolute():  # which no table of ours may hold
        base = shown_location(source.base or str(Path(table).parent))
        return "", f"a path of no file below {base}"
    return percent_encode_unprintable(text), ""


def _local_file(source: CsvSource, table: str, text: str) -> str:
    """The path of a regular file below the base, as tables have it, or ''."""
    base = source.base or ("" if is_url(table) else str(Path(table).parent))
    try:
        if not base or not Path(base, text).is_file():
            return ""
    except (OSError, ValueError):  # too long, or a NUL
        return ""
    below = os.path.relpath(Path(base, text), base)
    if below.startswith(".."):
        return ""
    below = quoted_path(below.replace(os.sep, "/"))
    return below if base == "." else f"{base.rstrip('/')}/{below}"
