"""Measures the similarity of two pictures: aligns one with the other, then compares their pixels.

The result is the same on every machine, to the last bit. All sums are of whole numbers below 2^53,
so their order does not matter; everything else is single IEEE operations (+, -, x, /, square root).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
Boxes = Floats
"""Parts of thumbnails in pixels, a row a picture or one row for all: top, bottom, left, right;
mirrored if left > right.
"""

_CELLS, _FINE_CELLS = 20, 40
"""Cells of a side of the grids: to align pictures, and to compare their details."""
_ITERATIONS = 4
_STEP_BITS = 6  # positions are rounded to 1/64 pixel
_PROMISING = 0.7
"""Pairs below this correlation are not aligned any further."""
_LEVELS = 512  # of standardized values in a standard deviation
_INLIERS = 0.9
"""The share of cells, those with the smallest residuals, that the alignment is fitted to. Text and
logos that were added to a picture are among the others.
"""
_RIDGE = 0.003  # keeps steps small where the gradients leave the map open (ridge regression)
_STRETCH, _SHEAR = 0.15, 0.08  # that the alignment of copies needs at most
_OVERLAP = 0.75
"""The least share of the cells that must lie inside of both pictures."""
_IGNORED, _IGNORED_DETAIL = 0.06, 0.1
"""The share of cells, those that differ most, that is not compared: it may be a watermark."""
_ALIGNED = 0.97
"""Details of pairs below this correlation are not compared."""
_STRETCHED = 1.05
"""A picture was stretched if the scales of its axes differ by this factor."""
_CONTRAST = 0.7
"""The least ratio of the contrasts, or of the exposures, of two similar pictures."""
_DARK, _BRIGHT = 8, 245  # grey levels between which the exposure is measured
_NOISE, _BUSY = 2, 0.3
"""A cell is plain if its detail has at most so many grey levels. A picture is busy if more than
this share of its cells is not plain; else it is smooth: 3 of 1,000 photos.
"""
_TOLERANCE = 4
"""Quarters of a grey level by which a detail may differ from those of the nearest cells."""
_DIFFERENCE, _LEAST_DETAIL = 5, 8 * 49
"""Details differ if, in 7 x 7 cells, the squared difference is over a fifth of the squared detail
that agrees.
"""
_MISSING = 6
"""They also differ if one picture lacks more than a sixth of the other one's strong details."""
_EDGE = 5
"""Fine cells at a picture's edges where a smooth copy may have a watermark or a caption."""


