"""How alike two pictures are: one is laid over the other, and what both show is compared.

The result is the same on every machine, to the last bit. All sums are of whole numbers below 2^53,
so their order does not matter; all else is single IEEE operations (+, -, x, /, square root).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

THUMB = 64
"""Pixels of a thumbnail's side."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Thumbs = NDArray[np.uint8]
"""Grey thumbnails: (pictures, THUMB, THUMB)."""
Pixels = NDArray[np.int32]
Box = tuple[float, float, float, float]
"""A part of a thumbnail in pixels: top, bottom, left, right; mirrored if left > right."""

_CELLS, _FINE_CELLS = 20, 40
_STEPS = 4
_STEP_BITS = 6  # positions are rounded to 1/64 pixel
_PROMISING = 0.7
"""Below this correlation at the start no better place is searched for."""
_LEVELS = 512
_ROBUST = 0.9
"""The share of cells that tell where a picture lies. Letters and such lie in the others."""
_RIDGE = 0.003
_STRETCH, _SHEAR = 0.15, 0.08
_SHARED = 0.75
"""The share of the cells that both pictures must show."""
_SPARED, _SPARED_DETAIL = 0.06, 0.1
"""The share of cells, those that differ most, that is not compared: a watermark."""
_ALIKE = 0.97
"""Below this correlation details are not compared."""
_STRETCHED = 1.05
"""By how much the scales of both axes differ in a picture that was stretched."""
_GAIN = 0.7
_DARK, _BRIGHT = 8, 245
_NOISE, _BUSY = 2, 0.3
"""Grey levels of a cell's detail at most in a plain place; share of other places in a busy picture.

Of 3,000 photos of ten classes 3 in 1,000 are smooth.
"""
_TOLERANCE = 4
"""Quarters of a grey level by which details may lie beyond those of the cells around."""
_APART, _LEAST_DETAIL = 5, 8 * 49
"""Details differ if the square of what differs in 7 x 7 cells is over a fifth of what agrees."""
_MISSING = 6
"""They differ if the other picture lacks more than a sixth of the plainer one's strong details."""
_EDGE = 5
"""Fine cells at a picture's edges where a smooth copy may have a watermark or a caption."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the cells of a grid lie in pictures: an affine map for each, cell by cell in halves.

    x = x0 + xx * u + xy * v and y = y0 + yx * u + yy * v, for u and v from -(cells - 1) to
    cells - 1 in steps of 2.
    """

    x0: Floats
    xx: Floats
    xy: Floats
    y0: Floats
    yx: Floats
    yy: Floats

    @classmethod
    def of(cls, box: Box, cells: int) -> "_Places":
        top, bottom, left, right = np.array(box)[:, None]
        none = np.zeros(1)
        across, down = (right - left) / (2 * cells), (bottom - top) / (2 * cells)
        return cls((left + right) / 2, across, none, (top + bottom) / 2, none, down)

    def moved(self, step: Floats) -> "_Places":
        """The same, where each cell lies `step` nearer: (pictures, 6), as u and v need it."""
        u0, uu, uv, v0, vu, vv = step.T
        return _Places(
            self.x0 - self.xx * u0 - self.xy * v0,
            self.xx - self.xx * uu - self.xy * vu,
            self.xy - self.xx * uv - self.xy * vv,
            self.y0 - self.yx * u0 - self.yy * v0,
            self.yx - self.yx * uu - self.yy * vu,
            self.yy - self.yx * uv - self.yy * vv,
        )

    def scaled(self, factor: float) -> "_Places":
        """The same for a grid with other cells, `factor` times as large."""
        return _Places(
            self.x0, self.xx * factor, self.xy * factor, self.y0, self.yx * factor, self.yy * factor
        )

    def plausible(self, start: "_Places") -> Bools:
        """Whether a picture is not stretched or turned by much more than copies are."""
        across, down = np.abs(start.xx), np.abs(start.yy)
        found = np.abs(self.xx - start.xx) <= _STRETCH * across
        found &= np.abs(self.yy - start.yy) <= _STRETCH * down
        found &= np.abs(self.yx) <= _SHEAR * across
        return np.asarray(found & (np.abs(self.xy) <= _SHEAR * down))

    def where(self, chosen: Bools, new: "_Places") -> "_Places":
        """The same with other places for the chosen pictures."""
        return _Places(
            *(np.where(chosen, getattr(new, one), getattr(self, one)) for one in self.__slots__)
        )

    def rows(self, chosen: NDArray[np.int64]) -> "_Places":
        return _Places(*(getattr(self, name)[chosen] for name in self.__slots__))

    def sampled(self, pictures: Pixels, cells: int) -> tuple[Floats, Bools]:
        """The pictures' values at the cells, between pixels in proportion; which are inside.

        Values are whole numbers, 2^_STEP_BITS times those of the pictures' pixels. One place may
        stand for all pictures.
        """
        unit, last = 1 << _STEP_BITS, (THUMB - 1) << _STEP_BITS
        x = _positions(self.x0, self.xx, self.xy, cells)
        y = _positions(self.y0, self.yx, self.yy, cells)
        low, high = -unit / 2, last + unit / 2
        inside = (x >= low) & (x <= high) & (y >= low) & (y <= high)
        for axis in (x, y):
            np.clip(np.rint(axis, out=axis), 0, last - 1, out=axis)
        column, row = x.astype(np.int32), y.astype(np.int32)
        first = np.arange(len(pictures))[:, None] * THUMB**2
        at = first + ((row >> _STEP_BITS) * THUMB + (column >> _STEP_BITS))
        right, down = column & (unit - 1), row & (unit - 1)
        flat = pictures.reshape(-1)
        upper, lower = (
            _between(flat[start:].take(at), flat[start + 1 :].take(at), right)
            for start in (0, THUMB)
        )
        return (_between(upper, lower, down) >> _STEP_BITS).astype(np.float64), inside


