"""Judges a photo by its bytes as served: format, size, known placeholders.

Only the header is read. The clean stage decodes the whole picture.
"""

import csv
import hashlib
import io
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from PIL import Image

from allrounder.core.rows import Result, Status

FORMATS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp"}
"""Pillow's names of the formats we take, and the suffix of each (MPO is a JPEG with more in it)."""
OPENED = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Pillow's names of what opens them: MPO is opened as a JPEG, and unknown to `Image.open`."""

Image.MAX_IMAGE_PIXELS = None  # the bound on pixels is ours, and checked before decoding

PLACEHOLDERS = Path(__file__).with_name("placeholders.csv")
PLACEHOLDER_MAX = 64 * 2**10
"""Known placeholders are small; larger bodies are not hashed to look them up."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a photo's size may be: bytes, pixels of the shorter side, pixels in all."""

    max_bytes: int
    min_side: int
    max_pixels: int


def judge(body: bytes, bounds: Bounds) -> Result:
    """Judge a whole body by its content, not by its name or Content-Type.

    The result has the body's size; of a good photo also its SHA-256 and the suffix of its format.
    """
    fault, suffix = _judge(body, bounds)
    if fault:
        return replace(fault, bytes=len(body))
    sha256 = hashlib.sha256(body).hexdigest()
    return Result(Status.OK, bytes=len(body), sha256=sha256, suffix=suffix)


def _judge(body: bytes, bounds: Bounds) -> tuple[Result | None, str]:
    """The reason against a body or None, and its suffix."""
    if fault := judge_length(len(body), bounds):
        return fault, ""
    if len(body) <= PLACEHOLDER_MAX and (host := placeholder_md5s().get(_md5(body))):
        return Result(Status.PLACEHOLDER, host), ""
    if size := plain_jpeg_size(body):
        return judge_size(*size, bounds), "jpg"
    try:
        with Image.open(io.BytesIO(body), formats=OPENED) as image:
            (width, height), suffix = image.size, FORMATS[image.format or ""]
    except Exception:  # Pillow's parsers raise nearly anything on hostile headers
        return Result(Status.NOT_IMAGE, _sniffed(body)), ""
    return judge_size(width, height, bounds), suffix


def judge_length(size: int, bounds: Bounds) -> Result | None:
    """The reason against a body of this size in bytes, or None."""
    if not size:
        return Result(Status.EMPTY)
    if size > bounds.max_bytes:
        return Result(Status.TOO_LARGE, f"more than {bounds.max_bytes} bytes")
    return None


def plain_jpeg_size(body: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG whose header has nothing unusual; None: ask Pillow.

    Ten times as quick. Source: ITU-T T.81, B.2.2.
    """
    at, end = 2, len(body)
    if body[:3] != b"\xff\xd8\xff":
        return None
    while at + 10 <= end and body[at] == 0xFF:
        marker, length = body[at + 1], int.from_bytes(body[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            height = int.from_bytes(body[at + 5 : at + 7], "big")
            width = int.from_bytes(body[at + 7 : at + 9], "big")
            usual = body[at + 4] == 8 and body[at + 9] in (1, 3) and length == 8 + 3 * body[at + 9]
            return (width, height) if usual and width and height and at + length < end else None
        if marker not in _PASSED or length < 2:
            return None
        at += 2 + length
    return None


def ends_whole(body: bytes, suffix: str) -> bool:
    """Whether an image's last bytes are those of its format's end, where it has one."""
    tail = bytes(body[-64:])
    if suffix == "jpg":
        return b"\xff\xd9" in tail
    if suffix == "png":
        return b"IEND" in tail
    if suffix == "gif":
        return b"\x3b" in tail
    return len(body) >= _stated_size(bytes(body[:8]), suffix)


def _stated_size(head: bytes, suffix: str) -> int:
    if suffix == "webp":
        return int.from_bytes(head[4:8], "little") + 8
    return int.from_bytes(head[2:6], "little")  # bmp


def judge_size(width: int, height: int, bounds: Bounds) -> Result | None:
    """The reason against a picture of this size in pixels, or None."""
    if min(width, height) < bounds.min_side:
        return Result(Status.TOO_SMALL, f"{width}x{height}")
    if width * height > bounds.max_pixels:
        return Result(Status.TOO_MANY_PIXELS, f"{width}x{height}")
    return None


@cache
def placeholder_md5s() -> dict[str, str]:
    """MD5 of each known placeholder's bytes: the host it is of."""
    return {row["value"]: row["host"] for row in _placeholders() if row["kind"] == "md5"}


@cache
def placeholder_urls() -> dict[str, str]:
    """URL (without scheme) that placeholders are redirected to: the host it is of."""
    return {row["value"]: row["host"] for row in _placeholders() if row["kind"] == "redirect"}


@cache
def placeholder_etags() -> dict[str, str]:
    """ETag, without quotes, of each known placeholder: the host it is of."""
    return {row["value"]: row["host"] for row in _placeholders() if row["kind"] == "etag"}


@cache
def _placeholders() -> tuple[dict[str, str], ...]:
    with PLACEHOLDERS.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _sniffed(body: bytes) -> str:
    """In a word or two, what a body is that is no image we can open."""
    head = body[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if b"<svg" in head:
        return "SVG"
    if body.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")):
        return "unreadable header"
    return "text" if head.isascii() else "unknown format"


_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_PASSED = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
