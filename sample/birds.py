"""Hummingbirds at flowers, feeders and twigs."""

from __future__ import annotations

import math
from random import Random

from PIL import Image

import scenes
from canvas import Canvas, Color, Pen, mix, shade, vary

BACKS: list[Color] = [(40, 130, 80), (30, 110, 110), (60, 90, 150), (110, 120, 50), (80, 70, 120)]
THROATS: list[Color] = [
    (205, 35, 60),
    (190, 50, 140),
    (235, 120, 40),
    (60, 60, 170),
    (40, 150, 120),
]
PETALS: list[Color] = [
    (225, 60, 80),
    (240, 130, 60),
    (215, 90, 180),
    (250, 205, 80),
    (150, 90, 200),
    (245, 240, 240),
]


def wing(pen: Pen, color: Color, length: float) -> None:
    """A narrow swept wing from the origin upwards with feather lines."""
    pen.blob(
        [
            (-0.12, 0.05),
            (-0.05, -0.5 * length),
            (0.35, -1.2 * length),
            (0.62, -1.5 * length),
            (0.5, -0.9 * length),
            (0.32, -0.35 * length),
            (0.2, 0.08),
        ],
        (*color[:3], 225),
    )
    for k in range(4):
        pen.line(
            [(0.05, -0.1), (0.15 + 0.1 * k, -(0.65 + 0.22 * (3 - k) * 0.6) * length)],
            (*shade(color, 0.7), 160),
            0.02,
        )


def bird(pen: Pen, rng: Random, back: Color, throat: Color, spread: int) -> None:
    """A hummingbird facing left; spread: 0 folded, 1 both up, 2 one up one down."""
    belly = mix(back, (235, 230, 215), 0.8)
    if spread:
        wing(pen.sub(0.22, -0.22, 1, angle=rng.uniform(5, 30)), shade(back, 0.75), 1.0)
    pen.poly([(0.45, 0.5), (0.95, 1.2), (1.15, 1.05), (1.05, 0.85), (0.62, 0.3)], shade(back, 0.65))
    pen.line([(0.6, 0.5), (1.0, 1.1)], shade(back, 0.4), 0.03)
    pen.blob(
        [
            (-0.5, -0.35),
            (-0.1, -0.38),
            (0.35, -0.1),
            (0.68, 0.42),
            (0.62, 0.62),
            (0.2, 0.55),
            (-0.2, 0.3),
            (-0.5, -0.02),
        ],
        back,
    )
    pen.blob(
        [(-0.5, -0.1), (-0.25, 0.0), (0.2, 0.3), (0.5, 0.6), (0.2, 0.55), (-0.25, 0.32)], belly
    )
    pen.ellipse(-0.52, -0.42, 0.27, 0.24, back)
    pen.blob([(-0.76, -0.36), (-0.5, -0.3), (-0.28, -0.12), (-0.35, 0.06), (-0.6, -0.1)], throat)
    pen.ellipse(-0.55, -0.2, 0.07, 0.05, shade(throat, 1.35))
    pen.poly([(-0.74, -0.5), (-1.65, -0.43), (-1.65, -0.41), (-0.74, -0.36)], (30, 28, 30))
    pen.ellipse(-0.6, -0.46, 0.06, 0.06, (20, 18, 20))
    pen.ellipse(-0.62, -0.48, 0.022, 0.022, (255, 255, 255))
    if spread == 1:
        wing(pen.sub(-0.05, -0.15, 1, angle=rng.uniform(-45, -5)), shade(back, 0.9), 1.0)
    elif spread == 2:
        wing(pen.sub(-0.02, 0.0, 1, angle=rng.uniform(125, 165)), shade(back, 0.9), 0.9)
    else:
        pen.blob(
            [(-0.25, -0.28), (0.2, -0.1), (0.6, 0.4), (0.92, 0.85), (0.45, 0.6), (0.0, 0.25)],
            shade(back, 0.7),
        )


def flower(pen: Pen, rng: Random, color: Color, kind: int) -> None:
    """A flower around the origin: open petals (0) or a trumpet opening to the right (1)."""
    if kind == 0:
        count = rng.choice([5, 6, 8])
        for k in range(count):
            a = 2 * math.pi * k / count
            pen.ellipse(
                0.55 * math.cos(a),
                0.55 * math.sin(a),
                0.45,
                0.3,
                vary(rng, color, 10),
                tilt=math.degrees(a),
            )
        pen.ellipse(0, 0, 0.3, 0.3, (245, 205, 70))
        return
    pen.poly([(-1.4, -0.12), (0, -0.32), (0, 0.32), (-1.4, 0.12)], color)
    for dy in (-0.45, 0.0, 0.45):
        pen.ellipse(0.1, dy, 0.25, 0.32, shade(color, 0.85 + 0.1 * (dy == 0)))
    pen.ellipse(0.08, 0, 0.12, 0.22, shade(color, 0.5))
    pen.ellipse(-1.4, 0, 0.2, 0.17, (80, 120, 60))


