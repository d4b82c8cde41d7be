"""What the report shows of a photo, or of a candidate without one, and the words for statuses."""

from dataclasses import dataclass

from allrounder.core.corrections import PhotoId
from allrounder.core.rows import FLAGS, Candidate, CleanRow, RawRow, Status
from allrounder.core.tars import StoredBytes

KEPT = "kept"


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