def _positions(start: Floats, across: Floats, down: Floats, cells: int) -> Floats:
    """Where cells lie on one axis, in 1/2^_STEP_BITS pixels from the first one's centre."""
    unit, steps = 1 << _STEP_BITS, _steps(cells)
    columns = (start[:, None] + across[:, None] * steps) * unit
    rows = down[:, None] * steps * unit
    found = (columns[:, None, :] + rows[:, :, None]).reshape(len(start), cells**2)
    found -= unit / 2
    return np.asarray(found)


def _between(one: Pixels, two: Pixels, share: Pixels) -> Pixels:
    """2^_STEP_BITS times the values between two pixels; `one` is overwritten."""
    two -= one
    two *= share
    one <<= _STEP_BITS
    one += two
    return one


def _steps(cells: int) -> Floats:
    return np.arange(1 - cells, cells, 2, dtype=np.float64)


def similarity(one: Thumbs, two: Thumbs, boxes: tuple[Box, Box], aspects: Floats) -> Floats:
    """The similarity of pairs of pictures, 0 to 1: 1 for the same, above 0.985 for copies.

    `boxes` are parts of them that may show the same, `aspects` the first one's width by height,
    divided by the other's. The first picture is moved, stretched and turned a little to lie on the
    second (Lucas and Kanade's method). Where they correlate, the similarity is the correlation of
    their details, without the tenth that differs most (a watermark), over exposures; of two smooth
    pictures it is that of the pictures, or 0 if a detail of one is not in the other, such as an
    aeroplane in a plain sky, or if one shows nothing. A picture that had to be stretched must be
    twice as alike. Very different contrasts are not alike: a white and a black sofa in one pose
    correlate well.
    """
    alike = np.zeros(len(one))
    hopeful, found, places, there = _laid_over(one, two, boxes)
    near = np.flatnonzero(found >= _ALIKE)
    if len(near):
        close, place = hopeful[near], places.rows(near)
        grids = [
            each.scaled(_CELLS / _FINE_CELLS).sampled(shown[close].astype(np.int32), _FINE_CELLS)
            for each, shown in ((place, one), (there, two))
        ]
        detail = _in_detail(found[near], grids[0][0], grids[1][0], grids[0][1])
        across, down = np.abs(place.xx / there.xx), np.abs(place.yy / there.yy)
        ratio = across / down * aspects[close]
        stretched = np.maximum(ratio, 1 / ratio) > _STRETCHED
        alike[close] = np.where(stretched, 2 * detail - 1, detail)
    return np.round(alike.clip(0), 6)


