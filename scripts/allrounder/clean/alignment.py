"""How alike two pictures are: one is laid over the other, and what both show is compared.

The result is the same on every machine, to the last bit. All sums are of whole numbers below 2^53,
so their order does not matter; all else is single IEEE operations (+, -, x, /, square root).
"""

from dataclasses import dataclass

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
"""Parts of thumbnails in pixels, a row each: top, bottom, left, right; mirrored if left > right."""

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
_DETAIL_APART = 0.11
"""Two smooth pictures whose details differ more do not show the same thing."""


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
    def of(cls, boxes: Boxes, cells: int) -> "_Places":
        top, bottom, left, right = boxes.T
        none = np.zeros(len(boxes))
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

    def replaced(self, rows: NDArray[np.int64], new: "_Places") -> "_Places":
        """The same with other places for some pictures."""
        columns = {name: getattr(self, name).copy() for name in self.__slots__}
        for name, column in columns.items():
            column[rows] = getattr(new, name)
        return _Places(**columns)

    def rows(self, chosen: NDArray[np.int64]) -> "_Places":
        return _Places(*(getattr(self, name)[chosen] for name in self.__slots__))

    def sampled(self, pictures: Pixels, cells: int) -> tuple[Floats, Bools]:
        """The pictures' values at the cells, between pixels in proportion; which are inside.

        Values are whole numbers, 2^_STEP_BITS times those of the pictures' pixels.
        """
        u, v = (axis.ravel() for axis in np.meshgrid(_steps(cells), _steps(cells)))
        x = self.x0[:, None] + self.xx[:, None] * u + self.xy[:, None] * v - 0.5
        y = self.y0[:, None] + self.yx[:, None] * u + self.yy[:, None] * v - 0.5
        edge = THUMB - 0.5
        inside = (x >= -0.5) & (x <= edge) & (y >= -0.5) & (y <= edge)
        unit, last = 1 << _STEP_BITS, (THUMB - 1) << _STEP_BITS
        column, row = (np.rint(axis * unit).clip(0, last - 1).astype(np.int32) for axis in (x, y))
        flat = pictures.reshape(-1)
        first = np.arange(len(pictures), dtype=np.int32)[:, None] * THUMB**2
        at = first + (row >> _STEP_BITS) * THUMB + (column >> _STEP_BITS)
        right, down = column & (unit - 1), row & (unit - 1)
        upper = flat[at] * (unit - right) + flat[at + 1] * right
        lower = flat[at + THUMB] * (unit - right) + flat[at + THUMB + 1] * right
        found = upper * (unit - down) + lower * down
        return (found >> _STEP_BITS).astype(np.float64), inside


def _steps(cells: int) -> Floats:
    return np.arange(1 - cells, cells, 2, dtype=np.float64)


def similarity(one: Thumbs, two: Thumbs, boxes: tuple[Boxes, Boxes], aspects: Floats) -> Floats:
    """The similarity of pairs of pictures, 0 to 1: 1 for the same, above 0.985 for copies.

    `boxes` are parts of them that may show the same, `aspects` the first one's width by height,
    divided by the other's. The first picture is moved, stretched and turned a little to lie on the
    second (Lucas and Kanade's method). Where they correlate, the similarity is the correlation of
    their details, without the tenth that differs most (a watermark), over exposures; of two smooth
    pictures it is that of the pictures, or 0 if their few details differ, such as aeroplanes in a
    plain sky. A picture that had to be stretched must be twice as alike. Very different contrasts
    are not alike: a white and a black sofa in one pose correlate well.
    """
    found, places, there = _laid_over(one, two, boxes)
    alike = np.zeros(len(found))
    close = np.flatnonzero(found >= _ALIKE)
    if len(close):
        place, other = places.rows(close), there.rows(close)
        grids = [
            each.scaled(_CELLS / _FINE_CELLS).sampled(shown[close].astype(np.int32), _FINE_CELLS)
            for each, shown in ((place, one), (other, two))
        ]
        alike[close] = _in_detail(found[close], grids)
        across, down = np.abs(place.xx / other.xx), np.abs(place.yy / other.yy)
        ratio = across / down * aspects[close]
        stretched = np.maximum(ratio, 1 / ratio) > _STRETCHED
        alike[close] = np.where(stretched, 2 * alike[close] - 1, alike[close])
    return np.round(alike.clip(0), 6)


