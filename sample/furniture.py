"""Folding chairs and studio couches, and the living room that shows both."""

from __future__ import annotations

from itertools import product
from random import Random

from PIL import Image

import rooms
import scenes
from canvas import Canvas, Color, Pen, Point, mix, shade, vary

FRAMES: list[Color] = [
    (165, 115, 70),
    (110, 72, 45),
    (70, 72, 78),
    (190, 192, 196),
    (40, 42, 46),
    (235, 232, 225),
    (60, 95, 75),
]
CLOTHS: list[Color] = [
    (185, 45, 50),
    (45, 85, 150),
    (60, 120, 80),
    (230, 200, 120),
    (60, 60, 66),
    (225, 220, 210),
    (225, 120, 50),
    (110, 150, 165),
    (140, 90, 130),
    (135, 95, 65),
]


def bar(pen: Pen, points: list[Point], color: Color, width: float) -> None:
    """Draw a rod of the frame with a darker rim, so that it stands out from any floor."""
    pen.line(points, shade(color, 0.45), width + 0.045)
    pen.line(points, color, width)


def chair_side(pen: Pen, frame: Color, cloth: Color) -> None:
    """A folding chair from the side: crossed legs, seat line, leaning back; floor at y=1."""
    bar(pen, [(0.62, 1.0), (-0.42, -0.02)], shade(frame, 0.75), 0.1)
    bar(pen, [(-0.62, 1.0), (0.3, -0.05), (0.62, -1.1)], frame, 0.1)
    pen.poly([(-0.6, -0.06), (0.4, 0.06), (0.4, 0.18), (-0.6, 0.06)], cloth)
    pen.poly([(0.36, -0.35), (0.56, -1.05), (0.68, -1.02), (0.48, -0.32)], cloth)
    bar(pen, [(-0.3, 0.62), (0.22, 0.62)], shade(frame, 0.85), 0.05)
    pen.ellipse(0.02, 0.42, 0.07, 0.07, shade(frame, 0.5))


def chair_corner(pen: Pen, rng: Random, frame: Color, cloth: Color) -> None:
    """A folding chair from the front corner: both leg crosses, slatted seat and back."""
    back, front = shade(frame, 0.7), frame
    dx, dy = 0.85, 0.22
    for ox, oy, tint in ((dx, -dy, back), (0, 0, front)):
        bar(pen, [(-0.55 + ox, 1.1 + oy), (0.35 + ox, 0.0 + oy), (0.62 + ox, -1.1 + oy)], tint, 0.1)
        bar(pen, [(0.5 + ox, 1.05 + oy), (-0.55 + ox, 0.08 + oy)], shade(tint, 0.88), 0.1)
    for x, y in ((-0.35, 0.85), (0.35, 0.9)):
        bar(pen, [(x, y), (x + dx, y - dy)], back, 0.06)
    slats = rng.choice([1, 4])
    for k in range(slats):
        a, b = k / slats, (k + 0.82) / slats if slats > 1 else 1.0
        x0, x1 = -0.62 + 0.98 * a, -0.62 + 0.98 * b
        pen.poly(
            [(x0, 0.1), (x1, 0.06), (x1 + dx, 0.06 - dy), (x0 + dx, 0.1 - dy)],
            shade(cloth, 1 - 0.1 * k / slats),
        )
    pen.poly([(-0.62, 0.1), (0.36, 0.06), (0.36, 0.16), (-0.62, 0.2)], shade(cloth, 0.65))
    for k in range(2 if slats > 1 else 1):
        y0, y1 = -1.1 + 0.34 * k, -0.86 + 0.34 * k if slats > 1 else -0.5
        x0, x1 = 0.62 - 0.24 * (y0 + 1.1), 0.62 - 0.24 * (y1 + 1.1)
        pen.poly([(x0, y0), (x0 + dx, y0 - dy), (x1 + dx, y1 - dy), (x1, y1)], cloth)


