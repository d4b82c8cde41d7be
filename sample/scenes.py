"""Backgrounds: skies, landscapes, streets, water, rooms and leaves."""

from __future__ import annotations

import math
from random import Random

from canvas import Canvas, Color, Pen, mix, shade, vary

SKIES: list[tuple[Color, Color]] = [
    ((70, 130, 205), (190, 220, 240)),
    ((40, 95, 175), (150, 195, 230)),
    ((125, 165, 200), (225, 230, 230)),
    ((60, 60, 120), (250, 165, 100)),
    ((120, 90, 140), (250, 200, 160)),
    ((140, 150, 160), (205, 208, 210)),
    ((18, 24, 60), (70, 80, 125)),
    ((80, 170, 190), (235, 235, 205)),
]
WALLS: list[Color] = [
    (222, 208, 185),
    (150, 175, 185),
    (190, 200, 170),
    (205, 165, 145),
    (120, 130, 150),
    (235, 228, 220),
    (165, 90, 80),
    (90, 115, 105),
    (215, 190, 110),
    (180, 165, 200),
]
FLOORS: list[Color] = [
    (150, 105, 65),
    (110, 75, 50),
    (190, 160, 120),
    (130, 130, 130),
    (85, 80, 85),
    (175, 125, 85),
    (205, 195, 180),
]
GREENS: list[Color] = [(70, 120, 60), (100, 140, 60), (50, 95, 60), (140, 150, 70), (60, 105, 45)]


def sky(canvas: Canvas, rng: Random, bottom: float, clouds: int | None = None) -> Color:
    """Sky from the top to y=bottom with sun or clouds; returns its colour at the bottom."""
    top, low = rng.choice(SKIES)
    top, low = vary(rng, top, 18), vary(rng, low, 14)
    tilt = rng.uniform(-0.35, 0.35)
    upper = [mix(top, low, max(0, tilt)), mix(top, low, max(0, -tilt))]
    lower = [shade(low, 1 - max(0, tilt) * 0.4), shade(low, 1 - max(0, -tilt) * 0.4)]
    canvas.gradient(0, bottom, [upper, lower])
    pen = canvas.pen()
    if rng.random() < 0.35:
        x, y, r = rng.uniform(0, canvas.w), rng.uniform(0.05, 0.7) * bottom, rng.uniform(6, 13)
        glow = mix(low, (255, 250, 220), 0.7)
        for k in (2.6, 1.8, 1.0):
            pen.ellipse(x, y, r * k, r * k, (*glow, round(70 + 150 * (k == 1.0))))
    for _ in range(rng.randint(0, 5) if clouds is None else clouds):
        cloud(
            pen,
            rng,
            rng.uniform(0, canvas.w),
            rng.uniform(0, bottom * 0.95),
            rng.uniform(10, 32),
            mix(low, (255, 255, 255), rng.uniform(0.2, 0.8)),
        )
    return low


def cloud(pen: Pen, rng: Random, x: float, y: float, size: float, color: Color) -> None:
    """Draw a heap of soft ellipses."""
    for _ in range(7):
        dx, dy = rng.uniform(-1.3, 1.3) * size, rng.uniform(-0.25, 0.15) * size
        r = size * rng.uniform(0.3, 0.6)
        pen.ellipse(x + dx, y + dy, r * 1.4, r * 0.6, (*color[:3], 130))


def ridge(canvas: Canvas, rng: Random, y: float, rough: float, color: Color) -> None:
    """Hills or mountains: a filled wavy line around height y, down to the lower edge."""
    points = []
    phases = [(rng.uniform(0, 6.3), rng.uniform(0.5, 3.5), rng.random()) for _ in range(3)]
    for k in range(25):
        x = k / 24
        lift = sum(amp * math.sin(ph + fr * x * 6.3) for ph, fr, amp in phases)
        points.append((x * canvas.w, y - rough * (0.8 + lift)))
    canvas.pen().poly([*points, (canvas.w, canvas.h), (0, canvas.h)], color)


