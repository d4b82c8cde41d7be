"""Counts and texts that the dataset card and croissant.json share."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from allrounder.core.counts import Addable
from allrounder.core.funnel import Funnel, ranked, total_funnel
from allrounder.core.licences import normal
from allrounder.core.rows import ManifestRow, Status
from allrounder.core.urls import host_of, is_url
from allrounder.params.dataset import DatasetClass
from allrounder.params.schema import Dataset
from allrounder.params.sources import KINDS

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


@dataclass
class Tally(Addable):
    """Counts of photos, class by class."""

    photos: Counter[tuple[str, str]] = field(default_factory=Counter)  # by class key and split
    bytes: Counter[str] = field(default_factory=Counter)  # by split
    hosts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind of source and host
    licences: Counter[str] = field(default_factory=Counter)  # by normal form, cut at LONGEST
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    credited: int = 0  # with an author
    attributed: int = 0  # with an author or a licence
    rescued: int = 0

    def count(self, row: ManifestRow, size: int) -> None:
        """Count a photo."""
        self.photos[row.wnid, row.split] += 1
        self.bytes[row.split] += size
        self.hosts[row.source, (host_of(row.url) or "?") if is_url(row.url) else ""] += 1
        self.licences[normal(row.license)[:LONGEST]] += 1
        self.credited += bool(row.author)
        self.attributed += bool(row.author or row.license)
        self.rescued += bool(row.rescued_from)
        if row.moved_from:
            self.moved[row.moved_from, row.wnid] += 1


@dataclass(frozen=True)
class DatasetFacts:
    """What describes a dataset."""

    classes: list[DatasetClass]
    funnels: Mapping[str, Funnel]  # by class key
    tally: Tally
    dataset: Dataset  # how it describes itself

    @cached_property
    def total(self) -> Funnel:
        """The funnel of all classes."""
        return total_funnel(self.funnels.values())

    @cached_property
    def origins(self) -> list[Origin]:
        """The photos by kind of source and host, the most frequent hosts first."""
        by_source: dict[str, dict[str, int]] = defaultdict(dict)
        for (source, host), count in self.tally.hosts.items():
            by_source[source][host] = count
        origins = []
        for source, hosts in sorted(by_source.items()):
            named, rest = ranked(hosts, HOSTS)
            origins += [Origin(source, host, count) for host, count in named]
            if rest:
                origins.append(Origin(source, f"{len(hosts) - HOSTS} other hosts", rest))
        return origins

    @cached_property
    def licences(self) -> dict[str, int]:
        """The photos by licence (normal form or `other`), the most frequent first."""
        named, rest = ranked(self.tally.licences, LICENCES)
        return dict(Counter(dict(named)) + Counter({"other": rest}))

    @property
    def photos(self) -> int:
        """The number of photos in the dataset."""
        return sum(self.total.splits.values())

    @property
    def on_web(self) -> int:
        """The number of photos that have a URL."""
        return sum(one.photos for one in self.origins if one.host)

    @property
    def has_imagenet(self) -> bool:
        """Whether a class or a photo is ImageNet's."""
        kinds = {one.source for one in self.origins}
        return any(one.wnid for one in self.classes) or bool(kinds & _IMAGENETS)

    @property
    def may_have_imagenet_photos(self) -> bool:
        """Whether photos may be ImageNet's: a local folder of its classes has photos of its own."""
        kinds = {one.source for one in self.origins} - _NEVER_IMAGENET
        return self.has_imagenet and bool(kinds)

    @property
    def has_voc(self) -> bool:
        """Whether a class has a VOC label, or all are ImageNet's, which may have one."""
        return any(one.voc for one in self.classes) or not self.has_own

    @property
    def has_own(self) -> bool:
        """Whether a class is one of the user's own."""
        return any(one.is_own for one in self.classes)

    @property
    def kinds(self) -> str:
        """The number of classes, and how many of them are ImageNet's."""
        own, all_of_them = sum(not one.wnid for one in self.classes), len(self.classes)
        if not own:
            return f"{all_of_them} ImageNet classes"
        of_them = f", {all_of_them - own} of them ImageNet's" if own < all_of_them else ""
        return f"{all_of_them} classes{of_them}"

    @property
    def corrected(self) -> bool:
        """Whether a person has moved photos or taken some out."""
        return bool(self.tally.moved or self.total.clean[Status.EXCLUDED])


REASONS = {
    Status.OK: "downloaded",
    Status.ARCHIVE: "an archive that was read, not a photo",
    Status.UNUSED: "not requested: the class was full",
    Status.DUPLICATE: "the same photo as another candidate of its class",
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
    Status.OPTED_OUT: "the host or the photo itself is against use for training",
    Status.TAKEN_DOWN: "taken down: it must not be kept",
    Status.TOO_SMALL: "too few pixels",
    Status.TOO_MANY_PIXELS: "too many pixels",
    Status.PLACEHOLDER: "a picture that says the photo is gone",
    Status.CHANGED: "another photo than the source expects",
    Status.KEPT: "in this dataset",
    Status.SURPLUS: "valid, but the class was full",
    Status.CORRUPT: "cannot be decoded completely",
    Status.EXACT_DUPLICATE: "the same pixels as another photo of its class",
    Status.NEAR_DUPLICATE: "nearly the same picture as another photo of its class",
    Status.CROSS_CLASS: "appears in two classes, so its label is ambiguous",
    Status.LICENSE: "its licence is not among the accepted ones",
    Status.EXCLUDED: "taken out by hand",
    Status.IN_TEST_SET: "a copy of a photo of a test set that is to be kept out",
}
"""The meaning of each status."""

TEMPLATES = Path(__file__).parent / "templates"
_IMAGENETS = {kind for kind, model in KINDS.items() if model.knows_wnids_only}
_NEVER_IMAGENET = {kind for kind, model in KINDS.items() if model.has_other_photos_only}


def limits(facts: DatasetFacts) -> list[str]:
    """The dataset's limits; those of ImageNet only if photos may be ImageNet's."""
    lines = (TEMPLATES / "limits.txt").read_text(encoding="utf-8").splitlines()
    if facts.may_have_imagenet_photos:
        return lines
    return [line.partition(": ImageNet's")[0] + "." * (": ImageNet's" in line) for line in lines]


def summary(facts: DatasetFacts) -> str:
    """The dataset in a sentence."""
    splits = ", ".join(f"{count:,} {split}" for split, count in facts.total.splits.items())
    labelled = " A class may also have a Pascal VOC label." if facts.has_voc else ""
    return f"{facts.photos:,} photos of {facts.kinds} ({splits}).{labelled}"


def citations(facts: DatasetFacts, version: str) -> str:
    """BibTeX for this version, named by its manifest's SHA-256, and for its origins."""
    origins = (TEMPLATES / "citations.bib").read_text(encoding="utf-8").rstrip()
    of_origins = [
        entry
        for entry in re.split(r"\n(?=@)", origins)
        if (facts.has_imagenet if "ImageNet" in entry else facts.has_voc)
    ]
    about = facts.dataset
    key = re.sub("[^a-z0-9]+", "_", about.name.lower()).strip("_") or "dataset"
    name = re.sub(r"[{}\\]", "", about.name)
    own = about.citation.rstrip() or (
        f"@misc{{{key}_{version},\n"
        f"  title = {{{name}: {facts.photos} photos of {facts.kinds}}},\n"
        f"  note = {{Version {version} (SHA-256 of manifest.csv)}}\n}}"
    )
    return "\n".join([own, *of_origins])
