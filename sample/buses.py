"""School buses."""

from __future__ import annotations

from random import Random

from PIL import Image

import scenes
from canvas import Canvas, Color, Pen, shade, vary

GLASS: Color = (55, 70, 88)
BLACK: Color = (28, 28, 30)


def wheel(pen: Pen, x: float, y: float, r: float) -> None:
    """A tyre with a light hub."""
    pen.ellipse(x, y, r, r, BLACK)
    pen.ellipse(x, y, r * 0.5, r * 0.5, (150, 150, 150))
    pen.ellipse(x, y, r * 0.2, r * 0.2, (70, 70, 70))


def bus_side(pen: Pen, rng: Random, yellow: Color) -> None:
    """A school bus from the side with its hood to the left; wheels stand on y=1."""
    dark = shade(yellow, 0.8)
    pen.box(-1.75, -0.85, 2.1, 0.7, yellow, 0.18)
    pen.box(-1.75, -0.9, 2.1, -0.62, shade(yellow, 1.25), 0.14)
    pen.poly([(-1.7, -0.05), (-2.4, 0.02), (-2.52, 0.15), (-2.52, 0.7), (-1.7, 0.7)], yellow)
    pen.poly([(-2.52, 0.3), (-2.52, 0.7), (-1.7, 0.7), (-1.7, 0.45)], dark)
    pen.box(-2.62, 0.55, -2.4, 0.74, BLACK)
    pen.ellipse(-2.48, 0.28, 0.06, 0.12, (250, 245, 220))
    pen.poly([(-1.72, -0.08), (-1.72, -0.52), (-1.45, -0.52), (-1.45, -0.08)], GLASS)
    pen.box(-1.36, -0.52, -1.0, 0.62, shade(yellow, 0.65))
    pen.box(-1.32, -0.48, -1.04, 0.2, GLASS)
    for k in range(6):
        x = -0.88 + k * 0.48
        pen.box(x, -0.52, x + 0.4, -0.1, GLASS)
        pen.poly(
            [(x + 0.05, -0.1), (x + 0.2, -0.52), (x + 0.28, -0.52), (x + 0.13, -0.1)],
            (110, 130, 150),
        )
        pen.box(x, -0.32, x + 0.4, -0.29, dark)
    for y in (0.02, 0.3, 0.5):
        pen.box(-0.95, y, 2.1, y + 0.06, BLACK)
    pen.text(0.5, -0.72, "SCHOOL BUS", BLACK, 0.24)
    if rng.random() < 0.5:
        pen.line([(-0.95, 0.2), (-0.75, 0.2)], BLACK, 0.05)
        pen.poly(
            [
                (-0.9, 0.08),
                (-0.78, -0.04),
                (-0.62, -0.04),
                (-0.5, 0.08),
                (-0.5, 0.24),
                (-0.62, 0.36),
                (-0.78, 0.36),
                (-0.9, 0.24),
            ],
            (205, 30, 35),
        )
        pen.text(-0.7, 0.16, "STOP", (255, 255, 255), 0.13)
    for x in (-1.95, 1.2):
        pen.ellipse(x, 0.68, 0.37, 0.36, shade(yellow, 0.45))
        wheel(pen, x, 0.7, 0.3)


def bus_front(pen: Pen, rng: Random, yellow: Color, rear: bool) -> None:
    """A school bus from the front or the rear, standing on y=1.1."""
    for side in (-1, 1):
        pen.box(side * 0.62 - 0.16, 0.75, side * 0.62 + 0.16, 1.12, BLACK, 0.06)
        if not rear:
            pen.line([(side * 0.85, -0.3), (side * 1.12, -0.25)], BLACK, 0.05)
            pen.box(side * 1.12 - 0.08, -0.35, side * 1.12 + 0.08, 0.05, BLACK, 0.05)
    pen.box(-0.92, -1.05, 0.92, 0.85, yellow, 0.25)
    pen.box(-0.6, -1.0, 0.6, -0.72, shade(yellow, 1.2), 0.06)
    pen.text(0, -0.86, "SCHOOL BUS", BLACK, 0.22)
    for side in (-1, 1):
        for k, lamp in enumerate([(215, 40, 40), (245, 160, 40)]):
            pen.ellipse(side * 0.78, -0.86 + 0.19 * k, 0.08, 0.08, lamp)
    if rear:
        pen.box(-0.35, -0.6, 0.35, 0.7, shade(yellow, 0.82))
        pen.box(-0.28, -0.52, 0.28, -0.05, GLASS)
        for side in (-1, 1):
            pen.box(side * 0.6 - 0.18, -0.5, side * 0.6 + 0.18, -0.08, GLASS)
            pen.ellipse(side * 0.65, 0.45, 0.11, 0.11, (200, 30, 35))
        pen.text(0, 0.12, "EMERGENCY", BLACK, 0.11)
    else:
        pen.box(-0.76, -0.6, 0.76, -0.02, GLASS, 0.08)
        pen.poly([(-0.5, -0.02), (-0.2, -0.6), (0.0, -0.6), (-0.3, -0.02)], (105, 125, 145))
        pen.line([(0, -0.6), (0, -0.02)], shade(yellow, 0.6), 0.05)
        pen.box(-0.72, 0.06, 0.72, 0.75, shade(yellow, 0.9), 0.14)
        for k in range(4):
            pen.box(-0.36, 0.2 + k * 0.12, 0.36, 0.26 + k * 0.12, BLACK)
        for side in (-1, 1):
            pen.ellipse(side * 0.55, 0.42, 0.12, 0.12, (250, 245, 220))
    pen.box(-0.95, 0.74, 0.95, 0.92, BLACK, 0.04)


