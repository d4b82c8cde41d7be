"""The schema of params.yaml: what each key means, its default and its bounds."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from allrounder.core.licences import listed
from allrounder.core.text import PROJECT, did_you_mean
from allrounder.params.classes import ClassesByKey, check_classes, check_overlaps, is_wnid
from allrounder.params.section import Section
from allrounder.params.sources import CONTACT, MODEL_SHA256, RAY, Source, check_location, check_path

ONE_LINE = r"^[^\x00-\x1f\x7f]{1,200}$"
MAX_SIDE, MAX_PIXELS, MAX_BYTES = 65_535, 1_000_000_000, 1_000_000_000
"""Upper bounds of sizes: what JPEG can hold, and what a decoder can keep in memory."""
MAX_PHOTOS = 10_000_000
MAX_RESERVE = 10
"""Upper bound of `download.reserve`: eleven photos taken for each one kept."""


class Download(Section):
    """Which photos are taken. After a change, refused URLs are requested again."""

    reserve: float = Field(0.2, ge=0, le=MAX_RESERVE)
    """take this share more than per_class, because clean drops some"""
    max_bytes: int = Field(20_000_000, ge=1, le=MAX_BYTES)
    """largest size of a photo in bytes"""
    min_side: int = Field(32, ge=1, le=MAX_SIDE)
    """smallest shorter side of a photo in pixels"""
    max_pixels: int = Field(100_000_000, ge=1, le=MAX_PIXELS)
    """largest width x height in pixels"""
    honour_opt_out: bool = True
    """refuse photos whose host, headers or metadata are against use for training"""
    robots: Literal["named", "all", "ignore"] = Field(
        "named",
        description="of a host's robots.txt obey the rules that name this project or collectors of "
        "training sets; all: also those for every robot; ignore: none",
    )
    expect: Literal["bytes", "picture", "nothing"] = Field(
        "picture",
        description="what must be as a recipe or a table expects: the bytes; the bytes or, as far "
        "as the source has its perceptual hash, the picture; nothing: only counted",
    )
    rescue: Literal["wayback"] | None = None
    """ask the Wayback Machine for photos that are gone; null: never"""
    rescue_date: int = Field(2011, ge=1996, le=99991231235959)
    """take the capture nearest to this date: YYYY, or as far as YYYYMMDDhhmmss"""
    rescue_api: str = Field(
        "https://archive.org/wayback/available", pattern="^https?://[^/?#]+(/[^?#]*)?$"
    )
    """the Wayback Machine's availability API"""


Levels = Annotated[list[float], Field(min_length=3, max_length=3)]


class Suspects(Section):
    """Which model finds photos that may belong to another class. It decides nothing."""

    model: Annotated[str, AfterValidator(check_location)]
    """an ONNX model, a file or a URL, from photos (1 x 3 x height x width) to embeddings"""
    sha256: str = Field(pattern=MODEL_SHA256)
    """SHA-256 of the model; a file with another one is refused"""
    share: float = Field(0.05, gt=0, le=1)
    """share of each class's photos to name as suspects"""
    mean: Levels = Field([0.485, 0.456, 0.406])
    """what the model expects subtracted from red, green and blue, 0 to 1"""
    std: Levels = Field([0.229, 0.224, 0.225])
    """and what it expects them divided by"""


