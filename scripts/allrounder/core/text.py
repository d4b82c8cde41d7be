"""Text for people: printable lines, aligned tables, printing, hints for misspellings."""

import codecs
import json
import sys
from collections.abc import Iterable, Iterator, Sequence

PROJECT = "imagenet-all-rounder"
"""The project's name: in the User-Agent, the report and the dataset card."""
MAX_TEXT = 1_000
"""Characters of a licence, an author and the like; longer texts are cut."""


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


OR_WINDOWS_1252 = "or-windows-1252"
"""An error handler of decoders: bytes that are not UTF-8 are Windows-1252, with Latin-1 in it."""
codecs.register_error(OR_WINDOWS_1252, _as_windows_1252)


def decode_text(raw: bytes) -> str:
    """Decode a text of unknown encoding: UTF-8, else Windows-1252, which contains Latin-1."""
    return raw.decode("utf-8-sig", OR_WINDOWS_1252)


def printable(text: str, substitute: str = "?") -> str:
    """Replace characters that are not printable, such as terminal control characters."""
    return "".join(character if character.isprintable() else substitute for character in text)


def one_line(text: str, most: int = MAX_TEXT) -> str:
    """A text from the web as one printable line of at most `most` characters."""
    return " ".join(printable(text, " ").split())[:most]


_SHORT_LIST = 8  # names


def short_list(names: Sequence[str]) -> str:
    """The first few names, quoted on one line, and how many more there are."""
    shown = ", ".join(repr(name)[:60] for name in names[:_SHORT_LIST]) or "none"
    return shown + f" and {len(names) - _SHORT_LIST} more" * (len(names) > _SHORT_LIST)


def and_more(found: Sequence[object]) -> str:
    """How many more there are than the one that is named; '' if none."""
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


def text_table(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Lines of aligned columns: the first to the left, the others, which are numbers, right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        right = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *right]).rstrip()


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout."""
    for line in lines:
        print(line)
    sys.stdout.flush()


def print_json(value: object) -> None:
    """Print a JSON value on stdout."""
    print_lines([json.dumps(value, indent=2)])


def closest(text: str, choices: Iterable[str]) -> str:
    """The choice that a misspelt text probably means, or ''."""
    import difflib  # slow to import, and only mistakes need it

    return next(iter(difflib.get_close_matches(text, list(choices), n=1)), "")


def did_you_mean(text: str, choices: Iterable[str]) -> str:
    """' Did you mean ...?' with the closest choice, or ''."""
    choice = closest(text, choices)
    return f" Did you mean {choice}?" if choice else ""
