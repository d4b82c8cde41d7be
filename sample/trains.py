"""Bullet trains."""

from __future__ import annotations

from random import Random

from PIL import Image

import scenes
from canvas import Canvas, Color, Pen, mix, shade, vary

GLASS: Color = (55, 70, 88)
BLACK: Color = (28, 28, 30)
TRAINS: list[tuple[Color, Color]] = [
    ((240, 242, 246), (30, 80, 170)),
    ((235, 238, 240), (0, 120, 90)),
    ((30, 125, 110), (235, 120, 160)),
    ((215, 40, 50), (235, 235, 235)),
    ((200, 205, 212), (110, 60, 130)),
    ((60, 70, 110), (230, 190, 70)),
    ((245, 240, 230), (220, 120, 40)),
]


def train_side(pen: Pen, rng: Random, body: Color, stripe: Color, nose: float) -> None:
    """A bullet train from the side, nose at x=-nose to the left, rails at y=0.55."""
    end = 6.0
    pen.blob(
        [
            (-nose, 0.3),
            (-nose * 0.75, 0.02),
            (-nose * 0.4, -0.3),
            (0, -0.52),
            (0.6, -0.56),
            (1.5, -0.55),
            (1.5, 0.45),
            (0, 0.45),
            (-nose * 0.8, 0.45),
        ],
        body,
    )
    pen.box(1.0, -0.56, end, 0.45, body)
    pen.box(0.6, -0.56, end, -0.47, shade(body, 0.82))
    pen.poly(
        [
            (-nose * 0.95, 0.22),
            (-nose * 0.4, 0.08),
            (0.2, 0.02),
            (end, 0.02),
            (end, 0.15),
            (0.2, 0.15),
            (-nose * 0.9, 0.32),
        ],
        stripe,
    )
    pen.poly([(-nose * 0.46, -0.2), (-0.1, -0.44), (0.15, -0.44), (0.05, -0.2)], GLASS)
    pen.box(0.4, -0.3, 0.6, 0.4, shade(body, 0.85))
    for k in range(18):
        x = 0.75 + k * 0.3
        if k % 6 == 5:
            pen.box(x + 0.05, -0.56, x + 0.1, 0.45, shade(body, 0.55))
            continue
        pen.box(x, -0.28, x + 0.2, -0.08, GLASS, 0.04)
    pen.box(-nose * 0.7, 0.42, end, 0.55, (60, 62, 68))
    pen.ellipse(-nose * 0.82, 0.22, 0.09, 0.04, (255, 250, 215))


def train_nose(pen: Pen, rng: Random, body: Color, stripe: Color, lead: float) -> None:
    """A bullet train from the front corner: rounded nose, cars receding to the right."""
    roof, low = [(0.4, -0.95), (4.2, -0.32)], [(4.2, 0.18), (0.55, 0.85)]
    pen.poly([*roof, *low], shade(body, 0.85))
    for t0 in range(9):
        a, b = 0.12 + t0 * 0.1, 0.18 + t0 * 0.1
        pts = []
        for t, f in ((a, 0.22), (b, 0.22), (b, 0.45), (a, 0.45)):
            x = 0.45 + 3.7 * t
            top, bottom = -0.95 + 0.62 * t, 0.85 - 0.67 * t
            pts.append((x, top + (bottom - top) * f))
        pen.poly(pts, GLASS)
    pen.poly([(0.5, 0.25), (4.2, -0.02), (4.2, 0.06), (0.5, 0.45)], stripe)
    pen.blob(
        [
            (-lead, 0.55),
            (-lead * 0.8, 0.05),
            (-0.35, -0.65),
            (0.15, -0.98),
            (0.7, -0.9),
            (0.95, -0.3),
            (0.95, 0.5),
            (0.7, 0.88),
            (-0.3, 0.95),
            (-lead * 0.85, 0.85),
        ],
        body,
    )
    pen.blob(
        [
            (-lead * 0.95, 0.6),
            (-0.2, 0.35),
            (0.95, 0.2),
            (0.95, 0.45),
            (-0.1, 0.62),
            (-lead * 0.9, 0.75),
        ],
        stripe,
    )
    pen.blob([(-0.42, -0.42), (0.1, -0.82), (0.5, -0.72), (0.42, -0.3), (-0.1, -0.12)], GLASS)
    pen.poly([(-0.2, -0.4), (0.15, -0.7), (0.25, -0.68), (-0.05, -0.3)], (115, 135, 155))
    for x, y in ((-lead * 0.72, 0.3), (0.3, 0.1)):
        pen.ellipse(x, y, 0.17, 0.06, (255, 250, 215), tilt=-25)
    pen.blob([(-lead * 0.9, 0.82), (0.7, 0.85), (0.6, 1.02), (-lead * 0.6, 1.02)], (60, 62, 68))


