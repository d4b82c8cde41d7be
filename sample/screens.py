"""Computer monitors: flat, turned, old tube, and two side by side."""

from __future__ import annotations

import math
from random import Random

from PIL import Image

import rooms
import scenes
from canvas import Canvas, Color, Pen, mix, shade, vary


class Glass:
    """Maps unit screen coordinates to the (possibly turned) screen quadrilateral."""

    def __init__(self, pen: Pen, half: float, top: float, bottom: float, turn: float) -> None:
        """Turn shortens the right edge, 0 is head-on."""
        self.pen, self.half, self.top, self.bottom, self.turn = pen, half, top, bottom, turn

    def at(self, u: float, v: float) -> tuple[float, float]:
        """Unit square to the pen's units."""
        squeeze = 1 - self.turn * u
        mid = (self.top + self.bottom) / 2
        x = -self.half + 2 * self.half * u * (1 - self.turn * 0.9)
        return x, mid + ((self.top + (self.bottom - self.top) * v) - mid) * squeeze

    def box(self, u0: float, v0: float, u1: float, v1: float, fill: Color) -> None:
        """Fill a rectangle of the screen."""
        self.pen.poly([self.at(u0, v0), self.at(u1, v0), self.at(u1, v1), self.at(u0, v1)], fill)

    def shape(self, points: list[tuple[float, float]], fill: Color) -> None:
        """Fill a polygon given in unit coordinates."""
        self.pen.poly([self.at(u, v) for u, v in points], fill)


def landscape(glass: Glass, rng: Random) -> None:
    """A wallpaper: sky, hills, task bar and icons."""
    a, b = vary(rng, (70, 140, 215), 40), vary(rng, (70, 140, 70), 40)
    for k in range(6):
        glass.box(0, k / 6, 1, (k + 1) / 6, mix(a, (230, 240, 250), k / 7))
    wave = [(t / 12, 0.62 + 0.14 * math.sin(t * 0.7 + rng.random())) for t in range(13)]
    glass.shape([*wave, (1, 1), (0, 1)], b)
    glass.shape([(0, 0.8), (0.5, 0.7), (1, 0.9), (1, 1), (0, 1)], shade(b, 0.75))
    glass.box(0, 0.93, 1, 1, (40, 45, 60))
    for k in range(3):
        glass.box(0.04, 0.08 + k * 0.17, 0.11, 0.18 + k * 0.17, (240, 240, 240))


def windows(glass: Glass, rng: Random) -> None:
    """A desktop with overlapping windows."""
    desk = vary(rng, rng.choice([(40, 110, 120), (60, 70, 140), (110, 70, 120), (40, 60, 80)]), 20)
    for k in range(5):
        glass.box(k / 5, 0, (k + 1) / 5, 1, shade(desk, 0.75 + 0.12 * k))
    for _ in range(rng.randint(2, 3)):
        u, v = rng.uniform(0.04, 0.5), rng.uniform(0.05, 0.4)
        wide, high = rng.uniform(0.3, 0.48), rng.uniform(0.3, 0.5)
        glass.box(u, v, u + wide, v + high, (242, 242, 245))
        glass.box(u, v, u + wide, v + 0.07, vary(rng, (60, 110, 190), 40))
        for k in range(4):
            glass.box(
                u + 0.03,
                v + 0.11 + k * 0.08,
                u + wide * rng.uniform(0.5, 0.9),
                v + 0.14 + k * 0.08,
                (150, 150, 158),
            )
    glass.box(0, 0.93, 1, 1, (205, 205, 212))


def code(glass: Glass, rng: Random) -> None:
    """A dark editor with coloured lines."""
    back = vary(rng, (38, 42, 54), 10)
    glass.box(0, 0, 1, 1, back)
    glass.box(0, 0, 0.16, 1, shade(back, 1.12))
    for k in range(11):
        u = 0.2 + 0.06 * rng.randint(0, 3)
        for _ in range(rng.randint(0, 3)):
            wide = rng.uniform(0.06, 0.22)
            tint = rng.choice([(220, 120, 120), (130, 200, 140), (120, 170, 230), (230, 200, 120)])
            glass.box(u, 0.06 + k * 0.08, min(0.95, u + wide), 0.1 + k * 0.08, tint)
            u = min(0.9, u + wide + 0.03)


def chart(glass: Glass, rng: Random) -> None:
    """A white page with bars and a curve."""
    glass.box(0, 0, 1, 1, (236, 238, 242))
    glass.box(0, 0, 1, 0.1, vary(rng, (50, 90, 150), 40))
    color = vary(rng, rng.choice([(60, 140, 200), (220, 120, 60), (80, 160, 100)]), 20)
    for k in range(8):
        high = rng.uniform(0.15, 0.65)
        glass.box(0.08 + k * 0.11, 0.9 - high, 0.15 + k * 0.11, 0.9, color)
    glass.box(0.06, 0.9, 0.96, 0.915, (80, 80, 85))