def chair_director(pen: Pen, frame: Color, cloth: Color) -> None:
    """A director's chair from the front: canvas seat and back, crossed legs, arm rests."""
    for side in (-1, 1):
        bar(pen, [(side * 0.7, 1.0), (-side * 0.68, 0.1)], shade(frame, 0.9), 0.1)
        bar(pen, [(side * 0.72, 0.05), (side * 0.72, -1.15)], frame, 0.1)
    bar(pen, [(-0.75, 1.0), (-0.45, 1.0)], frame, 0.1)
    bar(pen, [(0.75, 1.0), (0.45, 1.0)], frame, 0.1)
    pen.poly([(-0.74, -1.1), (0.74, -1.1), (0.74, -0.58), (-0.74, -0.58)], cloth)
    pen.poly([(-0.74, -0.66), (0.74, -0.66), (0.74, -0.58), (-0.74, -0.58)], shade(cloth, 0.8))
    pen.poly([(-0.72, 0.0), (0.72, 0.0), (0.64, 0.16), (-0.64, 0.16)], shade(cloth, 0.85))
    for side in (-1, 1):
        pen.box(side * 0.74 - 0.13, -0.4, side * 0.74 + 0.13, -0.3, shade(frame, 1.2), 0.04)


def chair_front(pen: Pen, frame: Color, cloth: Color) -> None:
    """A metal folding chair from the front: back panel, seat, splayed legs, cross bar."""
    for side in (-1, 1):
        bar(pen, [(side * 0.42, 0.0), (side * 0.5, 0.85)], shade(frame, 0.6), 0.08)
        bar(pen, [(side * 0.5, -1.15), (side * 0.5, 0.1), (side * 0.62, 1.05)], frame, 0.09)
    bar(pen, [(-0.5, -1.15), (0.5, -1.15)], frame, 0.09)
    bar(pen, [(-0.56, 0.6), (0.56, 0.6)], frame, 0.06)
    bar(pen, [(-0.46, 0.75), (0.46, 0.75)], shade(frame, 0.6), 0.06)
    pen.box(-0.5, -1.08, 0.5, -0.6, cloth, 0.1)
    pen.poly([(-0.48, -0.15), (0.48, -0.15), (0.62, 0.18), (-0.62, 0.18)], cloth)
    pen.poly([(-0.62, 0.18), (0.62, 0.18), (0.6, 0.27), (-0.6, 0.27)], shade(cloth, 0.65))


def outdoors(canvas: Canvas, rng: Random, y: float) -> None:
    """Garden, beach or terrace."""
    kind = rng.randrange(3)
    if kind == 0:
        scenes.countryside(canvas, rng, y)
    elif kind == 1:
        scenes.sky(canvas, rng, y)
        scenes.water(canvas, rng, y - canvas.h * 0.15)
        scenes.ground(canvas, rng, y, vary(rng, (220, 195, 150), 12))
    else:
        scenes.street(canvas, rng, y - 3, y)


def any_chair(pen: Pen, rng: Random, kind: int, frame: Color, cloth: Color) -> None:
    """One of the four chair views, with a shadow."""
    pen.ellipse(0.15, 1.03, 1.0, 0.12, (20, 20, 25, 80))
    if kind == 0:
        chair_corner(pen.sub(-0.38, 0), rng, frame, cloth)
    elif kind == 1:
        chair_side(pen, frame, cloth)
    elif kind == 2:
        chair_director(pen, frame, cloth)
    else:
        chair_front(pen, frame, cloth)


