"""Stage download: takes each class's first good photos, in rank order, into data/raw.

What dvc.lock pins and what a run that was cut off left is not asked again; see README, 'Pins'.
"""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from allrounder import offline, pins, workdir
from allrounder.classfiles import clear_others
from allrounder.download import workers
from allrounder.download.crawl import Crawl, Folders, Share
from allrounder.download.rawreport import check, print_table, rules_key
from allrounder.download.spool import Spool
from allrounder.errors import run
from allrounder.paramsfile import load

URLS, RAW = Path("data/urls"), Path("data/raw")


def main() -> None:
    """Parse, download, write."""
    offline.parse_args(__doc__)
    params = load()
    RAW.mkdir(parents=True, exist_ok=True)
    with workdir.locked("download") as work:
        pinned = pins.locked_output("download")
        spool = Spool(work, rules_key(params), pins.ignored(), pinned)

        def make(number: int, wnids: Sequence[str], share: Share) -> Crawl:
            own = spool.of_process(number) if number else spool
            return Crawl(params, wnids, share, Folders(URLS, RAW, work), own)

        try:
            results, traffic = workers.crawl(params, make)
            clear_others(RAW, params.classes)
            print_table(results, traffic)
            check(results, params, traffic)
            spool.complete()
        finally:
            spool.close()


if __name__ == "__main__":
    gc.freeze()  # what was imported is no garbage: it need not be looked through again and again
    gc.set_threshold(50_000)
    sys.exit(run(main))
