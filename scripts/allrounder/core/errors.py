"""Exit codes, the two kinds of expected errors, and how a script reports them.

A problem of a single photo is a `Status`, never an exception.
"""

import errno
import gc
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from allrounder.core.text import printable

DONE, NOT_GOOD_ENOUGH, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """The params or the command line are wrong. The message says what, where and what to do."""


class DataError(Exception):
    """The params are fine, but the data is not good enough: a dead source, a short class."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in plain words, and the one command that mends it, or shows where to look."""

    words: str
    command: str

    def __str__(self) -> str:
        return f"{self.words}: {self.command}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


_ADVICE = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "give yourself access"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "a folder must be here: move the file away"),
    errno.EISDIR: "a file must be here: move the folder away",
}
"""What to do about a file or folder that the system refuses, by its error code."""


def run(main: Callable[[], None]) -> int:
    """Run a script's main function; returns its exit code and prints one line for a known error.

    Letters that the console cannot show are replaced.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        main()
    except UsageError as error:
        return _say(error, BAD_USAGE)
    except DataError as error:
        return _say(error, NOT_GOOD_ENOUGH)
    except KeyboardInterrupt:
        return _say("interrupted; what was fetched is kept, run it again to go on", INTERRUPTED)
    except MemoryError:
        return _say("not enough memory; give it more, and run it again", NOT_GOOD_ENOUGH)
    except BrokenPipeError:  # the reader of our output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_GOOD_ENOUGH
    except OSError as error:
        if error.filename and (advice := _ADVICE.get(error.errno or 0)):
            return _say(f"{error.filename}: {error.strerror}; {advice}", NOT_GOOD_ENOUGH)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" writing {error.filename}" if error.filename else ""
        return _say(f"disk full{where}; make room and run it again to go on", NOT_GOOD_ENOUGH)
    return DONE


_WAY_BACK = (
    "git checkout HEAD -- params.yaml dvc.lock data/metrics.json "
    "&& (dvc checkout --force || dvc pull --force)"
)
"""Back to the committed version: from DVC's cache, else from its remote (no build was here yet)."""


def run_stage(main: Callable[[], None]) -> int:
    """As `run`; if `dvc repro` runs the stage and it fails, also print the way back."""
    gc.freeze()  # imported modules are never garbage, so the collector can skip them
    gc.set_threshold(50_000)
    code = run(main)
    if code in (NOT_GOOD_ENOUGH, BAD_USAGE) and "DVC_ROOT" in os.environ:
        print(f"to go back to the committed version: {_WAY_BACK}", file=sys.stderr)
    return code


def _say(message: object, code: int) -> int:
    print(f"error: {printable(str(message), ' ').rstrip()}", file=sys.stderr)
    return code
