"""Stage fetch_urls: lists the candidates of every class, in rank order, into data/urls.

Classes that dvc.lock pins with the same sources keep their list; see docs/reproducibility.md.
"""

import sys

from allrounder.core.class_cache import ClassCache
from allrounder.core.errors import run_stage
from allrounder.core.files import remove_other_classes, stage_lock
from allrounder.core.paths import URLS
from allrounder.fetch_urls import listing
from allrounder.fetch_urls.cached_lists import CODE, CachedLists
from allrounder.history.confirm import confirm_output
from allrounder.history.local_files import DOWNLOADED, LISTED, local_states
from allrounder.history.lock import keep_lists, pinned_lists, pins_ignored
from allrounder.params.classes import class_parts
from allrounder.params.loading import load_params
from allrounder.web.lists import ListClient
from allrounder.web.policy import parse_stage_args


def main() -> None:
    """Parse arguments, list candidates, write tables."""
    parse_stage_args(__doc__)
    params = load_params()
    with stage_lock("fetch_urls") as work:  # this protects the cache too
        pinned = pinned_lists(params)
        others = {key: value for key, value in params.classes.items() if key not in pinned}
        files = local_states(params.sources, class_parts(others))
        URLS.mkdir(parents=True, exist_ok=True)
        remove_other_classes(URLS, params.classes)
        sources = (source.model_dump_json() for source in params.sources)
        cache = ClassCache.of_stage(work, params.classes, CODE, *sources)
        cached = CachedLists(cache, params.sources, files, URLS)
        unchanged = {} if pins_ignored() else cached.restore(others)
        if unchanged:
            count = f"{len(unchanged)} of {len(params.classes)}"
            print(f"{count} classes have the same files as in the last run", file=sys.stderr)
        listed: dict[str, listing.Listed] = {}
        if others:
            web = ListClient(params.network, params.sources)
            listed = listing.list_classes(params.sources, others, web, len(pinned), unchanged)
        listing.write_classes(URLS, {**pinned, **listed})
        cached.store(others, listed)
        confirm_output("fetch_urls", URLS)
        keep_lists(URLS, work)
        LISTED.remember(DOWNLOADED.states() | files)


if __name__ == "__main__":
    sys.exit(run_stage(main))
