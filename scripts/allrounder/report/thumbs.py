"""Makes the report's thumbnails and contact sheets.

The thumbnail of a damaged photo shows what could be decoded.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFile, ImageOps

from allrounder.core.photos import DECODERS, too_costly
from allrounder.core.progress import progress
from allrounder.core.tars import StoredBytes


@dataclass(frozen=True, slots=True)
class Level:
    """Size and quality of thumbnails: pixels of the longer side, WebP quality."""

    side: int
    quality: int


LEVELS = (
    Level(160, 50), Level(144, 48), Level(128, 45), Level(112, 40), Level(104, 36), Level(96, 34),
    Level(88, 32), Level(80, 30),
)  # fmt: skip
"""For one page: the first level whose thumbnails of the whole dataset fit is used."""
PAGED = Level(128, 45)
"""For a dataset that needs several pages."""
STRIP = Level(96, 40)
"""For the strips at the top of the page."""
_SAMPLE, _CHUNK = 160, 100  # photos
_SPARE = 0.98  # of the budget: a sample is not exact
_COLUMNS, _ROWS, _TILE = 8, 4, 96  # of a contact sheet; pixels


def thumbnails(places: Sequence[StoredBytes], budget: int, pool: Executor) -> list[bytes]:
    """A thumbnail of each photo, `b""` where nothing could be decoded.

    Uses the best level at which all fit into `budget` bytes, and PAGED if none does. The workers
    of the pool must have called `allow_truncated`.
    """
    for level in LEVELS:
        if _may_fit(pool, places, level, budget):
            made = _all(pool, places, level)
            if sum(map(len, made)) <= budget:
                return made
    return _all(pool, places, PAGED)


def strips(photos: Mapping[str, Sequence[StoredBytes]], pool: Executor) -> dict[str, list[str]]:
    """Small thumbnails by class, in base64, of the photos that can be decoded."""
    made = pool.map(_make, [(places, STRIP) for places in photos.values()])
    encoded = ([base64.b64encode(one).decode() for one in own if one] for own in made)
    return dict(zip(photos, encoded, strict=True))


def _all(pool: Executor, places: Sequence[StoredBytes], level: Level) -> list[bytes]:
    jobs = [(places[at : at + _CHUNK], level) for at in range(0, len(places), _CHUNK)]
    made: list[bytes] = []
    with progress(total=len(places), unit=" thumbnails") as bar:
        for part in pool.map(_make, jobs):
            made += part
            bar.update(len(part))
    return made


def _may_fit(pool: Executor, places: Sequence[StoredBytes], level: Level, budget: int) -> bool:
    """Estimate from a sample whether all photos fit at this level. True for a few photos."""
    step = len(places) // _SAMPLE
    if step < 2:
        return True
    sample = places[::step]
    tried = pool.map(_make, [(sample[at::8], level) for at in range(8)])
    size = sum(len(body) for bodies in tried for body in bodies)
    return size / len(sample) * len(places) <= budget * _SPARE


def allow_truncated() -> None:
    """Let Pillow decode truncated photos as far as possible; only in worker processes."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True


def _make(job: tuple[Sequence[StoredBytes], Level]) -> list[bytes]:
    places, level = job
    return [thumbnail(place.read(), level) for place in places]


def thumbnail(body: bytes, level: Level) -> bytes:
    """A thumbnail, upright and on white; `b""` when nothing can be decoded."""
    try:
        with Image.open(io.BytesIO(body), formats=DECODERS) as image:
            if too_costly(image, body):
                return b""
            image.draft("RGB", (level.side, level.side))
            upright = ImageOps.exif_transpose(image)
            small = _on_white(upright)
        small.thumbnail((level.side, level.side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "WEBP", quality=level.quality, method=5)
        return out.getvalue()
    except Exception:  # Pillow's parsers raise nearly any exception on hostile bytes
        return b""


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def write_sheets(
    out: Path, keys: Iterable[str], thumbs: Iterable[tuple[str, bytes]], pool: Executor
) -> None:
    """Write a contact sheet of each class's first thumbnails into a new folder: `<key>.jpg`."""
    first: dict[str, list[bytes]] = {key: [] for key in keys}
    for key, thumb in thumbs:
        if len(first[key]) < _COLUMNS * _ROWS:
            first[key].append(thumb)
    out.mkdir()
    jobs = [(own, out / f"{key}.jpg") for key, own in first.items()]
    for _ in pool.map(_write_sheet, jobs, chunksize=8):
        pass


def _write_sheet(job: tuple[Sequence[bytes], Path]) -> None:
    thumbs, path = job
    rows = max(-(-len(thumbs) // _COLUMNS), 1)
    sheet = Image.new("RGB", (_COLUMNS * _TILE, rows * _TILE), (255, 255, 255))
    for at, thumb in enumerate(thumbs):
        with Image.open(io.BytesIO(thumb)) as image:
            image.thumbnail((_TILE - 4, _TILE - 4))
            left = at % _COLUMNS * _TILE + (_TILE - image.width) // 2
            top = at // _COLUMNS * _TILE + (_TILE - image.height) // 2
            sheet.paste(image, (left, top))
    sheet.save(path, "JPEG", quality=72, optimize=True)
