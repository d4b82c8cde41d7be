"""Makes the report's thumbnails and contact sheets.

The thumbnail of a damaged photo shows what could be decoded.
"""

import base64
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from PIL import Image, ImageFile, ImageOps, features

from allrounder.core.class_cache import code_digest
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


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes pictures in a pool whose workers have called `allow_truncated`.

    The folder `store` keeps them by content, so that a later report makes only what is new.
    """

    pool: Executor
    store: Path

    @classmethod
    @contextmanager
    def using(cls, pool: Executor, store: Path) -> Iterator["Maker"]:
        """A maker; at its end the store has only what it made or took from there."""
        store.mkdir(parents=True, exist_ok=True)
        mark = store / "mark"
        mark.write_bytes(b"")  # the start, by the file system's clock, as the files' own times
        start = mark.stat().st_mtime_ns
        yield cls(pool, store)
        for path in store.iterdir():
            if path == mark or path.stat().st_mtime_ns < start:
                path.unlink()

    def thumbnails(self, places: Sequence[StoredBytes], budget: int) -> list[bytes]:
        """A thumbnail of each photo, `b""` where nothing could be decoded.

        Uses the best level at which all fit into `budget` bytes, and PAGED if none does.
        """
        for level in LEVELS if self._may_fit(places, LEVELS[-1], budget) else ():
            if self._may_fit(places, level, budget):
                made = self._all(places, level)
                if sum(map(len, made)) <= budget:
                    return made
        return self._all(places, PAGED)

    def strips(self, photos: Mapping[str, Sequence[StoredBytes]]) -> dict[str, list[str]]:
        """Small thumbnails by class, in base64, of the photos that can be decoded."""
        made = self._each([(places, STRIP) for places in photos.values()])
        encoded = ([base64.b64encode(one).decode() for one in own if one] for own in made)
        return dict(zip(photos, encoded, strict=True))

    def write_sheets(
        self, out: Path, keys: Iterable[str], thumbs: Iterable[tuple[str, bytes]]
    ) -> None:
        """Write a contact sheet of each class's first thumbnails into a new folder: `<key>.jpg`."""
        first: dict[str, list[bytes]] = {key: [] for key in keys}
        for key, thumb in thumbs:
            if len(first[key]) < _COLUMNS * _ROWS:
                first[key].append(thumb)
        out.mkdir()
        jobs = [(own, self.store, out / f"{key}.jpg") for key, own in first.items()]
        for _ in self.pool.map(_write_sheet, jobs, chunksize=8):
            pass

    def _each(self, jobs: Iterable[tuple[Sequence[StoredBytes], Level]]) -> Iterator[list[bytes]]:
        return self.pool.map(_make, [(places, level, self.store) for places, level in jobs])

    def _all(self, places: Sequence[StoredBytes], level: Level) -> list[bytes]:
        jobs = [(places[at : at + _CHUNK], level) for at in range(0, len(places), _CHUNK)]
        made: list[bytes] = []
        with progress(total=len(places), unit=" thumbnails") as bar:
            for part in self._each(jobs):
                made += part
                bar.update(len(part))
        return made

    def _may_fit(self, places: Sequence[StoredBytes], level: Level, budget: int) -> bool:
        """Estimate from a sample whether all photos fit at this level. True for a few photos."""
        step = len(places) // _SAMPLE
        if step < 2:
            return True
        sample = places[::step]
        tried = self._each([(sample[at::8], level) for at in range(8)])
        size = sum(len(body) for bodies in tried for body in bodies)
        return size / len(sample) * len(places) <= budget * _SPARE


def allow_truncated() -> None:
    """Let Pillow decode truncated photos as far as possible; only in worker processes."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True


def _make(job: tuple[Sequence[StoredBytes], Level, Path]) -> list[bytes]:
    places, level, store = job
    bodies = (place.read() for place in places)
    return [_kept(store, level, [body], partial(thumbnail, body, level)) for body in bodies]


def _kept(store: Path, kind: object, parts: Iterable[bytes], make: Callable[[], bytes]) -> bytes:
    """What `make` makes of `parts`: from the store, or put there. A damaged file is made again."""
    digests = [hashlib.sha256(part).digest() for part in parts]
    path = store / hashlib.sha256(b"".join([_code(), repr(kind).encode(), *digests])).hexdigest()
    with suppress(OSError):
        found = path.read_bytes()
        if found[:32] == hashlib.sha256(found[32:]).digest():
            path.touch()
            return found[32:]
    if made := make():  # else the fault may be this machine's
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_bytes(hashlib.sha256(made).digest() + made)
        new.replace(path)
    return made


@cache
def _code() -> bytes:
    """A hash of what decides how pictures are made, but for the photos."""
    code = code_digest(("report/thumbs.py", "core/photos.py"), ("pillow", "pillow-heif"))
    return f"{code} {features.version('jpg')} {features.version('webp')}".encode()


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


def _write_sheet(job: tuple[Sequence[bytes], Path, Path]) -> None:
    thumbs, store, path = job
    path.write_bytes(_kept(store, "sheet", thumbs, partial(_sheet, thumbs)))


def _sheet(thumbs: Sequence[bytes]) -> bytes:
    rows = max(-(-len(thumbs) // _COLUMNS), 1)
    sheet = Image.new("RGB", (_COLUMNS * _TILE, rows * _TILE), (255, 255, 255))
    for at, thumb in enumerate(thumbs):
        with Image.open(io.BytesIO(thumb)) as image:
            image.thumbnail((_TILE - 4, _TILE - 4))
            left = at % _COLUMNS * _TILE + (_TILE - image.width) // 2
            top = at // _COLUMNS * _TILE + (_TILE - image.height) // 2
            sheet.paste(image, (left, top))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=72, optimize=True)
    return out.getvalue()
