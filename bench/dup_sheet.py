"""Draws pairs of photos side by side with their names, for the eye to judge."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

_SIDE, _TEXT, _GAP, _COLUMNS = 150, 26, 8, 5


def draw(pairs: Sequence[tuple[str, str]], folder: Path, out: Path) -> None:
    """Write a sheet of pairs of photos of `folder`, numbered from 1, with their names below."""
    width, height = 2 * _SIDE + _GAP, _SIDE + _TEXT + _GAP
    rows = -(-len(pairs) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width, max(rows, 1) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, pair in enumerate(pairs):
        left, top = number % _COLUMNS * width, number // _COLUMNS * height
        for place, name in enumerate(pair):
            with Image.open(folder / name) as image:
                small = ImageOps.contain(image.convert("RGB"), (_SIDE - 2, _SIDE - 2))
            sheet.paste(small, (left + place * _SIDE, top))
            words = f"{number + 1} {name}" if place == 0 else name
            pen.text((left, top + _SIDE + 12 * place), _short(words), fill="black")
        pen.rectangle((left - 3, top - 3, left + width - 5, top + height - 5), outline="grey")
    sheet.save(out)


def _short(text: str) -> str:
    return text if len(text) <= 48 else f"{text[:20]}...{text[-25:]}"
