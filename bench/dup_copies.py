"""Makes the altered copies of photos that bench/duplicates.py searches for."""

import io
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

QUALITY = 90
SMALLEST = 64  # pixels of the shorter side of a photo that is copied: half of it must be a photo
Alter = Callable[[Image.Image], Image.Image]


def choose(folder: Path, count: int, seed: int = 20120914) -> list[Path]:
    """So many of the photos, the same ones every time, among those that can be copied."""
    paths = photos(folder)
    random.Random(seed).shuffle(paths)
    found = []
    for path in paths:
        if len(found) == count:
            break
        try:
            with Image.open(path) as image:
                image.load()
                if min(image.size) >= SMALLEST:
                    found.append(path)
        except Exception:  # a broken photo: not for copying
            continue
    return found


def photos(folder: Path) -> list[Path]:
    """All files of the class folders below `folder`."""
    return sorted(path for path in folder.glob("n*/*") if path.is_file())


def copy(path: Path, kind: str) -> bytes:
    """One altered copy of a photo, as a JPEG file."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    out = io.BytesIO()
    quality = 60 if kind == "re-encoded" else QUALITY
    KINDS[kind](upright).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def _cropped(left: float, top: float, right: float, bottom: float) -> Alter:
    def alter(image: Image.Image) -> Image.Image:
        width, height = image.size
        box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
        x0, y0, x1, y1 = map(round, box)
        return image.crop((x0, y0, x1, y1))

    return alter


def _watermarked(image: Image.Image) -> Image.Image:
    """White half-transparent letters, a third of the picture's width, in the lower right corner."""
    text = "© example.org"
    font = ImageFont.load_default(size=100)
    left, top, right, bottom = font.getbbox(text)
    mask = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=128, font=font)
    width = image.width // 3
    mask = mask.resize((width, max(1, mask.height * width // mask.width)), Image.Resampling.LANCZOS)
    place = (image.width - mask.width - 5, image.height - mask.height - 5)
    marked = image.copy()
    marked.paste((255, 255, 255), place, mask)
    return marked


KINDS: dict[str, Alter] = {
    "re-encoded": lambda image: image,
    "half size": _half,
    "3 % cropped in all": _cropped(0.015, 0.015, 0.015, 0.015),
    "3 % cropped a side": _cropped(0.03, 0.03, 0.03, 0.03),
    "3 % cropped left, top": _cropped(0.03, 0.03, 0, 0),
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "watermarked": _watermarked,
    "mirrored": ImageOps.mirror,
}