@dataclass(frozen=True, slots=True)
class _Grids:
    """Sampling grids: the affine maps from a cell's (u, v) to a pixel's (x, y).

    There is one for each picture, or one for all.

    x = x0 + xx * u + xy * v and y = y0 + yx * u + yy * v. u and v count half cells from the grid's
    centre: from -(cells - 1) to cells - 1 in steps of 2.
    """

    x0: Floats
    xx: Floats
    xy: Floats
    y0: Floats
    yx: Floats
    yy: Floats

    @classmethod
    def of(cls, boxes: Boxes, cells: int) -> "_Grids":
        """The upright grids that cover boxes."""
        top, bottom, left, right = boxes.T
        zero = np.zeros(len(boxes))
        across, down = (right - left) / (2 * cells), (bottom - top) / (2 * cells)
        return cls((left + right) / 2, across, zero, (top + bottom) / 2, zero, down)

    def moved(self, step: Floats) -> "_Grids":
        """The grids after a step of the alignment: (pictures, 6), an affine map of u and v each."""
        u0, uu, uv, v0, vu, vv = step.T
        return _Grids(
            self.x0 - self.xx * u0 - self.xy * v0,
            self.xx - self.xx * uu - self.xy * vu,
            self.xy - self.xx * uv - self.xy * vv,
            self.y0 - self.yx * u0 - self.yy * v0,
            self.yx - self.yx * uu - self.yy * vu,
            self.yy - self.yx * uv - self.yy * vv,
        )

    def scaled(self, factor: float) -> "_Grids":
        """The grids for cells that are `factor` times as large."""
        return _Grids(
            self.x0, self.xx * factor, self.xy * factor, self.y0, self.yx * factor, self.yy * factor
        )

    def plausible(self, start: "_Grids") -> Bools:
        """Whether grids are stretched and turned no more than those of copies are."""
        across, down = np.abs(start.xx), np.abs(start.yy)
        plausible = np.abs(self.xx - start.xx) <= _STRETCH * across
        plausible &= np.abs(self.yy - start.yy) <= _STRETCH * down
        plausible &= np.abs(self.yx) <= _SHEAR * across
        return np.asarray(plausible & (np.abs(self.xy) <= _SHEAR * down))

    def where(self, chosen: Bools, new: "_Grids") -> "_Grids":
        """These grids, with those of `new` for the chosen pictures."""
        return _Grids(
            *(np.where(chosen, getattr(new, name), getattr(self, name)) for name in self.__slots__)
        )

    def rows(self, chosen: NDArray[np.int64]) -> "_Grids":
        """The grids of the chosen pictures, one for each."""
        chosen = chosen if len(self.x0) > 1 else np.zeros_like(chosen)
        return _Grids(*(getattr(self, name)[chosen] for name in self.__slots__))

    def sampled(self, pictures: Pixels, cells: int) -> tuple[Floats, Bools]:
        """The pictures' values at the cells, and which cells are inside of the picture.

        Values are interpolated between pixels (bilinear). They are whole numbers, 2^_STEP_BITS
        times the pixels' values.
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
            _interpolated(flat[start:].take(at), flat[start + 1 :].take(at), right)
            for start in (0, THUMB)
        )
        return (_interpolated(upper, lower, down) >> _STEP_BITS).astype(np.float64), inside


def _positions(start: Floats, across: Floats, down: Floats, cells: int) -> Floats:
    """The cells' positions on one axis, in 1/2^_STEP_BITS pixels from the first pixel's centre."""
    unit, centres = 1 << _STEP_BITS, _centres(cells)
    columns = (start[:, None] + across[:, None] * centres) * unit
    rows = down[:, None] * centres * unit
    positions = (columns[:, None, :] + rows[:, :, None]).reshape(len(start), cells**2)
    positions -= unit / 2
    return np.asarray(positions)


def _interpolated(one: Pixels, two: Pixels, share: Pixels) -> Pixels:
    """2^_STEP_BITS times the values between two pixels; `one` is overwritten."""
    two -= one
    two *= share
    one <<= _STEP_BITS
    one += two
    return one


def _centres(cells: int) -> Floats:
    """u, or v, of the cells' centres: see _Grids."""
    return np.arange(1 - cells, cells, 2, dtype=np.float64)


def similarity(one: Thumbs, two: Thumbs, boxes: tuple[Boxes, Boxes], aspects: Floats) -> Floats:
    """The similarity of pairs of pictures, from 0 to 1; copies have more than 0.985.

    `boxes` are the parts of the two pictures that may show the same. `aspects` are the first
    picture's width by height, divided by the second's.

    1. The first picture is aligned with the second: moved, stretched and turned a little (the
       method of Lucas and Kanade).
    2. If the two correlate, their details are compared at the best exposure. The tenth of the
       cells that differs most is ignored: it may be a watermark.
    3. Smooth pictures have the correlation of the pictures instead, but 0 if one lacks a detail of
       the other (an aeroplane in a plain sky) or has no details at all.
    4. For a picture that had to be stretched, the distance from 1 is doubled.

    Pictures of very different contrast have 0: a white and a black sofa in one pose correlate well.
    """
    similarities = np.zeros(len(one))
    promising, correlations, grids, targets = _aligned(one, two, boxes)
    near = np.flatnonzero(correlations >= _ALIGNED)
    if len(near):
        close, grid, target = promising[near], grids.rows(near), targets.rows(near)
        scale = _CELLS / _FINE_CELLS
        left, inside = grid.scaled(scale).sampled(one[close].astype(np.int32), _FINE_CELLS)
        right, _ = target.scaled(scale).sampled(two[close].astype(np.int32), _FINE_CELLS)
        detail = _detail_similarity(correlations[near], left, right, inside)
        across, down = np.abs(grid.xx / target.xx), np.abs(grid.yy / target.yy)
        ratio = across / down * aspects[close]
        stretched = np.maximum(ratio, 1 / ratio) > _STRETCHED
        similarities[close] = np.where(stretched, 2 * detail - 1, detail)
    return np.round(similarities.clip(0), 6)


