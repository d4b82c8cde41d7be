"""Whether the web may be asked: ALLROUNDER_OFFLINE=1, or --offline, builds from what is here.

Not for what is here: that is webcache.py (listings), pins.py and spool.py (photos).
"""

import os
import sys

from allrounder.errors import DataError, UsageError

SWITCH = "ALLROUNDER_OFFLINE"


def offline() -> bool:
    """Whether nothing of the web may be asked. Raises UsageError for a value that says neither."""
    value = os.environ.get(SWITCH, "")
    if value not in ("", "0", "1"):
        raise UsageError(f"environment: {SWITCH}: {value!r} is neither 0 nor 1; correct it")
    return value == "1"


def parse_args(description: str | None) -> None:
    """Read a stage's command line: --offline, which its other processes see too."""
    if len(sys.argv) > 1:
        _parse(description)
    offline()


def _parse(description: str | None) -> None:
    import argparse  # slow to import, and DVC gives no arguments

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--offline",
        action="store_true",
        help=f"ask nothing of the web, build from what is here; {SWITCH}=1 does the same",
    )
    if parser.parse_args().offline:
        os.environ[SWITCH] = "1"


def not_here(what: str, url: str) -> DataError:
    """What to say of a listing that would have to be asked of the web."""
    return DataError(
        f"offline: {what}: {url} is not in .allrounder/cache; run once without {SWITCH}"
    )
