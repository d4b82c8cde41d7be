"""Stage report: writes one page that shows the dataset and how it was built, into reports.

It also writes the data and pictures of DVC's plots.
"""

import argparse
import sys

from allrounder.core.errors import run
from allrounder.core.files import remove_tree, stage_lock
from allrounder.core.paths import DATASET, REPORTS, Stages
from allrounder.params.loading import load_params
from allrounder.report.build import build

STAGES = Stages()


def main() -> None:
    """Parse, build, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    with stage_lock("report"):
        remove_tree(REPORTS)
        REPORTS.mkdir(parents=True)
        build(params, STAGES, DATASET, REPORTS)
    print(f"open {REPORTS / 'index.html'} to see the dataset", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
