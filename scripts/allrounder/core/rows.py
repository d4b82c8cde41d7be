"""The data that stages exchange: all statuses, `Result`, and the tables' rows."""

from dataclasses import dataclass, fields
from enum import StrEnum

from allrounder.core.tars import StoredBytes


class Status(StrEnum):
    """The result of a URL (`data/raw/*.csv`) or of a photo (`data/clean/*.csv`)."""

    # Raw: one for every candidate.
    OK = "ok"
    UNUSED = "unused"
    DUPLICATE = "duplicate"
    BAD_URL = "bad_url"
    BLOCKED = "blocked"
    HTTP_ERROR = "http_error"
    NO_ACCESS = "no_access"
    TIMEOUT = "timeout"
    CONNECTION_ERROR = "connection_error"
    REDIRECT_ERROR = "redirect_error"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    NOT_IMAGE = "not_image"
    OPTED_OUT = "opted_out"
    TAKEN_DOWN = "taken_down"
    # Raw: an archive's own row, beside the rows of its members. It is no candidate.
    ARCHIVE = "archive"
    # Raw and clean.
    TOO_SMALL = "too_small"
    TOO_MANY_PIXELS = "too_many_pixels"
    PLACEHOLDER = "placeholder"
    CHANGED = "changed"
    # Clean: one for every photo that is `ok` in raw.
    KEPT = "kept"
    SURPLUS = "surplus"
    CORRUPT = "corrupt"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    CROSS_CLASS = "cross_class"
    LICENSE = "license"
    EXCLUDED = "excluded"
    IN_TEST_SET = "in_test_set"


class Match(StrEnum):
    """How a photo compares with the one that its source expects, e.g. a recipe."""

    NONE = ""  # the source expects no certain photo
    IDENTICAL = "identical"  # the same bytes
    SAME_PICTURE = "same_picture"  # other bytes, and clean has confirmed the picture
    CHANGED = "changed"  # other bytes, and the picture is another one or was not compared
    GONE = "gone"  # no photo
    NOT_TRIED = "not_tried"  # the class was full


FLAGS = ("blurred", "nearly_black", "nearly_white", "extreme_aspect", "tiny_for_class")
"""The columns that flag a photo for a look. No photo is dropped for them."""
TRANSIENT_CODES = frozenset({408, 425, 429, *range(500, 600)})
"""HTTP codes of transient failures (RFC 9110, 15.5.9 and 15.6; RFC 6585; RFC 8470)."""
_TRANSIENT = {
    Status.TIMEOUT,
    Status.CONNECTION_ERROR,
    Status.TRUNCATED,
    Status.BLOCKED,
    Status.NO_ACCESS,  # the user may have a login or token by then
}


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one URL while the download runs.

    A row of data/raw differs in one point: only the quota decides, in rank order, whether a good
    photo is `ok`, `duplicate` or `unused`.
    """

    status: Status
    detail: str = ""  # for people only
    http_status: int | None = None  # of `http_error`, `no_access` and of a photo that was rescued
    resume_at: int | None = None  # byte of an archive: the next member's first header
    final_url: str = ""
    bytes: int | None = None
    sha256: str = ""  # this and the next two: of a good photo only (or one that is taken down)
    suffix: str = ""
    stored: StoredBytes | None = None
    opt_out: str = ""  # of `opted_out`: `<signal>: <directive>`
    rescued_from: str = ""  # the URL of the capture, with its time; `http_status`: of the host

    @property
    def transient(self) -> bool:
        """Whether a later try may succeed."""
        if self.status is Status.HTTP_ERROR:
            return self.http_status in TRANSIENT_CODES
        return self.status in _TRANSIENT


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
    expected_sha256: str = ""  # of the photo's bytes as served
    expected_hash: str = ""  # the perceptual hash of its picture
    split: str = ""  # the split that a recipe puts it into
    moved_from: str = ""  # of a recipe: as in ManifestRow
    results: str = ""  # of a recipe: see split/recipe.py


@dataclass(frozen=True, slots=True)
class RawRow:
    """The one result of a candidate in the download. Fields as in `Result`, but for the last two.

    `expected_hash` is set if clean must confirm the picture.
    """

    image_id: str
    url: str
    status: Status
    detail: str = ""
    final_url: str = ""
    bytes: int | None = None
    sha256: str = ""
    http_status: int | None = None
    resume_at: int | None = None
    opt_out: str = ""
    rescued_from: str = ""
    match: Match = Match.NONE
    expected_hash: str = ""


_OF_ROW = {one.name for one in fields(RawRow)}
RESULT_COLUMNS = tuple(one.name for one in fields(Result) if one.name in _OF_ROW)
"""The fields that a `RawRow` has in common with a `Result`."""


@dataclass(frozen=True, slots=True)
class CleanRow:
    """The one result of a photo in the raw archive. `sha256` and `file` are the cleaned photo's."""

    image_id: str
    status: Status
    detail: str = ""
    width: int | None = None
    height: int | None = None
    sha256: str = ""
    perceptual_hash: str = ""
    group: str = ""
    file: str = ""
    duplicate_of: str = ""  # `<class key>/<image id>` in raw of the photo that this one repeats
    moved_from: str = ""  # the class whose raw archive has it, if corrections.csv moved it here
    blurred: int = 0  # this and the next four: 1 for a photo to look at; none is dropped for it
    nearly_black: int = 0
    nearly_white: int = 0
    extreme_aspect: int = 0
    tiny_for_class: int = 0
    suspect: int | None = None  # thousandths of similarity to another class above its own's
    suspected_class: str = ""  # its key, for the share of each class with the highest scores
    match: Match = Match.NONE


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A photo of the dataset."""

    file: str
    split: str
    class_index: int
    wnid: str  # the class key: a subtree's ends in +
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
    rescued_from: str = ""  # the capture that the photo is from, if its host lost it
    moved_from: str = ""  # the class key that its source lists it for, if corrections.csv moved it
    blurred: int = 0  # this and the following as in CleanRow
    nearly_black: int = 0
    nearly_white: int = 0
    extreme_aspect: int = 0
    tiny_for_class: int = 0
    suspect: int | None = None
    suspected_class: str = ""

    @property
    def name(self) -> str:
        """The name of its file, which has the same name in clean."""
        return self.file.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The name of its class's folder."""
        return self.file.split("/")[-2]


@dataclass(frozen=True, slots=True)
class RecipeRow:
    """A photo of the dataset, for those who build it from the web again."""

    wnid: str  # the class key
    split: str
    url: str
    sha256: str  # of the bytes as served
    perceptual_hash: str = ""
    license: str = ""
    image_id: str = ""
    synset: str = ""
    source: str = ""
    author: str = ""
    landing_url: str = ""
    title: str = ""
    rescued_from: str = ""
    moved_from: str = ""
    results: str = ""  # on a class's first row: see split/recipe.py