def _in_detail(found: Floats, one: Floats, two: Floats, shown: Bools) -> Floats:
    """The similarity of pictures that correlate, from their values at fine cells."""
    left, right = _details(one), _details(two)

    def correlation(one: Floats, two: Floats, shown: Bools) -> Floats:
        return _correlation(_details(one), _details(two), shown, _SPARED_DETAIL)

    best = _correlation(left, right, shown, _SPARED_DETAIL)
    best = _over_exposures(best, correlation, one, two, shown, 1 << _STEP_BITS)
    busy = np.stack([(np.abs(each) > 4 * _NOISE).mean(axis=1) for each in (left, right)])
    smooth = np.flatnonzero(busy.max(axis=0) <= _BUSY)
    differ = _differ(left[smooth], right[smooth], shown[smooth])
    differ |= (busy.min(axis=0) == 0)[smooth]
    best[smooth] = np.where(differ, 0.0, found[smooth])
    return best


def _laid_over(
    one: Thumbs, two: Thumbs, boxes: tuple[Box, Box]
) -> tuple[NDArray[np.int64], Floats, _Places, _Places]:
    """The promising pairs of pictures, their correlation, and the places that correlate so.

    Boxes lie inside of their pictures, so the second one's cells do, too.
    """
    left = _blurred(one)
    start, there = _Places.of(boxes[0], _CELLS), _Places.of(boxes[1], _CELLS)
    target, _ = there.sampled(_blurred(two), _CELLS)
    values, inside = start.sampled(left, _CELLS)
    found = _score(values, target, np.broadcast_to(inside, values.shape))
    hopeful = np.flatnonzero(found >= _PROMISING)
    found, target, left = found[hopeful], target[hopeful], left[hopeful]
    moved = start.rows(np.zeros(len(hopeful), np.int64))
    for _ in range(_STEPS):
        values, inside = moved.sampled(left, _CELLS)
        moved = moved.moved(_step(values, target, inside))
    values, inside = moved.sampled(left, _CELLS)
    score = _score(values, target, inside)
    better = moved.plausible(start) & (score > found)
    return hopeful, np.where(better, score, found), start.where(better, moved), there


def _blurred(thumbs: Thumbs) -> Pixels:
    """Each pixel's sum with its neighbours, 3 x 3."""
    wide = np.pad(thumbs, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.uint16)
    rows = wide[:, :-2] + wide[:, 1:-1]
    rows += wide[:, 2:]
    found = rows[:, :, :-2] + rows[:, :, 1:-1]
    found += rows[:, :, 2:]
    return found.astype(np.int32)


def _step(values: Floats, target: Floats, shown: Bools) -> Floats:
    """How far the values lie from the target, as an affine map: least squares on gradients."""
    weights = shown.astype(np.float64)
    values, target = _standardized(values, weights), _standardized(target, weights)
    values -= target
    apart = np.abs(values)
    shown = shown & (apart <= _quantile(apart, shown, _ROBUST))
    grid = target.reshape(-1, _CELLS, _CELLS)
    across: Floats = np.zeros_like(grid)
    down: Floats = np.zeros_like(grid)
    np.subtract(grid[:, :, 2:], grid[:, :, :-2], out=across[:, :, 1:-1])
    np.subtract(grid[:, 2:], grid[:, :-2], out=down[:, 1:-1])
    across, down = across.reshape(values.shape) * shown, down.reshape(values.shape) * shown
    products = np.empty((len(grid), 5, _CELLS**2))
    for at, (one, two) in enumerate(
        ((across, across), (across, down), (down, down), (across, values), (down, values))
    ):
        np.multiply(one, two, out=products[:, at])
    sums = products @ _POWERS
    # gradients are over two cells, of two steps each
    return 4 * _solved(sums[:, _KIND, _POWER], sums[:, _KIND[0] + 3, _POWER[0]])


