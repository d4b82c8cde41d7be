"""Counts what a dataset's descriptions tell of it: photos by split, source, licence and fate.

Not for the words around the counts: those are card.py's and croissant.py's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from allrounder.csvfiles import read_csv
from allrounder.licences import normal
from allrounder.params import Params
from allrounder.records import CleanRow, ManifestRow, RawRow, Status
from allrounder.split.layout import DatasetClass, Stages, dataset_classes
from allrounder.split.splitting import splits
from allrounder.urltext import is_web

HOSTS, LICENCES = 10, 30
"""So many hosts of each kind of source, and licences, are named; the rest is counted together."""
LONGEST = 80
"""Characters of a licence's normal form that are told: some sources give its whole text."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A kind of source, a host ('' for files on the builder's disk), and its photos."""

    source: str
    host: str
    photos: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to tell of a dataset."""

    classes: tuple[DatasetClass, ...]
    photos: int
    splits: dict[str, int]
    bytes: dict[str, int]  # by split
    by_class: Counter[tuple[str, str]]  # (wnid, split): photos
    origins: tuple[Origin, ...]
    licences: dict[str, int]  # normal form, or other: photos, the most frequent first
    credited: int  # photos with an author
    raw: dict[Status, int]
    clean: dict[Status, int]


def facts(params: Params, stages: Stages, out: Path, manifest: Sequence[ManifestRow]) -> Facts:
    """Count the dataset in `out`. Raises DataError when a stage's table is damaged."""
    sides = Counter(row.split for row in manifest)
    sizes: Counter[str] = Counter()
    for row in manifest:
        sizes[row.split] += (out / row.file).stat().st_size
    return Facts(
        classes=tuple(dataset_classes(params)),
        photos=len(manifest),
        splits={side: sides[side] for side in splits(params.split)},
        bytes={side: sizes[side] for side in splits(params.split)},
        by_class=Counter((row.wnid, row.split) for row in manifest),
        origins=tuple(_origins(manifest)),
        licences=_licences(manifest),
        credited=sum(bool(row.author) for row in manifest),
        raw=_fates(params, stages.raw, RawRow),
        clean=_fates(params, stages.clean, CleanRow),
    )


def _licences(manifest: Sequence[ManifestRow]) -> dict[str, int]:
    counts = Counter(normal(row.license)[:LONGEST] for row in manifest)
    ranked = list(_sorted(counts).items())
    named = dict(ranked[:LICENCES])
    if rest := sum(count for _, count in ranked[LICENCES:]):
        named["other"] = named.get("other", 0) + rest
    return named


def _origins(manifest: Sequence[ManifestRow]) -> list[Origin]:
    found: dict[str, Counter[str]] = {}
    for row in manifest:
        found.setdefault(row.source, Counter())[_host(row.url)] += 1
    origins = []
    for source, hosts in sorted(found.items()):
        ranked = list(_sorted(hosts).items())
        origins += [Origin(source, host, count) for host, count in ranked[:HOSTS]]
        if rest := sum(count for _, count in ranked[HOSTS:]):
            origins.append(Origin(source, f"{len(ranked) - HOSTS} other hosts", rest))
    return origins


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "?") if is_web(url) else ""
    except ValueError:
        return "?"


def _fates(params: Params, folder: Path, kind: type[RawRow] | type[CleanRow]) -> dict[Status, int]:
    counts = Counter(
        row.status for wnid in params.classes for row in read_csv(folder / f"{wnid}.csv", kind)
    )
    return {status: counts[status] for status in Status if counts[status]}


def _sorted(counts: Counter[str]) -> dict[str, int]:
    """By falling count, then by name: the same order whatever came first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
