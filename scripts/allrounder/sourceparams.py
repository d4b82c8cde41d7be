"""The schema of `sources` in params.yaml: a model for each kind, and the base of all sections.

Not for asking a source: that is sources/.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from allrounder.braces import expand
from allrounder.urltext import is_archive, is_web


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


def _tar_location(text: str) -> str:
    if "{wnid}" not in text or not text.endswith(".tar"):
        raise ValueError("must hold {wnid} and end in .tar, e.g. https://host/{wnid}.tar")
    return _location(text)


def _path(text: str) -> str:
    if is_web(text):
        raise ValueError("must be a path of this machine; download the archive first")
    return _location(text)


def _shards(text: str) -> str:
    text = _location(text)
    if wrong := next((shard for shard in expand(text) if not is_archive(shard)), None):
        raise ValueError(
            f"{wrong!r} does not end in .tar; a compressed shard cannot be asked for one photo: "
            "unpack it with gunzip"
        )
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if wrong := [wnid for wnid in labels if not re.fullmatch(r"n[0-9]{8}\+?", wnid)]:
        raise ValueError(f"{wrong[0]!r} is no wnid; write e.g. n02109961: husky")
    return labels


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


class SynsetTarSource(Section):
    """One tar of photos a class; `{wnid}` in the location stands for the class."""

    kind: Literal["synset-tar"]
    location: Annotated[str, AfterValidator(_tar_location)]


class IlsvrcSource(Section):
    """A copy of ILSVRC2012's training photos: its tar of tars, unpacked once or twice, Kaggle's."""

    kind: Literal["ilsvrc"]
    location: Annotated[str, AfterValidator(_path)]


class WebdatasetSource(Section):
    """Shards of `<key>.jpg` and `<key>.cls` or `<key>.json`: `shard-{000000..000099}.tar`."""

    kind: Literal["webdataset"]
    location: Annotated[str, AfterValidator(_shards)]
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = Field(
        {},
        description="wnid: the shards' label of it; the others go by wnid, ILSVRC index or name",
    )
    label_key: str = Field("label", min_length=1, description="the label's key in a .json")

    @property
    def shards(self) -> list[str]:
        """The shards' paths or URLs, in order."""
        return expand(self.location)


Source = Annotated[
    FolderSource
    | ImagenetApiSource
    | UrlListSource
    | SynsetTarSource
    | IlsvrcSource
    | WebdatasetSource,
    Field(discriminator="kind"),
]
_ANY_SOURCE = TypeAdapter[Source](Source)


def with_defaults(source: dict[str, Any]) -> dict[str, Any]:
    """A source as a params file of some time ago has it, with the defaults it leaves out."""
    try:
        return _ANY_SOURCE.validate_python(source).model_dump()
    except ValidationError:
        return source
