"""Speedboats."""

from __future__ import annotations

from random import Random

from PIL import Image

import scenes
from canvas import Canvas, Color, Pen, shade, smooth, vary
from planes import LIVERIES


def boat_side(pen: Pen, rng: Random, hull: Color, trim: Color) -> None:
    """A speedboat from the side, bow to the left, waterline at y=0.35."""
    pen.box(1.62, -0.42, 1.98, 0.1, (45, 48, 55), 0.1)
    pen.box(1.74, 0.0, 1.86, 0.45, (70, 72, 78))
    pen.poly([(-0.75, -0.2), (-0.35, -0.68), (-0.22, -0.68), (0.25, -0.22)], (150, 195, 215, 210))
    pen.line([(-0.75, -0.2), (-0.3, -0.7), (0.0, -0.7)], (60, 65, 75), 0.06)
    for k in range(rng.randint(0, 2)):
        px, cloth = 0.15 + k * 0.55, vary(rng, rng.choice(LIVERIES), 20)
        pen.box(px - 0.14, -0.62, px + 0.16, -0.1, cloth, 0.1)
        pen.ellipse(px, -0.78, 0.13, 0.15, (215, 165, 130))
        pen.ellipse(px + 0.02, -0.86, 0.13, 0.09, (70, 50, 35))
    pen.box(0.85, -0.42, 1.35, -0.1, shade(trim, 1.1), 0.1)
    pen.poly(
        smooth(
            [
                (-2.15, -0.38),
                (-1.2, -0.28),
                (0, -0.2),
                (1.7, -0.2),
                (1.75, 0.1),
                (1.62, 0.4),
                (0, 0.45),
                (-1.1, 0.35),
                (-1.75, 0.02),
            ],
            6,
        ),
        hull,
    )
    pen.poly(
        [(-2.05, -0.28), (0, -0.08), (1.72, -0.06), (1.7, 0.07), (0, 0.08), (-1.8, -0.06)], trim
    )
    pen.poly(
        [(-1.3, 0.25), (0, 0.34), (1.66, 0.3), (1.6, 0.42), (0, 0.46), (-1.1, 0.37)],
        shade(hull, 0.6),
    )
    pen.line([(-2.1, -0.4), (-1.5, -0.55), (-0.85, -0.4)], (200, 205, 210), 0.04)


def spray(pen: Pen, rng: Random, x0: float, x1: float, y: float, size: float) -> None:
    """White foam along the waterline, growing towards x1."""
    for k in range(34):
        t = k / 33
        r = size * (0.25 + t) * rng.uniform(0.4, 1.0)
        pen.ellipse(
            x0 + (x1 - x0) * t,
            y - r * rng.uniform(-0.3, 0.6),
            r * 1.5,
            r * 0.7,
            (245, 250, 252, 150),
        )


def boat_front(pen: Pen, rng: Random, hull: Color, trim: Color) -> None:
    """A speedboat coming at the viewer."""
    pen.poly([(-0.6, -0.3), (-0.45, -0.75), (0.45, -0.75), (0.6, -0.3)], (140, 185, 205))
    pen.line([(-0.6, -0.3), (-0.45, -0.75), (0.45, -0.75), (0.6, -0.3)], (60, 65, 75), 0.05)
    pen.ellipse(0.2, -0.66, 0.13, 0.16, (205, 155, 120))
    pen.blob([(-1.0, -0.25), (0, -0.5), (1.0, -0.25), (0.85, 0.3), (0, 0.6), (-0.85, 0.3)], hull)
    pen.poly([(-1.0, -0.22), (0, 0.05), (1.0, -0.22), (0.95, 0.0), (0, 0.3), (-0.95, 0.0)], trim)
    pen.line([(0, -0.45), (0, 0.55)], shade(hull, 0.7), 0.04)
    for side in (-1, 1):
        spray(pen, rng, side * 0.3, side * 1.7, 0.5, 0.25)


