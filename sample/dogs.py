"""Eskimo dogs."""

from __future__ import annotations

from random import Random

from PIL import Image

import scenes
from canvas import Canvas, Color, Pen, both_sides, mix, shade, vary

DOG_COATS: list[Color] = [
    (62, 64, 72),
    (40, 40, 46),
    (112, 110, 112),
    (140, 92, 62),
    (165, 125, 90),
    (90, 84, 80),
]
WHITE: Color = (244, 243, 240)
BLACK: Color = (25, 24, 26)


def dog_head(pen: Pen, rng: Random, coat: Color) -> None:
    """A husky's face from the front: dark cap, white mask, pale eyes."""
    eye = rng.choice([(120, 190, 235), (90, 165, 225), (150, 205, 235), (130, 85, 45)])
    for side in (-1, 1):
        pen.poly([(side * 0.9, -0.35), (side * 0.78, -1.4), (side * 0.18, -0.85)], coat)
        pen.poly(
            [(side * 0.76, -0.6), (side * 0.7, -1.15), (side * 0.38, -0.82)],
            mix(coat, (225, 175, 165), 0.7),
        )
    outline = both_sides(
        [(0, -0.98), (0.5, -0.9), (0.88, -0.4), (1.02, 0.15), (0.8, 0.62), (0.36, 0.98), (0, 1.08)]
    )
    pen.blob(outline, coat)
    for side in (-1, 1):
        mask = [
            (0.06, 0.2),
            (0.16, -0.35),
            (0.38, -0.56),
            (0.62, -0.38),
            (0.8, 0.05),
            (0.86, 0.3),
            (0.66, 0.62),
            (0.3, 0.95),
            (0, 1.05),
            (-0.02, 0.6),
        ]
        pen.blob([(side * x, y) for x, y in mask], WHITE)
        pen.poly([(side * 0.5, -0.2), (side * 0.9, -0.3), (side * 0.95, 0.1)], (*coat, 190))
        pen.ellipse(side * 0.4, -0.1, 0.2, 0.14, BLACK, tilt=-12 * side)
        pen.ellipse(side * 0.4, -0.1, 0.14, 0.115, eye)
        pen.ellipse(side * 0.4, -0.1, 0.065, 0.07, BLACK)
        pen.ellipse(side * 0.4 + 0.04, -0.14, 0.03, 0.03, (255, 255, 255))
    pen.poly([(-0.09, -0.6), (0.09, -0.6), (0.1, 0.25), (-0.1, 0.25)], (*coat, 200))
    pen.ellipse(0, 0.6, 0.38, 0.34, (252, 251, 248))
    if rng.random() < 0.45:
        pen.ellipse(0, 0.92, 0.16, 0.26, (225, 110, 120))
    pen.curve([(-0.34, 0.66), (-0.15, 0.78), (0, 0.64), (0.15, 0.78), (0.34, 0.66)], BLACK, 0.05)
    pen.ellipse(0, 0.4, 0.19, 0.13, BLACK)
    pen.ellipse(-0.05, 0.36, 0.06, 0.025, (120, 120, 125))


def dog_body(pen: Pen, rng: Random, coat: Color, stride: float) -> None:
    """A husky from the side, facing left, feet at y=1, curled tail."""
    for x, swing, tint in (
        (-0.55, -stride, 0.85),
        (0.85, stride, 0.85),
        (-0.72, stride, 1.0),
        (0.68, -stride, 1.0),
    ):
        paw = x + swing
        leg = mix(WHITE, coat, 0.12)
        pen.poly(
            [(x - 0.17, 0.1), (x + 0.2, 0.1), (paw + 0.1, 0.95), (paw - 0.1, 0.95)],
            shade(leg, tint),
        )
        pen.ellipse(paw - 0.05, 0.95, 0.16, 0.07, shade(WHITE, tint))
    pen.curve([(0.9, -0.25), (1.3, -0.5), (1.3, -0.95), (0.9, -1.0), (0.75, -0.75)], coat, 0.3)
    pen.curve([(1.33, -0.75), (1.1, -1.0), (0.85, -0.92)], WHITE, 0.12)
    pen.blob(
        [
            (-0.95, -0.45),
            (-0.3, -0.42),
            (0.5, -0.46),
            (1.0, -0.3),
            (1.05, 0.15),
            (0.6, 0.25),
            (0, 0.36),
            (-0.6, 0.42),
            (-1.0, 0.1),
        ],
        coat,
    )
    pen.blob(
        [
            (-0.98, -0.1),
            (-0.5, 0.12),
            (0.1, 0.12),
            (0.6, 0.18),
            (0, 0.36),
            (-0.6, 0.44),
            (-0.95, 0.25),
        ],
        WHITE,
    )
    pen.blob(
        [(-0.6, -0.5), (-0.85, -0.95), (-1.25, -1.0), (-1.3, -0.5), (-1.0, 0.1), (-0.6, 0.05)], coat
    )
    pen.blob([(-1.2, -0.6), (-0.95, -0.45), (-0.8, 0.15), (-1.02, 0.2), (-1.18, -0.2)], WHITE)
    dog_profile(pen, rng, coat)


