"""Writes photos as Parquet that Hugging Face's `datasets` and the Hub's viewer read.

Columns image and label, as of an imagefolder. Pages are cut by content, so that a store that
removes repeated chunks, as the Hub does, takes only what differs from an earlier file.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from allrounder.core.errors import UsageError

_GROUP = 100  # rows; the Hub's viewer reads a group at once

Cell = tuple[str, str, bytes]
"""A photo's file name, the name of its label, its bytes."""


def check_pyarrow(needed_for: str) -> None:
    """Raise UsageError if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UsageError(f"{needed_for} needs pyarrow: pip install pyarrow") from None


def write_photos(path: Path, photos: Iterable[Cell], labels: Sequence[str]) -> None:
    """Write a file. The same photos and labels give the same bytes."""
    import pyarrow
    from pyarrow import parquet

    schema, numbers = _schema(labels), {label: at for at, label in enumerate(labels)}
    with parquet.ParquetWriter(
        path, schema, compression="none", use_content_defined_chunking=True
    ) as writer:
        for group in _groups(photos):
            images = [{"bytes": body, "path": name} for name, _, body in group]
            columns = {"image": images, "label": [numbers[label] for _, label, _ in group]}
            writer.write_table(pyarrow.table(columns, schema=schema))


def read_photos(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each photo's file name and bytes. Needs pyarrow."""
    from pyarrow import parquet

    for group in parquet.ParquetFile(path).iter_batches(_GROUP, columns=["image"]):
        for image in group.column(0).to_pylist():
            yield image["path"], image["bytes"]


def _groups(photos: Iterable[Cell]) -> Iterator[list[Cell]]:
    rest = iter(photos)
    while group := list(islice(rest, _GROUP)):
        yield group


def _schema(labels: Sequence[str]) -> Any:
    """The columns, with the types of Hugging Face's `datasets` in the metadata."""
    import pyarrow

    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(labels), "_type": "ClassLabel"},
    }
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    return pyarrow.schema(
        [("image", image), ("label", pyarrow.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
