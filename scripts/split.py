"""Stage split: divide the clean photos into train, val (and test) folders, in data/dataset.

Also writes the dataset's tables and descriptions, and the counts of all steps: data/metrics.json.
"""

import argparse
import sys

from allrounder.core.errors import run_stage
from allrounder.core.files import remove_tree, stage_lock
from allrounder.core.funnel import funnels
from allrounder.core.paths import DATASET, METRICS, Stages
from allrounder.params.dataset import split_names
from allrounder.params.loading import load_params
from allrounder.split import recipe
from allrounder.split.describe import describe
from allrounder.split.layout import build_dataset, summary_line, write_metrics


def main() -> None:
    """Parse, split, write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    params, stages = load_params(), Stages()
    with stage_lock("split") as folder:
        remove_tree(DATASET)
        DATASET.mkdir(parents=True)
        manifest = build_dataset(params, stages, DATASET, folder / "work")
        splits = split_names(params.split)
        by_class = funnels(params.classes, stages.raw, stages.clean, manifest, splits)
        described = recipe.original_funnels(by_class, stages.urls)
        recipe.write(DATASET, stages, described, manifest)
        describe(params, described, DATASET, manifest)
        write_metrics(METRICS, by_class, params.per_class)
    print(summary_line(manifest), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_stage(main))
