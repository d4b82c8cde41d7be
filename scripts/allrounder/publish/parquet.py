"""Packs the photos into Parquet, for datasets with more files than the Hub takes.

`datasets` and the Hub's viewer read it as they read the folders: columns image and label. Each
class has files of its own, so that a change of one class leaves the others as they are.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from allrounder.core.errors import UsageError
from allrounder.core.paths import MANIFEST
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.publish.files import PACKED

MAX_BYTES = 500_000_000
"""Bytes of photos in a file, about."""
_GROUP = 100  # rows; the Hub's viewer reads a group at once


def pack(dataset: Path, out: Path) -> dict[str, Path]:
    """Write the photos into `out`; returns the files by their path in the repository.

    The same photos give the same files. Raises UsageError without pyarrow, and for folds, which
    would repeat each photo.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise UsageError("--parquet needs pyarrow: pip install pyarrow") from None
    rows = sorted(read_csv(dataset / MANIFEST, ManifestRow), key=lambda row: row.file)
    if any(row.split.startswith("fold_") for row in rows):
        raise UsageError("--parquet: a dataset of folds repeats each photo; build it with a ratio")
    names = sorted({_folder(row) for row in rows})
    schema, files = _schema(names), dict[str, Path]()
    for (split, folder), part in groupby(rows, key=lambda row: (row.split, _folder(row))):
        for number, shard in enumerate(_shards(dataset, list(part))):
            name = f"{PACKED}/{split}/{folder}-{number:05}.parquet"
            files[name] = out / name
            files[name].parent.mkdir(parents=True, exist_ok=True)
            with parquet.ParquetWriter(files[name], schema, compression="none") as writer:
                for at in range(0, len(shard), _GROUP):
                    writer.write_table(_table(dataset, shard[at : at + _GROUP], names, schema))
    return files


def _folder(row: ManifestRow) -> str:
    """The class's folder, whose name is the label."""
    return row.file.split("/")[-2]


def _shards(dataset: Path, rows: Sequence[ManifestRow]) -> Iterator[list[ManifestRow]]:
    shard: list[ManifestRow] = []
    size = 0
    for row in rows:
        own = (dataset / row.file).stat().st_size
        if shard and size + own > MAX_BYTES:
            yield shard
            shard, size = [], 0
        shard.append(row)
        size += own
    yield shard


def _schema(names: Sequence[str]) -> Any:
    """The columns, with the types of Hugging Face's `datasets` in the metadata."""
    import pyarrow

    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(names), "_type": "ClassLabel"},
    }
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    return pyarrow.schema(
        [("image", image), ("label", pyarrow.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def _table(dataset: Path, rows: Sequence[ManifestRow], names: Sequence[str], schema: Any) -> Any:
    import pyarrow

    images = [
        {"bytes": (dataset / row.file).read_bytes(), "path": row.file.rpartition("/")[2]}
        for row in rows
    ]
    labels = [names.index(_folder(row)) for row in rows]
    return pyarrow.table({"image": images, "label": labels}, schema=schema)
