"""Writes tables for people: aligned, coloured on a terminal only, no more than a screen.

Not for programs, which get JSON.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

_COLOURS = {"": "", "bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}
_GAP = "  "
_NARROWEST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """How a column looks; an elastic one is cut short where the screen is too narrow."""

    title: str
    colour: str = ""
    right: bool = False
    elastic: bool = False


@dataclass(frozen=True, slots=True)
class Screen:
    """What there is room for. A height or width of 0 means as much as there is."""

    width: int
    height: int
    colour: bool

    @property
    def rows(self) -> int:
        """Table rows that fit besides the header, a last line and the prompt; 0 means any."""
        return max(1, self.height - 3) if self.height else 0


def screen(out: TextIO | None, everything: bool) -> Screen:
    """The terminal's, or 100 x 24 where there is none; `everything` lifts the height."""
    size = shutil.get_terminal_size((100, 24))
    terminal = out is not None and out.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = 0 if everything and not terminal else size.columns
    return Screen(width, 0 if everything else size.lines, colour)


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    on: Screen,
    last: str = "",
    more: int = 0,
) -> list[str]:
    """The lines of a table; `last` ends it. `more` rows beside those that do not fit are hidden."""
    shown = rows if not on.rows or len(rows) <= on.rows else rows[: on.rows]
    hidden = more + len(rows) - len(shown)
    widths = _widths(columns, shown, on.width)
    titles = [Column(column.title, "dim", column.right) for column in columns]
    lines = [_line(titles, [column.title for column in columns], widths, on)]
    lines += [_line(columns, row, widths, on) for row in shown]
    ends = [f"… {hidden} more; --all shows them"] if hidden else []
    ends += [last] if last else []
    return [*lines, *([_cut("  ".join(ends), on.width)] if ends else [])]


def print_lines(lines: Sequence[str]) -> None:
    """Print lines, also on a terminal that cannot show all letters."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    print(*lines, sep="\n")


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    titles = [column.title for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    elastic = [place for place, column in enumerate(columns) if column.elastic]
    while width and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        widest = max(elastic, key=lambda place: widths[place])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _line(
    columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], on: Screen
) -> str:
    parts = []
    for column, cell, width in zip(columns, cells, widths, strict=True):
        text = _cut(cell, width)
        padded = text.rjust(width) if column.right else text.ljust(width)
        code = _COLOURS[column.colour] if on.colour else ""
        parts.append(
            padded.replace(text, f"\x1b[{code}m{text}\x1b[0m") if code and text else padded
        )
    return _GAP.join(parts).rstrip()


def _cut(text: str, width: int) -> str:
    return text if not width or len(text) <= width else text[: width - 1] + "…"