def dog_profile(pen: Pen, rng: Random, coat: Color) -> None:
    """Draw the head that belongs to dog_body, seen from the side."""
    pen.poly([(-1.05, -1.15), (-0.92, -1.6), (-0.72, -1.0)], shade(coat, 0.75))
    pen.poly([(-1.25, -1.15), (-1.15, -1.62), (-0.9, -1.1)], coat)
    pen.ellipse(-1.18, -0.92, 0.37, 0.32, coat)
    pen.blob(
        [
            (-1.3, -1.0),
            (-1.75, -0.86),
            (-1.82, -0.7),
            (-1.5, -0.6),
            (-1.0, -0.6),
            (-0.98, -0.8),
            (-1.2, -0.85),
        ],
        WHITE,
    )
    pen.ellipse(-1.8, -0.82, 0.09, 0.07, BLACK)
    pen.curve([(-1.7, -0.68), (-1.45, -0.66)], BLACK, 0.035)
    pen.ellipse(-1.34, -0.98, 0.1, 0.075, BLACK)
    pen.ellipse(-1.35, -0.98, 0.06, 0.055, (120, 190, 235))
    if rng.random() < 0.4:
        pen.line([(-0.95, -0.6), (-0.7, 0.0)], rng.choice([(200, 40, 40), (40, 80, 190)]), 0.12)


def dog_sitting(pen: Pen, rng: Random, coat: Color) -> None:
    """A husky sitting towards the viewer, feet at y=1."""
    pen.curve([(0.5, 0.85), (1.0, 0.75), (1.05, 0.4)], coat, 0.25)
    for side in (-1, 1):
        pen.ellipse(side * 0.45, 0.6, 0.35, 0.4, coat)
        pen.ellipse(side * 0.52, 0.95, 0.26, 0.1, WHITE)
    pen.blob(both_sides([(0, -0.6), (0.4, -0.5), (0.55, 0.1), (0.45, 0.7), (0, 0.9)]), coat)
    pen.fluff(rng, 0, -0.05, 0.36, 0.5, WHITE)
    for side in (-1, 1):
        pen.box(side * 0.2 - 0.13, 0.1, side * 0.2 + 0.13, 0.98, WHITE, 0.1)
        pen.ellipse(side * 0.21, 0.96, 0.16, 0.09, shade(WHITE, 0.93))
    pen.line([(0, 0.35), (0, 0.95)], shade(WHITE, 0.75), 0.03)
    dog_head(pen.sub(0, -0.85, 0.52), rng, coat)


def eskimo_dog(rng: Random, variant: int) -> Image.Image:
    """Close-up, standing or trotting, sitting, lying, or a pair."""
    canvas = Canvas.random(rng)
    w, h = canvas.w, canvas.h
    s, coat, kind = min(w, h), vary(rng, rng.choice(DOG_COATS), 8), variant % 5
    x, mirror = w * rng.uniform(0.35, 0.65), rng.random() < 0.5
    if kind == 0 and rng.random() < 0.5:
        scenes.leaves(canvas, rng)
    else:
        scenes.countryside(canvas, rng, h * rng.uniform(0.3, 0.7), snow=rng.random() < 0.8)
    shadow = (30, 40, 70, 60)
    if kind == 0:
        pen = canvas.pen(
            x, h * rng.uniform(0.42, 0.58), s * rng.uniform(0.28, 0.4), mirror, rng.uniform(-14, 14)
        )
        pen.fluff(rng, 0, 1.4, 1.25, 1.1, coat)
        pen.fluff(rng, 0, 1.35, 0.8, 0.95, WHITE)
        dog_head(pen, rng, coat)
    elif kind == 2:
        pen = canvas.pen(x, h * rng.uniform(0.55, 0.66), s * rng.uniform(0.27, 0.36), mirror)
        pen.ellipse(0.2, 0.98, 1.1, 0.14, shadow)
        dog_sitting(pen, rng, coat)
    elif kind == 3:
        pen = canvas.pen(x, h * rng.uniform(0.5, 0.62), s * rng.uniform(0.24, 0.32), mirror)
        pen.ellipse(0.7, 1.0, 1.9, 0.2, shadow)
        pen.blob([(-0.4, 0.2), (0.6, -0.1), (1.7, 0.1), (2.0, 0.7), (1.6, 1.0), (-0.4, 1.0)], coat)
        pen.curve([(1.9, 0.9), (1.2, 1.0), (0.8, 0.9)], WHITE, 0.28)
        pen.fluff(rng, 0, 0.5, 0.7, 0.5, WHITE)
        for side in (-0.5, 0.25):
            pen.box(side - 0.15, 0.75, side + 0.3, 1.08, WHITE, 0.15)
        dog_head(pen.sub(0, -0.1, 0.72, angle=rng.uniform(-10, 10)), rng, coat)
    else:
        for k in range(2 if kind == 4 else 1):
            pen = canvas.pen(
                w * rng.uniform(0.27, 0.36) * (1 + k) if kind == 4 else x,
                h * rng.uniform(0.5, 0.68),
                s * (0.26 - 0.06 * (kind == 4)) * rng.uniform(0.85, 1.15),
                mirror,
                rng.uniform(-4, 4),
            )
            pen.ellipse(0, 1.0, 1.4, 0.12, shadow)
            dog_body(pen, rng, vary(rng, coat, 18), rng.choice([0.0, 0.12, 0.35]))
    return canvas.finish(rng)
