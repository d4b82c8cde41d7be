"""The schema of `sources` in params.yaml: one model for each kind of source."""

import itertools
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from allrounder.catalogue.labels import ClassPart
from allrounder.core.urls import is_archive, is_url
from allrounder.params.classes import class_key
from allrounder.params.section import WNID, Section, check_wnid

MAX_FILES = 100_000
"""Largest number of files that braces may expand to."""
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")


def expand_braces(text: str) -> list[str]:
    """All texts that braces expand to; the last braces vary fastest.

    Raises ValueError for braces that contain neither a range nor a list.
    """
    parts = re.split(r"\{([^{}]*)\}", text)
    if any("{" in plain or "}" in plain for plain in parts[::2]):
        raise ValueError("braces are unbalanced or nested; correct it")
    choices = [[part] if n % 2 == 0 else _choices(part) for n, part in enumerate(parts)]
    if math.prod(map(len, choices)) > MAX_FILES:
        raise ValueError(f"stands for more than {MAX_FILES:,} files; correct it")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _choices(inner: str) -> list[str]:
    if found := _RANGE.fullmatch(inner):
        first, last = int(found[1]), int(found[2])
        if abs(last - first) >= MAX_FILES:
            raise ValueError(f"{{{inner}}} stands for more than {MAX_FILES:,} files; correct it")
        padded = any(len(end) > 1 and end.startswith("0") for end in found.groups())
        width = max(map(len, found.groups())) if padded else 0
        step = 1 if first <= last else -1
        return [f"{number:0{width}}" for number in range(first, last + step, step)]
    if "," in inner:
        return inner.split(",")
    raise ValueError(f"{{{inner}}} is neither a range like {{000..099}} nor a list like {{a,b}}")


def check_location(text: str) -> str:
    """Check a path, or a URL without a password."""
    remote = text.startswith(("http://", "https://"))
    if not text or any(ord(character) < 32 for character in text) or ("://" in text and not remote):
        raise ValueError("must be a path, or a URL that starts with http:// or https://")
    if text.startswith("~"):
        raise ValueError("starts with ~, which is not expanded; write the full path")
    if remote:
        try:
            parts = urlsplit(text)
            named = bool(parts.hostname) and parts.port != 0  # which raises for what is no port
        except ValueError:
            named = False
        if not named:
            raise ValueError("is no URL: its host or port is missing or invalid; correct it")
        if "@" in parts.netloc:
            raise ValueError("must contain no password; put it into ~/.netrc")
    return text.rstrip("/") or "/"


def check_web_location(text: str) -> str:
    """Check a URL."""
    if not text.startswith(("http://", "https://")):
        raise ValueError("must be a URL that starts with http:// or https://")
    return check_location(text)


def check_tar_location(text: str) -> str:
    """Check the location of one tar a class."""
    if "{wnid}" not in text or not text.endswith(".tar"):
        raise ValueError("must contain {wnid} and end in .tar, e.g. https://host/{wnid}.tar")
    return check_location(text)


def check_path(text: str) -> str:
    """Check a local path."""
    if is_url(text):
        raise ValueError("must be a local path, not a URL; download it first")
    return check_location(text)


def check_parts(text: str) -> str:
    """Check paths or URLs, with braces."""
    for part in expand_braces(text):
        check_location(part)
    return text


def check_shards(text: str) -> str:
    """Check paths or URLs of plain tars, with braces."""
    for shard in expand_braces(check_parts(text)):
        if not is_archive(shard):
            raise ValueError(
                f"{shard!r} does not end in .tar; single photos cannot be read from a compressed "
                "shard: unpack it with gunzip"
            )
    return text


def check_encoding(text: str) -> str:
    """Check the name of an encoding."""
    try:
        bytes(4).decode(text, "ignore")  # without bytes, Python does not look the encoding up
    except (LookupError, ValueError):
        raise ValueError("is no encoding of Python; write e.g. latin-1 or utf-16") from None
    return text


