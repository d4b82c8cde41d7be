"""Persian cats."""

from __future__ import annotations

from random import Random

from PIL import Image

import rooms
import scenes
from canvas import Canvas, Color, Pen, mix, shade, vary

CAT_COATS: list[Color] = [
    (238, 230, 218),
    (215, 165, 110),
    (130, 132, 142),
    (70, 64, 62),
    (225, 200, 165),
    (190, 140, 95),
    (170, 165, 165),
]
WHITE: Color = (244, 243, 240)
BLACK: Color = (25, 24, 26)


def cat_head(pen: Pen, rng: Random, coat: Color, eye: Color) -> None:
    """A Persian's flat round face with wide-set small ears and huge eyes."""
    dark, light = shade(coat, 0.72), shade(coat, 1.35)
    for side in (-1, 1):
        pen.poly([(side * 1.0, -0.35), (side * 0.92, -1.12), (side * 0.32, -0.8)], coat)
        pen.poly(
            [(side * 0.86, -0.55), (side * 0.82, -0.95), (side * 0.5, -0.75)],
            mix(coat, (225, 150, 150), 0.6),
        )
    pen.fluff(rng, 0, 0.1, 1.16, 0.93, coat)
    pen.strokes(rng, 0, 0.1, 1.0, 0.8, dark, 26, 0.16)
    pen.strokes(rng, 0, 0.1, 1.0, 0.8, light, 26, 0.16)
    for side in (-1, 1):
        pen.fluff(rng, side * 0.62, 0.48, 0.45, 0.34, mix(coat, light, 0.6))
        pen.ellipse(side * 0.46, -0.02, 0.3, 0.28, shade(coat, 0.45))
        pen.ellipse(side * 0.46, -0.02, 0.25, 0.24, eye)
        pen.ellipse(side * 0.46, -0.02, 0.12, 0.16, BLACK)
        pen.ellipse(side * 0.46 + 0.07, -0.1, 0.055, 0.055, (255, 255, 255))
    for side in (-1, 1):
        pen.ellipse(side * 0.19, 0.42, 0.25, 0.18, light)
    pen.poly([(-0.13, 0.14), (0.13, 0.14), (0, 0.28)], mix(coat, (205, 95, 100), 0.75))
    pen.line([(0, 0.28), (0, 0.4)], shade(coat, 0.35), 0.04)
    pen.curve(
        [(-0.3, 0.5), (-0.14, 0.52), (0, 0.4), (0.14, 0.52), (0.3, 0.5)], shade(coat, 0.35), 0.04
    )
    for side in (-1, 1):
        for k in range(3):
            pen.curve(
                [
                    (side * 0.3, 0.42 + k * 0.06),
                    (side * 0.8, 0.32 + k * 0.12),
                    (side * 1.35, 0.4 + k * 0.16),
                ],
                (250, 250, 250, 200),
                0.02,
            )


def cat_body(pen: Pen, rng: Random, coat: Color, eye: Color, pose: int) -> None:
    """Sitting (0), lying like a loaf (1) or curled sideways with a bushy tail (2)."""
    dark, light = shade(coat, 0.78), shade(coat, 1.3)
    if pose == 0:
        pen.fluff(rng, 0.85, 0.75, 0.55, 0.28, dark)
        pen.fluff(rng, 0, 0.4, 0.72, 0.72, coat)
        pen.strokes(rng, 0, 0.5, 0.6, 0.5, dark, 40, 0.14)
        pen.fluff(rng, 0, 0.15, 0.45, 0.45, light)
        for side in (-1, 1):
            pen.ellipse(side * 0.24, 1.0, 0.22, 0.13, light)
        cat_head(pen.sub(0, -0.5, 0.62), rng, coat, eye)
        return
    tail = (1.5, 0.55) if pose == 1 else (0.7, 0.85)
    pen.fluff(rng, 0.6, 0.35, 1.15, 0.65, coat)
    pen.strokes(rng, 0.6, 0.35, 1.0, 0.5, dark, 45, 0.16)
    pen.strokes(rng, 0.6, 0.35, 1.0, 0.5, light, 30, 0.16)
    pen.fluff(rng, *tail, 0.75, 0.24, dark, 0.2)
    pen.fluff(rng, -0.35, 0.4, 0.5, 0.5, light)
    for paw in (-0.65, -0.15):
        pen.ellipse(paw, 0.9, 0.25, 0.14, light)
    cat_head(pen.sub(-0.4, -0.25, 0.62, angle=rng.uniform(-10, 10)), rng, coat, eye)


def persian_cat(rng: Random, variant: int) -> Image.Image:
    """Face close-up, or the whole cat in a room, on a cushion or in the garden."""
    canvas = Canvas.random(rng)
    w, h = canvas.w, canvas.h
    s, kind = min(w, h), variant % 4
    coat = vary(rng, rng.choice(CAT_COATS), 8)
    eye = vary(rng, rng.choice([(225, 130, 40), (235, 170, 50), (100, 165, 220), (120, 170, 80)]))
    if kind == 3 or rng.random() < 0.25:
        scenes.leaves(canvas, rng)
        scenes.ground(canvas, rng, h * rng.uniform(0.55, 0.8), vary(rng, rng.choice(scenes.GREENS)))
    else:
        rooms.room(canvas, rng, h * rng.uniform(0.4, 0.75))
    x, mirror = w * rng.uniform(0.33, 0.67), rng.random() < 0.5
    if kind == 0:
        pen = canvas.pen(
            x, h * rng.uniform(0.42, 0.56), s * rng.uniform(0.28, 0.4), mirror, rng.uniform(-12, 12)
        )
        pen.fluff(rng, 0, 1.35, 1.3, 0.9, shade(coat, 0.9))
        pen.fluff(rng, 0, 1.15, 0.9, 0.7, shade(coat, 1.25))
        cat_head(pen, rng, coat, eye)
        return canvas.finish(rng)
    pen = canvas.pen(x, h * rng.uniform(0.5, 0.62), s * rng.uniform(0.3, 0.37), mirror)
    pen.ellipse(0.3, 1.0, 1.5, 0.16, (30, 25, 30, 80))
    if rng.random() < 0.5:
        cloth = vary(rng, rng.choice(scenes.WALLS), 30)
        pen.box(-1.3, 0.75, 1.9, 1.3, shade(cloth, 0.8), 0.25)
        pen.box(-1.2, 0.72, 1.8, 1.1, cloth, 0.2)
    cat_body(pen, rng, coat, eye, (0, 0, 1, 2)[kind] if kind != 3 else rng.randrange(3))
    return canvas.finish(rng)