def _aligned(
    one: Thumbs, two: Thumbs, boxes: tuple[Boxes, Boxes]
) -> tuple[NDArray[np.int64], Floats, _Grids, _Grids]:
    """The promising pairs, their correlations, and the grids of both pictures of each.

    Boxes lie inside of their pictures, so all cells of the second picture's grid are inside.
    """
    left = _blurred(one)
    start, target = (_Grids.of(each, _CELLS) for each in boxes)
    goal, _ = target.sampled(_blurred(two), _CELLS)
    values, inside = start.sampled(left, _CELLS)
    at_start = _score(values, goal, np.broadcast_to(inside, values.shape))
    promising = np.flatnonzero(at_start >= _PROMISING)
    at_start, goal, left = at_start[promising], goal[promising], left[promising]
    start = moved = start.rows(promising)
    for _ in range(_ITERATIONS):
        values, inside = moved.sampled(left, _CELLS)
        moved = moved.moved(_step(values, goal, inside))
    values, inside = moved.sampled(left, _CELLS)
    score = _score(values, goal, inside)
    better = moved.plausible(start) & (score > at_start)
    correlations, grids = np.where(better, score, at_start), start.where(better, moved)
    return promising, correlations, grids, target.rows(promising)


def _blurred(thumbs: Thumbs) -> Pixels:
    """The sum of the 3 x 3 pixels around each pixel."""
    wide = np.pad(thumbs, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.uint16)
    rows = wide[:, :-2] + wide[:, 1:-1]
    rows += wide[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1]
    sums += rows[:, :, 2:]
    return sums.astype(np.int32)


def _step(values: Floats, target: Floats, inside: Bools) -> Floats:
    """The affine map that brings the values nearer to the target: least squares on gradients."""
    weights = inside.astype(np.float64)
    values, target = _standardized(values, weights), _standardized(target, weights)
    values -= target
    residuals = np.abs(values)
    used = inside & (residuals <= _quantile(residuals, inside, _INLIERS))
    grid = target.reshape(-1, _CELLS, _CELLS)
    across: Floats = np.zeros_like(grid)
    down: Floats = np.zeros_like(grid)
    np.subtract(grid[:, :, 2:], grid[:, :, :-2], out=across[:, :, 1:-1])
    np.subtract(grid[:, 2:], grid[:, :-2], out=down[:, 1:-1])
    across, down = across.reshape(values.shape), down.reshape(values.shape)
    across *= used
    down *= used
    pairs = (across, across), (across, down), (down, down), (across, values), (down, values)
    sums = np.stack([(one * two) @ _POWERS for one, two in pairs], axis=1)
    # A gradient spans two cells of two half cells each: hence the 4.
    return 4 * _solved(sums[:, _PRODUCT, _POWER], sums[:, _PRODUCT[0] + 3, _POWER[0]])


def _powers() -> Floats:
    """1, u, v, u^2, uv and v^2 of each cell: (cells, 6)."""
    u, v = (axis.ravel() for axis in np.meshgrid(_centres(_CELLS), _centres(_CELLS)))
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)


_POWERS = _powers()
_PRODUCT = np.add.outer([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])
"""For each coefficient of the equations: the product of gradients, and the power of u and v."""
_POWER = np.tile([[0, 1, 2], [1, 3, 4], [2, 4, 5]], (2, 2))


