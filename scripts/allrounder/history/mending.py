"""Mends what DVC leaves half-written when it is killed: it writes some of its files in place."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from allrounder.core.commands import output_of
from allrounder.core.errors import UsageError
from allrounder.core.files import LOCK_COPY
from allrounder.core.paths import LOCK, WORK

_CUT = WORK / "dvc.lock.cut"
_RWLOCK = Path(".dvc/tmp/rwlock")


def mend() -> Iterator[str]:
    """Restore a `dvc.lock` that was cut off, remove such a list of DVC's locks; yields warnings.

    A `dvc.lock` with another fault, as after a merge, is left alone. Raises UsageError for one that
    git has and no build here has changed.
    """
    cut = cut_off_files()
    if LOCK in cut:
        restored = LOCK_COPY.exists()
        if not restored and output_of("git", "ls-files", "--", str(LOCK)):
            raise UsageError(f"{LOCK} is cut off: its last line does not end; git checkout {LOCK}")
        WORK.mkdir(exist_ok=True)
        shutil.copyfile(LOCK, _CUT)
        if restored:
            LOCK_COPY.replace(LOCK)
        else:
            LOCK.unlink()
        done = "restored as it was before that stage" if restored else "removed"
        why = f"a kill while DVC wrote it, or an edit; {_CUT} has the cut one"
        yield f"warning: {LOCK} was cut off: {done} ({why})"
    if _RWLOCK in cut:
        _RWLOCK.unlink()
        yield f"warning: {_RWLOCK} was cut off, by a kill while DVC wrote it: removed"


def cut_off_files() -> list[Path]:
    """Those of DVC's files that are only the beginning of one. It ends dvc.lock by a line feed."""
    cut = [LOCK] if LOCK.is_file() and not LOCK.read_bytes().endswith(b"\n") else []
    try:
        json.loads(_RWLOCK.read_bytes() if _RWLOCK.exists() else b"{}")
    except ValueError:
        cut.append(_RWLOCK)
    return cut
