"""Decodes one photo to its end and makes it normal: upright, RGB, JPEG, no metadata.

Also what it looks like in few bytes (a perceptual hash and a thumbnail), for neighbours.py. Not
for deciding which photos are kept: that is curate.py.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps

from allrounder.jpeg import NotPlainError, stripped
from allrounder.photo import Bounds, judge_size
from allrounder.records import Status

THUMB = 16
_ORIENTATION = 0x0112
_LOOK = 64


@dataclass(frozen=True, slots=True)
class Look:
    """What a photo looks like: hash (64 bits), grey thumbnail (16 x 16), flatness.

    `flat` is the share of the most common of 16 grey levels: near 1 for a drawn notice.
    """

    hash: int
    thumb: bytes
    flat: float


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo: its normal form and its look; or the reason against it."""

    status: Status
    detail: str = ""
    width: int = 0
    height: int = 0
    body: bytes = b""
    look: Look | None = None


def normal(body: bytes, bounds: Bounds, quality: int) -> Photo:
    """Decode a photo and bring it into normal form.

    A JPEG that is upright and RGB or grey keeps its compressed data bit for bit; anything else
    is converted to sRGB at `quality`.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(body)) as image:
            if fault := judge_size(*image.size, bounds):
                return Photo(fault.status, fault.detail, *image.size)
            return _decoded(image, body, quality)
    except Image.DecompressionBombError:
        return Photo(Status.TOO_MANY_PIXELS, f"more than {bounds.max_pixels} pixels")
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile data
        return Photo(Status.CORRUPT, _words(error))


def _decoded(image: ImageFile.ImageFile, body: bytes, quality: int) -> Photo:
    image.load()
    plain = image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L")
    if plain and image.getexif().get(_ORIENTATION, 1) in (0, 1):
        try:
            return Photo(Status.OK, "", *image.size, stripped(body), look(image))
        except NotPlainError as error:
            if "end marker" in str(error) or "cut off" in str(error):
                return Photo(Status.CORRUPT, str(error))
    upright = _srgb(ImageOps.exif_transpose(image))
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=quality, optimize=True)
    return Photo(Status.OK, "", *upright.size, out.getvalue(), look(upright))


def _srgb(image: Image.Image) -> Image.Image:
    """The picture as RGB in sRGB, transparency on white."""
    profile = image.info.get("icc_profile")
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


def look(image: Image.Image) -> Look:
    """What a picture looks like; integer arithmetic only, so the same on every machine.

    The hash is a difference hash: each bit says whether a cell of a 9 x 8 grey grid is darker
    than its right neighbour. Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013.
    """
    grey = image.convert("L")
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(cells[:, :-1] < cells[:, 1:])
    thumb = grey.resize((THUMB, THUMB), Image.Resampling.BOX)
    sample = np.asarray(grey.resize((_LOOK, _LOOK), Image.Resampling.BOX)) >> 4
    flat = int(np.bincount(sample.ravel(), minlength=16).max()) / sample.size
    return Look(int.from_bytes(bits.tobytes(), "big"), thumb.tobytes(), flat)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
