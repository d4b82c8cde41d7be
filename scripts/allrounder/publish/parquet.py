"""Packs the photos into Parquet, for datasets with more files than the Hub takes.

`datasets` and the Hub's viewer read it as they read the folders: columns image and label. Each
class has files of its own, so that a change of one class leaves the others as they are.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from allrounder.core.errors import UsageError
from allrounder.core.parquet import check_pyarrow, write_photos
from allrounder.core.paths import MANIFEST
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.publish.files import PACKED

MAX_BYTES = 500_000_000
"""Bytes of photos in a file, about."""


def pack(dataset: Path, out: Path) -> dict[str, Path]:
    """Write the photos into `out`; returns the files by their path in the repository.

    The same photos give the same files. Raises UsageError without pyarrow, for folds, which would
    repeat each photo, and for a dataset in shards.
    """
    check_pyarrow("--parquet")
    rows = sorted(read_csv(dataset / MANIFEST, ManifestRow), key=lambda row: row.file)
    if any(row.split.startswith("fold_") for row in rows):
        raise UsageError("--parquet: a dataset of folds repeats each photo; build it with a ratio")
    if rows and not (dataset / rows[0].file).exists():
        raise UsageError("--parquet: the dataset is in shards already; publish it as it is")
    names, files = sorted({row.folder for row in rows}), dict[str, Path]()
    for (split, folder), part in groupby(rows, key=lambda row: (row.split, row.folder)):
        for number, shard in enumerate(_shards(dataset, part)):
            name = f"{PACKED}/{split}/{folder}-{number:05}.parquet"
            files[name] = out / name
            files[name].parent.mkdir(parents=True, exist_ok=True)
            cells = ((row.name, row.folder, (dataset / row.file).read_bytes()) for row in shard)
            write_photos(files[name], cells, names)
    return files


def _shards(dataset: Path, rows: Iterable[ManifestRow]) -> Iterator[list[ManifestRow]]:
    end = 0
    sized = [(row, end := end + (dataset / row.file).stat().st_size) for row in rows]
    for _, shard in groupby(sized, key=lambda pair: (pair[1] - 1) // MAX_BYTES):
        yield [row for row, _ in shard]
