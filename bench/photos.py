"""Makes the photos of the benchmarks: photo-like JPEGs of 500x375, the same on every run."""

import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (500, 375)
_OCTAVES = ((4, 70), (9, 40), (24, 25), (70, 14))  # (cells in a row, contrast)


def picture(seed: tuple[int, ...], size: tuple[int, int] = SIZE) -> Image.Image:
    """Smooth colours at several scales, and grain."""
    rng = np.random.default_rng((20120914, *seed))
    width, height = size
    pixels = np.full((height, width, 3), 120, np.float32)
    for cells, contrast in _OCTAVES:
        coarse = rng.standard_normal((cells * 3 // 4, cells, 3), dtype=np.float32) * contrast
        for channel in range(3):
            plane = Image.fromarray(coarse[:, :, channel])
            pixels[:, :, channel] += plane.resize(size, Image.Resampling.BICUBIC)
    pixels += rng.standard_normal((height, width, 1), dtype=np.float32) * 14
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, quality: int = 90, metadata: bool = False) -> bytes:
    """The picture as JPEG of about 90 KB, with or without EXIF and a comment."""
    exif, out = Image.Exif(), io.BytesIO()
    if metadata:
        exif[0x010F] = "Example"
    image.save(out, "JPEG", quality=quality, exif=exif, comment=b"seen" if metadata else b"")
    return out.getvalue()


def made(cache: Path, wnids: Sequence[str], per_class: int, copies: bool = False) -> Path:
    """A folder `<wnid>/<wnid>_<number>.jpg` of distinct photos, every other one with metadata.

    With `copies`, the last two photos of a class repeat its first two: one byte for byte, the other
    encoded again.
    """
    root = cache / f"photos-{len(wnids)}x{per_class}{'-copies' if copies else ''}"
    if not root.exists():
        print(f"making {len(wnids) * per_class} photos", flush=True)
        part = root.with_name(root.name + ".part")
        with ProcessPoolExecutor() as pool:
            write = partial(_class, part, per_class=per_class, copies=copies)
            list(pool.map(write, range(len(wnids)), wnids))
        part.rename(root)
    return root


def _class(root: Path, place: int, wnid: str, per_class: int, copies: bool) -> None:
    (root / wnid).mkdir(parents=True, exist_ok=True)
    distinct = per_class - 2 * copies
    for number in range(per_class):
        again = number - distinct  # 0 and 1 for the copies
        image = picture((place, again if again >= 0 else number))
        metadata = again == 0 or (again < 0 and number % 2 == 0)
        body = encoded(image, 70 if again == 1 else 90, metadata)
        (root / wnid / f"{wnid}_{number}.jpg").write_bytes(body)
