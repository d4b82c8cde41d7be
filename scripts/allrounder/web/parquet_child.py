"""Reads Parquet in a process of its own: a hostile file may crash it or exhaust its bounds.

`python parquet_child.py <bytes of memory>` prints `{}`, then answers requests on stdin, which
parquet_reader.py sends. A request is a line of JSON, followed by the bytes of some pieces of a
file. An answer is a line of JSON; for photos, one line for each, followed by its bytes.
"""

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

SECONDS = 60.0  # of CPU time for a request
MAX_ROWS, MAX_GROUPS = 1_000_000, 100_000
"""Rows of a row group, and row groups of a file, at most."""
MAX_TEXT = 2**25  # characters of a row group's labels
_BATCH = 8  # photos that are decoded at once
_MAX_ELEMENTS = 1_000_000  # of a list in a footer


class _Pieces(io.RawIOBase):
    """A file of which only some pieces are available."""

    def __init__(self, size: int, pieces: list[tuple[int, bytes]]):
        self._size, self._pieces, self._position = size, pieces, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        for start, body in self._pieces:
            skipped = self._position - start
            if skipped >= 0 and self._position + size <= start + len(body) and size >= 0:
                self._position += size
                return body[skipped : skipped + size]
        raise ValueError("reads beyond the footer and the row group's column")


def _open(file: _Pieces) -> Any:
    from pyarrow import parquet  # where it is missing, `main` says so

    return parquet.ParquetFile(file, thrift_container_size_limit=_MAX_ELEMENTS)


def _layout(request: dict[str, Any], file: _Pieces) -> dict[str, Any]:
    """For each row group: its rows, the place and size of both columns, the range of its labels."""
    metadata = _open(file).metadata
    if metadata.num_row_groups > MAX_GROUPS:
        raise ValueError(f"more than {MAX_GROUPS:,} row groups")
    schema = metadata.schema
    leaves = {schema.column(n).path: n for n in range(metadata.num_columns)}
    label, image = request["label"], request["image"]
    image = f"{image}.bytes" if f"{image}.bytes" in leaves else image
    for name in (label, image):
        if name not in leaves or schema.column(leaves[name]).max_repetition_level:
            raise ValueError(f"no plain column {name!r}")
    if schema.column(leaves[image]).physical_type != "BYTE_ARRAY":
        raise ValueError(f"column {image!r} holds no photos")
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if not 0 <= group.num_rows <= MAX_ROWS:
            raise ValueError(f"more than {MAX_ROWS:,} rows in a row group")
        labels = group.column(leaves[label])
        places = [_place(labels), _place(group.column(leaves[image]))]
        groups.append([group.num_rows, *places, _range(labels)])
    return {"image": image, "groups": groups}


def _place(column: Any) -> tuple[int, int]:
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    return start, column.total_compressed_size


def _range(column: Any) -> list[int] | None:
    """The smallest and the largest of integer labels, if the file says so."""
    found = column.statistics if column.is_stats_set else None
    if not found or not found.has_min_max or type(found.min) is not int:
        return None
    return [found.min, found.max]


def _labels(request: dict[str, Any], file: _Pieces) -> dict[str, Any]:
    table = _open(file)
    column = [request["column"]]
    found = table.read_row_group(request["group"], columns=column, use_threads=False)
    values = found.column(0).to_pylist()
    labels = [value if isinstance(value, int | str) else None for value in values]
    if sum(len(label) for label in labels if isinstance(label, str)) > MAX_TEXT:
        raise ValueError(f"more than {MAX_TEXT:,} characters of labels in a row group")
    return {"labels": labels}


def _photos(request: dict[str, Any], file: _Pieces) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The size of each wanted photo, None for a row without one, and its bytes up to `most`."""
    wanted = iter(request["rows"])
    number = next(wanted, None)
    for row, cell in enumerate(_cells(file, request["group"], request["column"])):
        if row == number:
            buffer = None if cell is None else cell.as_buffer()
            size = None if buffer is None else buffer.size
            if buffer is None or buffer.size > request["most"]:
                yield {"size": size}, b""
            else:
                yield {"size": size}, buffer.to_pybytes()
            if (number := next(wanted, None)) is None:
                return
    raise ValueError("fewer rows than wanted")


def _cells(file: _Pieces, group: int, column: str) -> Iterator[Any]:
    """The cells of a column of photos, None where there is none; a few are decoded at once."""
    batches = _open(file).iter_batches(
        _BATCH, row_groups=[group], columns=[column], use_threads=False
    )
    for batch in batches:
        cells = batch.column(0)
        while hasattr(cells.type, "fields"):  # a struct of the leaf alone
            cells = cells.flatten()[0]  # with the struct's nulls
        for number in range(len(cells)):
            yield cells[number] if cells[number].is_valid else None


def _answers(request: dict[str, Any], file: _Pieces) -> Iterator[tuple[dict[str, Any], bytes]]:
    if request["call"] == "photos":
        yield from _photos(request, file)
    else:
        yield {"layout": _layout, "labels": _labels}[request["call"]](request, file), b""


def main() -> None:
    """Answer until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    if os.name != "nt":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
    import pyarrow.parquet  # noqa: F401

    given, out = sys.stdin.buffer, sys.stdout.buffer
    out.write(b"{}\n")
    out.flush()
    while line := given.readline():
        request = json.loads(line)
        pieces = [(start, given.read(size)) for start, size in request["pieces"]]
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            for answer, body in _answers(request, _Pieces(request["size"], pieces)):
                out.write(json.dumps(answer).encode() + b"\n")
                out.write(body)
                out.flush()  # so that a later crash loses nothing
        except (Exception, MemoryError) as error:  # whatever pyarrow raises for a broken file
            words = f"{type(error).__name__}: {error}"[:300]
            out.write(json.dumps({"error": words}).encode() + b"\n")
        out.flush()
        pieces.clear()


if __name__ == "__main__":
    main()