def _powers() -> Floats:
    """1, u, v, u^2, uv and v^2 of each cell: (cells, 6)."""
    u, v = (axis.ravel() for axis in np.meshgrid(_steps(_CELLS), _steps(_CELLS)))
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)


_POWERS = _powers()
_KIND = np.add.outer([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])
"""Which products of gradients a system of equations has where, and by which powers of u and v."""
_POWER = np.tile([[0, 1, 2], [1, 3, 4], [2, 4, 5]], (2, 2))


def _solved(matrix: Floats, goal: Floats) -> Floats:
    """The solutions of symmetric systems of equations, by Gauss's method."""
    size = goal.shape[1]
    matrix = np.concatenate([matrix, goal[:, :, None]], axis=2)
    for row in range(size):
        matrix[:, row, row] = matrix[:, row, row] * (1 + _RIDGE) + 1
    for row in range(size):
        pivot = matrix[:, row] / matrix[:, row, row, None]
        matrix = matrix - matrix[:, :, row, None] * pivot[:, None]
        matrix[:, row] = pivot
    return matrix[:, :, size]


def _standardized(values: Floats, weights: Floats) -> Floats:
    """Values around their mean, in 1/_LEVELS of their spread, as whole numbers."""
    count, weighted = weights.sum(axis=1), values * weights
    total, square = weighted.sum(axis=1), np.vecdot(weighted, values)
    size = np.maximum(np.sqrt(count * (count * square - total * total)), 1)
    found = values * count[:, None]
    found -= total[:, None]
    found *= (_LEVELS * np.sqrt(count) / size)[:, None]
    return np.asarray(np.rint(found, out=found).clip(-9999, 9999, out=found))


def _quantile(values: Floats, shown: Bools, share: float) -> Floats:
    """The value that this share of the shown ones does not exceed, a row each, as a column."""
    ordered = np.sort(values if shown.all() else np.where(shown, values, np.inf), axis=1)
    at = (shown.sum(axis=1) * share).astype(np.int64).clip(0, values.shape[1] - 1)
    return np.take_along_axis(ordered, at[:, None], axis=1)


def _score(one: Floats, two: Floats, shown: Bools) -> Floats:
    """The best correlation over exposures."""

    def correlation(one: Floats, two: Floats, shown: Bools) -> Floats:
        return _correlation(one, two, shown, _SPARED)

    found = correlation(one, two, shown)
    found = _over_exposures(found, correlation, one, two, shown, 9 << _STEP_BITS)
    enough = shown.sum(axis=1) >= _SHARED * shown.shape[1]
    return np.where(enough, found, 0.0)


def _over_exposures(
    found: Floats,
    correlation: Callable[[Floats, Floats, Bools], Floats],
    one: Floats,
    two: Floats,
    shown: Bools,
    level: int,
) -> Floats:
    """The best correlation if either picture is made as bright as the other.

    Highlights are clipped as in such a copy. `level` is the value of one of the 255 grey levels.
    """
    for dark, bright in ((one, two), (two, one)):
        usable = (shown & (bright < _BRIGHT * level) & (dark > _DARK * level)).astype(np.float64)
        gain = np.vecdot(bright, usable) / np.maximum(np.vecdot(dark, usable), 1)
        rows = np.flatnonzero((gain > 1) & (gain < 1 / _GAIN))
        exposed = dark[rows] * gain[rows, None]
        np.minimum(np.rint(exposed, out=exposed), 255 * level, out=exposed)
        found[rows] = np.maximum(found[rows], correlation(exposed, bright[rows], shown[rows]))
    return found