SHA256, MODEL_SHA256 = r"^([0-9a-f]{64})?$", r"^[0-9a-f]{64}$"
MID = r"^mid:/[a-z]/[0-9a-z_]+$"
DATASET = r"^[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100})?$"
CONTACT = r"^[ -~]*$"
RAY = r"^(auto|local|(ray://)?[A-Za-z0-9.\[\]:-]+:[0-9]+)$"
CHARACTER = r'^[^\r\n"\x00]$'
PATTERNS = {
    CHARACTER: "must be one character, and no quote",
    CONTACT: "must be plain ASCII, a URL or mail address",
    WNID: "is no wnid; write e.g. n02109961",
    SHA256: "must be 64 hex digits in lower case, as sha256sum prints them, or ''",
    MODEL_SHA256: "must be 64 hex digits in lower case, as sha256sum prints them",
    RAY: "must be auto, local, ray://head:10001 or head:6379",
    MID: "must be an Open Images class, e.g. mid:/m/0bt9lr",
    DATASET: "must be owner/name, as in https://huggingface.co/datasets/owner/name",
}
"""What to write where a text does not match a pattern."""


Sha256 = Annotated[
    str,
    Field(pattern=SHA256, description="SHA-256 of the list; a file with another one is refused"),
]


def check_class_name(text: str) -> str:
    """Check a wnid against the catalogue. `Params` checks other names."""
    return check_wnid(text) if re.fullmatch(WNID, text) else text


ClassName = Annotated[str, AfterValidator(check_class_name)]
Archives = Annotated[
    bool, Field(description="whether URLs that end in .tar are archives of photos; else unused")
]
Labels = dict[ClassName, str]
_LABELS = (
    "the source's own label of a class, by its wnid or name; other classes match by wnid, ILSVRC "
    "index, WordNet name or their own names"
)
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,200}$")]
Character = Annotated[str, Field(pattern=CHARACTER)]


def shown_location(location: str) -> str:
    """A path or URL for tables and pages: an absolute path without the folders above it."""
    if is_url(location) or not Path(location).is_absolute():
        return location
    return f".../{Path(location).name}"


class BaseSource(Section):
    """The properties of every kind of source; the defaults fit one file or one API."""

    knows_wnids_only: ClassVar[bool] = False
    """Whether it has ImageNet's synsets only, and photos that ImageNet listed or served."""
    has_other_photos_only: ClassVar[bool] = False
    """Whether none of its photos are ImageNet's, even of ImageNet's classes."""
    is_api: ClassVar[bool] = False
    """Whether its lists come from a web API."""
    may_list_urls: ClassVar[bool] = False
    """Whether a local list may name URLs."""

    kind: str
    location: str

    @property
    def name(self) -> str:
        """The source's name in messages."""
        return f"source {self.kind} {self.location}"

    @property
    def shown(self) -> str:
        """The location for pages: an absolute path without the folders above it."""
        return shown_location(self.location)

    @property
    def module(self) -> str:
        """The module of `fetch_urls.sources` that lists this kind's candidates."""
        return self.kind.replace("-", "_")

    @property
    def is_remote(self) -> bool:
        """Whether the location is on the web."""
        return is_url(self.location)

    @property
    def places(self) -> list[str]:
        """The paths or URLs that are read. The hosts of URLs may get a login of ~/.netrc."""
        return [self.location]

    def local_roots(self) -> list[str]:
        """The local files and folders in which every local candidate must lie."""
        return self.watched_paths(())

    def watched_paths(self, parts: Iterable[ClassPart]) -> list[str]:
        """The local files and folders whose change makes the lists of these classes outdated."""
        return [place for place in self.places if not is_url(place)]

    def named_classes(self) -> list[tuple[str, str]]:
        """The classes that its keys name: (place in the source, name)."""
        return [(f"labels.{name}", name) for name in getattr(self, "labels", {})]

    @property
    def given_labels(self) -> dict[str, str]:
        """Its `labels`, by class key."""
        return {class_key(name): label for name, label in getattr(self, "labels", {}).items()}

    @property
    def reads_archives(self) -> bool:
        """Whether a URL that ends in .tar is an archive of photos, and no photo."""
        return bool(getattr(self, "archives", False))


