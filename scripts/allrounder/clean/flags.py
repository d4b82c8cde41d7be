"""Flags photos that a person should look at. None is dropped for a flag.

Integers only, so the flags are the same on every machine. The limits were chosen by looking at
3,000 photos of ten classes: docs/cleaning.md.
"""

import io
from collections.abc import Collection, Sequence
from dataclasses import replace
from math import isqrt
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allrounder.core.rows import CleanRow

_DARK, _LIGHT = 56, 199
"""Of 255: a photo is nearly black or white if all but a few pixels are below or above."""
_FEW = 50  # one pixel in so many
_SOFT, _BLURRED = 55, 20
"""Per cent of the photo's contrast that hardly any pixel differs from its neighbours: in a
thumbnail of a photo that may be blurred, and in a larger version of one that is.
"""
_SHARP = 100  # one pixel in so many differs more in a sharp photo
_SIDE = 256  # pixels of the larger version's longer side
_LONG = 3  # times the shorter side
_TINY = 16  # times as many pixels has the class's median


def pixel_flags(thumb: bytes, body: bytes) -> frozenset[str]:
    """The flags of a photo by its pixels: its square grey thumbnail, and the normalized JPEG.

    Only photos with soft thumbnails are decoded again: 3 in 100.
    """
    side = isqrt(len(thumb))
    grey = np.frombuffer(thumb, np.uint8).reshape(side, side)
    low, high = _range(grey)
    found = {"nearly_black"} if high < _DARK else {"nearly_white"} if low > _LIGHT else set[str]()
    if _is_soft(grey, _SOFT) and _is_soft(_larger(body), _BLURRED):
        found.add("blurred")
    return frozenset(found)


def flag_sizes(rows: Sequence[CleanRow]) -> list[CleanRow]:
    """The rows of a class, flagged by the photos' sizes."""
    pixels = [(row.width or 0) * (row.height or 0) for row in rows]
    median = median_low([n for n, row in zip(pixels, rows, strict=True) if row.file] or [0])
    flagged = []
    for count, row in zip(pixels, rows, strict=True):
        short, long = sorted((row.width or 0, row.height or 0))
        found = {"extreme_aspect"} if short and long >= _LONG * short else set[str]()
        if 0 < count * _TINY < median:
            found.add("tiny_for_class")
        flagged.append(with_flags(row, found))
    return flagged


def with_flags(row: CleanRow, flags: Collection[str]) -> CleanRow:
    """The row with more flags, which are names of its columns."""
    cells: dict[str, Any] = dict.fromkeys(flags, 1)
    return replace(row, **cells)


def _range(grey: NDArray[np.uint8]) -> tuple[int, int]:
    """The grey levels that few pixels are below or above."""
    ranks = np.bincount(grey.ravel(), minlength=256).cumsum()
    few = grey.size // _FEW
    low, high = np.searchsorted(ranks, [few, grey.size - few])
    return int(low), int(high)


def _is_soft(grey: NDArray[np.uint8], percent: int) -> bool:
    """Whether hardly any pixel differs from its four neighbours, for this picture's contrast.

    Source: J. L. Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000
    (the Laplacian as a measure of sharpness).
    """
    g = grey.astype(np.int16)
    laplacian = 4 * g[1:-1, 1:-1] - g[:-2, 1:-1] - g[2:, 1:-1] - g[1:-1, :-2] - g[1:-1, 2:]
    low, high = _range(grey)
    edges = np.count_nonzero(np.abs(laplacian) > percent * max(high - low, 1) // 100)
    return bool(edges * _SHARP < laplacian.size)


def _larger(body: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(body), formats=("JPEG",)) as image:
        image.draft("L", (_SIDE, _SIDE))
        grey = image.convert("L")
    grey.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(grey)
