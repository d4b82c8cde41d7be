"""Mends what DVC leaves half-written when it is killed: it writes some of its files in place."""

import json
from collections.abc import Iterator
from pathlib import Path

from allrounder.core.files import LOCK_COPY
from allrounder.core.paths import LOCK

_RWLOCK = Path(".dvc/tmp/rwlock")


def mend() -> Iterator[str]:
    """Restore a `dvc.lock` that was cut off, remove such a list of DVC's locks; yields warnings.

    A `dvc.lock` with another fault, as after a merge, is left alone.
    """
    if LOCK.exists() and not LOCK.read_bytes().endswith(b"\n"):  # as DVC ends each
        if restored := LOCK_COPY.exists():
            LOCK_COPY.replace(LOCK)
        else:
            LOCK.unlink()
        done = "restored as it was before that stage" if restored else "removed"
        yield f"warning: {LOCK} was cut off, by a kill while DVC wrote it: {done}"
    if _RWLOCK.exists() and not _is_json(_RWLOCK):
        _RWLOCK.unlink()
        yield f"warning: {_RWLOCK} was cut off, by a kill while DVC wrote it: removed"


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True
