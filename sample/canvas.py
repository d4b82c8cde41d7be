"""Supersampled canvas and a pen with its own coordinate system, on top of Pillow's ImageDraw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFont

Color = tuple[int, ...]
Point = tuple[float, float]

SS = 3  # supersampling factor


def mix(a: Color, b: Color, t: float) -> Color:
    """Blend two RGB colours; t=0 gives a, t=1 gives b."""
    return tuple(round(a[i] + (b[i] - a[i]) * t) for i in range(3))


def shade(color: Color, factor: float) -> Color:
    """Darken (factor < 1) or lighten (factor > 1) an RGB colour."""
    if factor <= 1:
        return tuple(round(c * factor) for c in color[:3])
    return mix(color, (255, 255, 255), min(1.0, factor - 1))


def vary(rng: Random, color: Color, amount: int = 14) -> Color:
    """Shift every channel of a colour a little."""
    return tuple(max(0, min(255, c + rng.randint(-amount, amount))) for c in color[:3])


def smooth(points: Sequence[Point], steps: int = 8, closed: bool = True) -> list[Point]:
    """Catmull-Rom curve through the points."""
    n = len(points)
    out: list[Point] = []
    for i in range(n if closed else n - 1):
        if closed:
            p = [points[(i + k - 1) % n] for k in range(4)]
        else:
            p = [points[max(0, min(n - 1, i + k - 1))] for k in range(4)]
        for s in range(steps):
            t = s / steps
            w = (
                -0.5 * t**3 + t**2 - 0.5 * t,
                1.5 * t**3 - 2.5 * t**2 + 1,
                -1.5 * t**3 + 2 * t**2 + 0.5 * t,
                0.5 * t**3 - 0.5 * t**2,
            )
            out.append(
                (sum(w[k] * p[k][0] for k in range(4)), sum(w[k] * p[k][1] for k in range(4)))
            )
    if not closed:
        out.append(points[-1])
    return out


def both_sides(points: Sequence[Point]) -> list[Point]:
    """Close a right-hand half outline (top to bottom) with its mirror image."""
    return [*points, *[(-x, y) for x, y in reversed(points) if abs(x) > 1e-6]]


class Canvas:
    """A picture under construction; w and h are the final size in pixels."""

    def __init__(self, w: int, h: int) -> None:
        """Start with a black picture."""
        self.w, self.h = w, h
        self.image = Image.new("RGB", (w * SS, h * SS))
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    @classmethod
    def random(cls, rng: Random, portrait: float = 0.12, square: float = 0.1) -> Canvas:
        """Pick a size between 160x120 and 200x150, sometimes portrait or square."""
        w, h = rng.choice([(160, 120), (176, 132), (184, 130), (192, 144), (200, 150), (200, 134)])
        roll = rng.random()
        if roll < portrait:
            return cls(h, w)
        if roll < portrait + square:
            return cls(150, 150)
        return cls(w, h)

    def pen(
        self, x: float = 0, y: float = 0, size: float = 1, mirror: bool = False, angle: float = 0
    ) -> Pen:
        """Return a pen whose origin is (x, y) and whose unit is size final pixels."""
        return Pen(self, x, y, size, mirror, angle)

    def gradient(self, y0: float, y1: float, rows: Sequence[Sequence[Color]]) -> None:
        """Fill the band y0..y1 with a smooth blend of a small grid of colours."""
        top, bottom = round(y0 * SS), round(y1 * SS)
        if bottom <= top:
            return
        grid = Image.new("RGB", (len(rows[0]), len(rows)))
        grid.putdata([(c[0], c[1], c[2]) for row in rows for c in row])
        band = grid.resize((self.w * SS, bottom - top), Image.Resampling.BICUBIC)
        self.image.paste(band, (0, top))

    def finish(self, rng: Random, light: int = 20, grain: int = 5) -> Image.Image:
        """Scale down and add uneven light and a mild coarse grain."""
        image = self.image.reduce(SS)
        for size, amount in (((4, 3), light), ((self.w // 4, self.h // 4), grain)):
            raw = rng.randbytes(size[0] * size[1])
            data = bytes(128 + (b - 128) * amount // 128 for b in raw)
            layer = Image.frombytes("L", size, data).resize(image.size, Image.Resampling.BICUBIC)
            image = ImageChops.add(image, Image.merge("RGB", (layer,) * 3), 1, -128)
        return image


class Pen:
    """Draws on a canvas in local units: moved, scaled, mirrored and turned."""

    def __init__(
        self, canvas: Canvas, x: float, y: float, size: float, mirror: bool, angle: float
    ) -> None:
        """Remember the transformation; angle is in degrees, clockwise."""
        self.canvas, self.x, self.y, self.size = canvas, x, y, size
        self.sign = -1 if mirror else 1
        self.angle = angle
        self.cos, self.sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def at(self, x: float, y: float) -> Point:
        """Local point to final pixels."""
        px, py = x * self.cos - y * self.sin, x * self.sin + y * self.cos
        return self.x + px * self.size * self.sign, self.y + py * self.size

    def sub(
        self, x: float, y: float, size: float = 1, mirror: bool = False, angle: float = 0
    ) -> Pen:
        """Return a pen inside this pen's coordinate system."""
        ox, oy = self.at(x, y)
        turned = self.angle + angle if not mirror else angle - self.angle
        return Pen(self.canvas, ox, oy, self.size * size, (self.sign < 0) != mirror, turned)

    def _raw(self, points: Iterable[Point]) -> list[Point]:
        return [(px * SS, py * SS) for px, py in (self.at(x, y) for x, y in points)]

    def poly(self, points: Sequence[Point], fill: Color) -> None:
        """Fill a polygon."""
        self.canvas.draw.polygon(self._raw(points), fill=fill)

    def blob(self, points: Sequence[Point], fill: Color) -> None:
        """Fill a smooth closed shape through the points."""
        self.poly(smooth(points), fill)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: Color, radius: float = 0
    ) -> None:
        """Fill a rectangle, with round corners if a radius is given."""
        if radius <= 0:
            self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)
            return
        r = min(radius, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
        points: list[Point] = []
        corners = (
            (x1 - r, y0 + r, -90),
            (x1 - r, y1 - r, 0),
            (x0 + r, y1 - r, 90),
            (x0 + r, y0 + r, 180),
        )
        for cx, cy, start in corners:
            for k in range(7):
                a = math.radians(start + 15 * k)
                points.append((cx + r * math.cos(a), cy + r * math.sin(a)))
        self.poly(points, fill)

    def ellipse(
        self, cx: float, cy: float, rx: float, ry: float, fill: Color, tilt: float = 0
    ) -> None:
        """Fill an ellipse, turned by tilt degrees."""
        c, s = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        points = []
        for k in range(40):
            ex, ey = rx * math.cos(k * math.pi / 20), ry * math.sin(k * math.pi / 20)
            points.append((cx + ex * c - ey * s, cy + ex * s + ey * c))
        self.poly(points, fill)

    def line(self, points: Sequence[Point], fill: Color, width: float) -> None:
        """Draw a polyline with round ends; width is in local units."""
        raw = self._raw(points)
        pixels = max(1, round(width * self.size * SS))
        self.canvas.draw.line(raw, fill=fill, width=pixels, joint="curve")
        if pixels > 3 and len(fill) == 3:
            for px, py in (raw[0], raw[-1]):
                r = pixels / 2 - 0.5
                self.canvas.draw.ellipse((px - r, py - r, px + r, py + r), fill=fill)

    def curve(self, points: Sequence[Point], fill: Color, width: float) -> None:
        """Draw a smooth open line through the points."""
        self.line(smooth(points, closed=False), fill, width)

    def fluff(
        self,
        rng: Random,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        fill: Color,
        spike: float = 0.12,
    ) -> None:
        """Fill an ellipse with a furry, jagged edge."""
        points = []
        count = 56
        for k in range(count):
            r = 1 + (spike * rng.uniform(0.4, 1.2) if k % 2 else -spike * rng.uniform(0, 0.5))
            a = 2 * math.pi * k / count
            points.append((cx + rx * r * math.cos(a), cy + ry * r * math.sin(a)))
        self.poly(points, fill)

    def strokes(
        self,
        rng: Random,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        fill: Color,
        count: int,
        length: float,
        width: float = 0.02,
    ) -> None:
        """Draw short outward hairs inside an ellipse."""
        for _ in range(count):
            a, r = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random())
            x, y = cx + rx * r * math.cos(a), cy + ry * r * math.sin(a)
            dx, dy = length * math.cos(a), length * (math.sin(a) + 0.4)
            self.line([(x, y), (x + dx, y + dy)], fill, width)

    def text(self, x: float, y: float, words: str, fill: Color, height: float) -> None:
        """Write horizontal text centred at a local point (never mirrored or turned)."""
        font = ImageFont.load_default(max(6.0, height * self.size * SS))
        px, py = self.at(x, y)
        self.canvas.draw.text((px * SS, py * SS), words, fill=fill, font=font, anchor="mm")