def tree(pen: Pen, rng: Random, x: float, y: float, size: float, color: Color) -> None:
    """A fir or a round tree with its foot at (x, y)."""
    pen.box(x - size * 0.06, y - size * 0.4, x + size * 0.06, y, (90, 65, 45))
    if rng.random() < 0.5:
        for k in range(3):
            top, half = y - size * (1 - k * 0.22), size * (0.18 + 0.08 * k)
            pen.poly(
                [(x, top), (x + half, top + size * 0.42), (x - half, top + size * 0.42)],
                shade(color, 1 - 0.08 * k),
            )
    else:
        for _ in range(5):
            pen.ellipse(
                x + rng.uniform(-0.2, 0.2) * size,
                y - size * rng.uniform(0.5, 0.8),
                size * 0.24,
                size * 0.22,
                vary(rng, color, 10),
            )


def trees(canvas: Canvas, rng: Random, y: float, count: int, size: float, color: Color) -> None:
    """A loose row of trees along height y."""
    for _ in range(count):
        tree(
            canvas.pen(),
            rng,
            rng.uniform(0, canvas.w),
            y + rng.uniform(-2, 3),
            size * rng.uniform(0.6, 1.3),
            vary(rng, color, 12),
        )


def ground(canvas: Canvas, rng: Random, y: float, color: Color) -> None:
    """Flat ground from y to the lower edge with a tilted gradient and soft patches."""
    a, b = rng.uniform(0.75, 1.1), rng.uniform(0.75, 1.1)
    canvas.gradient(
        y, canvas.h, [[shade(color, 1.12), shade(color, b)], [shade(color, a), shade(color, 0.8)]]
    )
    pen = canvas.pen()
    for _ in range(6):
        gy = rng.uniform(y, canvas.h)
        pen.ellipse(
            rng.uniform(0, canvas.w),
            gy,
            rng.uniform(10, 40),
            1 + (gy - y) * 0.06,
            (*shade(color, rng.choice([0.8, 1.2])), 70),
        )


def countryside(canvas: Canvas, rng: Random, y: float, snow: bool = False) -> None:
    """Sky, far hills, some trees and a meadow (or snow) from y down."""
    low = sky(canvas, rng, y + 4)
    green = vary(rng, rng.choice(GREENS))
    for k in range(rng.randint(0, 2)):
        far = mix(low, (110, 120, 140) if snow else green, 0.45 + 0.3 * k)
        ridge(canvas, rng, y - 3, rng.uniform(4, 16) / (k + 1), far)
    if rng.random() < 0.75:
        trees(
            canvas,
            rng,
            y + 3,
            rng.randint(1, 7),
            rng.uniform(18, 55),
            mix(green, (50, 70, 70), 0.5) if snow else green,
        )
    ground(canvas, rng, y, vary(rng, (222, 228, 238), 10) if snow else green)


def city(canvas: Canvas, rng: Random, y: float, tall: float) -> None:
    """A skyline of plain blocks with some windows, standing on height y."""
    pen = canvas.pen()
    x = rng.uniform(-20, 0)
    base = rng.choice([(120, 120, 135), (170, 140, 120), (90, 100, 120), (190, 180, 165)])
    while x < canvas.w:
        width, height = rng.uniform(14, 38), tall * rng.uniform(0.15, 1.0)
        color = vary(rng, base, 25)
        pen.box(x, y - height, x + width, y, color)
        pane = mix(color, rng.choice([(40, 50, 70), (255, 235, 170)]), 0.5)
        for k in range(1, int(height / 11)):
            pen.box(x + 3, y - height + k * 10 - 5, x + width - 3, y - height + k * 10 - 1, pane)
        x += width + rng.choice([0, 0, 3, 10, 25])


def house(pen: Pen, rng: Random, x: float, y: float, size: float) -> None:
    """A small house with its lower left corner at (x, y)."""
    wall, roof = vary(rng, rng.choice(WALLS)), vary(rng, (130, 75, 60), 30)
    pen.box(x, y - size * 0.6, x + size, y, wall)
    pen.poly(
        [
            (x - size * 0.1, y - size * 0.58),
            (x + size * 0.5, y - size * 1.05),
            (x + size * 1.1, y - size * 0.58),
        ],
        roof,
    )
    for k in (0.12, 0.62):
        pen.box(x + size * k, y - size * 0.45, x + size * (k + 0.25), y - size * 0.2, (70, 85, 105))


