"""Stage download: takes each class's first good photos, in rank order, into data/raw.

What dvc.lock pins and what a killed run left is not requested again.
"""

import gc
import sys
from collections.abc import Sequence
from functools import partial

from allrounder.core.corrections import load_takedowns
from allrounder.core.errors import run_stage
from allrounder.core.files import remove_other_classes, stage_lock
from allrounder.core.paths import RAW, URLS
from allrounder.download import summary
from allrounder.download.crawl import Crawl, Folders, Share
from allrounder.download.processes import crawl
from allrounder.history.journal import Journal, discard_committed
from allrounder.history.lock import locked_output, output_is_cached, pins_ignored
from allrounder.params.loading import load_params
from allrounder.web.policy import parse_stage_args


def main() -> None:
    """Parse, download, write."""
    parse_stage_args(__doc__)
    params, taken_down = load_params(), load_takedowns()
    RAW.mkdir(parents=True, exist_ok=True)
    with stage_lock("download") as work:
        pinned = locked_output("download")
        discard_committed(work, pinned, lambda: output_is_cached("download"))
        journal = Journal(work, summary.rules_key(params, taken_down), pins_ignored(), pinned)

        def make(number: int, keys: Sequence[str], share: Share, retry: bool = True) -> Crawl:
            own = journal.of_process(number) if number else journal
            folders = Folders(URLS, RAW, work)
            return Crawl(params, keys, share, folders, own, retry, taken_down)

        killed = False
        try:
            results, traffic = crawl(params, make)
            if summary.is_unreached(traffic) and not any(
                result.first_requests for result in results
            ):
                print("warning: nothing could be reached; prior failures stay", file=sys.stderr)
                results, traffic = crawl(params, partial(make, retry=False))
            remove_other_classes(RAW, params.classes)
            summary.print_table(results, traffic)
            summary.print_incomplete(results, params.quota)
            summary.check_results(results, params, traffic)
            journal.complete()
        except KeyboardInterrupt:
            killed = True
            raise
        finally:
            journal.close(killed)


if __name__ == "__main__":
    gc.freeze()  # imported modules are never garbage, so the collector can skip them
    gc.set_threshold(50_000)
    sys.exit(run_stage(main))
