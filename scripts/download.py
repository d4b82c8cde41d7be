"""Stage download: takes each class's first good photos, in rank order, into data/raw.

What dvc.lock pins and what a run that was cut off left is not asked again; see README, 'Pins'.
"""

import gc
import sys
from pathlib import Path

from allrounder import pins, spool
from allrounder.classfiles import clear_others
from allrounder.crawl import Crawl
from allrounder.errors import run
from allrounder.paramsfile import load
from allrounder.rawreport import check, print_table, rules_key

URLS, RAW = Path("data/urls"), Path("data/raw")


def main() -> None:
    """Parse, download, write."""
    params = load()
    RAW.mkdir(parents=True, exist_ok=True)
    with spool.locked("download") as folder:
        pinned = pins.locked_output("download")
        kept = spool.Spool(folder, rules_key(params), pins.ignored(), pinned)
        crawl = Crawl(params, URLS, RAW, kept, folder)
        try:
            runs = crawl.run()
            clear_others(RAW, params.classes)
            print_table(runs, crawl.traffic)
            check(runs, params, crawl.traffic)
            kept.complete()
        finally:
            kept.close()


if __name__ == "__main__":
    gc.freeze()  # what was imported is no garbage: it need not be looked through again and again
    sys.exit(run(main))