def street(canvas: Canvas, rng: Random, y: float, road: float) -> None:
    """A street scene: background of houses, city or country; asphalt from y=road down."""
    kind = rng.randrange(3)
    countryside(canvas, rng, y)
    if kind == 0:
        city(canvas, rng, y + 2, rng.uniform(30, 80))
    elif kind == 1:
        for _ in range(rng.randint(1, 4)):
            house(canvas.pen(), rng, rng.uniform(-20, canvas.w - 10), y + 3, rng.uniform(25, 55))
    grey = rng.randint(75, 120)
    canvas.gradient(road, canvas.h, [[(grey + 20,) * 3, (grey,) * 3], [(grey - 20,) * 3] * 2])
    pen = canvas.pen()
    pen.box(0, road - 2, canvas.w, road, (175, 172, 165))
    mid, start = (road + canvas.h) / 2 + rng.uniform(0, 8), rng.uniform(-30, 0)
    for k in range(8):
        pen.box(start + k * 32, mid, start + k * 32 + 16, mid + 1.5, (215, 200, 130))


def water(canvas: Canvas, rng: Random, y: float) -> Color:
    """Sea or lake from y down with glints; returns its colour."""
    base = vary(
        rng,
        rng.choice(
            [
                (40, 100, 140),
                (35, 125, 135),
                (60, 85, 115),
                (70, 140, 170),
                (30, 70, 100),
                (90, 125, 120),
            ]
        ),
        14,
    )
    lit = rng.uniform(1.0, 1.35)
    canvas.gradient(
        y,
        canvas.h,
        [
            [shade(base, lit), shade(base, 1.15)],
            [shade(base, 0.85), shade(base, rng.uniform(0.7, 1.1))],
        ],
    )
    pen = canvas.pen()
    for _ in range(26):
        gy = y + (canvas.h - y) * rng.random()
        half = 3 + (gy - y) * rng.uniform(0.05, 0.2)
        gx = rng.uniform(0, canvas.w)
        pen.ellipse(
            gx, gy, half, 0.5 + (gy - y) * 0.012, (*shade(base, rng.choice([0.75, 1.4])), 90)
        )
    return base


def leaves(canvas: Canvas, rng: Random, count: int = 14) -> None:
    """Out-of-focus garden: tilted gradient with big soft discs."""
    pairs: list[tuple[Color, Color]] = [
        ((60, 110, 55), (150, 175, 95)),
        ((35, 75, 50), (90, 130, 80)),
        ((120, 150, 120), (215, 225, 190)),
        ((90, 130, 170), (200, 215, 190)),
        ((150, 120, 90), (215, 190, 140)),
        ((70, 70, 90), (150, 130, 150)),
    ]
    a, b = rng.choice(pairs)
    colors = [vary(rng, mix(a, b, rng.random())) for _ in range(6)]
    canvas.gradient(0, canvas.h, [colors[:3], colors[3:]])
    pen = canvas.pen()
    for _ in range(count):
        r, x, y = rng.uniform(5, 24), rng.uniform(0, canvas.w), rng.uniform(0, canvas.h)
        tint = vary(rng, mix(a, b, rng.uniform(-0.1, 1.2)), 20)
        tint = tuple(max(0, min(255, c)) for c in tint)
        for k in (1.25, 1.0):
            pen.ellipse(x, y, r * k, r * k, (*tint, 60))


def fields(canvas: Canvas, rng: Random) -> None:
    """Farmland from the air: tilted strips of fields and a road."""
    pen = canvas.pen(canvas.w / 2, canvas.h / 2, 1, angle=rng.uniform(0, 90))
    for row in range(-4, 4):
        x, tall = -150.0, 36
        while x < 150:
            wide = rng.uniform(25, 70)
            color = vary(rng, rng.choice([*GREENS, (175, 160, 95), (140, 115, 80)]), 16)
            pen.box(x, row * tall, x + wide, row * tall + tall, mix(color, (150, 165, 160), 0.35))
            x += wide
    at = rng.uniform(-40, 40)
    pen.box(-150, at, 150, at + 4, (165, 165, 160))
