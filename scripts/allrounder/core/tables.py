"""Reads and writes the CSV tables between stages: UTF-8, LF, a header, one dataclass a row."""

import csv
import io
import operator
import types
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TextIO, TypeVar

from allrounder.core.errors import DataError
from allrounder.core.files import atomic_write

Row = TypeVar("Row")


@cache
def columns(kind: type) -> tuple[str, ...]:
    """The columns of a row type, in file order."""
    return tuple(field.name for field in fields(kind))


class CsvWriter:
    """Writes rows of one type."""

    def __init__(self, file: TextIO, names: Sequence[str]):
        self._cells = operator.attrgetter(*names)
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(names)

    def write(self, row: object) -> None:
        """Write one row; None becomes an empty cell."""
        self._writer.writerow(self._cells(row))


def write_csv(path: Path, kind: type, rows: Iterable[object], names: Sequence[str] = ()) -> None:
    """Write rows of a type to `path`, all of its columns or only those in `names`."""
    with atomic_write(path) as file:
        writer = CsvWriter(file, names or columns(kind))
        for row in rows:
            writer.write(row)


_FORMULA = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"  # and the full-width forms


def no_formula(text: str) -> str:
    """Quote a text that a spreadsheet would evaluate as a formula.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if text.startswith(tuple(_FORMULA)) else text


Part = tuple[int, int]
"""Rows of a table that follow each other: the first byte, and one past the last."""


def read_csv(path: Path, kind: type[Row], parts: Sequence[Part] | None = None) -> Iterator[Row]:
    """Yield the rows of a file, or only those in some parts. Columns with a default may be missing.

    Raises DataError with file and line if the file is missing or is not such a table.
    """
    if not path.exists():
        raise _missing(path)
    casts = _casts(kind)  # type: ignore[arg-type]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file if parts is None else _lines(path, parts))
        try:
            header = next(reader, [])
            if unknown := [name for name in header if name not in casts]:
                raise DataError(f"{path}: unknown column {unknown[0]!r}; build this stage again")
            others = [(at, casts[name]) for at, name in enumerate(header) if casts[name] is not str]
            in_order = header == [*casts][: len(header)]
            values: list[Any]
            for values in reader:
                if len(values) != len(header):
                    raise ValueError(f"{len(values)} cells under a header of {len(header)}")
                for at, cast in others:
                    values[at] = cast(values[at])
                yield kind(*values) if in_order else kind(**dict(zip(header, values, strict=True)))
        except (ValueError, TypeError, csv.Error) as error:
            raise _bad_row(path, reader.line_num, error) from None


def table_bytes(path: Path, parts: Sequence[Part]) -> bytes:
    """The header of a file, and its rows in these parts."""
    with path.open("rb") as file:
        found = [file.readline()]
        for start, end in parts:
            file.seek(start)
            found.append(file.read(end - start))
        return b"".join(found)


def _lines(path: Path, parts: Sequence[Part]) -> Iterator[str]:
    """The header of a file, and the lines in these parts."""
    yield from io.StringIO(table_bytes(path, parts).decode("utf-8"), newline="")


def table_parts(path: Path, *names: str) -> tuple[dict[str, list[Part]], Counter[tuple[str, ...]]]:
    """The places of each first column's value, and the count of each combination of the columns.

    Reads a row at a time. Raises DataError as `read_csv` does.
    """
    places: dict[str, list[Part]] = {}
    counts = Counter[tuple[str, ...]]()
    if not path.exists():
        raise _missing(path)
    with path.open("rb") as file:
        reader = csv.reader(line.decode("utf-8") for line in iter(file.readline, b""))
        try:
            header = next(reader, [])
            pick = operator.itemgetter(*map(header.index, names))
            start, end, last = 0, file.tell(), ""
            for cells in reader:
                own = pick(cells)
                if own[0] != last:
                    if last:
                        places.setdefault(last, []).append((start, end))
                    start, last = end, own[0]
                counts[own] += 1
                end = file.tell()
            if last:
                places.setdefault(last, []).append((start, end))
        except (ValueError, IndexError, csv.Error) as error:
            raise _bad_row(path, reader.line_num, error) from None
    return places, counts


def _missing(path: Path) -> DataError:
    return DataError(f"{path}: no such file; run dvc repro, which builds it")


def _bad_row(path: Path, line: int, error: Exception) -> DataError:
    return DataError(f"{path}, line {line}: bad row ({error}); build this stage again")


@cache
def _casts(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {name: _cast(hints[name]) for name in columns(kind)}


def _cast(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        return lambda cell: None if cell == "" else int(cell)
    if isinstance(hint, type) and issubclass(hint, StrEnum | int):
        return hint
    return str