def boat_above(pen: Pen, rng: Random, hull: Color, trim: Color) -> None:
    """A speedboat from the air, bow up, with a V-shaped wake."""
    for side in (-1, 1):
        pen.poly(
            [(side * 0.3, -0.4), (side * 2.2, 4.5), (side * 1.4, 4.5), (side * 0.2, 0.8)],
            (235, 245, 250, 130),
        )
    pen.poly([(-0.3, 1.2), (0.3, 1.2), (0.8, 4.5), (-0.8, 4.5)], (245, 250, 252, 190))
    pen.blob(
        [
            (0, -1.5),
            (0.38, -0.7),
            (0.48, 0.2),
            (0.44, 1.2),
            (-0.44, 1.2),
            (-0.48, 0.2),
            (-0.38, -0.7),
        ],
        hull,
    )
    pen.poly([(0, -1.35), (0.25, -0.75), (0, -0.6), (-0.25, -0.75)], trim)
    pen.box(-0.32, -0.05, 0.32, 1.0, shade(trim, 0.6), 0.12)
    pen.poly([(-0.36, -0.05), (0, -0.4), (0.36, -0.05), (0, -0.18)], (140, 190, 215))
    for y in (0.3, 0.75):
        pen.box(-0.26, y, -0.04, y + 0.2, (240, 235, 225))
        pen.box(0.04, y, 0.26, y + 0.2, (240, 235, 225))
    pen.box(-0.13, 1.15, 0.13, 1.45, (45, 48, 55), 0.05)


def shore(canvas: Canvas, rng: Random, y: float) -> None:
    """Water from y down, with open sea, land or a town behind it."""
    if rng.random() < 0.6:
        scenes.countryside(canvas, rng, y)
    else:
        scenes.sky(canvas, rng, y)
    if rng.random() < 0.25:
        scenes.city(canvas, rng, y, rng.uniform(15, 45))
    scenes.water(canvas, rng, y)


def jetty(canvas: Canvas, rng: Random, y: float) -> None:
    """A wooden jetty across the picture, in front of the boat."""
    pen = canvas.pen(0, y)
    for k in range(9):
        pen.box(k * 24 + 4, -16, k * 24 + 8, 14, (95, 72, 52))
    pen.box(0, -4, canvas.w, 4, vary(rng, (150, 118, 85), 15))


def speedboat(rng: Random, variant: int) -> Image.Image:
    """Racing from the side, head-on, from the air, or moored at a jetty."""
    canvas = Canvas.random(rng)
    w, h, kind = canvas.w, canvas.h, variant % 4
    hull = vary(
        rng,
        rng.choice(
            [
                (245, 245, 245),
                (240, 225, 200),
                (200, 40, 45),
                (35, 60, 120),
                (250, 205, 60),
                (50, 55, 60),
            ]
        ),
        8,
    )
    trim, mirror = vary(rng, rng.choice(LIVERIES)), rng.random() < 0.5
    if kind == 2:
        scenes.water(canvas, rng, 0)
        pen = canvas.pen(
            w * rng.uniform(0.35, 0.65),
            h * rng.uniform(0.35, 0.6),
            min(w, h) * rng.uniform(0.17, 0.24),
            mirror,
            rng.uniform(0, 360),
        )
        boat_above(pen, rng, hull, trim)
        return canvas.finish(rng, 26)
    y = h * rng.uniform(0.3, 0.6)
    shore(canvas, rng, y)
    x, s = w * rng.uniform(0.4, 0.6), w * rng.uniform(0.15, 0.21)
    boat_y = min(h * 0.8, y + h * rng.uniform(0.12, 0.35))
    if kind == 1:
        boat_front(canvas.pen(x, boat_y, s * 1.5, mirror, rng.uniform(-10, 10)), rng, hull, trim)
    elif kind == 3:
        pen = canvas.pen(x, boat_y, s, mirror)
        pen.ellipse(0, 0.45, 2.1, 0.18, (15, 35, 55, 110))
        boat_side(pen, rng, hull, trim)
        jetty(canvas, rng, boat_y + s * rng.uniform(0.5, 0.9))
    else:
        pen = canvas.pen(x, boat_y, s, mirror, rng.uniform(2, 12))
        boat_side(pen, rng, hull, trim)
        spray(canvas.pen(x, boat_y, s, mirror), rng, -0.9, 3.2, 0.45, 0.28)
    return canvas.finish(rng)
