"""Judges a photo by its bytes as served: format, size, known placeholders.

Only the header is read. The clean stage decodes the whole picture.
"""

import csv
import hashlib
import io
import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import pillow_heif
from PIL import Image

from allrounder.core.files import disguise
from allrounder.core.opt_outs import embedded_opt_out, has_c2pa
from allrounder.core.rows import Result, Status

FORMATS = {
    "JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "HEIF": "heic",
    "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "JPEG2000": "jp2", "ICO": "ico",
}  # fmt: skip
"""The accepted formats by Pillow's name, and the suffix of each. MPO is a JPEG with extras."""
DECODERS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "HEIF", "TIFF", "JPEG2000", "ICO")
"""Pillow's decoders for these formats. The one for JPEG opens MPO too, pillow-heif the one for
HEIF (HEIC)."""
_REFUSED = {
    "BigTIFF": rb"II\+\0|MM\0\+",
    "JPEG XL": rb"\0\0\0\x0cJXL |\xff\x0a",
    "PSD": rb"8BPS",
    "PDF": rb"%PDF",
    "PostScript": rb"%!PS",
    "DjVu": rb"AT&TFORM",
    "PPM": rb"P[1-7]\s",
    "QOI": rb"qoif",
    "DDS": rb"DDS ",
    "PCX": rb"\x0a[\0-\x05][\0\x01][\x01\x02\x04\x08]",
    "camera raw": rb".{4}ftypcrx|FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR",  # CR3, RAF, ORF, RW2
    "OpenEXR": rb"v/1\x01",
    "HDR": rb"#\?RADIANCE",
    "gzip": rb"\x1f\x8b",
    "ZIP": rb"PK\x03\x04",
    "MP4": rb".{4}ftyp(iso|mp4|qt  |M4V)",
    "Windows metafile": rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF",
}
"""Known formats that are not accepted, and how they start. docs/cleaning.md has the reasons."""

pillow_heif.register_heif_opener(thumbnails=False)
Image.MAX_IMAGE_PIXELS = None  # `judge_size` checks our own bound before anything is decoded

MAX_SCANNED = 2 * 10**9
"""Pixels times scans of a JPEG: each scan is a pass over the whole picture, 10 s in all at most.

Real photos have about ten scans. Source: libjpeg-turbo, README and `djpeg -maxscans`, on
progressive files made to exhaust decoders.
"""
MAX_JPEG_2000 = 4 * 10**7
"""Pixels of a JPEG 2000: its decoder takes 16 bytes for each, and about 10 s in all."""
_ICON = b"\0\0\1\0"
_PNG_HEADER = re.compile(rb"IHDR(?=(.{8}))", re.DOTALL)
MAX_ICON = 2**20
"""Pixels of an icon's pictures: they may be larger than the 256 x 256 that its header can state."""
MAX_STRIPS = 10**5
"""Strips or tiles of a TIFF; one for each row of the tallest photo."""
_STRIPS = (273, 324)
_TIFF_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Bytes of a value by its type; 1 for the others."""
MAX_RLE = 10**7
"""Pixels of a run-length encoded BMP, which Pillow decodes in Python: 1 s."""

_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_BEFORE_FRAME = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
"""A JPEG's markers of frames, and of the segments that usually stand before one."""
_END_MARKS = {"jpg": b"\xff\xd9", "png": b"IEND", "gif": b"\x3b", "jp2": b"\xff\xd9"}

PLACEHOLDERS = Path(__file__).with_name("placeholders.csv")
PLACEHOLDER_MAX = 64 * 2**10
"""Bytes. Known placeholders are smaller, so larger bodies need no look-up."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The conditions for taking a photo."""

    max_bytes: int
    min_side: int  # pixels of the shorter side
    max_pixels: int
    honour_opt_out: bool = False  # refuse a photo whose metadata or headers have an opt-out
    taken_down: frozenset[str] = frozenset()  # SHA-256s, and URLs as `match_name` writes them


def judge(body: bytes, bounds: Bounds) -> Result:
    """Judge a whole body by its content, not by its name or Content-Type.

    The result has the body's size; of a good photo also its SHA-256 and the suffix of its format.
    """
    fault, suffix = _judge(body, bounds)
    if not fault and bounds.honour_opt_out:
        fault = embedded_opt_out(body)
    if fault:
        return replace(fault, bytes=len(body))
    sha256 = hashlib.sha256(body).hexdigest()
    if sha256 in bounds.taken_down:
        return Result(Status.TAKEN_DOWN, bytes=len(body), sha256=sha256)
    detail = "has a C2PA manifest" if has_c2pa(body) else ""
    return Result(Status.OK, detail, bytes=len(body), sha256=sha256, suffix=suffix)


