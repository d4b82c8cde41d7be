"""Stage download: takes each class's first good photos, in rank order, into data/raw.

Classes that clean would leave short get more, if there are candidates. What dvc.lock pins, or a
killed run left, is not requested again.
"""

import sys

from allrounder.clean.preview import Preview
from allrounder.core.class_cache import ClassCache
from allrounder.core.corrections import load_corrections, load_takedowns
from allrounder.core.errors import run_stage
from allrounder.core.files import remove_other_classes, stage_lock
from allrounder.core.paths import DECODED, RAW, URLS
from allrounder.download.cached_classes import CODE, CachedClasses
from allrounder.download.crawl import Folders
from allrounder.download.rounds import Rounds, rules_key
from allrounder.history.journal import Journal, discard_committed
from allrounder.history.local_files import DOWNLOADED, LISTED
from allrounder.history.lock import (
    locked_output,
    pinned_files,
    pins_confirmed,
    pins_ignored,
)
from allrounder.params.loading import load_params
from allrounder.web.policy import parse_stage_args


def main() -> None:
    """Parse, download, write."""
    parse_stage_args(__doc__)
    params, taken_down = load_params(), load_takedowns()
    corrections = load_corrections(params.classes)
    RAW.mkdir(parents=True, exist_ok=True)
    with stage_lock("download") as work:
        discard_committed(work)
        remove_other_classes(RAW, params.classes)
        key = rules_key(params, taken_down)
        journal = Journal(work, key, pins_ignored(), locked_output("download"), pins_confirmed())
        preview = Preview(params, corrections, URLS, RAW, DECODED)
        cached = None
        sources = (source.model_dump_json() for source in params.sources)
        if cache := ClassCache.of_photos(work, params.classes, CODE, key, *sources):
            cached = CachedClasses(cache, URLS, RAW, pinned_files("download"))
        rounds = Rounds(params, Folders(URLS, RAW, work), journal, taken_down, cached)
        rounds.run(preview.larger_quotas)
        DOWNLOADED.remember(LISTED.states())


if __name__ == "__main__":
    sys.exit(run_stage(main))