class Clean(Section):
    """Which photos enter the dataset, and how they are stored."""

    min_side: int = Field(32, ge=1, le=MAX_SIDE)
    """smallest shorter side in pixels"""
    max_pixels: int = Field(100_000_000, ge=1, le=MAX_PIXELS)
    """largest width x height in pixels"""
    near_radius: int = Field(10, ge=0, le=11)
    """how far perceptual hashes of near-duplicates may differ: docs/cleaning.md, thresholds"""
    group_radius: int = Field(11, ge=0, le=11)
    """the same for similar photos, which stay on one side of the split"""
    cross_class: Literal["drop", "first"] = "drop"
    """a picture in two classes: drop every copy, or keep the first class's"""
    max_side: int | None = Field(None, ge=16, le=MAX_SIDE)
    """shrink larger photos to this longer side in pixels; null: never"""
    quality: int = Field(90, ge=1, le=95)
    """JPEG quality of photos that must be converted"""
    not_like: list[Annotated[str, AfterValidator(check_path)]] = Field([])
    """keep out copies of the photos in these folders, manifests or tables of fingerprints"""
    suspects: Suspects | None = None
    """find wrong labels with a model; null: do not"""
    licenses: list[str] | None = Field(
        None,
        min_length=1,
        description="keep only photos under these: licence URLs, names such as cc-by-2.0 or "
        "cc0-1.0, or unknown (the source names no licence); null: keep all",
    )

    @model_validator(mode="after")
    def _licenses_are_known(self) -> Self:
        for name in self.licenses or ():
            try:
                listed(name)
            except ValueError as error:
                raise ValueError(f"licenses: {error}") from None
        return self


class Split(Section):
    """How the photos are split and laid out."""

    ratio: list[float] = Field([0.8, 0.2], min_length=2, max_length=3)
    """train, val (and test); sums to 1"""
    kfold: int | None = Field(None, ge=2, le=100)
    """number of folds, each of them val once; replaces ratio"""
    seed: int | None = Field(None, ge=-(10**18), le=10**18)
    """seed of a shuffle; null: by content hash, stable when the dataset grows"""
    folders: Literal["label", "wnid", "voc"] = "label"
    """how class folders are named; voc: one folder for each VOC label"""
    layout: Literal["folders", "webdataset", "parquet"] = "folders"
    """photos in class folders, in tars as WebDataset reads them, or in Parquet as the Hub does"""
    shard_bytes: int = Field(256_000_000, ge=1, le=10**12)
    """largest size of a shard, in bytes of photos; most have half of it"""
    shard_photos: int = Field(10_000, ge=1, le=MAX_PHOTOS)
    """most photos of a shard"""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if self.kfold is not None and "ratio" in self.model_fields_set:
            raise ValueError(
                f"kfold: replaces ratio; remove one of the two lines, `kfold: {self.kfold}` or "
                f"`ratio: {self.ratio}`"
            )
        if self.kfold is not None and self.layout != "folders":
            raise ValueError(
                f"kfold: folds repeat each photo, so they need layout: folders, not {self.layout}"
            )
        if not (all(part > 0 for part in self.ratio) and abs(sum(self.ratio) - 1) <= 1e-6):
            raise ValueError(
                f"ratio: {self.ratio} must be positive parts that sum to 1, e.g. [0.8, 0.2]"
            )
        return self


class Network(Section):
    """How fast and how patiently URLs are requested, never which. No stage depends on it."""

    connections: int = Field(512, ge=1, le=900)
    """connections in total"""
    processes: int = Field(2, ge=1, le=16)
    """processes that share the classes and connections"""
    per_host: int = Field(16, ge=1, le=900)
    """connections to one host"""
    min_interval: float = Field(0, ge=0, le=60)
    """smallest time between two requests to one host, in seconds"""
    tries: int = Field(4, ge=1, le=20)
    """tries for a transient failure"""
    backoff: float = Field(0.5, gt=0, le=30)
    """seconds; the wait before try n is random, up to this x 2^n"""
    connect_timeout: float = Field(15, gt=0, le=300)
    """seconds to connect"""
    total_timeout: float = Field(60, gt=0, le=3600)
    """seconds for one try of one photo"""
    low_speed_time: int = Field(20, ge=1, le=300)
    """a try ends after so many seconds below 1,000 bytes a second"""
    retry_after_max: float = Field(120, ge=0, le=3600)
    """longest Retry-After that is obeyed, in seconds"""
    rescue_interval: float = Field(1, ge=0, le=60)
    """smallest time between two requests to the Wayback Machine, in seconds"""
    contact: str = Field("", pattern=CONTACT)
    """a URL or mail address in the User-Agent, so that hosts can contact you"""
    allow_private: list[str] = Field([])
    """hosts that may have private or loopback addresses"""
    ray: str | None = Field(None, pattern=RAY)
    """a Ray cluster to download and decode on: auto, local, ray://head:10001, head:6379"""