SCREENS = [landscape, windows, code, chart]


def flat_monitor(pen: Pen, rng: Random, turn: float) -> None:
    """A flat monitor on a stand, foot at y=1."""
    case = vary(rng, rng.choice([(35, 36, 40), (35, 36, 40), (190, 192, 196), (235, 235, 232)]), 8)
    half = rng.uniform(0.95, 1.25)
    middle = -half * turn * 0.9
    pen.ellipse(middle, 0.97, 0.55, 0.1, shade(case, 0.8))
    pen.poly(
        [(middle - 0.12, 0.4), (middle + 0.12, 0.4), (middle + 0.16, 0.95), (middle - 0.16, 0.95)],
        shade(case, 0.65),
    )
    Glass(pen, half + 0.08, -0.95, 0.58, turn).box(0, 0, 1, 1, case)
    glass = Glass(pen, half, -0.88, 0.44, turn)
    rng.choice(SCREENS)(glass, rng)
    glass.shape([(0.55, 0), (0.8, 0), (0.5, 1), (0.25, 1)], (255, 255, 255, 22))
    lx, ly = glass.at(0.94, 1.06)
    pen.ellipse(lx, ly, 0.025, 0.025, (90, 220, 120))


def tube_monitor(pen: Pen, rng: Random) -> None:
    """An old beige tube monitor with its deep back showing at the right."""
    case = vary(rng, rng.choice([(215, 205, 180), (200, 200, 195), (120, 120, 125)]), 8)
    pen.poly([(0.9, -0.95), (1.5, -0.65), (1.5, 0.4), (0.9, 0.7)], shade(case, 0.65))
    for k in range(4):
        pen.line([(1.1 + k * 0.09, -0.6), (1.1 + k * 0.09, 0.0)], shade(case, 0.45), 0.03)
    pen.poly([(-0.4, 0.65), (0.5, 0.65), (0.75, 0.98), (-0.65, 0.98)], shade(case, 0.75))
    pen.box(-1.05, -1.0, 1.0, 0.72, case, 0.12)
    pen.box(-0.88, -0.84, 0.84, 0.45, shade(case, 0.45), 0.12)
    rng.choice(SCREENS)(Glass(pen.sub(-0.02, 0), 0.78, -0.76, 0.38, 0), rng)
    for k in range(4):
        pen.ellipse(0.3 + k * 0.13, 0.58, 0.035, 0.035, shade(case, 0.55))


def desk_things(canvas: Canvas, rng: Random, x: float, y: float, s: float) -> None:
    """Keyboard and mouse in front, sometimes a mug."""
    pen = canvas.pen(x, y, s)
    tint = vary(rng, rng.choice([(50, 52, 56), (225, 225, 222)]), 8)
    pen.poly([(-0.8, 0), (0.8, 0), (0.9, 0.3), (-0.9, 0.3)], tint)
    for k in range(3):
        pen.line(
            [(-0.78 - k * 0.03, 0.06 + k * 0.08), (0.78 + k * 0.03, 0.06 + k * 0.08)],
            mix(tint, (128, 128, 128), 0.5),
            0.035,
        )
    pen.ellipse(1.2, 0.18, 0.13, 0.1, tint)
    if rng.random() < 0.5:
        mug = vary(rng, rng.choice(scenes.WALLS), 40)
        pen.ellipse(-1.25, -0.12, 0.14, 0.12, shade(mug, 0.8))
        pen.box(-1.6, -0.3, -1.25, 0.12, mug, 0.06)


def computer_monitor(rng: Random, variant: int) -> Image.Image:
    """Head-on, turned, tube, or a pair, on a desk."""
    canvas = Canvas.random(rng, portrait=0.08)
    w, h, kind = canvas.w, canvas.h, variant % 4
    desk = h * rng.uniform(0.58, 0.76)
    rooms.room(canvas, rng, desk)
    rooms.table(canvas, rng, desk)
    x, mirror = w * rng.uniform(0.4, 0.6), rng.random() < 0.5
    s = min(w * 0.34, h * 0.42) * rng.uniform(0.72, 1.08)
    foot = desk + h * rng.uniform(0.04, 0.12)
    s = min(s, foot * 0.49)
    if kind == 3:
        s = w * rng.uniform(0.17, 0.2)
        for side in (-1, 1):
            pen = canvas.pen(x + side * s * 1.35, foot - s, s, side < 0)
            flat_monitor(pen, rng, rng.uniform(0, 0.14))
    else:
        pen = canvas.pen(x, foot - s, s, mirror)
        pen.ellipse(0, 1.0, 1.1, 0.1, (15, 15, 20, 90))
        if kind == 2:
            tube_monitor(pen, rng)
        else:
            flat_monitor(pen, rng, 0 if kind == 0 else rng.uniform(0.12, 0.3))
    if rng.random() < 0.75:
        desk_things(canvas, rng, x + rng.uniform(-8, 8), foot + h * 0.04, w * 0.19)
    return canvas.finish(rng)
