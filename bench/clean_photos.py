"""Makes the photos that bench/clean.py cleans: distinct, photo-like JPEGs, the same every time.

Not for the downloads' photos (photos.py), which repeat a few pictures.
"""

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from measure import BenchError

SIDE = (375, 500)  # height, width
COPIES = 2  # of each class: one byte for byte, one encoded anew
_OCTAVES = ((4, 70), (9, 40), (24, 25), (70, 14))  # (cells in a row, contrast)
_NOISE = 14
_QUALITY, _COPY_QUALITY = 90, 70
_MAKER, _ORIENTATION = 0x010F, 0x0112
_MEAN_BYTES = (80_000, 100_000)
_COLUMNS = ("image_id", "url", "status", "detail", "final_url", "bytes", "sha256")


def make(folder: Path, wnids: list[str], per_class: int) -> Path:
    """Write `per_class` photos for each class as plain files, unless they are there; the folder."""
    root = folder / f"clean-photos-{len(wnids)}x{per_class}"
    if not root.exists():
        part = root.with_name(root.name + ".part")
        for place, wnid in enumerate(wnids):
            (part / wnid).mkdir(parents=True, exist_ok=True)
            for number, body in enumerate(_bodies(place, per_class)):
                (part / wnid / f"{wnid}_{number}.jpg").write_bytes(body)
        part.rename(root)
    sizes = [path.stat().st_size for path in root.glob("*/*.jpg")]
    mean = sum(sizes) / max(len(sizes), 1)
    if len(sizes) != len(wnids) * per_class or not _MEAN_BYTES[0] < mean < _MEAN_BYTES[1]:
        raise BenchError(f"{root}: {len(sizes)} photos of {mean:.0f} bytes; remove the folder")
    return root


def write_raw(photos: Path, raw: Path) -> None:
    """Write the photos as the download stage leaves them: a tar and a table for each class."""
    raw.mkdir(parents=True)
    for folder in sorted(photos.iterdir()):
        wnid = folder.name
        paths = sorted(folder.iterdir(), key=lambda path: int(path.stem.rpartition("_")[2]))
        with (
            tarfile.open(raw / f"{wnid}.tar", "w", format=tarfile.USTAR_FORMAT) as tar,
            (raw / f"{wnid}.csv").open("w", encoding="utf-8", newline="") as file,
        ):
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(_COLUMNS)
            for path in paths:
                body = path.read_bytes()
                info = tarfile.TarInfo(path.name)
                info.size, info.mode = len(body), 0o644
                tar.addfile(info, io.BytesIO(body))
                url = f"http://photos.example/{wnid}/{path.name}"
                digest = hashlib.sha256(body).hexdigest()
                rows.writerow([path.stem, url, "ok", "", "", len(body), digest])


def _bodies(place: int, count: int) -> Iterator[bytes]:
    """A class's photos, every other one with metadata; the last COPIES are of the first ones."""
    for number in range(count - COPIES):
        yield _encoded(_picture(place, number), _QUALITY, number % 2 == 0)
    yield _encoded(_picture(place, 0), _QUALITY, True)
    yield _encoded(_picture(place, 1), _COPY_QUALITY, False)


def _encoded(picture: Image.Image, quality: int, metadata: bool) -> bytes:
    """As JPEG, with EXIF and a comment, which the clean stage takes out, or without them."""
    buffer, exif = io.BytesIO(), Image.Exif()
    if metadata:
        exif[_MAKER], exif[_ORIENTATION] = "Example", 1
    picture.save(buffer, "JPEG", quality=quality, exif=exif, comment=b"seen" if metadata else b"")
    return buffer.getvalue()


def _picture(place: int, number: int) -> Image.Image:
    """Smooth colours at several scales, and grain."""
    rng = np.random.default_rng((20120914, place, number))
    height, width = SIDE
    pixels = np.full((height, width, 3), 120, np.float32)
    for cells, contrast in _OCTAVES:
        coarse = rng.standard_normal((cells * 3 // 4, cells, 3), dtype=np.float32) * contrast
        for channel in range(3):
            plane = Image.fromarray(coarse[:, :, channel])
            pixels[:, :, channel] += plane.resize((width, height), Image.Resampling.BICUBIC)
    pixels += rng.standard_normal((height, width, 1), dtype=np.float32) * _NOISE
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