def folding_chair(rng: Random, variant: int) -> Image.Image:
    """One chair in four views, or a row of chairs; indoors or outdoors."""
    canvas = Canvas.random(rng, portrait=0.25)
    w, h, kind = canvas.w, canvas.h, variant % 5
    y = h * rng.uniform(0.4, 0.7)
    if rng.random() < 0.55:
        rooms.room(canvas, rng, y)
    else:
        outdoors(canvas, rng, y)
    frame, cloth = vary(rng, rng.choice(FRAMES)), vary(rng, rng.choice(CLOTHS))
    mirror = rng.random() < 0.5
    if kind == 4:
        view, count = rng.randrange(4), rng.randint(2, 4)
        s = w * 0.36 / count * rng.uniform(0.9, 1.15)
        foot = min(h * 0.94, y + h * rng.uniform(0.15, 0.3))
        for k in range(count):
            pen = canvas.pen(w * (k + 0.5) / count, foot - s, s, mirror)
            any_chair(pen, rng, view, frame, cloth)
        return canvas.finish(rng)
    s = min(h * 0.37, w * 0.42) * rng.uniform(0.85, 1.15)
    pen = canvas.pen(w * rng.uniform(0.32, 0.66), h * rng.uniform(0.88, 0.95) - s, s, mirror)
    any_chair(pen, rng, kind, frame, cloth)
    return canvas.finish(rng)


def couch(pen: Pen, rng: Random, cloth: Color, seats: int, style: int) -> None:
    """A couch from the front, 2 units to each side; style 1 is tufted, 2 has a chaise."""
    for x in (-1.75, 1.75):
        pen.poly(
            [(x - 0.08, 0.75), (x + 0.08, 0.75), (x + 0.05, 1.0), (x - 0.05, 1.0)], (70, 48, 32)
        )
    couch_back(pen, cloth, seats, tufted=style == 1)
    couch_seat(pen, cloth, seats, chaise=style == 2)
    for side in (-1,) if style == 2 else (-1, 1):
        couch_arm(pen, cloth, side, rolled=style == 1)
    for _ in range(rng.randint(0, 3)):
        px, tint = rng.uniform(-1.35, 1.2), vary(rng, rng.choice(CLOTHS), 20)
        cushion = pen.sub(px, -0.05, 0.33, angle=rng.uniform(-25, 25))
        cushion.box(-1, -0.9, 1, 0.9, tint, 0.35)
        cushion.box(-1, -0.15, 1, 0.15, shade(tint, 1.3))


def couch_back(pen: Pen, cloth: Color, seats: int, tufted: bool) -> None:
    """The back of a couch: one cushion a seat, with buttons if it is tufted."""
    dark, width = shade(cloth, 0.72), 3.2 / seats
    pen.box(-1.75, -0.75, 1.75, 0.6, dark, 0.28)
    for k in range(seats):
        x = -1.6 + k * width
        pen.box(x + 0.03, -0.68, x + width - 0.03, 0.25, mix(cloth, dark, 0.25), 0.16)
    for k, row in product(range(9), range(2)) if tufted else ():
        pen.ellipse(-1.5 + k * 0.375 + row * 0.18, -0.5 + row * 0.35, 0.05, 0.05, shade(cloth, 0.5))


def couch_seat(pen: Pen, cloth: Color, seats: int, chaise: bool) -> None:
    """The seat of a couch: one cushion a seat; a chaise makes the right end longer."""
    dark, light, width = shade(cloth, 0.72), shade(cloth, 1.12), 3.2 / seats
    pen.box(-1.75, 0.3, 1.75, 0.82, dark, 0.08)
    for k in range(seats):
        x = -1.6 + k * width
        pen.box(x + 0.02, 0.12, x + width - 0.02, 0.45, light, 0.12)
    if chaise:
        pen.poly([(0.5, 0.15), (1.6, 0.15), (1.85, 0.8), (0.5, 0.8)], light)
        pen.poly([(0.5, 0.8), (1.85, 0.8), (1.85, 1.0), (0.5, 1.0)], dark)


def couch_arm(pen: Pen, cloth: Color, side: int, rolled: bool) -> None:
    """An arm rest of a couch, on the left (-1) or right (1)."""
    pen.box(side * 1.8 - 0.24, -0.25, side * 1.8 + 0.24, 0.85, cloth, 0.22)
    if rolled:
        pen.ellipse(side * 1.8, -0.12, 0.3, 0.22, shade(cloth, 1.12))
        pen.ellipse(side * 1.8, -0.12, 0.16, 0.12, shade(cloth, 0.72))


