"""Stage fetch_urls: lists the candidates of every class, in rank order, into data/urls.

Classes that dvc.lock pins with the same sources keep their list; see docs/reproducibility.md.
"""

import sys
from pathlib import Path

from allrounder.core.errors import run_stage
from allrounder.core.files import stage_lock
from allrounder.core.paths import URLS
from allrounder.fetch_urls import listing
from allrounder.history.confirm import confirm_output
from allrounder.history.local_files import local_states, remember_states
from allrounder.history.lock import keep_lists, pinned_lists
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
        new = {key: value for key, value in params.classes.items() if key not in pinned}
        lists: dict[str, listing.Listed | Path] = {**pinned}
        files = local_states(params.sources, class_parts(new))
        if new:
            web = ListClient(params.network, params.sources)
            lists |= listing.list_classes(params.sources, new, web, pinned=len(pinned))
        listing.write_classes(URLS, {key: lists[key] for key in params.classes})
        confirm_output("fetch_urls", URLS)
        keep_lists(URLS, work)
        remember_states(files)


if __name__ == "__main__":
    sys.exit(run_stage(main))