def _judge(body: bytes, bounds: Bounds) -> tuple[Result | None, str]:
    """The result that refuses a body, or None; and the suffix of its format."""
    if fault := judge_length(len(body), bounds):
        return fault, ""
    if len(body) <= PLACEHOLDER_MAX:
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if host := _placeholders().get(("md5", md5)):
            return Result(Status.PLACEHOLDER, host), ""
    if size := plain_jpeg_size(body):
        return judge_size(*size, bounds), "jpg"
    try:
        with open_photo(body) as image:
            (width, height), suffix = image.size, FORMATS[image.format or ""]
    except MemoryError:  # this machine's fault, not the photo's
        raise
    except Exception:  # Pillow's parsers raise nearly anything on hostile headers
        return Result(Status.NOT_IMAGE, _sniffed(body)), ""
    return judge_size(width, height, bounds), suffix


def open_photo(body: bytes) -> Image.Image:
    """Open a photo with Pillow; without its metadata if Pillow refuses that.

    Raises whatever Pillow raises.
    """
    if body[:4] in (b"II+\0", b"MM\0+") or _inflates(body):
        raise ValueError("a TIFF that Pillow could not read at a bearable cost")
    if body[:4] == _ICON and (largest := _largest_icon(body)) > MAX_ICON:
        raise ValueError(f"icon of {largest} pixels")  # Pillow decodes icons as it opens them
    try:
        return Image.open(io.BytesIO(body), formats=DECODERS)
    except Exception:
        if (essential := without_metadata(body)) == body:
            raise
        return Image.open(io.BytesIO(essential), formats=DECODERS)


def _inflates(body: bytes) -> bool:
    """Whether a TIFF's tags state more data than the file has, or more than MAX_STRIPS strips.

    Tags may overlap, and Pillow reads them all. Source: TIFF 6.0, section 2.
    """
    order: Literal["little", "big"] = "little" if body[:2] == b"II" else "big"
    if body[:4] not in (b"II*\0", b"MM\0*"):
        return False

    def number(at: int, size: int) -> int:
        return int.from_bytes(body[at : at + size], order)

    first = number(4, 4)
    entries = range(first + 2, first + 2 + 12 * number(first, 2), 12)
    if any(number(at, 2) in _STRIPS and number(at + 4, 4) > MAX_STRIPS for at in entries):
        return True
    sizes = (number(at + 4, 4) * _TIFF_SIZES.get(number(at + 2, 2), 1) for at in entries)
    return sum(size for size in sizes if size > 4) > len(body)


def without_metadata(body: bytes) -> bytes:
    """A PNG without damaged and needless chunks, an AVIF or HEIC without EXIF; others as they are.

    Sources: PNG (third edition), 5; ISO/IEC 23008-12, A.2.1.
    """
    if body[4:8] == b"ftyp":
        return re.sub(rb"(infe\x02.{7})Exif", rb"\1free", body, flags=re.DOTALL)
    if body[:8] != b"\x89PNG\r\n\x1a\n":
        return body
    at, taken = 8, [body[:8]]
    while at < len(body):
        end = at + 12 + int.from_bytes(body[at : at + 4], "big")
        kind, crc = body[at + 4 : at + 8], zlib.crc32(body[at + 4 : end - 4])
        whole = crc == int.from_bytes(body[end - 4 : end], "big")
        if not kind[:1].islower() or (kind in (b"tRNS", b"eXIf") and whole):
            taken.append(body[at:end])
        at = end
    return b"".join(taken)


def judge_length(size: int, bounds: Bounds) -> Result | None:
    """The result that refuses a body of this size in bytes, or None."""
    if not size:
        return Result(Status.EMPTY)
    if size > bounds.max_bytes:
        return Result(Status.TOO_LARGE, f"more than {bounds.max_bytes} bytes")
    return None


