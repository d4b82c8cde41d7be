"""Makes the photos that are served: distinct JPEGs of 93 to 100 KB, the same ones every time."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = (375, 500)  # height, width
_SMALLEST, _LARGEST = 93_000, 100_000
_QUALITY = 85
_PICTURES = 300
"""Pictures that are encoded; each serves many times, under a comment segment of its own."""


def make(root: Path, wnids: list[str], per_class: int) -> dict[str, list[Path]]:
    """Write `per_class` photos for each class below `root`; returns them by class.

    All are distinct, also between classes. What is there already stays.
    """
    made: dict[str, list[Path]] = {}
    bodies = list(_bodies())
    for place, wnid in enumerate(wnids):
        folder = root / wnid
        folder.mkdir(parents=True, exist_ok=True)
        made[wnid] = [folder / f"{wnid}_{number}.jpg" for number in range(per_class)]
        for number, path in enumerate(made[wnid]):
            if not path.exists():
                body = bodies[(place * per_class + number) % len(bodies)]
                path.write_bytes(_commented(body, path.name))
    return made


def tiny(path: Path) -> Path:
    """Write a photo of a few hundred bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (200, 120, 40)).save(path, quality=80)
    return path


def _bodies() -> Iterator[bytes]:
    rng = np.random.default_rng(20120914)
    height, width = SIDE
    slope = np.linspace(0, 127, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    for _ in range(_PICTURES):
        noise = rng.integers(0, rng.integers(102, 114), (height, width, 3))
        picture = Image.fromarray((slope + noise).clip(0, 255).astype(np.uint8))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=_QUALITY)
        body = buffer.getvalue()
        assert _SMALLEST < len(body) < _LARGEST, len(body)
        yield body


def _commented(body: bytes, comment: str) -> bytes:
    """The JPEG with a COM segment behind its start marker (ITU-T T.81, B.2.4.5)."""
    text = comment.encode()
    return body[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2) + text + body[2:]
