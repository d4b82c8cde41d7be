"""Counts and texts that the dataset card and croissant.json share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from allrounder.core.licences import normal
from allrounder.core.paths import Stages
from allrounder.core.rows import CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.text import PROJECT
from allrounder.core.urls import host_of, is_url
from allrounder.params.dataset import DatasetClass, dataset_classes, split_names
from allrounder.params.schema import Params

HOSTS, LICENCES = 10, 30
"""Hosts of each kind of source, and licences, named at most; the others are counted together."""
LONGEST = 80
"""Characters of a licence's normal form at most: some sources give its whole text."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A kind of source, a host ('' for local files), and its photos."""

    source: str
    host: str
    photos: int


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """The counts that describe a dataset."""

    classes: tuple[DatasetClass, ...]
    photos: int
    splits: dict[str, int]
    bytes: dict[str, int]  # by split
    by_class: Counter[tuple[str, str]]  # (class key, split): photos
    origins: tuple[Origin, ...]
    licences: dict[str, int]  # normal form or `other`: photos; the most frequent first
    credited: int  # photos with an author
    raw: dict[Status, int]
    clean: dict[Status, int]


def count_facts(
    params: Params, stages: Stages, out: Path, manifest: Sequence[ManifestRow]
) -> DatasetFacts:
    """Count the dataset in `out`. Raises DataError when a stage's table is damaged."""
    splits = Counter(row.split for row in manifest)
    sizes: Counter[str] = Counter()
    for row in manifest:
        sizes[row.split] += (out / row.file).stat().st_size
    return DatasetFacts(
        classes=tuple(dataset_classes(params)),
        photos=len(manifest),
        splits={name: splits[name] for name in split_names(params.split)},
        bytes={name: sizes[name] for name in split_names(params.split)},
        by_class=Counter((row.wnid, row.split) for row in manifest),
        origins=tuple(_origins(manifest)),
        licences=_licences(manifest),
        credited=sum(bool(row.author) for row in manifest),
        raw=_status_counts(params, stages.raw, RawRow),
        clean=_status_counts(params, stages.clean, CleanRow),
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
    return (host_of(url) or "?") if is_url(url) else ""


def _status_counts(
    params: Params, folder: Path, kind: type[RawRow] | type[CleanRow]
) -> dict[Status, int]:
    counts = Counter(
        row.status for key in params.classes for row in read_csv(folder / f"{key}.csv", kind)
    )
    del counts[Status.ARCHIVE]  # not a candidate
    return {status: counts[status] for status in Status if counts[status]}


def _sorted(counts: Counter[str]) -> dict[str, int]:
    """Sort by falling count, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


REASONS = {
    Status.OK: "downloaded",
    Status.ARCHIVE: "an archive that was read, not a photo",
    Status.UNUSED: "not requested: the class was full",
    Status.DUPLICATE: "the same bytes as another photo of its class",
    Status.BAD_URL: "not a valid URL or path",
    Status.BLOCKED: "leads to a private address",
    Status.HTTP_ERROR: "the server answered with an error",
    Status.NO_ACCESS: "needs a login or a token",
    Status.TIMEOUT: "no answer in time",
    Status.CONNECTION_ERROR: "no connection to the server",
    Status.REDIRECT_ERROR: "a redirect that is broken or endless",
    Status.TOO_LARGE: "the file is larger than the limit",
    Status.TRUNCATED: "the file is incomplete",
    Status.EMPTY: "the file is empty",
    Status.NOT_IMAGE: "the file is not an image",
    Status.OPTED_OUT: "the server does not allow this use (X-Robots-Tag)",
    Status.TOO_SMALL: "too few pixels",
    Status.TOO_MANY_PIXELS: "too many pixels",
    Status.PLACEHOLDER: "a picture that says the photo is gone",
    Status.KEPT: "in this dataset",
    Status.SURPLUS: "valid, but the class was full",
    Status.CORRUPT: "cannot be decoded completely",
    Status.EXACT_DUPLICATE: "the same pixels as another photo of its class",
    Status.NEAR_DUPLICATE: "nearly the same picture as another photo of its class",
    Status.CROSS_CLASS: "appears in two classes, so its label is ambiguous",
    Status.LICENSE: "its licence is not among the accepted ones",
}
"""The meaning of each status."""

LIMITS = (
    "Labels come from the sources; not every photo of this dataset was checked by a person.",
    "Duplicates are found by visual similarity: strong crops, mirror images and other views of one "
    "scene may remain.",
    "Photos that are still available are not a random sample of those that were listed, nor of the "
    "world: ImageNet's come mostly from North America and Europe (Shankar et al., No "
    "Classification without Representation, 2017).",
    "Photos may show people; faces are not blurred.",
    "Each photo has one label, even if it shows objects of several classes.",
)

CITATIONS = (
    """@inproceedings{deng2009imagenet,
  title = {{ImageNet}: A large-scale hierarchical image database},
  author = {Deng, Jia and Dong, Wei and Socher, Richard and Li, Li-Jia and Li, Kai and Fei-Fei, Li},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {248--255},
  year = {2009}
}""",
    """@article{everingham2010pascal,
  title = {The {Pascal} Visual Object Classes ({VOC}) Challenge},
  author = {Everingham, Mark and Van Gool, Luc and Williams, Christopher K. I. and Winn, John
            and Zisserman, Andrew},
  journal = {International Journal of Computer Vision},
  volume = {88},
  number = {2},
  pages = {303--338},
  year = {2010}
}""",
)


def summary(facts: DatasetFacts) -> str:
    """Return the dataset in a sentence."""
    splits = ", ".join(f"{count:,} {split}" for split, count in facts.splits.items())
    return (
        f"{facts.photos:,} photos of {len(facts.classes)} ImageNet classes "
        f"({splits}). A class may also have a Pascal VOC label."
    )


def citation(facts: DatasetFacts, version: str) -> str:
    """Return BibTeX for this version, named by the first digits of its manifest's SHA-256."""
    return f"""@misc{{imagenet_all_rounder_{version},
  title = {{{PROJECT}: {facts.photos} photos of {len(facts.classes)} ImageNet classes}},
  note = {{Version {version} (SHA-256 of manifest.csv)}}
}}"""
