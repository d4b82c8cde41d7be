"""Decodes one photo to its end and normalizes it: upright, RGB or grey, JPEG, no metadata."""

import io
import re
import warnings
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from allrounder.clean.fingerprints import Fingerprint, fingerprint
from allrounder.clean.jpeg import BrokenJpegError, ByteRanges, Jpeg, joined, parse
from allrounder.core.photos import OPENED, Bounds, judge_size
from allrounder.core.rows import Status
from allrounder.params.schema import Clean

_ORIENTATION = 0x0112
_MIN_SIDE = 47  # pixels: what a fingerprint needs at least, 1/8 of 500 x 375
_HARMLESS = re.compile(r"Corrupt JPEG data: [1-8] extraneous bytes before marker 0xd9")
"""A few bytes between the data and the end marker: some cameras and sites leave them."""
_OBJECT = re.compile(r" ?<[^<>]* at 0x[0-9a-fA-F]+>")
_UNCOMMON = "Could not determine subsampling"
"""The strict decoder's message for a valid JPEG that only Pillow can open."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo: its normalized body and its fingerprint; or the reason against it.

    `kept` are the ranges of the original bytes that are the body; none if it was converted.
    """

    status: Status
    detail: str = ""
    width: int = 0
    height: int = 0
    body: bytes = b""
    fingerprint: Fingerprint | None = None
    kept: ByteRanges = ()


def normalize(body: bytes, rules: Clean) -> Photo:
    """Decode a photo and normalize it.

    A baseline or progressive JPEG that is upright and RGB or grey keeps its compressed data bit
    for bit, unless `max_side` shrinks it. Everything else is converted to sRGB at `quality`.
    """
    bounds = Bounds(2**62, rules.min_side, rules.max_pixels)
    try:
        jpeg = parse(body) if body[:2] == b"\xff\xd8" else None
        if jpeg and _is_plain(jpeg, rules.max_side):
            return _plain(jpeg, body, bounds)
        with warnings.catch_warnings(action="ignore"):
            return _converted(body, bounds, rules)
    except BrokenJpegError as error:
        return Photo(Status.CORRUPT, str(error))
    except Exception as error:  # decoders raise nearly anything on hostile data
        return Photo(Status.CORRUPT, _message(error))


def _is_plain(jpeg: Jpeg, max_side: int | None) -> bool:
    if not jpeg.common or jpeg.components not in (1, 3):
        return False
    if max_side is not None and max(jpeg.width, jpeg.height) > max_side:
        return False
    if not jpeg.exif:
        return True
    exif = Image.Exif()
    exif.load(jpeg.exif)
    return exif.get(_ORIENTATION, 1) in (0, 1)


def _plain(jpeg: Jpeg, body: bytes, bounds: Bounds) -> Photo:
    """Decode all entropy-coded data, but only the few pixels that the fingerprint needs."""
    if fault := judge_size(jpeg.width, jpeg.height, bounds):
        return Photo(fault.status, fault.detail, jpeg.width, jpeg.height)
    plain = joined(body, jpeg.kept)
    seen = fingerprint(_strictly_grey(plain))
    return Photo(Status.OK, "", jpeg.width, jpeg.height, plain, seen, jpeg.kept)


def _strictly_grey(body: bytes) -> Image.Image:
    """A small grey version. Raises ValueError for damage that other decoders only warn about."""
    side = _MIN_SIDE
    try:
        pixels = simplejpeg.decode_jpeg(body, "GRAY", min_height=side, min_width=side)
    except ValueError as error:
        if _UNCOMMON in str(error):
            return _leniently_grey(body)
        if not _HARMLESS.match(str(error)):
            raise
        pixels = simplejpeg.decode_jpeg(body, "GRAY", min_height=side, min_width=side, strict=False)
    height, width, _ = pixels.shape
    return Image.frombuffer("L", (width, height), pixels, "raw", "L", 0, 1)


def _leniently_grey(body: bytes) -> Image.Image:
    with Image.open(io.BytesIO(body), formats=OPENED) as image:
        return image.convert("L")


def _converted(body: bytes, bounds: Bounds, rules: Clean) -> Photo:
    with Image.open(io.BytesIO(body), formats=OPENED) as image:
        if fault := judge_size(*image.size, bounds):
            return Photo(fault.status, fault.detail, *image.size)
        if image.format in ("JPEG", "MPO"):
            _check_strictly(body, image.mode)
        image.load()
        upright = _srgb(ImageOps.exif_transpose(image))
    if rules.max_side is not None:
        upright.thumbnail((rules.max_side, rules.max_side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=rules.quality, optimize=True)
    seen = fingerprint(upright.convert("L"))
    return Photo(Status.OK, "", *upright.size, out.getvalue(), seen)


def _check_strictly(body: bytes, mode: str) -> None:
    """Raise ValueError for damage in the middle of a file, which Pillow accepts."""
    if mode in ("RGB", "L"):
        _strictly_grey(body)
        return
    try:
        simplejpeg.decode_jpeg(body, "CMYK")
    except ValueError as error:
        if _UNCOMMON not in str(error):
            raise


def _srgb(image: Image.Image) -> Image.Image:
    """The picture as RGB in sRGB, transparency on white."""
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip to white
        grey = np.asarray(image).clip(0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    profile = image.info.get("icc_profile")
    from PIL import ImageCms  # slow to import, and few photos need it

    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            return ImageCms.profileToProfile(  # type: ignore[return-value]
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile: read the numbers as they are
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _message(error: Exception) -> str:
    """A decoder's message without object addresses, so that it is the same in every run."""
    plain = _OBJECT.sub("", str(error))
    return " ".join(plain.split())[:100] or type(error).__name__
