"""Makes the report's thumbnails: small WebP pictures, of broken photos what could be decoded.

Not for judging photos, and never for the dataset: that is ../pixels.py.
"""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageFile, ImageOps
from tqdm import tqdm

from allrounder.core.photos import OPENED
from allrounder.core.tars import StoredBytes


@dataclass(frozen=True, slots=True)
class Level:
    """How large and how good thumbnails are: pixels of the longer side, WebP quality."""

    side: int
    quality: int


LEVELS = (
    Level(160, 50), Level(144, 48), Level(128, 45), Level(112, 40), Level(104, 36), Level(96, 34),
    Level(88, 32), Level(80, 30),
)  # fmt: skip
"""From what a small dataset gets to what a large one gets on one page."""
PAGED = Level(128, 45)
"""What a dataset gets that needs more pages anyway."""
_SAMPLE, _CHUNK = 160, 100  # photos
_SPARE = 0.98  # a sample may be a little off


def thumbnails(places: Sequence[StoredBytes], budget: int) -> list[bytes]:
    """A thumbnail of each photo, `b""` where nothing could be decoded.

    As good as `budget` bytes for all of them allow; when not even the smallest fit, as good as a
    dataset of many pages has them.
    """
    if not places:
        return []
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), initializer=_take_broken) as pool:
        for level in LEVELS:
            if _may_fit(pool, places, level, budget):
                made = _all(pool, places, level)
                if sum(map(len, made)) <= budget:
                    return made
        return _all(pool, places, PAGED)


def _all(pool: ProcessPoolExecutor, places: Sequence[StoredBytes], level: Level) -> list[bytes]:
    jobs = [(places[at : at + _CHUNK], level) for at in range(0, len(places), _CHUNK)]
    made: list[bytes] = []
    with tqdm(total=len(places), unit=" thumbnails", disable=None) as bar:
        for part in pool.map(_make, jobs):
            made += part
            bar.update(len(part))
    return made


def _may_fit(
    pool: ProcessPoolExecutor, places: Sequence[StoredBytes], level: Level, budget: int
) -> bool:
    """Whether all photos fit at this level, going by a sample of them; of few, all are made."""
    step = len(places) // _SAMPLE
    if step < 2:
        return True
    sample = places[::step]
    tried = pool.map(_make, [(sample[at::8], level) for at in range(8)])
    size = sum(len(body) for bodies in tried for body in bodies)
    return size / len(sample) * len(places) <= budget * _SPARE


def _take_broken() -> None:
    """Let Pillow give what it has of a cut-off photo; in a worker process only."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True


def _make(job: tuple[Sequence[StoredBytes], Level]) -> list[bytes]:
    places, level = job
    return [thumbnail(place.read(), level) for place in places]


def thumbnail(body: bytes, level: Level) -> bytes:
    """One thumbnail, upright and on white; `b""` when nothing can be decoded."""
    try:
        with Image.open(io.BytesIO(body), formats=OPENED) as image:
            image.draft("RGB", (level.side, level.side))
            upright = ImageOps.exif_transpose(image)
            small = _on_white(upright)
        small.thumbnail((level.side, level.side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "WEBP", quality=level.quality, method=5)
        return out.getvalue()
    except Exception:  # Pillow's parsers raise nearly anything on hostile bytes
        return b""


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("RGBA", "LA", "PA"):
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white
