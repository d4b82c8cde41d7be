"""Stage split: divides the clean photos into train, val (and test) folders, in data/dataset.

Also writes the dataset's tables and descriptions, and the counts of all steps: data/metrics.json.
"""

import sys

from allrounder.core.class_cache import ClassCache
from allrounder.core.errors import run_stage
from allrounder.core.files import remove_tree, stage_lock
from allrounder.core.paths import DATASET, METRICS, Stages
from allrounder.core.workers import worker_pool
from allrounder.params.loading import load_with_command
from allrounder.params.schema import Dataset
from allrounder.split import recipe
from allrounder.split.layout import (
    build_dataset,
    describe,
    summary_line,
    write_metrics,
    write_recipe,
)
from allrounder.split.one_class import CODE
from allrounder.split.shards import check_layout, write_shards


def main() -> None:
    """Parse, split, write."""
    params, stages = load_with_command(__doc__, Dataset), Stages()
    check_layout(params.split)
    with stage_lock("split") as folder, worker_pool(8) as pool:
        remove_tree(DATASET)
        DATASET.mkdir(parents=True)
        work = folder / "work"
        cache = ClassCache.of_photos(folder, params.classes, CODE)
        tally, funnels = build_dataset(params, stages, DATASET, work, pool.map, cache)
        if params.split.layout != "folders":
            write_shards(params, stages, DATASET, pool.map)
        described = recipe.original_funnels(funnels, stages.urls)
        write_recipe(DATASET, work, described)
        describe(params, described, DATASET, tally)
        write_metrics(METRICS, funnels, params.per_class)
        remove_tree(work)
    print(summary_line(tally.photos), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_stage(main))