def _in_detail(found: Floats, grids: list[tuple[Floats, Bools]]) -> Floats:
    """The similarity of pictures that correlate, from their values at fine cells."""
    (one, inside), (two, shown) = grids
    shown = inside & shown
    level = 1 << _STEP_BITS
    exposed = (
        (one, two),
        (_exposed(one, two, shown, level), two),
        (one, _exposed(two, one, shown, level)),
    )
    details = [(_details(left), _details(right)) for left, right in exposed]
    best = np.max([_correlation(*pair, shown, _SPARED_DETAIL) for pair in details], axis=0)
    smooth, differ = _compared(*details[0])
    return np.where(smooth, np.where(differ, 0.0, found), best)


def _laid_over(
    one: Thumbs, two: Thumbs, boxes: tuple[Boxes, Boxes]
) -> tuple[Floats, _Places, _Places]:
    """The correlation of pairs of pictures, and the places in both that correlate so."""
    left, right = _blurred(one), _blurred(two)
    places, there = _Places.of(boxes[0], _CELLS), _Places.of(boxes[1], _CELLS)
    target, shown = there.sampled(right, _CELLS)
    values, inside = places.sampled(left, _CELLS)
    found = _score(values, target, inside & shown)
    hopeful = np.flatnonzero(found >= _PROMISING)
    if len(hopeful):
        start = places.rows(hopeful)
        moved = _aligned(left[hopeful], target[hopeful], shown[hopeful], start)
        values, inside = moved.sampled(left[hopeful], _CELLS)
        score = _score(values, target[hopeful], inside & shown[hopeful])
        better = moved.plausible(start) & (score > found[hopeful])
        found[hopeful[better]] = score[better]
        places = places.replaced(hopeful[better], moved.rows(np.flatnonzero(better)))
    return found, places, there


