"""Ends a stage in an orderly way on Ctrl-C, on SIGTERM and when its parent process dies."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from allrounder.core.errors import DataError


class Interrupts:
    """While it is entered, SIGINT and SIGTERM both raise KeyboardInterrupt."""

    def __init__(self, parent: int | None = None) -> None:
        self._received = self._deferring = False
        self._parent = os.getppid() if parent is None else parent
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold signals back until the end of the block."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._received:
            raise KeyboardInterrupt

    def check_parent(self) -> None:
        """Raise DataError if the parent (DVC) was killed."""
        if os.getppid() != self._parent:
            raise DataError(
                "the program that started this stage was killed; what was fetched is kept, "
                "run dvc repro again to go on"
            )

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        if not self._deferring:
            raise KeyboardInterrupt