def stem(pen: Pen, rng: Random, x: float, y: float, h: float) -> None:
    """A stem from the flower at (x, y) to the lower edge, with leaves."""
    green, bend = vary(rng, (70, 115, 55), 18), rng.uniform(-25, 25)
    pen.curve([(x, y), (x + bend * 0.2, (y + h) / 2), (x + bend, h + 5)], green, 2.2)
    for k in (0.4, 0.7):
        pen.ellipse(
            x + bend * k * 0.5 + 7 * rng.choice([-1, 1]),
            y + (h - y) * k,
            9,
            3,
            shade(green, 1.15),
            tilt=rng.uniform(-40, 40),
        )


def feeder(pen: Pen, x: float, y: float, s: float) -> None:
    """A red nectar feeder hanging from above, its port at (x, y)."""
    pen.line([(x, 0), (x, y - s * 2.6)], (60, 60, 60), 1)
    pen.box(x - s * 0.7, y - s * 2.6, x + s * 0.7, y - s * 0.3, (215, 75, 80), s * 0.4)
    pen.box(x - s * 0.5, y - s * 2.3, x - s * 0.2, y - s * 0.6, (240, 160, 160))
    pen.ellipse(x, y, s * 1.5, s * 0.4, (175, 25, 35))
    for dx in (-1.0, 1.0):
        pen.ellipse(x + s * dx, y, s * 0.3, s * 0.24, (250, 215, 70))


def perched(canvas: Canvas, rng: Random, pen: Pen, back: Color, throat: Color) -> None:
    """A bird sitting on a twig across the picture."""
    flat, brown, s = canvas.pen(), vary(rng, (105, 80, 60), 18), pen.size
    x, y = pen.at(0.05, 0.55)
    slope = rng.uniform(-0.3, 0.3)
    ends = [(0.0, y - slope * x), (float(canvas.w), y + slope * (canvas.w - x))]
    flat.line(ends, brown, s * 0.13)
    for _ in range(6):
        lx = rng.uniform(0, canvas.w)
        flat.ellipse(
            lx,
            y + slope * (lx - x) + rng.choice([-6, 6]),
            s * 0.24,
            s * 0.1,
            vary(rng, (80, 125, 60), 25),
            tilt=rng.uniform(-60, 60),
        )
    bird(pen, rng, back, throat, 0)


def hummingbird(rng: Random, variant: int) -> Image.Image:
    """Hovering at a flower, perched on a twig, or at a feeder."""
    canvas = Canvas.random(rng)
    w, h, kind = canvas.w, canvas.h, variant % 4
    s = min(w, h) * rng.uniform(0.25, 0.36)
    if rng.random() < 0.8:
        scenes.leaves(canvas, rng, rng.randint(6, 22))
    else:
        scenes.countryside(canvas, rng, h * rng.uniform(0.6, 0.85))
    mirror, tilt = rng.random() < 0.5, rng.uniform(-22, 30)
    x, y = w * rng.uniform(0.42, 0.62), h * rng.uniform(0.42, 0.6)
    pen, flat = canvas.pen(x, y, s, mirror, tilt), canvas.pen()
    back, throat = vary(rng, rng.choice(BACKS)), vary(rng, rng.choice(THROATS))
    tip_x, tip_y = pen.at(-1.72, -0.42)
    if kind == 2:
        perched(canvas, rng, canvas.pen(x, y, s, mirror, rng.uniform(5, 40)), back, throat)
        return canvas.finish(rng)
    if kind == 3:
        step = -s * 0.36 if not mirror else s * 0.36
        feeder(flat, tip_x + step, tip_y, s * 0.36)
    else:
        color = vary(rng, rng.choice(PETALS))
        stem(flat, rng, tip_x, tip_y, h)
        for _ in range(rng.randint(0, 3)):
            fx, fy = rng.uniform(0, w), rng.uniform(h * 0.6, h)
            stem(flat, rng, fx, fy, h)
            flower(canvas.pen(fx, fy, s * 0.22), rng, vary(rng, color, 25), 0)
        flower(
            canvas.pen(tip_x, tip_y, s * rng.uniform(0.3, 0.42), mirror, rng.uniform(-20, 20)),
            rng,
            color,
            kind,
        )
    bird(pen, rng, back, throat, 1 + rng.randrange(2))
    return canvas.finish(rng)
