"""The rows of the tables between stages, and the one list of statuses."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What became of a URL (`data/raw/*.csv`) or of a photo (`data/clean/*.csv`): the one list."""

    # Raw: one for every candidate.
    OK = "ok"
    UNUSED = "unused"
    DUPLICATE = "duplicate"
    BAD_URL = "bad_url"
    BLOCKED = "blocked"
    HTTP_ERROR = "http_error"
    TIMEOUT = "timeout"
    CONNECTION_ERROR = "connection_error"
    REDIRECT_ERROR = "redirect_error"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    NOT_IMAGE = "not_image"
    OPTED_OUT = "opted_out"
    # Raw and clean.
    TOO_SMALL = "too_small"
    TOO_MANY_PIXELS = "too_many_pixels"
    PLACEHOLDER = "placeholder"
    # Clean: one for every photo that is `ok` in raw.
    KEPT = "kept"
    SURPLUS = "surplus"
    CORRUPT = "corrupt"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    CROSS_CLASS = "cross_class"
    LICENSE = "license"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A photo (or an archive of photos) that a source lists for a class."""

    image_id: str
    url: str
    license: str = ""
    author: str = ""
    landing_url: str = ""
    source: str = ""  # the kind of the source that listed it
    synset: str = ""  # of the photo itself, where the class is a whole subtree
    title: str = ""


@dataclass(frozen=True, slots=True)
class RawRow:
    """The one fate of a candidate: what the download made of it."""

    image_id: str
    url: str
    status: Status
    detail: str = ""
    final_url: str = ""
    bytes: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class CleanRow:
    """The one fate of a photo in the raw archive. `sha256` and `file` are the cleaned photo's."""

    image_id: str
    status: Status
    detail: str = ""
    width: int | None = None
    height: int | None = None
    sha256: str = ""
    perceptual_hash: str = ""
    group: str = ""
    file: str = ""
    duplicate_of: str = ""  # `<class key>/<image id>` of the photo that this one repeats


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A photo of the dataset."""

    file: str
    split: str
    class_index: int
    wnid: str  # the class as params.yaml names it: a subtree's ends in +
    label: str
    voc: str
    synset: str  # the photo's own: the class's, or one of its subtree
    image_id: str
    url: str
    source: str
    sha256: str
    width: int
    height: int
    license: str
    author: str
    landing_url: str
    title: str = ""
