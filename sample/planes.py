"""Airliners."""

from __future__ import annotations

from random import Random

from PIL import Image

import scenes
from canvas import Canvas, Color, Pen, mix, shade, smooth, vary

LIVERIES: list[Color] = [
    (200, 40, 50),
    (30, 70, 160),
    (20, 130, 120),
    (240, 150, 30),
    (90, 50, 140),
    (40, 45, 60),
    (60, 150, 70),
]


def plane_side(pen: Pen, rng: Random, livery: Color, gear: bool) -> None:
    """An airliner from the side, nose to the left, fuselage from x=-2 to x=2."""
    body = vary(rng, rng.choice([(240, 242, 245), (225, 230, 235), (200, 205, 212)]), 6)
    pen.poly([(1.45, -0.2), (1.75, -1.0), (2.1, -1.0), (2.0, -0.15)], livery)
    pen.poly([(1.5, -0.12), (2.15, -0.3), (2.25, -0.3), (2.0, -0.08)], shade(body, 0.75))
    pen.poly([(-0.1, 0.05), (0.75, -0.55), (0.95, -0.55), (0.55, 0.05)], shade(body, 0.7))
    hull = smooth(
        [
            (-2.05, 0.03),
            (-1.85, -0.16),
            (-1.5, -0.26),
            (0, -0.27),
            (1.4, -0.26),
            (2.1, -0.2),
            (2.1, -0.13),
            (1.3, 0.16),
            (0.4, 0.24),
            (-1.5, 0.24),
            (-1.9, 0.16),
        ]
    )
    pen.poly(hull, body)
    pen.poly([(x, y) for x, y in hull if y > 0.06], shade(body, 0.82))
    pen.poly([(-1.98, 0.02), (1.75, 0.0), (1.6, 0.07), (-1.98, 0.08)], livery)
    for k in range(16):
        pen.box(-1.45 + k * 0.18, -0.13, -1.36 + k * 0.18, -0.05, (60, 70, 90))
    pen.poly([(-1.9, -0.1), (-1.75, -0.18), (-1.62, -0.18), (-1.64, -0.08)], (45, 55, 75))
    for x in (-1.55, 0.9):
        pen.box(x - 0.02, -0.16, x + 0.06, 0.05, shade(body, 0.7))
    if gear:
        for x in (-1.4, 0.2, 0.38):
            pen.line([(x, 0.2), (x, 0.48)], (90, 90, 95), 0.05)
            pen.ellipse(x, 0.5, 0.09, 0.09, (30, 30, 32))
    pen.poly(
        [(-0.35, 0.12), (0.25, 0.12), (1.25, 0.42), (1.05, 0.46), (0.1, 0.25)], shade(body, 0.62)
    )
    pen.box(-0.45, 0.22, 0.05, 0.4, mix(body, livery, 0.5), 0.09)
    pen.ellipse(-0.43, 0.31, 0.04, 0.09, (40, 42, 50))


def plane_above(pen: Pen, rng: Random, livery: Color) -> None:
    """An airliner seen from above or below: planform, nose up."""
    body = vary(rng, (232, 235, 240), 8)
    wing = shade(body, rng.uniform(0.7, 0.88))
    for side in (-1, 1):
        pen.poly(
            [(side * 0.1, -0.45), (side * 1.75, 0.6), (side * 1.75, 0.78), (side * 0.1, 0.35)], wing
        )
        pen.poly(
            [(side * 0.05, 1.3), (side * 0.65, 1.68), (side * 0.65, 1.8), (side * 0.05, 1.65)], wing
        )
        pen.box(side * 0.6 - 0.1, -0.42, side * 0.6 + 0.1, 0.08, mix(body, livery, 0.6), 0.09)
    pen.blob(
        [
            (0, -1.95),
            (0.15, -1.7),
            (0.2, -1.3),
            (0.2, 0.9),
            (0.1, 1.6),
            (0, 1.9),
            (-0.1, 1.6),
            (-0.2, 0.9),
            (-0.2, -1.3),
            (-0.15, -1.7),
        ],
        body,
    )
    pen.poly([(-0.1, -1.66), (0.1, -1.66), (0.14, -1.52), (-0.14, -1.52)], (45, 55, 75))
    pen.poly([(-0.04, 1.1), (0.04, 1.1), (0.05, 1.9), (-0.05, 1.9)], livery)
    pen.line([(0, -1.2), (0, 1.0)], shade(body, 0.9), 0.05)