def _solved(matrix: Floats, goal: Floats) -> Floats:
    """The solutions of symmetric systems of equations, by Gaussian elimination."""
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
    """The values minus their mean, in 1/_LEVELS of their standard deviation, as whole numbers."""
    count, weighted = weights.sum(axis=1), values * weights
    total, square = weighted.sum(axis=1), np.vecdot(weighted, values)
    spread = np.maximum(np.sqrt(count * (count * square - total * total)), 1)
    scores = values * count[:, None]
    scores -= total[:, None]
    scores *= (_LEVELS * np.sqrt(count) / spread)[:, None]
    return np.asarray(np.rint(scores, out=scores).clip(-9999, 9999, out=scores))


def _quantile(values: Floats, used: Bools, share: float) -> Floats:
    """The value that this share of a row's used values does not exceed, as a column."""
    ordered = np.sort(values if used.all() else np.where(used, values, np.inf), axis=1)
    at = (used.sum(axis=1) * share).astype(np.int64).clip(0, values.shape[1] - 1)
    return np.take_along_axis(ordered, at[:, None], axis=1)


def _score(one: Floats, two: Floats, inside: Bools) -> Floats:
    """The correlation at the best exposure; 0 if the pictures overlap too little."""

    correlation = partial(_correlation, ignored=_IGNORED)
    best = _best_exposure(correlation, one, two, inside, 9 << _STEP_BITS)
    return np.where(inside.sum(axis=1) >= _OVERLAP * inside.shape[1], best, 0.0)


def _detail_similarity(correlations: Floats, one: Floats, two: Floats, inside: Bools) -> Floats:
    """The similarity of aligned pictures, from their values at fine cells."""
    left, right = _details(one), _details(two)

    def correlation(one: Floats, two: Floats, used: Bools) -> Floats:
        return _correlation(_details(one), _details(two), used, _IGNORED_DETAIL)

    best = _best_exposure(correlation, one, two, inside, 1 << _STEP_BITS)
    busy = np.stack([(np.abs(each) > 4 * _NOISE).mean(axis=1) for each in (left, right)])
    smooth = np.flatnonzero(busy.max(axis=0) <= _BUSY)
    differ = _differ(left[smooth], right[smooth], inside[smooth])
    differ |= (busy.min(axis=0) == 0)[smooth]
    best[smooth] = np.where(differ, 0.0, correlations[smooth])
    return best


def _best_exposure(
    correlation: Callable[[Floats, Floats, Bools], Floats],
    one: Floats,
    two: Floats,
    inside: Bools,
    level: int,
) -> Floats:
    """The best correlation, also if either picture is made as bright as the other.

    Highlights are clipped as in such a copy. `level` is the value of one of the 255 grey levels.
    """
    best = correlation(one, two, inside)
    for dark, bright in ((one, two), (two, one)):
        usable = (inside & (bright < _BRIGHT * level) & (dark > _DARK * level)).astype(np.float64)
        gain = np.vecdot(bright, usable) / np.maximum(np.vecdot(dark, usable), 1)
        rows = np.flatnonzero((gain > 1) & (gain < 1 / _CONTRAST))
        exposed = dark[rows] * gain[rows, None]
        np.minimum(np.rint(exposed, out=exposed), 255 * level, out=exposed)
        best[rows] = np.maximum(best[rows], correlation(exposed, bright[rows], inside[rows]))
    return best


def _correlation(one: Floats, two: Floats, used: Bools, ignored: float) -> Floats:
    """The correlation of the used cells, without the share of them that differs most."""
    count, (left, left_spread), (right, right_spread), _ = _moments(one, two, used)
    residuals = one * (count / left_spread)[:, None]
    residuals -= two * (count / right_spread)[:, None]
    residuals -= (left / left_spread - right / right_spread)[:, None]
    np.abs(residuals, out=residuals)
    used = used & (residuals <= _quantile(residuals, used, 1 - ignored))
    _, (_, left_spread), (_, right_spread), covariance = _moments(one, two, used)
    contrast = np.minimum(left_spread / right_spread, right_spread / left_spread)
    return np.where(contrast >= _CONTRAST, covariance / left_spread / right_spread, 0.0)


