"""Remembers the files of this machine that sources read, so that a change of one can be said.

DVC does not watch them: where they are stands in params.yaml. A help only: what is remembered is
of this clone's last listing of all classes. Not for data/sample, which DVC does watch.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from allrounder.csvfiles import replaced
from allrounder.sourceparams import Source
from allrounder.subtrees import synsets_of
from allrounder.urltext import is_web
from allrounder.workdir import WORK

RECORD = WORK / "localfiles.json"
_WATCHED = Path("data/sample")  # by dvc.yaml


States = dict[str, list[int]]
"""Each file's or folder's state, by its path."""


def states(sources: Iterable[Source], keys: Iterable[str]) -> States:
    """The state of the files that these sources read: to be asked for before they are read."""
    return {str(path): _state(path) for path in _paths(sources, list(keys))}


def remember(found: States) -> None:
    """Note the state of the files that have been read."""
    RECORD.parent.mkdir(exist_ok=True)
    with replaced(RECORD) as file:
        json.dump(found, file)


def changed(sources: Iterable[Source], keys: Iterable[str]) -> list[Path]:
    """The files, or folders of photos, that are not as they were remembered."""
    try:
        known = dict(json.loads(RECORD.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return []
    now = states(sources, keys)
    return [Path(path) for path, state in now.items() if known.get(path, state) != state]


def _paths(sources: Iterable[Source], keys: list[str]) -> Iterator[Path]:
    for source in sources:
        if source.kind == "webdataset":
            places = source.shards
        elif source.kind == "folder":
            wnids = [wnid for key in keys for wnid in synsets_of(key)]
            places = [f"{source.location}/{wnid}" for wnid in wnids]
        else:
            places = [source.location]
        for path in (Path(place) for place in places if not is_web(place)):
            if not path.is_relative_to(_WATCHED):
                yield path


def _state(path: Path) -> list[int]:
    """Size in bytes and time of change in nanoseconds, as DVC itself judges; of none, nothing."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
