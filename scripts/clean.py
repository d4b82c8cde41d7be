"""Stage clean: drops what is corrupt, a placeholder, a copy or in two classes; into data/clean.

What is kept is upright RGB JPEG without metadata; README lists the reasons.
"""

import argparse
import gc
import sys

from allrounder.clean.cleaning import check_classes, clean
from allrounder.core.errors import run
from allrounder.core.files import remove_other_classes, remove_tree, stage_lock
from allrounder.core.paths import CLEAN, RAW, URLS, WORK
from allrounder.history.journal import discard_committed
from allrounder.history.lock import locked_output
from allrounder.params.loading import load_params


def main() -> None:
    """Parse, clean, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    CLEAN.mkdir(parents=True, exist_ok=True)
    discard_committed(WORK / "download", locked_output("download"))
    with stage_lock("clean") as folder:
        work = folder / "work"
        work.mkdir(exist_ok=True)
        try:
            rows = clean(params, URLS, RAW, CLEAN, work)
        finally:
            remove_tree(work)
    remove_other_classes(CLEAN, params.classes)
    for warning in check_classes(rows, params, URLS, RAW):
        print(warning, file=sys.stderr)


if __name__ == "__main__":
    gc.freeze()  # what was imported is no garbage: it need not be looked through again and again
    gc.set_threshold(50_000)
    sys.exit(run(main))