def _moments(
    one: Floats, two: Floats, used: Bools
) -> tuple[Floats, tuple[Floats, Floats], tuple[Floats, Floats], Floats]:
    """The number of used cells; the sum and the spread of either picture's; their covariance.

    Spread and covariance are times the number of cells, to be of whole numbers.
    """
    count = used.sum(axis=1).astype(np.float64)
    left, right = one * used, two * used
    sums = left.sum(axis=1), right.sum(axis=1)
    spreads = (
        np.maximum(np.sqrt(count * np.vecdot(each, each) - total * total), 1)
        for each, total in zip((left, right), sums, strict=True)
    )
    pairs = tuple(zip(sums, spreads, strict=True))
    return count, pairs[0], pairs[1], count * np.vecdot(left, right) - sums[0] * sums[1]


def _details(cells: Floats) -> Floats:
    """The cells minus the mean of the 7 x 7 cells around each, in quarters of a grey level."""
    return np.rint((cells * 49 - _sums_around(cells)) / (49 << (_STEP_BITS - 2)))


def _sums_around(cells: Floats) -> Floats:
    """The sum of the 7 x 7 cells around each."""
    wide = np.pad(cells.reshape(-1, _FINE_CELLS, _FINE_CELLS), ((0, 0), (3, 3), (3, 3)), "edge")
    for _ in range(2):  # the sums of 7 rows, then of 7 columns
        two = wide[:, :-1] + wide[:, 1:]
        four = two[:, :-2] + two[:, 2:]
        wide = (four[:, :-3] + two[:, 4:-1] + wide[:, 6:]).transpose(0, 2, 1)
    return wide.reshape(cells.shape)


def _differ(left: Floats, right: Floats, inside: Bools) -> Bools:
    """Whether the details of smooth pictures differ anywhere.

    The one with more details may have a watermark or a caption at its edges.
    """
    swap = ((left**2).sum(axis=1) > (right**2).sum(axis=1))[:, None]
    plain, other = np.where(swap, right, left), np.where(swap, left, right)
    near_plain, near_other = _shifted(plain), _shifted(other)
    strong = np.abs(near_plain).max(axis=0)
    missing_detail = ((plain - near_other) ** 2 * strong**2).sum(axis=2).min(axis=0)
    differ = _MISSING * missing_detail > np.vecdot(strong**2, plain**2)
    missing, added = (
        np.maximum(near.min(axis=0) - each, each - near.max(axis=0)) - _TOLERANCE
        for each, near in ((plain, near_other), (other, near_plain))
    )
    compared = inside & (_INNER | (strong > 4 * _NOISE))
    difference = np.maximum(missing, added).clip(0) * compared
    agreement = np.minimum(np.abs(plain), np.abs(other)) * inside
    limit = _sums_around(agreement**2) + _LEAST_DETAIL
    differ |= (_DIFFERENCE * _sums_around(difference**2) > limit).any(axis=1)
    return np.asarray(differ)


def _shifted(cells: Floats) -> Floats:
    """Pictures shifted by up to one cell in each direction: (9, pictures, cells)."""
    wide = np.pad(cells.reshape(-1, _FINE_CELLS, _FINE_CELLS), ((0, 0), (1, 1), (1, 1)), "edge")
    starts = [slice(start, start + _FINE_CELLS) for start in range(3)]
    shifted = [wide[:, down, across] for down, across in product(starts, repeat=2)]
    return np.stack(shifted).reshape(9, *cells.shape)


_INNER = np.pad(np.ones((_FINE_CELLS - 2 * _EDGE,) * 2, bool), _EDGE).ravel()