def _correlation(one: Floats, two: Floats, shown: Bools, spared: float) -> Floats:
    """The correlation of what is shown, without the share of the cells that differ most."""
    count, (left, left_size), (right, right_size), _ = _moments(one, two, shown)
    apart = one * (count / left_size)[:, None]
    apart -= two * (count / right_size)[:, None]
    apart -= (left / left_size - right / right_size)[:, None]
    np.abs(apart, out=apart)
    shown = shown & (apart <= _quantile(apart, shown, 1 - spared))
    _, (_, left_size), (_, right_size), joint = _moments(one, two, shown)
    contrast = np.minimum(left_size / right_size, right_size / left_size)
    return np.where(contrast >= _GAIN, joint / left_size / right_size, 0.0)


def _moments(
    one: Floats, two: Floats, shown: Bools
) -> tuple[Floats, tuple[Floats, Floats], tuple[Floats, Floats], Floats]:
    """The number of cells; the sum and the spread of either picture's values; their covariance.

    The latter are times the number of cells, to be of whole numbers.
    """
    count = shown.sum(axis=1).astype(np.float64)
    left, right = one * shown, two * shown
    sums = left.sum(axis=1), right.sum(axis=1)
    spreads = (
        np.maximum(np.sqrt(count * np.vecdot(each, each) - total * total), 1)
        for each, total in zip((left, right), sums, strict=True)
    )
    pairs = tuple(zip(sums, spreads, strict=True))
    return count, pairs[0], pairs[1], count * np.vecdot(left, right) - sums[0] * sums[1]


def _details(cells: Floats) -> Floats:
    """What remains of pictures without their smooth background, in quarters of a grey level."""
    return np.rint((cells * 49 - _sums_around(cells)) / (49 << (_STEP_BITS - 2)))


def _sums_around(cells: Floats) -> Floats:
    """The sum of the 7 x 7 cells around each."""
    wide = np.pad(cells.reshape(-1, _FINE_CELLS, _FINE_CELLS), ((0, 0), (3, 3), (3, 3)), "edge")
    for _ in range(2):  # the sums of 7 rows, then of 7 columns
        two = wide[:, :-1] + wide[:, 1:]
        four = two[:, :-2] + two[:, 2:]
        wide = (four[:, :-3] + two[:, 4:-1] + wide[:, 6:]).transpose(0, 2, 1)
    return wide.reshape(cells.shape)


def _differ(left: Floats, right: Floats, shown: Bools) -> Bools:
    """Whether smooth pictures have details that differ anywhere.

    The one with more details may have a watermark or a caption at its edges.
    """
    swap = ((left**2).sum(axis=1) > (right**2).sum(axis=1))[:, None]
    plain, other = np.where(swap, right, left), np.where(swap, left, right)
    near_plain, near_other = _around(plain), _around(other)
    strong = np.abs(near_plain).max(axis=0)
    lost = ((plain - near_other) ** 2 * strong**2).sum(axis=2).min(axis=0)
    differ = _MISSING * lost > np.vecdot(strong**2, plain**2)
    missing, added = (
        np.maximum(near.min(axis=0) - each, each - near.max(axis=0)) - _TOLERANCE
        for each, near in ((plain, near_other), (other, near_plain))
    )
    apart = np.maximum(missing, added).clip(0) * (shown & (_INSIDE | (strong > 4 * _NOISE)))
    agree = np.minimum(np.abs(plain), np.abs(other)) * shown
    most = _sums_around(agree**2) + _LEAST_DETAIL
    return np.asarray(differ | (_APART * _sums_around(apart**2) > most).any(axis=1))


def _around(cells: Floats) -> Floats:
    """Pictures moved by up to one cell in each direction: (9, pictures, cells)."""
    wide = np.pad(cells.reshape(-1, _FINE_CELLS, _FINE_CELLS), ((0, 0), (1, 1), (1, 1)), "edge")
    places = [slice(start, start + _FINE_CELLS) for start in range(3)]
    moved = [wide[:, down, across] for down, across in product(places, repeat=2)]
    return np.stack(moved).reshape(9, *cells.shape)


_INSIDE = np.pad(np.ones((_FINE_CELLS - 2 * _EDGE,) * 2, bool), _EDGE).ravel()
