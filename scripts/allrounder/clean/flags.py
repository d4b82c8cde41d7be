"""Flags photos that a person should look at. None is dropped for a flag.

Integers only, so the flags are the same on every machine. The limits were chosen by looking at
3,000 photos of ten classes: docs/cleaning.md.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, takewhile
from statistics import median_low
from typing import Any

import numpy as np
from PIL import Image

from allrounder.core.rows import CleanRow

_DARK, _LIGHT = 56, 199
"""Of 255: a photo is nearly black or white if all but a few pixels are below or above."""
_FEW = 50  # one pixel in so many
_BLURRED = 30  # per cent of a blurred photo's contrast: hardly any pixel has a stronger edge
_SHARP = 100  # one pixel in so many has a stronger edge in a sharp photo
_SIDE = 80  # pixels of the shorter side at which blur is measured; up to twice as many
_LONG = 3  # times the shorter side
_TINY = 16  # times as many pixels has the class's median


def pixel_flags(grey: Image.Image) -> frozenset[str]:
    """The flags of a photo by the pixels of a grey version (mode L) of at least _SIDE pixels."""
    if (factor := min(grey.size) // _SIDE) > 1:
        grey = grey.reduce(factor)
    low, high = _range(grey)
    found = {"nearly_black"} if high < _DARK else {"nearly_white"} if low > _LIGHT else set[str]()
    if _is_blurred(grey, high - low):
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
        cells: dict[str, Any] = dict.fromkeys(found, 1)
        flagged.append(replace(row, **cells) if cells else row)
    return flagged


def _range(grey: Image.Image) -> tuple[int, int]:
    """The grey levels that few pixels are below or above."""
    counts, few = grey.histogram(), grey.width * grey.height // _FEW
    below = takewhile(lambda pixels: pixels < few, accumulate(counts))
    above = takewhile(lambda pixels: pixels <= few, accumulate(reversed(counts)))
    return sum(1 for _ in below), 255 - sum(1 for _ in above)


def _is_blurred(grey: Image.Image, contrast: int) -> bool:
    """Whether hardly any pixel differs from its four neighbours, for this contrast.

    Source: J. L. Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000
    (the Laplacian as a measure of sharpness).
    """
    g = np.frombuffer(grey.tobytes(), np.uint8).reshape(grey.height, grey.width).astype(np.int16)
    laplacian = 4 * g[1:-1, 1:-1] - g[:-2, 1:-1] - g[2:, 1:-1] - g[1:-1, :-2] - g[1:-1, 2:]
    edges = np.count_nonzero(np.abs(laplacian) > _BLURRED * max(contrast, 1) // 100)
    return bool(edges * _SHARP < laplacian.size)
