"""Stage clean: drops what is corrupt, a placeholder, a copy or in two classes; into data/clean.

What is kept is upright RGB JPEG without metadata; README lists the reasons.
"""

import argparse
import gc
import sys
from pathlib import Path

from allrounder import pins, workdir
from allrounder.classfiles import clear_others
from allrounder.clean import cleaning, cleanreport
from allrounder.download import spool
from allrounder.errors import run
from allrounder.paramsfile import load

URLS, RAW, CLEAN = Path("data/urls"), Path("data/raw"), Path("data/clean")


def main() -> None:
    """Parse, clean, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load()
    CLEAN.mkdir(parents=True, exist_ok=True)
    spool.sweep(workdir.WORK / "download", pins.locked_output("download"))
    with workdir.locked("clean") as folder:
        work = folder / "work"
        work.mkdir(exist_ok=True)
        try:
            rows = cleaning.clean(params, URLS, RAW, CLEAN, work)
        finally:
            workdir.remove(work)
    clear_others(CLEAN, params.classes)
    for warning in cleanreport.check(rows, params, URLS, RAW):
        print(warning, file=sys.stderr)


if __name__ == "__main__":
    gc.freeze()  # what was imported is no garbage: it need not be looked through again and again
    gc.set_threshold(50_000)
    sys.exit(run(main))
