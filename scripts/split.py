"""Stage split: divide the clean photos into train, val (and test) folders, in data/dataset.

Also writes the dataset's tables and descriptions, and the counts of all steps: data/metrics.json.
"""

import argparse
import sys

from allrounder.core.errors import run
from allrounder.core.files import remove_tree, stage_lock
from allrounder.core.paths import DATASET, METRICS, Stages
from allrounder.params.loading import load_params
from allrounder.split.describe import describe
from allrounder.split.layout import build_dataset, summary_line, write_metrics


def main() -> None:
    """Parse, split, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params, stages = load_params(), Stages()
    remove_tree(DATASET)
    DATASET.mkdir(parents=True)
    with stage_lock("split") as folder:
        work = folder / "work"
        remove_tree(work)
        try:
            manifest = build_dataset(params, stages, DATASET, work)
        finally:
            remove_tree(work)
    describe(params, stages, DATASET, manifest)
    write_metrics(METRICS, params, stages, manifest)
    print(summary_line(manifest), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