class FolderSource(BaseSource):
    """Local files, `<location>/<wnid or name of a class>/*`, sorted by name."""

    has_other_photos_only = True
    kind: Literal["folder"]
    location: Annotated[str, AfterValidator(check_path)]
    recursive: bool = False
    """whether folders in a class's folder are read too"""
    labels: Labels = Field({}, description="the name of a class's folder, by its wnid or name")


class _WnidSource(BaseSource):
    """A source that has ImageNet's synsets only."""

    knows_wnids_only = True


class ImagenetApiSource(_WnidSource):
    """ImageNet's URL API: `<location>/api/imagenet.synset.geturls?wnid=W`."""

    is_api = True
    kind: Literal["imagenet-api"]
    location: Annotated[str, AfterValidator(check_web_location)]
    form: Literal["urls", "mapping"] = "urls"
    """urls: one URL a line; mapping: `<image id> <url>` a line (getmapping)"""


class UrlListSource(_WnidSource):
    """A list as of Fall 2011: `<wnid>_<n><tab><url>` a line; plain, .gz, .tgz or .zip.

    After another tab, a line may have the SHA-256 that its photo must have.
    """

    may_list_urls = True
    kind: Literal["url-list"]
    location: Annotated[str, AfterValidator(check_location)]
    sha256: Sha256 = ""
    archives: Archives = False


class RecipeSource(BaseSource):
    """A dataset's `recipe.csv`: where its photos are, what they must be, and their split."""

    may_list_urls = True
    kind: Literal["recipe"]
    location: Annotated[str, AfterValidator(check_location)]
    """path or URL"""
    files: Annotated[str, AfterValidator(check_path)] = "data/sample"
    """the folder whose photos a recipe may name by path, not by URL"""
    sha256: Sha256 = ""

    def local_roots(self) -> list[str]:
        """The recipe, and the folder of local photos."""
        return [*super().local_roots(), self.files]


class SynsetTarSource(_WnidSource):
    """One tar of photos a class; `{wnid}` in the location is replaced by the wnid."""

    kind: Literal["synset-tar"]
    location: Annotated[str, AfterValidator(check_tar_location)]

    @property
    def reads_archives(self) -> bool:
        """Each location is an archive."""
        return True

    def archive(self, wnid: str) -> str:
        """The path or URL of a synset's tar."""
        return self.location.replace("{wnid}", wnid)

    def local_roots(self) -> list[str]:
        """The folder of the tars, or the one above it if its name contains the wnid."""
        if self.is_remote:
            return []
        return [str(Path(self.location.partition("{wnid}")[0] + "x").parent)]

    def watched_paths(self, parts: Iterable[ClassPart]) -> list[str]:
        """The tar of each synset."""
        if self.is_remote:
            return []
        return [self.archive(part.wnid) for part in parts if part.wnid]


class IlsvrcSource(_WnidSource):
    """A copy of ILSVRC2012's training photos: its tar of tars, unpacked once or twice, Kaggle's."""

    kind: Literal["ilsvrc"]
    location: Annotated[str, AfterValidator(check_path)]


class WebdatasetSource(BaseSource):
    """Shards of `<key>.jpg` and `<key>.cls` or `<key>.json`: `shard-{000000..000099}.tar`."""

    kind: Literal["webdataset"]
    location: Annotated[str, AfterValidator(check_shards)]
    labels: Labels = Field({}, description=_LABELS)
    label_key: str = Field("label", min_length=1)
    """the key of the label in a .json"""

    @property
    def places(self) -> list[str]:
        """The shards' paths or URLs, in order."""
        return expand_braces(self.location)