def plane_front(pen: Pen, rng: Random, livery: Color, gear: bool) -> None:
    """An airliner from the front, coming at the viewer."""
    body = vary(rng, (228, 232, 238), 8)
    pen.poly([(-0.05, -0.3), (-0.03, -1.15), (0.03, -1.15), (0.05, -0.3)], livery)
    for side in (-1, 1):
        pen.poly([(side * 0.1, -0.3), (side * 0.75, -0.42), (side * 0.1, -0.22)], shade(body, 0.7))
        pen.poly(
            [
                (side * 0.2, 0.15),
                (side * 2.0, -0.22),
                (side * 2.05, -0.34),
                (side * 2.08, -0.18),
                (side * 0.2, 0.34),
            ],
            shade(body, 0.68),
        )
        pen.ellipse(side * 0.8, 0.28, 0.22, 0.22, mix(body, livery, 0.4))
        pen.ellipse(side * 0.8, 0.28, 0.17, 0.17, (45, 48, 55))
        pen.ellipse(side * 0.8, 0.28, 0.06, 0.06, (150, 150, 155))
        if gear:
            pen.line([(side * 0.4, 0.3), (side * 0.4, 0.72)], (90, 90, 95), 0.06)
            pen.box(side * 0.4 - 0.1, 0.62, side * 0.4 + 0.1, 0.85, (30, 30, 32), 0.05)
    if gear:
        pen.box(-0.06, 0.4, 0.06, 0.85, (40, 40, 44))
    pen.ellipse(0, 0, 0.42, 0.44, body)
    pen.ellipse(0, 0.12, 0.3, 0.28, shade(body, 1.5))
    pen.poly([(-0.3, -0.12), (-0.22, -0.26), (0.22, -0.26), (0.3, -0.12), (0, -0.07)], (40, 50, 70))
    pen.line([(0, -0.26), (0, -0.07)], body, 0.03)


def airport(canvas: Canvas, rng: Random, y: float) -> None:
    """Sky, terminal and control tower, tarmac from y down."""
    scenes.countryside(canvas, rng, y)
    pen, wall = canvas.pen(), vary(rng, (170, 175, 180), 20)
    x, width = rng.uniform(-30, canvas.w * 0.6), rng.uniform(60, 120)
    pen.box(x, y - 16, x + width, y + 2, wall)
    pen.box(x + 3, y - 12, x + width - 3, y - 5, (70, 95, 120))
    tx = rng.uniform(10, canvas.w - 10)
    pen.box(tx - 3, y - 40, tx + 3, y, shade(wall, 0.8))
    pen.poly([(tx - 8, y - 48), (tx + 8, y - 48), (tx + 5, y - 38), (tx - 5, y - 38)], (60, 80, 95))
    grey = rng.randint(95, 140)
    canvas.gradient(
        y, canvas.h, [[(grey + 15,) * 3, (grey - 10,) * 3], [(grey - 20,) * 3, (grey,) * 3]]
    )
    pen.line(
        [(0, canvas.h * 0.93), (canvas.w, canvas.h * rng.uniform(0.85, 0.95))], (225, 200, 80), 2
    )


def airliner(rng: Random, variant: int) -> Image.Image:
    """In flight from the side, on the tarmac, planform, taking off, or head-on."""
    canvas = Canvas.random(rng)
    w, h, kind = canvas.w, canvas.h, variant % 5
    livery, mirror = vary(rng, rng.choice(LIVERIES)), rng.random() < 0.5
    x, s = w * rng.uniform(0.42, 0.58), w * rng.uniform(0.16, 0.24)
    if kind == 0:
        scenes.sky(canvas, rng, h, clouds=rng.randint(1, 8))
        if rng.random() < 0.4:
            scenes.ridge(canvas, rng, h * 0.92, 8, vary(rng, (90, 110, 120), 25))
        pen = canvas.pen(x, h * rng.uniform(0.3, 0.65), s, mirror, rng.uniform(-6, 22))
        plane_side(pen, rng, livery, gear=False)
    elif kind == 1:
        airport(canvas, rng, h * rng.uniform(0.45, 0.68))
        pen = canvas.pen(x, h * rng.uniform(0.6, 0.74), s, mirror)
        pen.ellipse(0.1, 0.56, 2.0, 0.1, (20, 20, 25, 90))
        plane_side(pen, rng, livery, gear=True)
    elif kind == 2:
        if rng.random() < 0.6:
            scenes.sky(canvas, rng, h, clouds=rng.randint(3, 9))
        else:
            scenes.fields(canvas, rng)
        pen = canvas.pen(
            x,
            h * rng.uniform(0.42, 0.58),
            min(w, h) * rng.uniform(0.2, 0.27),
            mirror,
            rng.uniform(0, 360),
        )
        plane_above(pen, rng, livery)
    elif kind == 3:
        airport(canvas, rng, h * rng.uniform(0.7, 0.85))
        pen = canvas.pen(x, h * rng.uniform(0.3, 0.45), s * 0.9, mirror, rng.uniform(8, 24))
        plane_side(pen, rng, livery, gear=True)
    else:
        y = rng.uniform(0.4, 0.6)
        grounded = rng.random() < 0.5
        if grounded:
            airport(canvas, rng, h * y)
        else:
            scenes.sky(canvas, rng, h, clouds=rng.randint(1, 7))
        pen = canvas.pen(
            x, h * y, s * rng.uniform(0.95, 1.1), mirror, 0 if grounded else rng.uniform(-22, 22)
        )
        plane_front(pen, rng, livery, gear=grounded)
    return canvas.finish(rng)
