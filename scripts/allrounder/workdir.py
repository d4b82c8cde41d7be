"""The folder where running stages keep things: one a stage, for one run at a time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from allrounder.errors import DataError

WORK = Path(".allrounder")
"""Ignored by git and DVC."""
_PATIENCE = 5.0
"""Seconds that the other processes of a killed run have to notice that it is gone."""


@contextmanager
def locked(stage: str) -> Iterator[Path]:
    """The stage's own work folder, for this run alone.

    Raises DataError that says who holds it: two runs at once, or one that DVC left when it was
    killed.
    """
    folder = WORK / stage
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / "holder"
    try:
        with FileLock(folder / "lock", timeout=0 if _alive(_read(holder)) else _PATIENCE):
            holder.write_text(str(os.getpid()), encoding="utf-8")
            yield folder
            holder.unlink(missing_ok=True)
    except Timeout:
        raise DataError(
            f"another {stage} is running here (process {_read(holder) or 'unknown'}); "
            "wait for it or end it"
        ) from None


def remove(folder: Path) -> None:
    """Remove a folder of a stage's work."""
    shutil.rmtree(folder, ignore_errors=True)


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return ""


def _alive(pid: str) -> bool:
    if os.name == "nt" or not pid.isdigit():
        return bool(pid)  # there, signal 0 is no question
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