class HuggingfaceSource(BaseSource):
    """An image dataset on the Hugging Face Hub: its Parquet files, or its dataset viewer's API."""

    is_api = True
    kind: Literal["huggingface"]
    dataset: str = Field(pattern=DATASET)
    """owner/name"""
    config: Name = "default"
    """the dataset's config (subset)"""
    split: Name = "train"
    """the dataset's own split"""
    label_column: Name = "label"
    """class labels, strings or integers"""
    image_column: Name = "image"
    """the column of photos"""
    labels: Labels = Field({}, description=_LABELS)
    limit: int = Field(5000, ge=1, le=1_000_000)
    """most rows listed for a class"""
    via: Literal["parquet", "viewer"] = "parquet"
    """parquet: original bytes, by row groups; viewer: re-encoded photos, one by one"""
    location: Annotated[str, AfterValidator(check_web_location)] = (
        "https://datasets-server.huggingface.co"
    )
    """the viewer's API"""

    @property
    def name(self) -> str:
        """The dataset's name says more than the API's address."""
        return f"source huggingface {self.dataset}"

    @property
    def places(self) -> list[str]:
        """No place: the viewer takes a token (see web/dataset_rows.py), not a login."""
        return []


class CsvSource(BaseSource):
    """A table of URLs or local files, and labels: CSV, TSV, JSON Lines or Parquet."""

    may_list_urls = True
    kind: Literal["csv"]
    location: Annotated[str, AfterValidator(check_parts)]
    """path or URL; `part-{000..127}.tsv` is many files"""
    base: Annotated[str, AfterValidator(check_path)] | None = None
    """the folder of the local files; null: the folder of a local table"""
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None
    """null: by the ending of the location"""
    url: Name = "url"
    """the column of URLs or paths; in jsonl and parquet `a.b` is the key b within a"""
    label: Name = "label"
    """the column of labels: texts, numbers or lists"""
    wnid: ClassName | None = None
    """all rows are of this class, given by wnid or name; `label` is not read"""
    ilsvrc_indices: bool | None = None
    """whether numbers are ILSVRC's class indices; null: if the numbers fit"""
    label_separator: Character | None = None
    """what stands between the labels of a cell; null: a cell is one label"""
    id: Name | None = None
    """column of ids; null: `id`, if it is there"""
    license: Name | None = None
    """column; null: `license`, if it is there"""
    author: Name | None = None
    """column; null: `author`, if it is there"""
    landing_url: Name | None = None
    """column of the photos' pages; null: `landing_url`, if it is there"""
    title: Name | None = None
    """column; null: `title`, if it is there"""
    expected_sha256: Name | None = None
    """column of the SHA-256 of photos as served; null: `expected_sha256`, if it is there"""
    expected_hash: Name | None = None
    """column of their perceptual hashes; null: `expected_hash`, if it is there"""
    labels: Labels = Field({}, description=_LABELS)
    sha256: Sha256 = ""
    archives: Archives = False
    columns: list[Name] | None = Field(None, min_length=1)
    """names for a csv or tsv whose first line has none"""
    delimiter: Character | None = None
    """null: comma in csv, tab in tsv"""
    quotes: bool | None = None
    """whether cells may be quoted; null: in csv, in tsv if its first line is"""
    escape: Character | None = None
    """the character that takes the next one's meaning, e.g. a backslash"""
    encoding: Annotated[str, AfterValidator(check_encoding)] | None = None
    """e.g. latin-1; null: UTF-16 or UTF-8, other bytes as Windows-1252"""

    @property
    def module(self) -> str:
        """Not `csv`, which is a module of Python's own."""
        return "csv_table"

    @property
    def places(self) -> list[str]:
        """The files' paths or URLs, in order."""
        return expand_braces(self.location)

    def local_roots(self) -> list[str]:
        """The local tables, and the folder of the local files."""
        tables = self.watched_paths(())
        folders = dict.fromkeys(str(Path(table).parent) for table in tables)
        return [*tables, *([self.base] if self.base else folders)]

    def named_classes(self) -> list[tuple[str, str]]:
        """Those in `labels`, and the class of all rows."""
        return [*super().named_classes(), *([("wnid", self.wnid)] if self.wnid else [])]

    @property
    def form(self) -> str:
        """The format: as given, or by the ending of the location; '' for an unknown ending."""
        name = self.location.partition("?")[0].partition("#")[0].lower()
        ending = re.sub(r"\.(tar\.gz|tgz|gz|zip)$", "", name).rpartition(".")[2]
        return self.format or _ENDINGS.get(ending, "")

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if not self.form:
            raise ValueError(
                "format: unknown ending of the location; give csv, tsv, jsonl or parquet"
            )
        if self.form in ("jsonl", "parquet"):
            for key in ("columns", "delimiter", "escape"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key}: is for csv and tsv; {self.form} has none. Remove it")
        if self.escape and self.escape == self.delimiter:
            raise ValueError("escape: is the delimiter too; correct it")
        if self.sha256 and "{" in self.location:
            raise ValueError("sha256: is for one file, and the location names several; remove it")
        return self