class Dataset(Section):
    """How the dataset describes itself: its card, Croissant metadata and report."""

    name: str = Field(PROJECT, pattern=ONE_LINE)
    """the title"""
    description: str = Field("", max_length=10_000)
    """what it is, as Markdown; '': only the counts"""
    homepage: str = Field("", pattern="^(https?://[^ ]+)?$")
    """its web page"""
    citation: str = Field("", max_length=10_000)
    """BibTeX of the dataset; '': made from its name and version"""
    license: str = Field("", pattern=f"{ONE_LINE}|^$")
    """of the dataset as a whole, e.g. cc-by-4.0; '': the licences of its photos"""


class Report(Section):
    """How much the report shows. Its counts are of all photos."""

    photos_per_class: int | None = Field(None, ge=1, le=MAX_PHOTOS)
    """most photos of a class in the gallery; null: 5,000 divided by the number of classes"""


class Params(Section):
    """params.yaml of imagenet-all-rounder: everything that defines a dataset version."""

    sources: list[Source] = Field(min_length=1)
    """read in this order"""
    classes: ClassesByKey = Field(
        min_length=1,
        description="ImageNet synset (wnid; with +, all ILSVRC classes below it), or any other "
        "name for a class of your own: the Pascal VOC label that it maps to, or null, or "
        "`{voc, synset, labels}`. The order gives the class index.",
    )
    per_class: int = Field(ge=1, le=MAX_PHOTOS)
    """most photos of a class"""
    min_per_class: int = Field(ge=1, le=MAX_PHOTOS)
    """the build fails if any class has fewer photos"""
    download: Download = Field(default_factory=lambda: Download())
    clean: Clean = Field(default_factory=lambda: Clean())
    split: Split = Field(default_factory=lambda: Split())
    dataset: Dataset = Field(default_factory=lambda: Dataset())
    report: Report = Field(default_factory=lambda: Report())
    network: Network = Field(default_factory=lambda: Network())

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if self.min_per_class > self.per_class:
            raise ValueError(
                f"min_per_class: {self.min_per_class} is above per_class ({self.per_class}); "
                "lower it or raise per_class"
            )
        if (self.split.kfold or 0) > self.per_class:
            raise ValueError(
                f"split.kfold: {self.split.kfold} is above per_class ({self.per_class}), so folds "
                "would be empty; lower it or raise per_class"
            )
        if self.clean.group_radius < self.clean.near_radius:
            raise ValueError(
                f"clean.group_radius: {self.clean.group_radius} is below clean.near_radius "
                f"({self.clean.near_radius}); raise it"
            )
        return self

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        check_classes(self.classes)
        check_overlaps(self.classes)
        without_voc = [one.name for one in self.classes.values() if one.voc is None]
        if self.split.folders == "voc" and without_voc:
            raise ValueError(
                f"split.folders: voc needs a VOC label for every class, and {without_voc[0]} has "
                "none; give it one or choose label"
            )
        return self

    @model_validator(mode="after")
    def _sources_name_classes(self) -> Self:
        names = {one.name for one in self.classes.values()}
        for number, source in enumerate(self.sources):
            for place, name in source.named_classes():
                if name not in names and not is_wnid(name):
                    raise ValueError(
                        f"sources.{number}.{place}: {name!r} is no class of the params and no wnid."
                        f"{did_you_mean(name, names)}"
                    )
            if source.kind == "open-images" and (source.enough or self.quota) < self.quota:
                raise ValueError(
                    f"sources.{number}.enough: {source.enough} photos cannot fill a class of "
                    f"{self.quota} (per_class and the reserve); raise it"
                )
        return self

    @property
    def quota(self) -> int:
        """Photos to take for a class: per_class and the reserve."""
        return int(self.per_class * (1 + self.download.reserve) + 0.5)

    @property
    def quotas(self) -> dict[str, int]:
        """The quota of each class."""
        return dict.fromkeys(self.classes, self.quota)
