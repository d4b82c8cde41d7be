"""Decodes one photo to its end and normalizes it: upright, RGB or grey, JPEG, no metadata."""

import io
import re
import warnings
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image

from allrounder.clean.colour import Colours, colours, to_srgb
from allrounder.clean.fingerprints import Fingerprint, fingerprint
from allrounder.clean.flags import pixel_flags
from allrounder.clean.jpeg import ByteRanges, Jpeg, parse
from allrounder.core.photos import Bounds, judge_size, open_photo, too_costly, without_metadata
from allrounder.core.rows import Status
from allrounder.params.schema import Clean

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture of this orientation upright."""
_MIN_SIDE = 80  # pixels of a small version: what a fingerprint needs, also of a part
_EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_HARMLESS = "Invalid SOS parameters for sequential JPEG"
"""A warning about fields of a scan's header that have one valid value, so decoders ignore them."""
_FEW, _TEXT = 8, 32
"""Bytes between the data and the end marker: so few are ignored; so many ASCII bytes are text."""
_NO_MEMORY = re.compile("out of memory|insufficient memory", re.IGNORECASE)
_ROOM = 12  # bytes a pixel: the picture, its conversion, and what decoders and the encoder hold
_MAX_SIDE = 65_500  # of a JPEG that libjpeg writes
_OBJECT = re.compile(r" ?<[^<>]* at 0x[0-9a-fA-F]+>")
_UNCOMMON = "Could not determine subsampling"
"""The strict decoder's message for a valid JPEG that only Pillow can open."""


@dataclass(slots=True)
class Photo:
    """A decoded photo: its normalized body, fingerprint and flags; or the reason against it.

    `kept` are the ranges of the original bytes that form the body; none if it was encoded again.
    """

    status: Status
    detail: str = ""
    width: int = 0
    height: int = 0
    body: bytes = b""
    fingerprint: Fingerprint | None = None
    flags: frozenset[str] = frozenset()
    kept: ByteRanges = ()

    @classmethod
    def normalized(
        cls, size: tuple[int, int], body: bytes, grey: Image.Image, kept: ByteRanges = ()
    ) -> "Photo":
        """A valid photo, with the fingerprint and the flags of its grey version."""
        return cls(Status.OK, "", *size, body, fingerprint(grey), pixel_flags(grey), kept)


def normalize(body: bytes, rules: Clean) -> Photo:
    """Decode a photo and normalize it. Raises MemoryError.

    A baseline or progressive JPEG that is upright, RGB or grey, and sRGB keeps its compressed data
    bit for bit, unless `max_side` shrinks it. All else is converted to sRGB at `quality`.
    """
    bounds = Bounds(2**62, rules.min_side, rules.max_pixels)
    with warnings.catch_warnings(action="ignore"):
        try:
            if body[:2] == b"\xff\xd8":
                return _jpeg(body, bounds, rules)
            return _other(body, bounds, rules)
        except Exception as error:  # decoders raise nearly anything on hostile data
            if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
                raise MemoryError from error
            return Photo(Status.CORRUPT, _message(error))


def _jpeg(body: bytes, bounds: Bounds, rules: Clean) -> Photo:
    jpeg = parse(body)
    size = jpeg.width, jpeg.height
    if fault := judge_size(*size, bounds):
        return Photo(fault.status, fault.detail, *size)
    orientation, profile = _orientation(jpeg.exif), jpeg.profile
    mode = {1: "L", 3: "RGB"}.get(jpeg.components, "CMYK")
    space = colours(profile, mode) if profile else Colours.SRGB_WITHOUT
    lean, kept = jpeg.lean(body, with_profile=space is Colours.SRGB)
    image = Image.open(io.BytesIO(lean), formats=("JPEG",))  # as users of the dataset will
    if why := too_costly(image, lean):
        raise ValueError(why)
    grey, whole = _strictly_grey(lean, jpeg) if jpeg.common else (None, False)
    shrunk = rules.max_side is not None and max(size) > rules.max_side
    upright = orientation not in _UPRIGHT
    if grey and whole and upright and not (shrunk or jpeg.bloated or space is Colours.OTHER):
        return Photo.normalized(size, lean, grey, kept)
    return _converted(image, orientation, profile, rules)


