"""Indoor backgrounds and the small things that stand in a room."""

from __future__ import annotations

from random import Random

from canvas import Canvas, Color, Pen, mix, shade, vary
from scenes import FLOORS, WALLS


def room(canvas: Canvas, rng: Random, y: float, busy: bool = True) -> None:
    """A wall down to y, a skirting board, a floor; with window, pictures, lamp or plant."""
    wall, floor = vary(rng, rng.choice(WALLS)), vary(rng, rng.choice(FLOORS))
    left, right = rng.uniform(0.75, 1.1), rng.uniform(0.75, 1.1)
    canvas.gradient(
        0,
        y,
        [
            [shade(wall, left), shade(wall, right)],
            [shade(wall, left * 0.9), shade(wall, right * 0.9)],
        ],
    )
    if rng.random() < 0.25:
        stripes(canvas, rng, y, wall)
    canvas.gradient(
        y,
        canvas.h,
        [[shade(floor, right), shade(floor, left)], [shade(floor, 0.8), shade(floor, 1.05)]],
    )
    pen = canvas.pen()
    pen.box(0, y - 4, canvas.w, y, shade(wall, rng.choice([0.6, 1.5])))
    if rng.random() < 0.5:
        for k in range(4):
            gy = y + (canvas.h - y) * (k + 0.5) ** 1.5 / 8
            pen.line([(0, gy), (canvas.w, gy)], (*shade(floor, 0.6), 120), 0.7)
    if not busy:
        return
    for _ in range(rng.randint(1, 3)):
        thing = rng.choice([window, picture, picture, plant, lamp, shelf])
        thing(pen, rng, rng.uniform(0.02, 0.85) * canvas.w, y, canvas.h * rng.uniform(0.8, 1.2))


def stripes(canvas: Canvas, rng: Random, y: float, wall: Color) -> None:
    """Wallpaper with broad stripes."""
    pen, step = canvas.pen(), rng.uniform(14, 30)
    for k in range(int(canvas.w / step / 2) + 1):
        pen.box(k * step * 2, 0, k * step * 2 + step, y, (*shade(wall, 0.8), 90))


def window(pen: Pen, rng: Random, x: float, y: float, size: float) -> None:
    """A window on the wall with daylight or night."""
    w, h = size * rng.uniform(0.25, 0.45), size * rng.uniform(0.3, 0.4)
    top = y - size * rng.uniform(0.55, 0.7)
    pane = rng.choice([(190, 220, 240), (225, 235, 240), (40, 50, 85), (245, 205, 150)])
    pen.box(x - 2, top - 2, x + w + 2, top + h + 2, (240, 238, 232))
    pen.box(x, top, x + w, top + h, pane)
    pen.ellipse(x + w * 0.3, top + h * 0.8, w * 0.2, h * 0.18, mix(pane, (60, 110, 60), 0.6))
    pen.box(x + w / 2 - 1, top, x + w / 2 + 1, top + h, (240, 238, 232))
    pen.box(x, top + h / 2 - 1, x + w, top + h / 2 + 1, (240, 238, 232))
    if rng.random() < 0.6:
        cloth = vary(rng, rng.choice(WALLS), 30)
        for side in (x - w * 0.18, x + w * 0.9):
            pen.box(side, top - 4, side + w * 0.28, top + h + size * 0.1, cloth)


def picture(pen: Pen, rng: Random, x: float, y: float, size: float) -> None:
    """A framed picture."""
    w, h = size * rng.uniform(0.14, 0.3), size * rng.uniform(0.12, 0.22)
    top = y - size * rng.uniform(0.5, 0.62)
    pen.box(
        x - 2,
        top - 2,
        x + w + 2,
        top + h + 2,
        rng.choice([(60, 45, 35), (30, 30, 30), (200, 170, 90)]),
    )
    a, b = (vary(rng, rng.choice(WALLS), 40) for _ in range(2))
    pen.box(x, top, x + w, top + h, a)
    pen.poly([(x, top + h), (x + w * 0.4, top + h * 0.4), (x + w, top + h)], b)


def plant(pen: Pen, rng: Random, x: float, y: float, size: float) -> None:
    """A pot plant on the floor."""
    s, foot = size * rng.uniform(0.2, 0.35), y + size * 0.04
    green = vary(rng, (60, 115, 60), 25)
    for _ in range(9):
        dx, dy = rng.uniform(-0.5, 0.5) * s, rng.uniform(0.7, 1.5) * s
        pen.curve(
            [(x, foot - s * 0.3), (x + dx * 0.4, foot - dy * 0.8), (x + dx, foot - dy)],
            vary(rng, green, 12),
            s * 0.1,
        )
    pen.poly(
        [
            (x - s * 0.22, foot - s * 0.4),
            (x + s * 0.22, foot - s * 0.4),
            (x + s * 0.15, foot),
            (x - s * 0.15, foot),
        ],
        vary(rng, (165, 95, 65), 25),
    )


def lamp(pen: Pen, rng: Random, x: float, y: float, size: float) -> None:
    """A standing lamp with a glow."""
    top, s = y - size * rng.uniform(0.48, 0.6), size * 0.12
    pen.box(x - 1, top, x + 1, y + size * 0.05, (70, 60, 50))
    pen.ellipse(x, y + size * 0.05, s * 0.7, s * 0.2, (70, 60, 50))
    for k in (3.0, 2.0):
        pen.ellipse(x, top, s * k, s * k, (255, 235, 170, 45))
    pen.poly(
        [
            (x - s * 0.6, top - s * 0.6),
            (x + s * 0.6, top - s * 0.6),
            (x + s, top + s * 0.6),
            (x - s, top + s * 0.6),
        ],
        vary(rng, (240, 220, 170), 14),
    )


def shelf(pen: Pen, rng: Random, x: float, y: float, size: float) -> None:
    """A wall shelf with books."""
    w, top = size * rng.uniform(0.3, 0.5), y - size * rng.uniform(0.35, 0.6)
    pen.box(x, top, x + w, top + 2.5, (100, 70, 45))
    at = x + 2
    while at < x + w - 5:
        t, h = rng.uniform(2.5, 5), size * rng.uniform(0.08, 0.15)
        pen.box(at, top - h, at + t, top, vary(rng, rng.choice(WALLS), 50))
        at += t + rng.choice([0, 0, 2])


def table(canvas: Canvas, rng: Random, y: float) -> None:
    """A desk top from y to the lower edge."""
    wood = vary(rng, rng.choice(FLOORS), 20)
    canvas.gradient(
        y,
        canvas.h,
        [
            [shade(wood, 1.15), shade(wood, 0.95)],
            [shade(wood, 0.75), shade(wood, rng.uniform(0.7, 1.1))],
        ],
    )
    canvas.pen().box(0, y, canvas.w, y + 1.5, shade(wood, 1.35))


def rug(pen: Pen, rng: Random, x: float, y: float, size: float) -> None:
    """A flat oval or square rug around (x, y)."""
    color = vary(rng, rng.choice(WALLS), 30)
    if rng.random() < 0.5:
        for k, tint in ((1.0, color), (0.8, shade(color, 0.8)), (0.7, color)):
            pen.ellipse(x, y, size * k, size * 0.18 * k, tint)
    else:
        for k, tint in ((1.0, shade(color, 0.75)), (0.88, color)):
            pen.poly(
                [
                    (x - size * 0.8 * k, y - size * 0.15 * k),
                    (x + size * 0.8 * k, y - size * 0.15 * k),
                    (x + size * k, y + size * 0.15 * k),
                    (x - size * k, y + size * 0.15 * k),
                ],
                tint,
            )
