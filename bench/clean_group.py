"""Samples the memory of a command with all its children, which measure.py has per process only."""

import contextlib
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY = 0.05  # seconds
_PAGE = os.sysconf("SC_PAGESIZE")


class GroupPeak:
    """While it is entered, sums the resident memory of all this process's descendants.

    Direct children are left out: they are launch.py. Pages that two processes share count twice,
    so that `mb` is an upper bound.
    """

    def __init__(self) -> None:
        self.mb = 0.0
        self.processes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(_EVERY):
            found = [pid for child in _children(os.getpid()) for pid in _below(child)]
            self.mb = max(self.mb, sum(map(_resident, found)) / 2**20)
            self.processes = max(self.processes, len(found))


def _below(pid: int) -> list[int]:
    found = []
    for child in _children(pid):
        found += [child, *_below(child)]
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except OSError:
        return 0