def plain_jpeg_size(body: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG with an ordinary header; None for others, which Pillow must read.

    This is ten times as fast as Pillow. Source: ITU-T T.81, B.2.2.
    """
    at, end = 2, len(body)
    if body[:3] != b"\xff\xd8\xff":
        return None
    while at + 10 <= end and body[at] == 0xFF:
        marker, length = body[at + 1], int.from_bytes(body[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            height = int.from_bytes(body[at + 5 : at + 7], "big")
            width = int.from_bytes(body[at + 7 : at + 9], "big")
            parts = body[at + 9]
            usual = body[at + 4] == 8 and parts in (1, 3, 4) and length == 8 + 3 * parts
            return (width, height) if usual and width and height and at + length < end else None
        if marker not in _BEFORE_FRAME or length < 2:
            return None
        at += 2 + length
    return None


def ends_whole(body: bytes, suffix: str) -> bool:
    """Whether an image ends with its format's end marker, or has the size its header states.

    True for a TIFF or an icon, which have neither.
    """
    if suffix in ("tif", "ico"):
        return True
    if mark := _END_MARKS.get(suffix):
        return mark in body[-64:]
    if suffix in ("avif", "heic"):
        return _boxes_end(body) <= len(body)
    if suffix == "webp":
        return len(body) >= int.from_bytes(body[4:8], "little") + 8
    return len(body) >= int.from_bytes(body[2:6], "little")  # bmp


def _boxes_end(body: bytes) -> int:
    """Where the last box of an AVIF or HEIC ends (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(body[at + 8 : at + 16], "big")
        at = at + size if size >= 8 else len(body)  # 0: up to the end
    return at


def too_costly(image: Image.Image, body: bytes) -> str:
    """Why a photo that Pillow has opened would take a decoder very long, or ''."""
    pixels = image.width * image.height
    scanned = pixels > MAX_SCANNED // 10_000 and image.format in ("JPEG", "MPO", "TIFF")
    scans = body.count(b"\xff\xda") if scanned else 1
    if scans * pixels > MAX_SCANNED:
        return f"{scans} scans of {image.width}x{image.height} pixels"
    if pixels > MAX_JPEG_2000 and image.format == "JPEG2000":
        return f"JPEG 2000 of {image.width}x{image.height} pixels"
    if pixels > MAX_RLE and image.format == "BMP" and image.info.get("compression") in (1, 2):
        return f"run-length encoded BMP of {image.width}x{image.height} pixels"
    return ""


def _largest_icon(body: bytes) -> int:
    """The pixels of an icon's largest picture by the pictures' own headers.

    Any header of a PNG counts: Pillow takes the last one, wherever it stands. Source: Microsoft,
    "Icons", 1995 (ICONDIR and ICONDIRENTRY).
    """
    sizes = (struct.unpack(">II", found[1]) for found in _PNG_HEADER.finditer(body))
    largest = max((width * height for width, height in sizes), default=0)
    for at in range(6, 6 + 16 * int.from_bytes(body[4:6], "little"), 16):
        start = int.from_bytes(body[at + 12 : at + 16], "little")
        if body[start : start + 8] != b"\x89PNG\r\n\x1a\n":
            width, height = struct.unpack_from("<ii", body, start + 4)
            largest = max(largest, abs(width * height))
    return largest


def judge_size(width: int, height: int, bounds: Bounds) -> Result | None:
    """The result that refuses a picture of this size in pixels, or None."""
    if min(width, height) < bounds.min_side:
        return Result(Status.TOO_SMALL, f"{width}x{height}")
    if width * height > bounds.max_pixels:
        return Result(Status.TOO_MANY_PIXELS, f"{width}x{height}")
    return None


def placeholder_host_of_etags(etags: Iterable[bytes]) -> str:
    """The host whose known placeholder has one of these ETags, or ''."""
    values = (etag.decode("latin-1").removeprefix("W/").strip('"') for etag in etags)
    return next((host for one in values if (host := _placeholders().get(("etag", one)))), "")


def placeholder_host_of_url(url: str) -> str:
    """The host whose placeholders have URLs like this one, or ''.

    An `address` in the table is a pattern of a URL without its scheme.
    """
    address = url.partition("://")[2]
    return next((host for form, host in _placeholder_addresses() if form.fullmatch(address)), "")


@cache
def _placeholder_addresses() -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(pattern, re.IGNORECASE), host)
        for (kind, pattern), host in _placeholders().items()
        if kind == "address"
    ]


@cache
def _placeholders() -> dict[tuple[str, str], str]:
    with PLACEHOLDERS.open(encoding="utf-8", newline="") as file:
        return {(row["kind"], row["value"]): row["host"] for row in csv.DictReader(file)}


def _sniffed(body: bytes) -> str:
    """A guess, in a few words, at what a body is that cannot be opened as an image."""
    head = body[:512].lstrip().lower()
    if b"<svg" in head:
        return "SVG"
    if what := disguise(body[:512]):
        return what
    for name, start in _REFUSED.items():
        if re.match(start, body, re.DOTALL):
            hint = ": install libjxl-tools, convert it with djxl" if name == "JPEG XL" else ""
            return f"format {name} is not accepted{hint}"
    if body.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")):
        return "unreadable header"
    if b"\0" in head or not head.isascii():
        return "unknown format"
    return "a list of URLs" if re.match(rb"(\S+[ \t,]+)?https?://\S+\s*\n", head) else "text"
