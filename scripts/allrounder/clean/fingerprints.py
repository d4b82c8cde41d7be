"""Perceptual fingerprints of photos: hashes that are close for copies, and small grey versions."""

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import accumulate, takewhile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allrounder.clean.alignment import THUMB, Floats

Grey = NDArray[np.uint8]
Share = tuple[float, float, float, float]
"""A part of a picture, in shares of its sides: top, bottom, left, right."""

WHOLE: Share = (0, 1, 0, 1)
PARTS: tuple[Share, ...] = (
    WHOLE,
    (0.03, 0.97, 0.03, 0.97),
    (0.06, 0.94, 0.06, 0.94),
    (0.1, 1, 0, 1),
    (0, 0.9, 0, 1),
    (0, 1, 0.1, 1),
    (0, 1, 0, 0.9),
)
"""The parts whose hashes are compared: a copy that is cropped is like one of them."""
FULL, TRIMMED, MIRRORED = range(2), range(2, 9), range(9, 11)
"""The views of a fingerprint: the first parts of the full picture, all parts of the trimmed one,
and the first parts of that one mirrored."""

_PLAIN = 12
"""Grey levels by which the pixels of a plain border differ at most."""
_ROUNDS = 3  # borders within borders
_LEAST = 16  # of THUMB rows that remain
_LEAST_PIXELS = 8
_SMOOTH, _SHARP = Image.Resampling.BILINEAR, Image.Resampling.BOX
"""Of copies of other sizes the first gives the same details, the second the same edges."""
_UNIT = 128  # the parts' edges are rounded to 1/128 pixel of a picture of 32 x 32


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What copies of a picture have in common.

    `hash` is the 64-bit difference hash of the picture, `horizontal` are those of its views: see
    FULL. `vertical` are the views' hashes of cells above each other.
    `thumb` is the picture in 64 x 64 grey bytes, `trimmed` the same without plain borders.
    `aspects` are their widths by their heights. Of 16 grey levels of the thumbnail, `flat` is the
    share of the most common one, near 1 for a notice such as "photo unavailable", and `levels` is
    how many have 1 % of its pixels: few in a text.
    """

    hash: int
    horizontal: tuple[int, ...]
    vertical: tuple[int, ...]
    thumb: bytes
    trimmed: bytes
    aspects: tuple[float, float]
    flat: float
    levels: int

    @property
    def picture_id(self) -> int:
        """A hash of all that other pictures are compared with: the thumbnails and the aspects."""
        shape = np.array(self.aspects, "<f8").tobytes()
        digest = blake2b(self.thumb + self.trimmed + shape, digest_size=8).digest()
        return int.from_bytes(digest, "little")


def fingerprint(grey: Image.Image) -> Fingerprint:
    """The fingerprint of a picture in mode L.

    Integer arithmetic only, so it is the same on every machine.

    Each bit of a horizontal hash says whether a cell of a 9 x 8 grid is darker than its right
    neighbour, of a vertical hash than the one below.
    Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013.
    """
    width, height = grey.size
    small = grey.resize((9, 8), Image.Resampling.BOX).tobytes()
    cells = np.frombuffer(small, np.uint8).reshape(1, 8, 9)
    shown = _resized(grey, WHOLE)
    full = shown.tobytes()
    trimmed, box = _trimmed(grey, full)
    inner = _cells(trimmed)
    outer = (inner if box == WHOLE else _cells(full))[: len(FULL)]
    mirrored = inner[: len(MIRRORED), :, ::-1]
    parts = np.concatenate([cells, outer, inner, mirrored])
    first, *horizontal = _packed(parts[..., :-1] < parts[..., 1:])
    counts = shown.histogram()
    levels = [sum(counts[level : level + 16]) for level in range(0, 256, 16)]
    aspect = width / height
    return Fingerprint(
        first,
        tuple(horizontal),
        tuple(_packed(parts[1:, :-1] < parts[1:, 1:])),
        full,
        trimmed,
        (aspect, aspect * (box[3] - box[2]) / (box[1] - box[0])),
        max(levels) / THUMB**2,
        sum(100 * count > THUMB**2 for count in levels),
    )


def _resized(grey: Image.Image, part: Share, how: Image.Resampling = _SMOOTH) -> Image.Image:
    top, bottom, left, right = part
    box = (left * grey.width, top * grey.height, right * grey.width, bottom * grey.height)
    return grey.resize((THUMB, THUMB), how, box=box)


def _trimmed(grey: Image.Image, thumb: bytes) -> tuple[bytes, Share]:
    """A thumbnail without plain borders, and what part of the picture it shows."""
    top, bottom, left, right = WHOLE
    if not _bordered(thumb):
        return thumb, WHOLE
    for _ in range(_ROUNDS):
        sharp = _resized(grey, (top, bottom, left, right), _SHARP).tobytes()
        if not _bordered(sharp):
            break
        rows = np.frombuffer(sharp, np.uint8).reshape(THUMB, THUMB)
        above, below = _plain_columns(rows.T.copy())
        before, behind = _plain_columns(rows)
        if above + below > THUMB - _LEAST:
            above = below = 0
        if before + behind > THUMB - _LEAST:
            before = behind = 0
        down, across = (bottom - top) / THUMB, (right - left) / THUMB
        part = (
            top + above * down,
            bottom - below * down,
            left + before * across,
            right - behind * across,
        )
        small = min((part[1] - part[0]) * grey.height, (part[3] - part[2]) * grey.width)
        if part == (top, bottom, left, right) or small < _LEAST_PIXELS:
            break
        top, bottom, left, right = part
    part = (top, bottom, left, right)
    return _resized(grey, part).tobytes(), part


def _bordered(thumb: bytes) -> bool:
    """Whether a side's pixels have one grey level. Every ninth pixel is checked first."""
    sides = thumb[:THUMB], thumb[-THUMB:], thumb[::THUMB], thumb[THUMB - 1 :: THUMB]
    return any(
        max(some := side[::9]) - min(some) <= _PLAIN and max(side) - min(side) <= _PLAIN
        for side in sides
    )


