"""Source `folder`: local files, `<location>/<wnid>/*`, ranked by name.

The embedded default; also an unpacked ILSVRC train folder. Deeper folders are not read.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from allrounder.core.errors import DataError
from allrounder.core.paths import is_clutter
from allrounder.core.rows import Candidate
from allrounder.core.urls import parse_slice
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import FolderSource
from allrounder.web.lists import ListClient


def candidates(
    source: FolderSource, wnids: Sequence[str], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the files of each class's folder; the URL is `<location>/<wnid>/<file>`.

    Files whose names start with a dot, and what file managers and editors leave, are skipped;
    folders are passed over.
    Raises DataError when the location is no folder or a name is not UTF-8.
    """
    if not Path(source.location).is_dir():
        raise DataError(f"{source.name}: no such folder; correct its location")
    for wnid in wnids:
        if Path(source.location, wnid).is_dir():
            for candidate in files(f"{source.location.rstrip('/')}/{wnid}", tally):
                yield wnid, candidate


def files(folder: str, tally: Tally) -> Iterator[Candidate]:
    """Yield the files of one folder by name.

    Raises DataError for a name that is not UTF-8 or that reads like a slice of a file.
    """
    for entry in sorted(Path(folder).iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith(".") or is_clutter(entry.name):
            continue
        name, url = entry.name, f"{folder}/{entry.name}"
        tally.read += 1
        if entry.is_dir():  # a broken link is listed: the download reports it in its row
            tally.pass_over("a folder in a class's folder", url)
        elif any(map(_breaks_text, name)) or parse_slice(url):
            raise DataError(f"{tally.what}: rename {name!r} in {folder}, which is not usable")
        else:
            yield Candidate(Path(name).stem, url)


def _breaks_text(letter: str) -> bool:
    """Whether a letter is a control character, a line break or a byte that is not UTF-8.

    Spaces of any kind are fine: macOS puts one before "PM" in the names of screenshots.
    """
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
