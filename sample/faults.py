"""The faults that are planted in the cartoon sample, and how each one is made."""

from __future__ import annotations

import io
from random import Random

from PIL import Image, ImageDraw, ImageEnhance, ImageOps, UnidentifiedImageError

from canvas import Canvas

FAULTS: dict[str, str] = {
    # The same "photo unavailable" picture: twice in one class, once in each of two others.
    "n02690373_007.jpg": "placeholder",
    "n02690373_019.jpg": "placeholder",
    "n03782006_013.jpg": "placeholder",
    "n04273569_021.jpg": "placeholder",
    # Broken downloads.
    "n02917067_012.jpg": "truncated",  # header readable, 60 % of the bytes
    "n04146614_005.jpg": "garbage_in_middle",  # 200 bytes overwritten; loading raises OSError
    "n04146614_015.jpg": "tiny",  # 8x8 pixels
    "n01833805_020.jpg": "html",  # a "404 not found" page under a .jpg name
    "n04273569_018.jpg": "empty",  # zero bytes
    # The same picture twice; COPIES names the original.
    "n02109961_014.jpg": "exact_duplicate",
    "n02123394_017.jpg": "near_duplicate",
    # One picture, byte-identical, in two classes: a living room with couch and folding chair.
    "n03376595_010.jpg": "cross_class",
    "n04344873_012.jpg": "cross_class",
    # Good pictures in an unusual form.
    "n02109961_009.jpg": "exif_rotated",  # stored sideways, Orientation 6, with GPS position
    "n01833805_008.jpg": "cmyk",
    "n03376595_016.png": "png",  # RGBA with transparent corners
    "n02917067_006.gif": "gif",
    "n02123394_011.webp": "webp",
}

# Duplicate -> the earlier picture of the same class that it repeats.
COPIES: dict[str, str] = {
    "n02109961_014.jpg": "n02109961_005.jpg",
    "n02123394_017.jpg": "n02123394_004.jpg",
}

# Kinds of FAULTS that are still good pictures of their class.
GOOD_KINDS = frozenset({"exif_rotated", "cmyk", "png", "gif", "webp"})

# Kinds of FAULTS that no decoder can load in full.
BROKEN_KINDS = frozenset({"truncated", "garbage_in_middle", "html", "empty"})

HTML = b"""<!DOCTYPE html>
<html><head><title>404 Not Found</title></head>
<body><h1>404 Not Found</h1><p>The requested picture was not found on this server.</p></body></html>
"""


def jpeg(image: Image.Image, quality: int = 80, exif: bytes = b"") -> bytes:
    """Encode as baseline JPEG, 4:2:0."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, subsampling="4:2:0", optimize=True, exif=exif)
    return out.getvalue()


def placeholder() -> bytes:
    """Draw the grey "photo unavailable" picture."""
    canvas = Canvas(200, 150)
    pen, ink = canvas.pen(), (150, 150, 150)
    pen.box(0, 0, 200, 150, (214, 214, 214))
    pen.box(82, 44, 118, 68, ink, 4)
    pen.box(92, 39, 108, 46, ink, 2)
    pen.ellipse(100, 56, 9, 9, (214, 214, 214))
    pen.ellipse(100, 56, 6, 6, ink)
    pen.text(100, 84, "This photo is", ink, 9)
    pen.text(100, 96, "currently unavailable", ink, 9)
    return jpeg(canvas.image.reduce(3))


def truncated(data: bytes) -> bytes:
    """Cut the file off at 60 % of its bytes."""
    return data[: len(data) * 6 // 10]


def is_broken(data: bytes) -> bool:
    """Tell whether Pillow refuses to load the picture."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (OSError, UnidentifiedImageError, SyntaxError):
        return True
    return False


def garbage_in_middle(data: bytes, rng: Random) -> bytes:
    """Overwrite 200 bytes in the middle, among them markers no baseline decoder accepts.

    Plain noise is only a warning to libjpeg, but a second frame header of an unsupported kind
    (SOF5, FF C5) is an error. Tries until Pillow raises.
    """
    start = len(data) // 2
    for _ in range(100):
        noise = bytearray(b % 255 for b in rng.randbytes(200))
        noise[96:100] = b"\xff\xc5\xff\xc5"
        bad = data[:start] + bytes(noise) + data[start + 200 :]
        if is_broken(bad):
            return bad
    raise RuntimeError("Pillow loads the damaged picture")


def near_duplicate(data: bytes) -> bytes:
    """Re-encode a picture: a little smaller, a little brighter, quality 60."""
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB").resize(
            (image.width * 94 // 100, image.height * 94 // 100), Image.Resampling.LANCZOS
        )
    return jpeg(ImageEnhance.Brightness(small).enhance(1.04), quality=60)


def tiny(image: Image.Image) -> bytes:
    """Scale down to 8x8 pixels."""
    return jpeg(image.resize((8, 8), Image.Resampling.BOX))


def exif_rotated(image: Image.Image) -> bytes:
    """Store sideways with Orientation 6 and a made-up camera and GPS position."""
    exif = Image.Exif()
    exif[0x010F] = "Sample camera"
    exif[0x0112] = 6
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (52.0, 31.0, 12.0)
    gps[3], gps[4] = "E", (13.0, 24.0, 18.0)
    return jpeg(image.transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes())


def few_colors(image: Image.Image, count: int) -> Image.Image:
    """Quantise without dither."""
    return image.quantize(count, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def png(image: Image.Image) -> bytes:
    """RGBA with transparent (white) round corners, in few colours."""
    mask = Image.new("L", (image.width * 2, image.height * 2), 0)
    ImageDraw.Draw(mask).rounded_rectangle(
        (0, 0, mask.width - 1, mask.height - 1), radius=mask.height // 3, fill=255
    )
    mask = ImageOps.posterize(mask.reduce(2), 2)
    mask = mask.point([min(255, v * 255 // 192) for v in range(256)])
    paper = Image.new("RGB", image.size, (255, 255, 255))
    picture = Image.composite(
        few_colors(image, 32).convert("RGB"), paper, mask.point([255 * (v > 0) for v in range(256)])
    )
    picture.putalpha(mask)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def gif(image: Image.Image) -> bytes:
    """Save with a palette of 48 colours."""
    out = io.BytesIO()
    few_colors(image, 48).save(out, "GIF", optimize=True)
    return out.getvalue()


def webp(image: Image.Image) -> bytes:
    """Lossy WebP."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=75, method=6)
    return out.getvalue()


def encode(image: Image.Image, kind: str) -> bytes:
    """Encode a freshly drawn picture in the form its kind asks for; a JPEG by default."""
    if kind == "cmyk":
        return jpeg(image.convert("CMYK"), quality=75)
    forms = {"tiny": tiny, "exif_rotated": exif_rotated, "png": png, "gif": gif, "webp": webp}
    return forms[kind](image) if kind in forms else jpeg(image)
