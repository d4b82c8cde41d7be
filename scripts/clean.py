"""Stage clean: drops corrupt photos, placeholders and duplicates; writes data/clean.

Kept photos are upright RGB or grey JPEGs without metadata. docs/cleaning.md lists the reasons.
"""

import argparse
import sys

from allrounder.clean.cleaning import CODE, check_classes, check_decoders, clean
from allrounder.core.class_cache import ClassCache
from allrounder.core.corrections import load_corrections, unmatched_warnings
from allrounder.core.errors import run_stage
from allrounder.core.files import remove_other_classes, stage_lock
from allrounder.core.paths import CLEAN, DECODED, RAW, URLS, WORK
from allrounder.history.journal import discard_committed
from allrounder.history.local_files import COMPARED, test_set_states
from allrounder.params.loading import load_params


def main() -> None:
    """Parse, clean, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    corrections = load_corrections(params.classes)
    for warning in check_decoders():
        print(warning, file=sys.stderr)
    CLEAN.mkdir(parents=True, exist_ok=True)
    discard_committed(WORK / "download")
    with stage_lock("clean") as work:
        DECODED.mkdir(exist_ok=True)
        states = test_set_states(params)
        cache = ClassCache.of_photos(work, params.classes, CODE)
        rows, unmatched = clean(params, URLS, RAW, CLEAN, DECODED, corrections, cache)
    remove_other_classes(CLEAN, params.classes)
    for warning in unmatched_warnings(unmatched):
        print(warning, file=sys.stderr)
    if short := check_classes(rows, params):
        print(short, file=sys.stderr)
    COMPARED.remember(states)


if __name__ == "__main__":
    sys.exit(run_stage(main))