def _plain_columns(columns: Grey) -> tuple[int, int]:
    """How many of the first and of the last columns are a border.

    These have one grey level; the next one, which they run into, counts too.
    """
    highest, lowest = columns.max(axis=0).tolist(), columns.min(axis=0).tolist()
    return _plain_first(highest, lowest), _plain_first(highest[::-1], lowest[::-1])


def _plain_first(highest: list[int], lowest: list[int]) -> int:
    spans = zip(accumulate(highest, max), accumulate(lowest, min), strict=True)
    count = sum(1 for _ in takewhile(lambda span: span[0] - span[1] <= _PLAIN, spans))
    return count and count + 1


def _cells(thumb: bytes) -> Floats:
    """The grey of the cells of each part's grid, as whole numbers: (parts, 8, 9)."""
    rows, columns = _weights()
    half = THUMB // 2
    pixels = np.frombuffer(thumb, np.uint8).reshape(THUMB, THUMB)
    twos = pixels[::2].astype(np.uint16) + pixels[1::2]
    small = (twos[:, ::2] + twos[:, 1::2]).astype(np.float64)
    across = (small @ columns).reshape(half, len(PARTS), 9).transpose(1, 0, 2)
    return np.asarray(rows @ across)


@cache
def _weights() -> tuple[Floats, Floats]:
    """How much of each row is in each part's cells: (parts, 8, 32); of columns: (32, parts * 9)."""
    rows = np.stack([_edges(top, bottom, 8) for top, bottom, _, _ in PARTS])
    columns = np.concatenate([_edges(left, right, 9) for _, _, left, right in PARTS])
    return rows, columns.T.copy()


def _edges(first: float, last: float, cells: int) -> Floats:
    size = THUMB // 2
    edges = np.rint(np.linspace(first, last, cells + 1) * size * _UNIT)
    pixels = np.arange(size) * _UNIT
    covered = np.minimum(edges[1:, None], pixels + _UNIT) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(covered.clip(0))


def _packed(bits: NDArray[np.bool_]) -> list[int]:
    """A number for each row of 64 bits."""
    packed = np.packbits(bits.reshape(len(bits), -1), axis=1)
    return list[int](packed.view(">u8")[:, 0].tolist())
