"""Stage fetch_urls: lists the candidates of every class, in rank order, into data/urls.

Classes that dvc.lock already pins with the same sources keep their list; see README, 'Pins'.
"""

import sys
from pathlib import Path

from allrounder import localfiles, offline, pins, workdir
from allrounder.errors import run
from allrounder.fetch_urls import listing
from allrounder.fetch_urls.web import Web
from allrounder.paramsfile import load

URLS = Path("data/urls")


def main() -> None:
    """Parse, list, write."""
    offline.parse_args(__doc__)
    params = load()
    with workdir.locked("fetch_urls"):  # the cache too is for one run at a time
        pinned = pins.pinned_candidates(params)
        new = [wnid for wnid in params.classes if wnid not in pinned]
        known, files = dict(pinned), localfiles.states(params.sources, params.classes)
        if new:
            web = Web(params.network)
            known |= listing.list_classes(params.sources, new, web, known=len(pinned))
        listing.write_classes(URLS, {wnid: known[wnid] for wnid in params.classes})
        if not pinned:
            localfiles.remember(files)


if __name__ == "__main__":
    sys.exit(run(main))
