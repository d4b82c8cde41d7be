"""Stage report: builds a page that shows the dataset and how it was made, in reports/.

The data and pictures of DVC's plots are written beside it. See docs/architecture.md.
"""

import sys

from allrounder.core.errors import run_stage
from allrounder.core.files import remove_tree, stage_lock
from allrounder.core.funnel import short_sentence
from allrounder.core.paths import DATASET, REPORTS, THUMBNAILS, Stages
from allrounder.params.loading import load_with_command
from allrounder.params.schema import Dataset, Report
from allrounder.report.build import build


def main() -> None:
    """Parse, build, write."""
    params = load_with_command(__doc__, Dataset, Report)
    with stage_lock("report") as work:
        remove_tree(REPORTS)
        REPORTS.mkdir(parents=True)
        funnels = build(params, Stages(), DATASET, REPORTS, THUMBNAILS, work)
    print(f"open {REPORTS / 'index.html'} to see the dataset", file=sys.stderr)
    if short := short_sentence([one.steps["kept"] for one in funnels.values()], params.per_class):
        print(short, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_stage(main))
