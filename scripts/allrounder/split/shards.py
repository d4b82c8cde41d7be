"""Lays the photos out in shards: tars as WebDataset reads them, or Parquet.

A change of the dataset rewrites few shards. Runs of about GROUP classes share shards, and the
classes' keys decide where a run ends. The photos of a run are shuffled by content hash, and the
photos' hashes decide where a shard ends. So one photo more changes the shard that it is in, and the
next one if the shard was full.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allrounder.core.parquet import check_pyarrow, write_photos
from allrounder.core.paths import MANIFEST, Stages
from allrounder.core.progress import progress
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import Part, read_csv, table_parts
from allrounder.core.tars import StoredBytes, atomic_tar, tar_members
from allrounder.params.dataset import dataset_classes
from allrounder.params.schema import Params, Split

GROUP = 8
"""Classes that share shards, on average."""
SUFFIXES = {"webdataset": "tar", "parquet": "parquet"}
Sample = tuple[ManifestRow, StoredBytes]


@dataclass(frozen=True, slots=True)
class _Run:
    """The classes whose photos share shards."""

    number: int
    parts: dict[str, Sequence[Part]]  # of the manifest, by class key
    rules: Split
    labels: Sequence[str]
    clean: Path
    out: Path


def check_layout(rules: Split) -> None:
    """Raise UsageError if what the layout needs is not installed."""
    if rules.layout == "parquet":
        check_pyarrow("split.layout: parquet")


def write_shards(
    params: Params, stages: Stages, out: Path, each: Callable[..., Iterable[Any]] = map
) -> None:
    """Write `<split>/<number>.<suffix>` into `out`, which has the manifest.

    `each` may be the `map` of a worker pool.
    """
    parts, _ = table_parts(out / MANIFEST, "wnid", "split")
    folders = sorted({one.folder for one in dataset_classes(params)})
    jobs = [
        _Run(number, {key: parts[key] for key in keys}, params.split, folders, stages.clean, out)
        for number, keys in enumerate(runs(parts))
    ]
    numbers = defaultdict[Path, int](int)
    with progress(total=len(jobs), unit=" groups of classes") as bar:
        for written in each(_write_run, jobs):
            for shard in written:
                name = f"{numbers[shard.parent]:05}{shard.suffix}"
                numbers[shard.parent] += 1
                shard.rename(shard.parent / name)
            bar.update()


def runs(keys: Iterable[str]) -> Iterator[list[str]]:
    """Divide class keys into runs. A key ends its run if its hash is a multiple of GROUP."""
    run: list[str] = []
    for key in sorted(keys):
        run.append(key)
        if hashlib.sha256(key.encode()).digest()[0] % GROUP == 0:
            yield run
            run = []
    if run:
        yield run


def cut(samples: Iterable[Sample], most_bytes: int, most: int) -> Iterator[list[Sample]]:
    """Divide samples into shards of at most `most_bytes` and `most` photos, on average half.

    Once a shard is a quarter full, each photo may end it. The photo's hash decides, with a
    probability that grows with the photo's size, so that the same photos give the same shards.
    """
    shard: list[Sample] = []
    filled = 0
    for row, stored in samples:
        if shard and (filled + stored.size > most_bytes or len(shard) == most):
            yield shard
            shard, filled = [], 0
        shard.append((row, stored))
        filled += stored.size
        if 4 * filled >= most_bytes or 4 * len(shard) >= most:
            chance = 4 * stored.size / most_bytes + 4 / most
            if int(row.sha256[16:32], 16) < chance * 2**64:
                yield shard
                shard, filled = [], 0
    if shard:
        yield shard


def _write_run(run: _Run) -> list[Path]:
    """Write the shards of some classes, in order; their final numbers are not known yet."""
    samples = defaultdict[str, list[Sample]](list)
    for key, parts in run.parts.items():
        stored = dict(tar_members(run.clean / f"{key}.tar"))
        for row in read_csv(run.out / MANIFEST, ManifestRow, parts):
            samples[row.split].append((row, stored[row.name]))
    written = []
    for split, own in samples.items():
        (run.out / split).mkdir(exist_ok=True)
        own.sort(key=lambda sample: (sample[0].sha256, sample[0].file))
        for number, shard in enumerate(cut(own, run.rules.shard_bytes, run.rules.shard_photos)):
            name = f"new-{run.number}-{number}.{SUFFIXES[run.rules.layout]}"
            written.append(run.out / split / name)
            if run.rules.layout == "webdataset":
                _write_tar(written[-1], shard)
            else:
                cells = ((row.name, row.folder, place.read()) for row, place in shard)
                write_photos(written[-1], cells, run.labels)
    return written


def _write_tar(path: Path, shard: Sequence[Sample]) -> None:
    """Write `key.jpg` and `key.json`, the photo's row of the manifest, for each sample."""
    with atomic_tar(path) as tar:
        for row, stored in shard:
            tar.copy(row.name, stored)
            cells = asdict(row) | {"suspect": row.suspect or 0}  # of one type in all shards
            text = json.dumps(cells, ensure_ascii=False, separators=(",", ":"))
            tar.add(f"{row.name.rpartition('.')[0]}.json", text.encode())