_ENDINGS = {"csv": "csv", "tsv": "tsv", "tab": "tsv", "jsonl": "jsonl", "ndjson": "jsonl"}
_ENDINGS |= {"parquet": "parquet"}


class OpenImagesSource(BaseSource):
    """Open Images V7: human-verified labels and image metadata as CSVs, photos from a bucket."""

    is_api = has_other_photos_only = True
    kind: Literal["open-images"]
    location: Annotated[str, AfterValidator(check_web_location)] = (
        "https://storage.googleapis.com/openimages"
    )
    """where the CSVs are"""
    photos: Annotated[str, AfterValidator(check_web_location)] = (
        "https://open-images-dataset.s3.amazonaws.com"
    )
    """where the photos are"""
    parts: list[Literal["validation", "test", "train"]] = Field(
        ["validation", "test", "train"], min_length=1
    )
    """parts to read, in this order; their CSVs have about 45 MB, 130 MB and 3.4 GB"""
    enough: int | None = Field(1000, ge=1, le=10_000_000)
    """a class that has so many photos needs none of the parts that follow; null: read all parts"""
    classes: dict[ClassName, Annotated[str, Field(pattern=MID)]] = Field({})
    """wnid or name of a class: mid:/m/...; overrides the table openimages.csv"""

    def named_classes(self) -> list[tuple[str, str]]:
        """Those in `classes`."""
        return [(f"classes.{name}", name) for name in self.classes]

    @field_validator("parts")
    @classmethod
    def _each_part_once(cls, parts: list[str]) -> list[str]:
        if len(set(parts)) < len(parts):
            raise ValueError("lists a part twice; remove one")
        return parts


Source = Annotated[
    FolderSource | ImagenetApiSource | UrlListSource | SynsetTarSource | OpenImagesSource
    | HuggingfaceSource | IlsvrcSource | WebdatasetSource | CsvSource | RecipeSource,
    Field(discriminator="kind"),
]  # fmt: skip
KINDS: dict[str, type[BaseSource]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model
    for model in get_args(get_args(Source)[0])
}
"""The model of each kind."""
_ANY_SOURCE = TypeAdapter[Source](Source)


def reads_parquet(sources: Iterable[Source]) -> bool:
    """Whether photos are in row groups of Parquet files, which classes may share."""
    return any(isinstance(one, HuggingfaceSource) and one.via == "parquet" for one in sources)


def with_defaults(source: dict[str, Any]) -> dict[str, Any]:
    """A source of an older params file with today's defaults added."""
    try:
        return _ANY_SOURCE.validate_python(source).model_dump()
    except ValidationError:
        return source
