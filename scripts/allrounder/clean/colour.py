"""Reads ICC profiles: whether a photo is sRGB already, and its conversion to sRGB."""

import io
from enum import Enum
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_TOLERANCE = 8  # levels of 255: what profiles that are named sRGB differ by at most
_MAX_KEPT = 2**16 - 17  # bytes: what fits into one segment of a JPEG
_TAGS = frozenset(
    b"bTRC bXYZ bkpt calt chad chrm cprt desc dmdd dmnd dscm gTRC gXYZ kTRC lumi meas rTRC "
    b"rXYZ tech ucmI vcgt view vued wtpt".split()
)
"""The tags of RGB and grey profiles without tables: ICC.1:2022, 9.2; Apple's and Canon's own."""
_ROWS = 256  # of a picture that are converted at once, so that memory never holds it three times
_SRGB = ImageCms.createProfile("sRGB")


class Colours(Enum):
    """The colour space that a profile gives a photo."""

    SRGB = "sRGB; the profile holds nothing else"
    SRGB_WITHOUT = "sRGB, or no valid profile of such a photo: the profile can be removed"
    OTHER = "another colour space"


@lru_cache(32)
def colours(profile: bytes, mode: str) -> Colours:
    """The colour space that a profile gives a photo of this mode: RGB, L or CMYK."""
    transform = _transform(profile, mode)
    if transform is None:
        return Colours.SRGB_WITHOUT
    if mode == "CMYK":
        return Colours.OTHER
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    image = Image.fromarray(grid).convert(mode)
    apart = np.asarray(transform.apply(image), np.int16) - np.asarray(image.convert("RGB"))
    if abs(apart).max() > _TOLERANCE:
        return Colours.OTHER
    return Colours.SRGB if _is_tidy(profile) else Colours.SRGB_WITHOUT


@lru_cache(4)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB. None for what is no profile, or one of another kind of photo."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _is_tidy(profile: bytes) -> bool:
    """Whether a profile has its stated size, known tags, and nothing between or behind them."""
    count = int.from_bytes(profile[128:132], "big")
    at = 132 + 12 * count
    if not len(profile) == int.from_bytes(profile[:4], "big") <= _MAX_KEPT or count > len(_TAGS):
        return False
    table = [profile[place : place + 12] for place in range(132, at, 12)]
    for entry in sorted(table, key=lambda entry: entry[4:]):
        start, size = int.from_bytes(entry[4:8], "big"), int.from_bytes(entry[8:], "big")
        if entry[:4] not in _TAGS or start > at + 3:
            return False
        at = max(at, start + size)
    return at <= len(profile) <= at + 3


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The picture as RGB in sRGB, transparency on white."""
    if image.mode == "RGB" and not profile and not image.has_transparency_data:
        return image
    whole = Image.new("RGB", image.size)
    for top in range(0, image.height, _ROWS):
        strip = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
        whole.paste(_strip_to_srgb(strip, profile), (0, top))
    return whole


def _strip_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip to white
        grey = np.asarray(image).clip(0, 65535) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    clear = image.convert("RGBA") if image.has_transparency_data else None
    if clear and image.mode not in ("L", "LA"):
        image = clear
    mode = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    transform = _transform(profile, mode) if profile else None
    rgb = transform.apply(image.convert(mode)) if transform else image.convert("RGB")
    if clear:
        rgb.putalpha(clear.getchannel("A"))
        rgb = Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")
    return rgb
