"""What the report shows of a photo, or of a candidate without one, and the words for statuses."""

import re
from dataclasses import dataclass

from allrounder.core.corrections import PhotoId
from allrounder.core.rows import FLAGS, Candidate, CleanRow, RawRow, Status
from allrounder.core.tars import StoredBytes
from allrounder.core.urls import host_of, is_url

KEPT = "kept"
_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,80}", re.ASCII)
LOCAL, MALFORMED = "local files", "malformed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo, or a candidate without one."""

    key: str  # of its class
    reason: str  # KEPT, or <stage>.<status>
    raw: RawRow
    clean: CleanRow | None
    candidate: Candidate
    stored: StoredBytes | None = None  # where its bytes are
    duplicate_of: PhotoId | None = None  # the photo that this one repeats
    split: str = ""  # this and the next: of a photo of the dataset
    file: str = ""  # in the dataset's folder
    thumb: bytes = b""

    @property
    def photo_id(self) -> PhotoId | None:
        """The photo's id; None for a candidate without a photo."""
        return (self.clean.moved_from or self.key, self.raw.image_id) if self.clean else None

    @property
    def part(self) -> str:
        """The part of its class in which a page shows it."""
        return self.split or self.reason

    @property
    def noted(self) -> bool:
        """Whether it is flagged, or a suspect."""
        row = self.clean
        return bool(row and (row.suspected_class or any(getattr(row, flag) for flag in FLAGS)))

    @property
    def bytes(self) -> int:
        """The photo's size; without a photo, the size of the reply."""
        return self.stored.size if self.stored else self.raw.bytes or 0


def host(url: str) -> str:
    """A URL's host as ASCII text; LOCAL for a path, MALFORMED for anything else."""
    if not is_url(url):
        return MALFORMED if re.match(r"[a-z][a-z0-9+.-]+:", url, re.IGNORECASE) else LOCAL
    name = host_of(url)
    try:
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        return MALFORMED
    return name if _HOST.fullmatch(name) else MALFORMED


def original_of(photo: CleanRow) -> PhotoId | None:
    """The photo that this one repeats, or None."""
    key, slash, image_id = photo.duplicate_of.partition("/")
    return (key, image_id) if slash else None


_WORDS = {
    Status.UNUSED: "not needed",
    Status.BAD_URL: "bad URL",
    Status.BLOCKED: "private address",
    Status.HTTP_ERROR: "HTTP error",
    Status.NO_ACCESS: "login needed",
    Status.CONNECTION_ERROR: "no connection",
    Status.TRUNCATED: "incomplete",
    Status.EMPTY: "empty file",
    Status.NOT_IMAGE: "not an image",
    Status.NEAR_DUPLICATE: "near-duplicate",
    Status.CROSS_CLASS: "in two classes",
    Status.LICENSE: "licence refused",
    Status.KEPT: "in the dataset",
}
"""Short enough for a label on a photo."""


def words(status: str) -> str:
    """A status in words."""
    return _WORDS.get(Status(status)) or status.replace("_", " ")
