"""The schema of `sources` in params.yaml: a model for each kind, and the base of all sections.

Not for asking a source: that is sources/.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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


Source = Annotated[
    FolderSource | ImagenetApiSource | UrlListSource | SynsetTarSource,
    Field(discriminator="kind"),
]
