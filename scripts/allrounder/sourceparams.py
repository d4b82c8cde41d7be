"""The schema of `sources` in params.yaml: a model for each kind, and the base of all sections.

Not for asking a source: that is sources/.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)


class Section(BaseModel):
    """A part of params.yaml: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _location(text: str) -> str:
    if not text or any(ord(character) < 32 for character in text):
        raise ValueError("must be a path, or a URL that starts with http:// or https://")
    if "://" in text and not text.startswith(("http://", "https://")):
        raise ValueError("must be a path, or a URL that starts with http:// or https://")
    return text.rstrip("/")


def _web_location(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("must be a URL that starts with http:// or https://")
    return _location(text)


def _sha256(text: str) -> str:
    if not re.fullmatch(r"([0-9a-f]{64})?", text):
        raise ValueError("must be 64 hex digits in lower case, as sha256sum prints them, or ''")
    return text


def _mid(text: str) -> str:
    if not re.fullmatch(r"mid:/[a-z]/[0-9a-z_]+", text):
        raise ValueError("must be an Open Images class, e.g. mid:/m/0bt9lr")
    return text


def _tar_location(text: str) -> str:
    if "{wnid}" not in text or not text.endswith(".tar"):
        raise ValueError("must hold {wnid} and end in .tar, e.g. https://host/{wnid}.tar")
    return _location(text)


class FolderSource(Section):
    """Files already here: `<location>/<wnid>/*`, in the order of their names."""

    kind: Literal["folder"]
    location: Annotated[str, AfterValidator(_location)]


class ImagenetApiSource(Section):
    """ImageNet's URL API: `<location>/api/imagenet.synset.geturls?wnid=W`."""

    kind: Literal["imagenet-api"]
    location: Annotated[str, AfterValidator(_web_location)]
    form: Literal["urls", "mapping"] = Field(
        "urls", description="urls: one URL a line; mapping: `<image id> <url>` a line (getmapping)"
    )


class UrlListSource(Section):
    """A list as of Fall 2011: `<wnid>_<n><tab><url>` a line; plain, .gz, .tgz or .zip."""

    kind: Literal["url-list"]
    location: Annotated[str, AfterValidator(_location)]
    sha256: Annotated[str, AfterValidator(_sha256)] = Field(
        "", description="SHA-256 of the list's file; another file is refused before it is used"
    )


class SynsetTarSource(Section):
    """One tar of photos a class; `{wnid}` in the location stands for the class."""

    kind: Literal["synset-tar"]
    location: Annotated[str, AfterValidator(_tar_location)]


class OpenImagesSource(Section):
    """Open Images V7: human-verified labels and image metadata as CSVs, photos from a bucket."""

    kind: Literal["open-images"]
    location: Annotated[str, AfterValidator(_web_location)] = Field(
        "https://storage.googleapis.com/openimages", description="where the CSVs are"
    )
    photos: Annotated[str, AfterValidator(_web_location)] = Field(
        "https://open-images-dataset.s3.amazonaws.com", description="where the photos are"
    )
    parts: list[Literal["validation", "test", "train"]] = Field(
        ["validation", "test", "train"],
        min_length=1,
        description="read in this order; CSVs of about 45 MB, 130 MB and 3.4 GB",
    )
    classes: dict[str, Annotated[str, AfterValidator(_mid)]] = Field(
        {},
        description="wnid: mid:/m/...; before what tables/openimages.csv says",
        json_schema_extra={"propertyNames": {"pattern": "^n[0-9]{8}$"}},
    )

    @field_validator("parts")
    @classmethod
    def _each_part_once(cls, parts: list[str]) -> list[str]:
        if len(set(parts)) < len(parts):
            raise ValueError("names a part twice; remove one")
        return parts

    @field_validator("classes")
    @classmethod
    def _keys_are_wnids(cls, classes: dict[str, str]) -> dict[str, str]:
        if wrong := [wnid for wnid in classes if not re.fullmatch(r"n\d{8}", wnid, re.ASCII)]:
            raise ValueError(f"{wrong[0]!r} is no wnid; write e.g. n02084071: mid:/m/0bt9lr")
        return classes


Source = Annotated[
    FolderSource | ImagenetApiSource | UrlListSource | SynsetTarSource | OpenImagesSource,
    Field(discriminator="kind"),
]
_ANY_SOURCE = TypeAdapter[Source](Source)


def with_defaults(source: dict[str, Any]) -> dict[str, Any]:
    """A source as a params file of some time ago has it, with the defaults it leaves out."""
    try:
        return _ANY_SOURCE.validate_python(source).model_dump()
    except ValidationError:
        return source