def _blurred(thumbs: Thumbs) -> Pixels:
    """Each pixel's sum with its neighbours, 3 x 3."""
    wide = np.pad(thumbs.astype(np.int32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    return np.asarray(rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:])


def _aligned(pictures: Pixels, target: Floats, shown: Bools, places: _Places) -> _Places:
    """Places in the pictures that look like the target."""
    for _ in range(_STEPS):
        values, inside = places.sampled(pictures, _CELLS)
        places = places.moved(_step(values, target, inside & shown))
    return places


def _step(values: Floats, target: Floats, shown: Bools) -> Floats:
    """How far the values lie from the target, as an affine map: least squares on gradients."""
    values, target = _standardized(values, shown), _standardized(target, shown)
    apart = np.abs(values - target)
    shown = shown & (apart <= _quantile(apart, shown, _ROBUST))
    grid = target.reshape(-1, _CELLS, _CELLS)
    across, down = np.zeros_like(grid), np.zeros_like(grid)
    across[:, :, 1:-1] = grid[:, :, 2:] - grid[:, :, :-2]
    down[:, 1:-1] = grid[:, 2:] - grid[:, :-2]
    u, v = (axis.ravel() for axis in np.meshgrid(_steps(_CELLS), _steps(_CELLS)))
    across, down = across.reshape(len(grid), -1) * shown, down.reshape(len(grid), -1) * shown
    slopes = np.stack([across, across * u, across * v, down, down * u, down * v], axis=1)
    matrix = slopes @ slopes.transpose(0, 2, 1)
    goal = slopes @ (values - target)[:, :, None]
    return 4 * _solved(matrix, goal[:, :, 0])  # gradients are over two cells, of two steps each


def _solved(matrix: Floats, goal: Floats) -> Floats:
    """The solutions of symmetric systems of equations, by Gauss's method."""
    size = goal.shape[1]
    matrix = np.concatenate([matrix, goal[:, :, None]], axis=2)
    for row in range(size):
        matrix[:, row, row] = matrix[:, row, row] * (1 + _RIDGE) + 1
    for row in range(size):
        matrix[:, row] = matrix[:, row] / matrix[:, row, row, None]
        for other in range(size):
            if other != row:
                matrix[:, other] = matrix[:, other] - matrix[:, other, row, None] * matrix[:, row]
    return matrix[:, :, size]


def _standardized(values: Floats, shown: Bools) -> Floats:
    """Values around their mean, in 1/_LEVELS of their spread, as whole numbers."""
    centred, size, count = _centred(values, shown)
    return np.rint(centred * (_LEVELS * np.sqrt(count) / size)[:, None]).clip(-9999, 9999)


def _centred(values: Floats, shown: Bools) -> tuple[Floats, Floats, Floats]:
    """Values minus their mean, times their number; the norms of these; the numbers."""
    count = shown.sum(axis=1).astype(np.float64)
    total = (values * shown).sum(axis=1)
    centred = values * count[:, None] - total[:, None]
    size = np.sqrt((centred**2 * shown).sum(axis=1))
    return centred, np.maximum(size, 1), np.maximum(count, 1)


def _quantile(values: Floats, shown: Bools, share: float) -> Floats:
    """The value that this share of the shown ones does not exceed, a row each, as a column."""
    ordered = np.sort(np.where(shown, values, np.inf), axis=1)
    at = (shown.sum(axis=1) * share).astype(np.int64).clip(0, values.shape[1] - 1)
    return np.take_along_axis(ordered, at[:, None], axis=1)


def _score(one: Floats, two: Floats, shown: Bools) -> Floats:
    """The best correlation over exposures."""
    level = 9 << _STEP_BITS
    found = [
        _correlation(left, right, shown, _SPARED)
        for left, right in (
            (one, two),
            (_exposed(one, two, shown, level), two),
            (one, _exposed(two, one, shown, level)),
        )
    ]
    enough = shown.sum(axis=1) >= _SHARED * shown.shape[1]
    return np.where(enough, np.max(found, axis=0), 0.0)


def _exposed(dark: Floats, bright: Floats, shown: Bools, level: int) -> Floats:
    """The first picture made as bright as the second; highlights are clipped as in such a copy.

    `level` is the value of one of the 255 grey levels.
    """
    usable = shown & (bright < _BRIGHT * level) & (dark > _DARK * level)
    total = (dark * usable).sum(axis=1)
    gain = (bright * usable).sum(axis=1) / np.maximum(total, 1)
    gain = np.where((gain > 1) & (gain < 1 / _GAIN), gain, 1.0)
    return np.minimum(np.rint(dark * gain[:, None]), 255 * level)


def _correlation(one: Floats, two: Floats, shown: Bools, spared: float) -> Floats:
    """The correlation of what is shown, without the share of the cells that differ most."""
    (left, left_size, _), (right, right_size, _) = _centred(one, shown), _centred(two, shown)
    apart = np.abs(left / left_size[:, None] - right / right_size[:, None])
    shown = shown & (apart <= _quantile(apart, shown, 1 - spared))
    (left, left_size, _), (right, right_size, _) = _centred(one, shown), _centred(two, shown)
    contrast = np.minimum(left_size / right_size, right_size / left_size)
    found = (left * right * shown).sum(axis=1) / left_size / right_size
    return np.where(contrast >= _GAIN, found, 0.0)


def _details(cells: Floats) -> Floats:
    """What remains of pictures without their smooth background, in quarters of a grey level."""
    grid = cells.reshape(-1, _FINE_CELLS, _FINE_CELLS)
    wide = np.pad(grid, ((0, 0), (3, 3), (3, 3)), mode="edge")
    for axis in (1, 2):
        sums = np.cumsum(np.insert(wide, 0, 0, axis=axis), axis=axis)
        wide = np.take(sums, range(7, sums.shape[axis]), axis) - np.take(
            sums, range(sums.shape[axis] - 7), axis
        )
    return np.rint((grid * 49 - wide) / (49 << (_STEP_BITS - 2))).reshape(len(cells), -1)


def _compared(left: Floats, right: Floats) -> tuple[Bools, Bools]:
    """Whether both pictures are smooth; whether the plainer one's details are not in the other."""
    busy = [(np.abs(each) > 4 * _NOISE).mean(axis=1) for each in (left, right)]
    swap = ((left**2).sum(axis=1) > (right**2).sum(axis=1))[:, None]
    plain, other = np.where(swap, right, left), np.where(swap, left, right)
    weights = plain**2
    missing = (weights * (plain - other) ** 2).sum(axis=1)
    apart = missing / np.maximum((weights * plain**2).sum(axis=1), 1)
    smooth = np.maximum(*busy) <= _BUSY
    return np.asarray(smooth), np.asarray((apart > _DETAIL_APART) & (np.maximum(*busy) > 0))
