"""Stage split: parts the clean photos into train, val (and test) folders, in data/dataset.

Beside them manifest.csv, classes.csv; and data/metrics.json with the counts of every step.
"""

import sys
from pathlib import Path

from allrounder import layout, spool
from allrounder.errors import run
from allrounder.paramsfile import load

STAGES = layout.Stages(Path("data/urls"), Path("data/raw"), Path("data/clean"))
DATASET, METRICS = Path("data/dataset"), Path("data/metrics.json")


def main() -> None:
    """Parse, split, write."""
    params = load()
    spool.remove(DATASET)
    DATASET.mkdir(parents=True)
    with spool.locked("split") as folder:
        work = folder / "work"
        spool.remove(work)
        try:
            manifest = layout.build(params, STAGES, DATASET, work)
        finally:
            spool.remove(work)
    layout.write_metrics(METRICS, params, STAGES, manifest)


if __name__ == "__main__":
    sys.exit(run(main))
