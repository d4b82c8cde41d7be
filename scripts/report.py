"""Stage report: one page that shows the dataset and how it came to be; into reports.

Beside it the data and pictures of DVC's plots. See README, 'The report'.
"""

import argparse
import sys
from pathlib import Path

from allrounder import workdir
from allrounder.errors import run
from allrounder.paramsfile import load
from allrounder.report.build import build
from allrounder.split.layout import Stages

STAGES = Stages(Path("data/urls"), Path("data/raw"), Path("data/clean"))
DATASET, REPORTS = Path("data/dataset"), Path("reports")


def main() -> None:
    """Parse, build, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load()
    with workdir.locked("report"):
        workdir.remove(REPORTS)
        REPORTS.mkdir(parents=True)
        build(params, STAGES, DATASET, REPORTS)
    print(f"open {REPORTS / 'index.html'} to see the dataset", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
