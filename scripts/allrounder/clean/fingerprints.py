"""Perceptual fingerprints of photos, and the similarity of two photos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMB = 64
INNER = 0.03
"""Share of each side that the inner hash leaves out. It matches a copy cropped by about as much."""

_CELLS = 16
_SPARED = 0.06
_GAIN = 0.7
_DARK, _BRIGHT = 8, 245


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Two difference hashes of 64 bits, of a picture and of its inside; a thumbnail; flatness.

    `thumb` is 64 x 64 grey bytes. `flat` is the share of the most common of 16 grey levels in it,
    near 1 for a notice such as "photo unavailable".
    """

    hash: int
    inner: int
    thumb: bytes
    flat: float


def fingerprint(grey: Image.Image) -> Fingerprint:
    """The fingerprint of a picture in mode L.

    Integer arithmetic only, so it is the same on every machine.

    Each bit of a hash says whether a cell of a 9 x 8 grid is darker than its right neighbour.
    Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013.
    """
    width, height = grey.size
    inside = (width * INNER, height * INNER, width * (1 - INNER), height * (1 - INNER))
    thumb = grey.resize((THUMB, THUMB), Image.Resampling.BOX).tobytes()
    levels = np.bincount(np.frombuffer(thumb, np.uint8) >> 4, minlength=16)
    flat = int(levels.max()) / THUMB**2
    return Fingerprint(_hash(grey, (0, 0, width, height)), _hash(grey, inside), thumb, flat)


def _hash(grey: Image.Image, box: tuple[float, float, float, float]) -> int:
    small = grey.resize((9, 8), Image.Resampling.BOX, box=box).tobytes()
    cells = np.frombuffer(small, np.uint8).reshape(8, 9)
    return int.from_bytes(np.packbits(cells[:, :-1] < cells[:, 1:]).tobytes(), "big")


def _window(low: float, high: float) -> NDArray[np.float64]:
    """A matrix that averages the part of a thumbnail's axis between two places to _CELLS cells."""
    edges = (low + (high - low) * np.arange(_CELLS + 1) / _CELLS) * THUMB
    pixels = np.arange(THUMB)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(covered, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _windows() -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The whole picture, then crops of up to 3 % a side, from the middle and from the corners."""
    whole = _window(0, 1)
    found = [(whole, whole)]
    for crop in (0.015, 0.03):
        axes = [_window(crop, 1 - crop), _window(crop, 1), _window(0, 1 - crop)]
        found += [(rows, columns) for rows in axes for columns in axes]
    return found


_WINDOWS = _windows()


class Similarity:
    """Compares the pictures of a sequence pair by pair, and caches what it computes for each."""

    def __init__(self, fingerprints: Sequence[Fingerprint]):
        self._fingerprints = fingerprints
        self._views: dict[int, NDArray[np.float64]] = {}

    def of(self, i: int, j: int) -> float:
        """The similarity of two pictures, -1 to 1: 1 for the same, above 0.988 for copies.

        It is the best correlation of coarse grey thumbnails over small crops of either picture
        and over exposures, without the 6 % of cells that differ most (a watermark). It is 0 for
        very different contrasts, since a white and a black sofa in one pose correlate well.
        """
        one, two = self._view(i), self._view(j)
        left = np.concatenate([one, np.repeat(one[:1], len(two), 0), [_exposed(one[0], two[0])]])
        right = np.concatenate([np.repeat(two[:1], len(one), 0), two, two[:1]])
        left = np.concatenate([left, one[:1]])
        right = np.concatenate([right, [_exposed(two[0], one[0])]])
        return float(_trimmed_correlation(left, right).max())

    def _view(self, index: int) -> NDArray[np.float64]:
        if index not in self._views:
            grey = np.frombuffer(self._fingerprints[index].thumb, np.uint8).reshape(THUMB, THUMB)
            self._views[index] = np.stack(
                [(rows @ grey @ columns.T).ravel() for rows, columns in _WINDOWS]
            )
        return self._views[index]


def _exposed(dark: NDArray[np.float64], bright: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first picture made as bright as the second; highlights are clipped as in such a copy."""
    usable = (bright < _BRIGHT) & (dark > _DARK)
    if usable.sum() < _CELLS:
        return dark
    gain = float(np.median(bright[usable] / dark[usable]))
    return np.minimum(dark * gain, 255) if 1 < gain < 1 / _GAIN else dark


def _centred(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows minus their mean, and their norms as a column."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows, np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _trimmed_correlation(
    left: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The correlation of each row, without the cells that differ most."""
    (left, left_size), (right, right_size) = _centred(left), _centred(right)
    apart = np.abs(left / left_size - right / right_size)
    kept = int(left.shape[1] * (1 - _SPARED))
    cells = np.argpartition(apart, kept, axis=1)[:, :kept]
    (left, left_size), (right, right_size) = (
        _centred(np.take_along_axis(rows, cells, axis=1)) for rows in (left, right)
    )
    contrast = np.minimum(left_size / right_size, right_size / left_size)[:, 0]
    found = (left * right).sum(axis=1) / (left_size * right_size)[:, 0]
    return np.where(contrast >= _GAIN, found, 0.0)
