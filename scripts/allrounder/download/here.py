"""Reads photos that are on this machine already: files, and slices of larger files.

Only where the sources say they are: a list from the web cannot name other files. Not for archives
that are read through (archiverun.py).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from allrounder.download.outcomes import Outcome, Stored, judged
from allrounder.download.photo import Bounds, judge
from allrounder.records import Status
from allrounder.slices import parse
from allrounder.sourceparams import Source, SynsetTarSource, WebdatasetSource
from allrounder.urltext import is_web


class Here:
    """The files of this machine that the sources of a run may list."""

    def __init__(self, sources: Sequence[Source], bounds: Bounds):
        self._roots = [os.path.abspath(root) for source in sources for root in _roots(source)]
        self._bounds = bounds

    def outcome(self, url: str) -> Outcome:
        """What becomes of a photo, by its path or slice."""
        part = parse(url)
        path = part.file if part else url
        if refused := self.refused(path):
            return refused
        try:
            if part:
                stored = Stored(Path(path), part.offset, part.size)
                body = stored.read()
            else:
                body = Path(path).read_bytes()
                stored = Stored(Path(path), 0, len(body))
        except OSError as error:
            return Outcome(Status.CONNECTION_ERROR, f"file: {error.strerror}")
        except ValueError:
            return Outcome(Status.BAD_URL, "no file can be called so")
        if len(body) < stored.size:
            return Outcome(Status.TRUNCATED, "file cut off", bytes=len(body))
        return judged(judge(body, self._bounds), body, "", stored, len(body))

    def refused(self, path: str) -> Outcome | None:
        """What is said of a path that does not lie where a source says, or None."""
        place = Path(os.path.abspath(path))
        if any(place.is_relative_to(root) for root in self._roots):
            return None
        return Outcome(Status.BAD_URL, "no URL, and in no folder of the sources")


def _roots(source: Source) -> list[str]:
    """The files and folders whose contents a source may list."""
    if is_web(source.location):
        return []
    if isinstance(source, WebdatasetSource):
        return source.shards
    if not isinstance(source, SynsetTarSource):
        return [source.location]
    return [str(Path(source.location.partition("{wnid}")[0] + "x").parent)]
