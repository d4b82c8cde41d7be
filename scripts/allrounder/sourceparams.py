"""The schema of `sources` in params.yaml: a model for each kind, and the base of all sections.

Not for asking a source: that is sources/.
"""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from allrounder import sourcetexts
from allrounder.braces import expand


class Section(BaseModel):
    """A part of params.yaml: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Sha256 = Annotated[
    str,
    AfterValidator(sourcetexts.sha256),
    Field(description="SHA-256 of the list's file; another file is refused before it is used"),
]
Wnid = Annotated[str, Field(pattern=r"^n[0-9]{8}$"), AfterValidator(sourcetexts.wnid)]
Labels = dict[Wnid, str]
_LABELS = "wnid: the source's label of it; the others go by wnid, ILSVRC index or WordNet name"
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,200}$")]


class FolderSource(Section):
    """Files already here: `<location>/<wnid>/*`, in the order of their names."""

    kind: Literal["folder"]
    location: Annotated[str, AfterValidator(sourcetexts.path)]


class ImagenetApiSource(Section):
    """ImageNet's URL API: `<location>/api/imagenet.synset.geturls?wnid=W`."""

    kind: Literal["imagenet-api"]
    location: Annotated[str, AfterValidator(sourcetexts.web_location)]
    form: Literal["urls", "mapping"] = Field(
        "urls", description="urls: one URL a line; mapping: `<image id> <url>` a line (getmapping)"
    )


class UrlListSource(Section):
    """A list as of Fall 2011: `<wnid>_<n><tab><url>` a line; plain, .gz, .tgz or .zip."""

    kind: Literal["url-list"]
    location: Annotated[str, AfterValidator(sourcetexts.location)]
    sha256: Sha256 = ""


class SynsetTarSource(Section):
    """One tar of photos a class; `{wnid}` in the location stands for the class."""

    kind: Literal["synset-tar"]
    location: Annotated[str, AfterValidator(sourcetexts.tar_location)]


class IlsvrcSource(Section):
    """A copy of ILSVRC2012's training photos: its tar of tars, unpacked once or twice, Kaggle's."""

    kind: Literal["ilsvrc"]
    location: Annotated[str, AfterValidator(sourcetexts.path)]


class WebdatasetSource(Section):
    """Shards of `<key>.jpg` and `<key>.cls` or `<key>.json`: `shard-{000000..000099}.tar`."""

    kind: Literal["webdataset"]
    location: Annotated[str, AfterValidator(sourcetexts.shards)]
    labels: Labels = Field({}, description=_LABELS)
    label_key: str = Field("label", min_length=1, description="the label's key in a .json")

    @property
    def shards(self) -> list[str]:
        """The shards' paths or URLs, in order."""
        return expand(self.location)


class HuggingfaceSource(Section):
    """An image dataset on the Hugging Face Hub, by way of its dataset viewer's API."""

    kind: Literal["huggingface"]
    dataset: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100})?$", description="owner/name"
    )
    config: Name = Field("default", description="the dataset's config (subset)")
    split: Name = Field("train", description="the dataset's own split")
    label_column: Name = Field("label", description="class labels, strings or whole numbers")
    image_column: Name = Field("image", description="the photos")
    labels: Labels = Field({}, description=_LABELS)
    limit: int = Field(
        5000, ge=1, le=1_000_000, description="rows of a class listed at most; 100 cost a request"
    )
    location: Annotated[str, AfterValidator(sourcetexts.web_location)] = Field(
        "https://datasets-server.huggingface.co", description="the API's address"
    )


class CsvSource(Section):
    """Any table with a column of URLs and one of classes: CSV, TSV, JSON Lines or Parquet."""

    kind: Literal["csv"]
    location: Annotated[str, AfterValidator(sourcetexts.location)]
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = Field(
        None, description="null: by the location's ending"
    )
    url: Name = Field("url", description="the column of URLs")
    label: Name = Field("label", description="the column of classes")
    id: Name | None = Field(None, description="column of ids; null: `id`, if it is there")
    license: Name | None = Field(None, description="column; null: `license`, if it is there")
    author: Name | None = Field(None, description="column; null: `author`, if it is there")
    landing_url: Name | None = Field(
        None, description="column of the photos' pages; null: `landing_url`, if it is there"
    )
    title: Name | None = Field(None, description="column; null: `title`, if it is there")
    labels: Labels = Field({}, description=_LABELS)
    sha256: Sha256 = ""

    @property
    def form(self) -> str:
        """The format as given, or by the ending of the location's path; '' when neither says."""
        name = self.location.partition("?")[0].partition("#")[0].lower()
        ending = re.sub(r"\.(tar\.gz|tgz|gz|zip)$", "", name).rpartition(".")[2]
        return self.format or _ENDINGS.get(ending, "")

    @model_validator(mode="after")
    def _has_a_form(self) -> Self:
        if not self.form:
            raise ValueError(
                "format: cannot be told from the location; give csv, tsv, jsonl or parquet"
            )
        return self


_ENDINGS = {"csv": "csv", "tsv": "tsv", "tab": "tsv", "jsonl": "jsonl", "ndjson": "jsonl"}
_ENDINGS |= {"parquet": "parquet"}


class OpenImagesSource(Section):
    """Open Images V7: human-verified labels and image metadata as CSVs, photos from a bucket."""

    kind: Literal["open-images"]
    location: Annotated[str, AfterValidator(sourcetexts.web_location)] = Field(
        "https://storage.googleapis.com/openimages", description="where the CSVs are"
    )
    photos: Annotated[str, AfterValidator(sourcetexts.web_location)] = Field(
        "https://open-images-dataset.s3.amazonaws.com", description="where the photos are"
    )
    parts: list[Literal["validation", "test", "train"]] = Field(
        ["validation", "test", "train"],
        min_length=1,
        description="read in this order; CSVs of about 45 MB, 130 MB and 3.4 GB",
    )
    classes: dict[Wnid, Annotated[str, AfterValidator(sourcetexts.mid)]] = Field(
        {}, description="wnid: mid:/m/...; before what tables/openimages.csv says"
    )

    @field_validator("parts")
    @classmethod
    def _each_part_once(cls, parts: list[str]) -> list[str]:
        if len(set(parts)) < len(parts):
            raise ValueError("names a part twice; remove one")
        return parts


Source = Annotated[
    FolderSource
    | ImagenetApiSource
    | UrlListSource
    | SynsetTarSource
    | OpenImagesSource
    | HuggingfaceSource
    | IlsvrcSource
    | WebdatasetSource
    | CsvSource,
    Field(discriminator="kind"),
]
KINDS: dict[str, type[Section]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model
    for model in get_args(get_args(Source)[0])
}
"""The model of each kind."""
_ANY_SOURCE = TypeAdapter[Source](Source)


def with_defaults(source: dict[str, Any]) -> dict[str, Any]:
    """A source as a params file of some time ago has it, with the defaults it leaves out."""
    try:
        return _ANY_SOURCE.validate_python(source).model_dump()
    except ValidationError:
        return source
