"""The schema of params.yaml: what each key means, its default and its bounds.

Not for reading the file or wording its errors: that is paramsfile.py.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from allrounder.catalogue.synsets import (
    VOC_LABELS,
    did_you_mean_voc,
    did_you_mean_wnid,
    find_synset,
    overlapping_classes,
    synsets_of,
    wnid_of,
)
from allrounder.core.licences import listed
from allrounder.params.sources import Section, Source

MAX_RESERVE = 10
"""Of `download.reserve`: eleven photos taken for each that is kept."""


class Download(Section):
    """Which photos are taken. A change asks the web again for what was refused."""

    reserve: float = Field(
        0.2,
        ge=0,
        le=MAX_RESERVE,
        description="take this share more than per_class, for clean to drop",
    )
    max_bytes: int = Field(20_000_000, ge=1, description="a photo's size in bytes at most")
    min_side: int = Field(32, ge=1, description="a photo's shorter side in pixels at least")
    max_pixels: int = Field(100_000_000, ge=1, description="a photo's width x height at most")
    honour_opt_out: bool = Field(
        True, description="leave out photos whose X-Robots-Tag says noai, noindex or the like"
    )


class Clean(Section):
    """What a photo must be to enter the dataset."""

    min_side: int = Field(32, ge=1, description="the shorter side in pixels at least")
    max_pixels: int = Field(100_000_000, ge=1, description="width x height at most")
    near_radius: int = Field(
        8, ge=0, le=11, description="bits of 64 between perceptual hashes of near-duplicates"
    )
    group_radius: int = Field(
        10, ge=0, le=11, description="this many bits apart: kept, but on one side of the split"
    )
    cross_class: Literal["drop", "first"] = Field(
        "drop", description="a picture in two classes: drop all of it, or keep the first class's"
    )
    max_side: int | None = Field(
        None, ge=16, description="larger photos are shrunk to this longer side in pixels; or null"
    )
    quality: int = Field(
        90, ge=1, le=95, description="JPEG quality of photos that must be converted"
    )
    licenses: list[str] | None = Field(
        None,
        min_length=1,
        description="only photos under these: URLs, names such as cc-by-2.0 or cc0-1.0, or "
        "unknown for photos whose source names no licence; or null: all",
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
    """How the photos are parted and laid out."""

    ratio: list[float] = Field(
        [0.8, 0.2], min_length=2, max_length=3, description="train, val (and test); sums to 1"
    )
    kfold: int | None = Field(
        None, ge=2, le=100, description="instead of ratio: so many folds, each once val"
    )
    seed: int | None = Field(
        None,
        description="null: by content hash, stable when the dataset grows; or a shuffle's seed",
    )
    folders: Literal["label", "wnid", "voc"] = Field(
        "label", description="what class folders are named by; voc: a folder for each VOC label"
    )

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if self.kfold is not None and "ratio" in self.model_fields_set:
            raise ValueError("kfold: stands instead of ratio; remove one of them")
        if not (all(part > 0 for part in self.ratio) and abs(sum(self.ratio) - 1) <= 1e-6):
            raise ValueError(
                f"ratio: {self.ratio} must be positive parts that sum to 1, e.g. [0.8, 0.2]"
            )
        return self


class Network(Section):
    """How the web is asked: how fast and how patiently, never what. No stage depends on it."""

    connections: int = Field(64, ge=1, le=900, description="connections in all")
    processes: int = Field(
        2, ge=1, le=16, description="processes that share the classes and the connections"
    )
    per_host: int = Field(16, ge=1, le=900, description="connections to one host")
    min_interval: float = Field(
        0, ge=0, le=60, description="seconds between two requests to one host, at least"
    )
    tries: int = Field(4, ge=1, le=20, description="tries for a fault that may pass")
    backoff: float = Field(
        0.5, gt=0, le=30, description="seconds; the wait before try n is drawn from 0 to this x 2^n"
    )
    connect_timeout: float = Field(15, gt=0, le=300, description="seconds")
    total_timeout: float = Field(60, gt=0, le=3600, description="seconds for one photo, one try")
    low_speed_time: int = Field(
        20, ge=1, le=300, description="seconds below 1,000 bytes a second that end a try"
    )
    retry_after_max: float = Field(
        120, ge=0, le=3600, description="seconds a Retry-After may ask for at most"
    )
    contact: str = Field(
        "",
        pattern=r"^[ -~]*$",
        description="a URL or mail address for the User-Agent, so that hosts can reach you",
    )
    allow_private: list[str] = Field(
        [], description="hosts that may have private or loopback addresses"
    )


VocLabel = Annotated[str, Field(json_schema_extra={"enum": list(VOC_LABELS)})]


class Params(Section):
    """params.yaml of imagenet-all-rounder: the whole meaning of a dataset version."""

    sources: list[Source] = Field(min_length=1, description="asked in this order")
    classes: dict[str, VocLabel | None] = Field(
        min_length=1,
        description="ImageNet synset (wnid; with + all of ILSVRC's classes below it): the Pascal "
        "VOC label it stands for, or null. Their order is the class index.",
        json_schema_extra={"propertyNames": {"pattern": r"^n[0-9]{8}\+?$"}},
    )
    per_class: int = Field(ge=1, description="photos a class at most")
    min_per_class: int = Field(ge=1, description="fewer in any class: the build fails")
    download: Download = Field(default_factory=lambda: Download())
    clean: Clean = Field(default_factory=lambda: Clean())
    split: Split = Field(default_factory=lambda: Split())
    network: Network = Field(default_factory=lambda: Network())

    @model_validator(mode="before")
    @classmethod
    def _class_keys_are_text(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("classes"), dict):
            for wnid in values["classes"]:
                if not isinstance(wnid, str):
                    raise ValueError(f"classes: {wnid!r} is no wnid; write e.g. n02109961")
        return values

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
    def _classes_exist(self) -> Self:
        for key, voc in self.classes.items():
            synset = find_synset(wnid_of(key))
            if synset is None:
                hint = did_you_mean_wnid(wnid_of(key))
                raise ValueError(f"classes.{key}: ImageNet has no such synset.{hint}")
            if voc is not None and voc not in VOC_LABELS:
                hint = did_you_mean_voc(voc)
                raise ValueError(f"classes.{key}: {voc!r} is not a VOC label.{hint}")
            if not synsets_of(key):
                raise ValueError(
                    f"classes.{key}: none of ILSVRC's classes is a {synset.names[0]}; write "
                    f"{synset.wnid} without +, or another class"
                )
            for member in filter(None, map(find_synset, synsets_of(key))):
                if voc is not None and member.voc is not None and voc != member.voc:
                    raise ValueError(
                        f"classes.{key}: {member.names[0]} is no {voc!r}. Did you mean "
                        f"{member.voc}? (null: it stands for no VOC label)"
                    )
        return self

    @model_validator(mode="after")
    def _classes_share_no_photos(self) -> Self:
        if both := overlapping_classes(self.classes):
            tree, key = both
            raise ValueError(
                f"classes.{key}: shares photos with {tree}, which holds all below "
                f"{wnid_of(tree)}; remove one of them"
            )
        return self

    @model_validator(mode="after")
    def _voc_folders_have_labels(self) -> Self:
        nameless = [wnid for wnid, voc in self.classes.items() if voc is None]
        if self.split.folders == "voc" and nameless:
            raise ValueError(
                f"split.folders: voc needs a VOC label for every class, and {nameless[0]} has "
                "none; give it one or choose label"
            )
        return self

    @property
    def quota(self) -> int:
        """Photos the download takes for each class: per_class and the reserve."""
        return int(self.per_class * (1 + self.download.reserve) + 0.5)