def daybed(pen: Pen, rng: Random, cloth: Color) -> None:
    """A studio couch that serves as a bed: mattress, loose back cushions, blanket."""
    wood = vary(rng, rng.choice(FRAMES[:2]), 15)
    for x in (-1.9, 1.9):
        pen.box(x - 0.08, -0.3, x + 0.08, 1.0, wood)
    count = rng.randint(2, 4)
    for k in range(count):
        x, step = -1.75 + k * 3.5 / count, 3.5 / count
        pen.box(x + 0.05, -0.55, x + step - 0.05, 0.3, vary(rng, shade(cloth, 0.85), 12), 0.2)
    pen.box(-1.85, 0.15, 1.85, 0.5, shade(cloth, 1.15), 0.12)
    pen.box(-1.85, 0.45, 1.85, 0.75, wood)
    throw = vary(rng, rng.choice(CLOTHS), 20)
    x = rng.uniform(-1.5, 0.9)
    pen.poly([(x, 0.13), (x + 0.6, 0.13), (x + 0.68, 0.72), (x + 0.05, 0.72)], throw)
    for k in range(3):
        pen.line([(x + 0.12 + k * 0.18, 0.15), (x + 0.17 + k * 0.18, 0.7)], shade(throw, 1.3), 0.04)


def coffee_table(pen: Pen, wood: Color) -> None:
    """A low table in front of the couch."""
    for x in (-0.7, 0.7):
        pen.line([(x, 0), (x * 1.08, 0.42)], shade(wood, 0.7), 0.07)
    pen.poly([(-0.75, -0.1), (0.75, -0.1), (0.9, 0.05), (-0.9, 0.05)], wood)
    pen.box(-0.9, 0.05, 0.9, 0.11, shade(wood, 0.65))
    pen.box(-0.1, -0.25, 0.08, -0.02, (225, 225, 220), 0.03)


def studio_couch(rng: Random, variant: int) -> Image.Image:
    """Plain, tufted, with chaise, or a daybed, in a room."""
    canvas = Canvas.random(rng, portrait=0.08)
    w, h, kind = canvas.w, canvas.h, variant % 4
    y = h * rng.uniform(0.5, 0.72)
    rooms.room(canvas, rng, y)
    s, mirror = w * rng.uniform(0.155, 0.225), rng.random() < 0.5
    x, foot = w * rng.uniform(0.42, 0.58), min(h * 0.93, y + h * rng.uniform(0.08, 0.22))
    flat, cloth = canvas.pen(), vary(rng, rng.choice(CLOTHS))
    if rng.random() < 0.45:
        rooms.rug(flat, rng, x, foot + 4, w * rng.uniform(0.3, 0.45))
    pen = canvas.pen(x, foot - s, s, mirror)
    pen.ellipse(0, 1.0, 2.1, 0.12, (20, 15, 15, 90))
    if kind == 3:
        daybed(pen, rng, cloth)
    else:
        couch(pen, rng, cloth, rng.choice([2, 2, 3]), kind)
    if rng.random() < 0.3:
        coffee_table(pen.sub(rng.uniform(-0.8, 0.8), 1.0), vary(rng, rng.choice(FRAMES[:3])))
    return canvas.finish(rng)


def couch_and_chair(rng: Random, variant: int) -> Image.Image:
    """Draw the scene that fits two classes: a living room with a couch and a folding chair."""
    canvas = Canvas(200, 150)
    rooms.room(canvas, rng, 92)
    rooms.rug(canvas.pen(), rng, 95, 128, 80)
    couch(canvas.pen(68, 84, 30), rng, vary(rng, CLOTHS[variant % len(CLOTHS)]), 2, 0)
    pen = canvas.pen(152, 98, 36, True)
    any_chair(pen, rng, 0, FRAMES[0], vary(rng, (190, 140, 85)))
    return canvas.finish(rng)