def bus_corner(pen: Pen, rng: Random, yellow: Color) -> None:
    """A school bus in perspective: front face left, long side running off to the right."""
    far, side = rng.uniform(0.5, 0.65), shade(yellow, 0.82)

    def edge(t: float, y: float) -> tuple[float, float]:
        return t * 2.9, y * (1 - t * (1 - far)) - 0.1 * t

    def band(t0: float, t1: float, y0: float, y1: float, fill: Color) -> None:
        pen.poly([edge(t0, y0), edge(t1, y0), edge(t1, y1), edge(t0, y1)], fill)

    front = pen.sub(-0.82, 0)
    band(0, 1, -1.02, 0.85, side)
    band(0, 1, -1.04, -0.85, shade(yellow, 1.1))
    for k in range(7):
        band(0.06 + k * 0.13, 0.16 + k * 0.13, -0.62, -0.1, GLASS)
    for y in (0.05, 0.3, 0.55):
        band(0, 1, y, y + 0.07, BLACK)
    for t in (0.15, 0.8):
        x, y = edge(t, 0.85)
        pen.ellipse(x, y, 0.17 * (1.2 - t * 0.4), 0.3 * (1.1 - t * 0.4), BLACK)
        pen.ellipse(x, y, 0.08, 0.14, (140, 140, 140))
    bus_front(front, rng, yellow, rear=False)


def school_bus(rng: Random, variant: int) -> Image.Image:
    """From the side, the corner, the front or the rear, in a street."""
    canvas = Canvas.random(rng)
    w, h, kind = canvas.w, canvas.h, variant % 5
    yellow = vary(rng, rng.choice([(245, 185, 30), (250, 200, 50), (235, 165, 25)]), 8)
    mirror, road = rng.random() < 0.5, h * rng.uniform(0.6, 0.76)
    scenes.street(canvas, rng, road - rng.uniform(4, 28), road)
    if kind in (0, 3):
        s = w * rng.uniform(0.145, 0.19)
        pen = canvas.pen(
            w * rng.uniform(0.46, 0.58), road + h * rng.uniform(0.04, 0.18) - s, s, mirror
        )
        pen.ellipse(-0.1, 1.0, 2.7, 0.12, (10, 10, 15, 110))
        bus_side(pen, rng, yellow)
    elif kind in (1, 4):
        s = min(w * 0.19, h * 0.3) * rng.uniform(0.85, 1.12)
        x = w * rng.uniform(0.3, 0.4)
        pen = canvas.pen(
            w - x if mirror else x, road + h * 0.12 - s * rng.uniform(0.75, 1.05), s, mirror
        )
        pen.poly([(-1.8, 1.0), (0, 1.2), (2.9, 0.55), (2.9, 0.4)], (10, 10, 15, 110))
        bus_corner(pen, rng, yellow)
    else:
        s = min(w * 0.4, h * 0.36) * rng.uniform(0.75, 1.1)
        pen = canvas.pen(w * rng.uniform(0.3, 0.7), road + h * 0.12 - s, s)
        pen.ellipse(0, 1.1, 1.2, 0.1, (10, 10, 15, 110))
        bus_front(pen, rng, yellow, rear=rng.random() < 0.35)
    return canvas.finish(rng)
