"""Stage split: parts the clean photos into train, val (and test) folders, in data/dataset.

Beside them the tables and descriptions of it; and data/metrics.json with the counts of every step.
"""

import argparse
import sys
from pathlib import Path

from allrounder import workdir
from allrounder.errors import run
from allrounder.paramsfile import load
from allrounder.split import describe, layout

STAGES = layout.Stages(Path("data/urls"), Path("data/raw"), Path("data/clean"))
DATASET, METRICS = Path("data/dataset"), Path("data/metrics.json")


def main() -> None:
    """Parse, split, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load()
    workdir.remove(DATASET)
    DATASET.mkdir(parents=True)
    with workdir.locked("split") as folder:
        work = folder / "work"
        workdir.remove(work)
        try:
            manifest = layout.build(params, STAGES, DATASET, work)
        finally:
            workdir.remove(work)
    describe.describe(params, STAGES, DATASET, manifest)
    layout.write_metrics(METRICS, params, STAGES, manifest)
    print(layout.told(manifest), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
