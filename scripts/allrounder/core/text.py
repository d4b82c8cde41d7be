"""Text for people: one printable line, aligned tables."""

from collections.abc import Iterator, Sequence

PROJECT = "imagenet-all-rounder"
"""The project's name: in the User-Agent, the report and the dataset card."""
MAX_TEXT = 1_000
"""Characters of a licence, an author or the like at most: what is longer is none."""


def one_line(text: str) -> str:
    """A stranger's text as one printable line that is not too long."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT]


def printable(text: str) -> str:
    """Text that may come from anywhere, safe for a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def text_table(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Lines of aligned columns: the first to the left, the others, which are numbers, right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        right = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *right]).rstrip()
