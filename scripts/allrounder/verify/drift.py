"""What became of a photo's URL since the download: one `Drift` each, decided from the answer.

Pure decisions, no I/O; the photo is as it was then (webphotos.Photo).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from allrounder.download.outcomes import may_pass
from allrounder.records import Status
from allrounder.verify.webphotos import Photo

ALIKE = 3
"""So many URLs that all serve the same other picture now serve a placeholder."""


class Drift(StrEnum):
    """What a URL gives now, next to what it gave then."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    PLACEHOLDER = "placeholder"
    OPTED_OUT = "opted_out"
    UNREACHABLE = "unreachable"  # a fault that may pass, so nobody knows
    NOT_ASKED = "not_asked"  # no form of URL that is known here


@dataclass(frozen=True, slots=True)
class Answer:
    """The drift of one photo."""

    photo: Photo
    drift: Drift
    detail: str = ""
    final_url: str = ""  # where it is not the photo's own
    sha256: str = ""  # of what came, if it is a picture
    unmodified: bool = False  # the host said so and sent no body


def of_bytes(photo: Photo, sha256: str, final_url: str = "") -> Answer:
    """Of a good picture's bytes, by their hash."""
    drift = Drift.SAME if sha256 == photo.sha256 else Drift.CHANGED
    detail = "" if drift is Drift.SAME else "other bytes"
    return Answer(photo, drift, detail, _elsewhere(photo, final_url), sha256)


def of_failure(photo: Photo, status: Status, detail: str, final_url: str = "") -> Answer:
    """Of an answer that is no good picture, or of none."""
    words = f"{status} {detail}".strip()
    return Answer(photo, _drift(status, detail), words, _elsewhere(photo, final_url))


def _drift(status: Status, detail: str) -> Drift:
    if status is Status.PLACEHOLDER:
        return Drift.PLACEHOLDER
    if status is Status.OPTED_OUT:
        return Drift.OPTED_OUT
    if may_pass(status, detail):
        return Drift.UNREACHABLE
    if status in (Status.HTTP_ERROR, Status.REDIRECT_ERROR, Status.BAD_URL):
        return Drift.GONE
    return Drift.CHANGED  # something whole came that is no good photo


def find_placeholders(answers: Sequence[Answer]) -> list[Answer]:
    """The same answers, those that changed to one and the same picture told as placeholders."""
    counts = Counter(answer.sha256 for answer in answers if answer.drift is Drift.CHANGED)
    return [
        replace(
            answer, drift=Drift.PLACEHOLDER, detail=f"the same behind {counts[answer.sha256]} URLs"
        )
        if answer.drift is Drift.CHANGED and answer.sha256 and counts[answer.sha256] >= ALIKE
        else answer
        for answer in answers
    ]


def _elsewhere(photo: Photo, final_url: str) -> str:
    return "" if final_url == photo.url else final_url
