"""Compares a photo with the one that its source expects, as a recipe does.

The download compares the bytes. Where they differ, clean compares the pictures (`download.expect:
picture`): their perceptual hashes must be as close as those of near-duplicates.
"""

import re
from dataclasses import replace
from enum import StrEnum

from allrounder.core.rows import Candidate, Match, Result, Status

SHA256 = re.compile("[0-9a-f]{64}")
HASH = re.compile("[0-9a-f]{16}")
_PHOTOS = (Status.OK, Status.DUPLICATE, Status.CHANGED)


class Expect(StrEnum):
    """What must equal the expected photo's (`download.expect`)."""

    BYTES = "bytes"
    PICTURE = "picture"
    NOTHING = "nothing"


def as_expected(candidate: Candidate, result: Result, expect: Expect) -> Result:
    """The result of a candidate; `changed` if its photo is not the expected one.

    With `picture`, a photo with other bytes is taken if clean can compare it.
    """
    if match_of(candidate, result) is not Match.CHANGED or result.status is not Status.OK:
        return result
    if expect is Expect.NOTHING or (expect is Expect.PICTURE and candidate.expected_hash):
        return result
    return replace(
        result, status=Status.CHANGED, detail="other bytes than expected", suffix="", stored=None
    )


def is_outdated(candidate: Candidate, result: Result, expect: Expect) -> bool:
    """Whether a photo was refused as `changed`, and now would not be."""
    if result.status is not Status.CHANGED:
        return False
    now = as_expected(candidate, replace(result, status=Status.OK), expect)
    return now.status is not Status.CHANGED


def match_of(candidate: Candidate, result: Result) -> Match:
    """How a photo's bytes compare with the expected ones."""
    if not candidate.expected_sha256:
        return Match.NONE
    if result.sha256 and result.status in _PHOTOS:
        return Match.IDENTICAL if result.sha256 == candidate.expected_sha256 else Match.CHANGED
    skipped = result.status in (Status.UNUSED, Status.DUPLICATE)  # another address was taken
    return Match.NOT_TRIED if skipped else Match.GONE


def confirmed(expected_hash: str, found: int, radius: int) -> tuple[bool, int]:
    """Whether a perceptual hash is at most `radius` bits from the expected one; and the bits."""
    apart = (int(expected_hash, 16) ^ found).bit_count()
    return apart <= radius, apart