def train_front(pen: Pen, rng: Random, body: Color, stripe: Color) -> None:
    """A bullet train head-on on its track."""
    for side in (-1, 1):
        pen.poly(
            [(side * 0.45, 0.8), (side * 0.55, 0.8), (side * 1.3, 2.4), (side * 1.1, 2.4)],
            (165, 165, 170),
        )
    pen.blob(
        [
            (0, -1.05),
            (0.55, -0.95),
            (0.8, -0.4),
            (0.85, 0.4),
            (0.7, 0.9),
            (-0.7, 0.9),
            (-0.85, 0.4),
            (-0.8, -0.4),
            (-0.55, -0.95),
        ],
        shade(body, 0.85),
    )
    pen.blob(
        [
            (0, -0.8),
            (0.42, -0.6),
            (0.66, 0.1),
            (0.6, 0.75),
            (0, 0.88),
            (-0.6, 0.75),
            (-0.66, 0.1),
            (-0.42, -0.6),
        ],
        body,
    )
    pen.blob(
        [(0, -0.72), (0.36, -0.55), (0.42, -0.25), (0, -0.12), (-0.42, -0.25), (-0.36, -0.55)],
        GLASS,
    )
    for side in (-1, 1):
        pen.blob(
            [(side * 0.3, 0.2), (side * 0.72, -0.25), (side * 0.66, 0.1), (side * 0.45, 0.4)],
            stripe,
        )
        pen.ellipse(side * 0.42, 0.14, 0.14, 0.06, (255, 250, 215), tilt=-30 * side)
    pen.ellipse(0, 0.32, 0.16, 0.3, shade(body, 1.4))
    pen.box(-0.55, 0.68, 0.55, 0.92, (60, 62, 68), 0.1)


def track(canvas: Canvas, rng: Random, y: float, base: float) -> None:
    """Country or city with an embankment or viaduct, and poles with a contact wire."""
    scenes.countryside(canvas, rng, y)
    if rng.random() < 0.35:
        scenes.city(canvas, rng, y + 2, rng.uniform(30, 75))
    pen, grey = canvas.pen(), vary(rng, (150, 145, 140), 20)
    start = rng.uniform(0, 60)
    for k in range(3):
        x = start + k * 75
        pen.box(x, base - canvas.h * 0.62, x + 2, base, (95, 98, 102))
        pen.line([(x, base - canvas.h * 0.58), (x + 12, base - canvas.h * 0.55)], (95, 98, 102), 1)
    wire = base - canvas.h * 0.55
    pen.line([(0, wire), (canvas.w, wire)], (80, 80, 85), 0.6)
    pen.box(0, base, canvas.w, base + 10, grey)
    pen.box(0, base, canvas.w, base + 1.6, shade(grey, 0.5))
    if rng.random() < 0.5:
        for k in range(5):
            x = start * 0.4 + k * 48
            pen.box(x, base + 8, x + 11, canvas.h, shade(grey, 0.82))


def bullet_train(rng: Random, variant: int) -> Image.Image:
    """Passing from the side, from the front corner, or head-on."""
    canvas = Canvas.random(rng)
    w, h, kind = canvas.w, canvas.h, variant % 4
    body, stripe = rng.choice(TRAINS)
    body, stripe, mirror = vary(rng, body, 8), vary(rng, stripe, 20), rng.random() < 0.5
    if kind in (0, 2):
        base = h * rng.uniform(0.62, 0.84)
        track(canvas, rng, base - rng.uniform(0, 25), base)
        s = h * rng.uniform(0.22, 0.36)
        x = w * rng.uniform(0.3, 0.5)
        pen = canvas.pen(w - x if mirror else x, base - s * 0.55, s, mirror)
        train_side(pen, rng, body, stripe, rng.uniform(1.1, 1.9))
    else:
        y = h * rng.uniform(0.4, 0.62)
        if rng.random() < 0.3:
            scenes.street(canvas, rng, y - 4, y)
        else:
            track(canvas, rng, y, y + 9)
        bed = vary(rng, (125, 115, 105), 15)
        canvas.gradient(y + 6, h, [[shade(bed, 1.1), bed], [shade(bed, 0.75), shade(bed, 0.95)]])
        s = min(w * 0.27, h * 0.38) * rng.uniform(0.85, 1.15)
        if kind == 1:
            x = w * rng.uniform(0.28, 0.45)
            pen = canvas.pen(w - x if mirror else x, h * rng.uniform(0.48, 0.6), s, mirror)
            for off in (0.75, 1.05):
                pen.line(
                    [(-2.5, off + 0.75), (4.5, off - 0.8)], mix(bed, (230, 230, 235), 0.5), 0.06
                )
            train_nose(pen, rng, body, stripe, rng.uniform(0.7, 1.15))
        else:
            pen = canvas.pen(w * rng.uniform(0.3, 0.7), h * rng.uniform(0.45, 0.58), s)
            for k in range(8):
                ty = 0.9 + 0.1 * k + 0.02 * k * k
                pen.box(-ty * 0.75, ty, ty * 0.75, ty + 0.07, shade(bed, 0.6))
            train_front(pen, rng, body, stripe)
    return canvas.finish(rng)
