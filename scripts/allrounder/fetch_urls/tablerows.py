"""Reads the wanted columns of a table, row by row: CSV, TSV, JSON Lines or Parquet.

Never whole in memory. Not for what the columns mean: that is sources/csv_table.py.
"""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import IO, Any

from allrounder.errors import DataError, UsageError
from allrounder.urltext import one_line, url_text

MAX_LINE = 2**20
"""Characters of a line at most: what is longer is no list of URLs."""
_CHUNK = 2**20
_BATCH = 8192

Cells = list[str]
Choose = Callable[[Sequence[str]], Sequence[str]]
"""Says which of the columns that are there to read. Raises UsageError when one is not there."""


def rows(file: IO[bytes], form: str, what: str, choose: Choose) -> Iterator[Cells]:
    """Yield the cells of the chosen columns of each row, as text; '' where there is nothing.

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
            raise DataError(f"{what}, line {number}: more than {MAX_LINE:,} characters; no list")
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
        yield [_text(row.get(name)) for name in names]
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
                    [_text(value) for value in cells] for cells in zip(*columns, strict=True)
                )
        except (pyarrow.ArrowException, KeyError, ValueError, OverflowError) as error:
            words = one_line(str(error))[:120]
            raise DataError(f"{what}: broken or no Parquet: {words}") from None


def _text(value: Any) -> str:
    """A cell as text; 7.0, which is how a column with gaps holds 7, is 7."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        return url_text(value)
    return str(value) if isinstance(value, str | int | float) else ""
