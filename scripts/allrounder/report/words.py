"""The words for statuses that the report shows, short enough for a chip."""

from allrounder.core.rows import Status

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


def words(status: str) -> str:
    """A status in words."""
    return _WORDS.get(Status(status)) or status.replace("_", " ")
