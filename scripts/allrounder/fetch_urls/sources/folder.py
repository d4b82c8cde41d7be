"""Source `folder`: local files, `<location>/<wnid>/*`, ranked by name.

The embedded default; also an unpacked ILSVRC train folder. Deeper folders are not read.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate
from allrounder.core.urls import parse_slice
from allrounder.params.sources import FolderSource
from allrounder.web.lists import ListClient


def candidates(
    source: FolderSource, wnids: Sequence[str], web: ListClient
) -> Iterator[tuple[str, Candidate]]:
    """Yield the files of each class's folder; the URL is `<location>/<wnid>/<file>`.

    Files whose names start with a dot are skipped; folders are skipped with a warning.
    Raises DataError when the location is no folder or a name is not UTF-8.
    """
    if not Path(source.location).is_dir():
        raise DataError(f"{source.name}: no such folder; correct its location")
    for wnid in wnids:
        if Path(source.location, wnid).is_dir():
            for candidate in files(f"{source.location.rstrip('/')}/{wnid}", "folder"):
                yield wnid, candidate


def files(folder: str, kind: str) -> Iterator[Candidate]:
    """Yield the files of one folder by name, for a source of some kind.

    Raises DataError for a name that is not UTF-8 or that reads like a slice of a file.
    """
    entries = [entry for entry in Path(folder).iterdir() if not entry.name.startswith(".")]
    if deeper := sum(entry.is_dir() for entry in entries):
        print(f"warning: source {kind} {folder}: {deeper} folders skipped", file=sys.stderr)
    # A broken link is listed too: the download reports it in its row.
    for name in sorted(entry.name for entry in entries if not entry.is_dir()):
        url = f"{folder}/{name}"
        if not name.isprintable() or parse_slice(url):
            raise DataError(f"source {kind} {folder}: rename {name!r}, which is not usable")
        yield Candidate(Path(name).stem, url)
