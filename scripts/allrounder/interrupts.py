"""Turns Ctrl-C, SIGTERM and the death of the parent into an orderly end between two steps.

A signal must not break into libcurl's callbacks, where an exception would be lost.
"""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

from allrounder.errors import DataError


class Interrupts:
    """While it is entered, signals are only noted; `check` acts on them."""

    def __init__(self) -> None:
        self._noted = False
        self._parent = os.getppid()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came; DataError if the parent (DVC) was killed."""
        if self._noted:
            raise KeyboardInterrupt
        if os.getppid() != self._parent:
            raise DataError(
                "the program that started this stage was killed; what was fetched is kept, "
                "run dvc repro again to go on"
            )

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True
