"""The progress of a stage on stderr: a bar on a terminal, else a line every 30 seconds."""

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

_EVERY = 30.0  # seconds


class _Lines(tqdm):  # type: ignore[type-arg]
    """Prints lines, since a log cannot overwrite them."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """A function that prints a line."""

        def show(text: str) -> None:
            if words := text.replace("\r", "").strip():
                print(words, file=file, flush=True)

        return show


def progress(**options: Any) -> "tqdm[Any]":
    """A tqdm bar with these options. A short run prints no line without a terminal."""
    if sys.stderr.isatty():
        return tqdm(dynamic_ncols=True, **options)
    return _Lines(mininterval=_EVERY, maxinterval=_EVERY, delay=_EVERY, ncols=100, **options)