def _strictly_grey(body: bytes, jpeg: Jpeg) -> tuple[Image.Image | None, bool]:
    """A small grey version (None for CMYK), and whether the decoder had no warning.

    Raises ValueError for damage that other decoders only warn about.
    """
    space = "GRAY" if jpeg.components in (1, 3) else "CMYK"
    options = {"colorspace": space, "min_height": _MIN_SIDE, "min_width": _MIN_SIDE}
    whole = True
    try:
        pixels = simplejpeg.decode_jpeg(body, **options)
    except ValueError as error:
        if _UNCOMMON in str(error):
            with Image.open(io.BytesIO(body), formats=("JPEG",)) as image:
                _load(image)
                return (image.convert("L"), True) if space == "GRAY" else (None, True)
        if not _is_harmless(str(error), body):
            raise
        whole = False
        pixels = simplejpeg.decode_jpeg(body, **options, strict=False)
    if space == "CMYK":
        return None, whole
    height, width, _ = pixels.shape
    return Image.frombuffer("L", (width, height), pixels, "raw", "L", 0, 1), whole


def _is_harmless(warning: str, body: bytes) -> bool:
    """Whether a decoder's warning is about something that is not the pixels.

    Bytes before the end marker are, if they are few, filling or text. Others may be what is left
    where damage made the decoder lose its place: of 426 such leftovers none had two values at most,
    and none was text of _TEXT bytes.
    """
    if not (found := _EXTRANEOUS.match(warning)):
        return _HARMLESS in warning
    stray = body[-2 - int(found[1]) : -2]
    text = len(stray) >= _TEXT and stray.isascii()
    return len(stray) <= _FEW or len(set(stray)) <= 2 or text


def _other(body: bytes, bounds: Bounds, rules: Clean) -> Photo:
    image = open_photo(body)
    if fault := judge_size(*image.size, bounds):
        return Photo(fault.status, fault.detail, *image.size)
    if why := too_costly(image, body):
        raise ValueError(why)
    try:
        _load(image)
    except MemoryError:
        raise
    except Exception:
        image = open_photo(without_metadata(body))
    orientation = _orientation(image)
    return _converted(image, orientation, image.info.get("icc_profile") or b"", rules)


def _load(image: Image.Image) -> None:
    """Decode all pixels. Raises MemoryError, first if there is no room for all that follows.

    Pillow cannot tell when libjpeg has not enough memory: it calls the data broken.
    """
    np.empty(_ROOM * image.width * image.height, np.uint8)
    image.load()


def _orientation(source: bytes | Image.Image) -> int:
    """The orientation in an EXIF block or in a photo's metadata, if it can be read; else 1."""
    if not source:
        return 1
    try:
        exif = Image.Exif() if isinstance(source, bytes) else source.getexif()
        if isinstance(source, bytes):
            exif.load(source)
        value = exif.get(_ORIENTATION, 1)
    except Exception:  # Pillow's parsers raise nearly anything on damaged blocks
        return 1
    return value if isinstance(value, int) else 1


def _converted(image: Image.Image, orientation: int, profile: bytes, rules: Clean) -> Photo:
    _load(image)
    if orientation in _UPRIGHT:
        image = _instead(image, image.transpose(_UPRIGHT[orientation]))
    image = _instead(image, to_srgb(image, profile))
    if rules.max_side is not None:
        image.thumbnail((rules.max_side, rules.max_side), Image.Resampling.LANCZOS)
    if max(image.size) > _MAX_SIDE:
        raise ValueError(f"a side longer than {_MAX_SIDE} pixels cannot be written")
    image.info = {}  # Pillow writes comments back
    out = io.BytesIO()
    image.save(out, "JPEG", quality=rules.quality, optimize=True)
    written = out.getvalue()
    grey, _ = _strictly_grey(written, parse(written))
    return Photo.normalized(image.size, written, grey or image.convert("L"))


def _instead(image: Image.Image, new: Image.Image) -> Image.Image:
    """The new picture; the memory of the old one is free."""
    if new is not image:
        image.close()
    return new


def _message(error: Exception) -> str:
    """A decoder's message without object addresses, so that it is the same in every run."""
    plain = _OBJECT.sub("", str(error))
    return " ".join(plain.split())[:100] or type(error).__name__
