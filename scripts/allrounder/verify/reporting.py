"""Prints what a check found: aligned tables and lists for people, one JSON object for programs.

Not for deciding what is wrong: that is the verify*.py and versions.py.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence


def shown(text: str) -> str:
    """Text that may come from anywhere, safe for a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def table(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Lines of aligned columns: the first to the left, the others, which are numbers, right."""
    cells = [[shown(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        right = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *right]).rstrip()


def say(lines: Iterable[str]) -> None:
    """Print lines on stdout."""
    for line in lines:
        print(line)
    sys.stdout.flush()


def say_json(value: object) -> None:
    """Print one JSON object on stdout."""
    say([json.dumps(value, indent=2)])
