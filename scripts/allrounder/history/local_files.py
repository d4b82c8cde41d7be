"""Records the state of local files that sources read, so that a change can be reported."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from allrounder.catalogue.synsets import synsets_of
from allrounder.core.files import atomic_write
from allrounder.core.paths import WORK
from allrounder.params.sources import Source

RECORD = WORK / "localfiles.json"
_WATCHED_BY_DVC = Path("data/sample")

States = dict[str, list[int]]
"""Each file's or folder's state, by its path."""


def local_states(sources: Iterable[Source], keys: Iterable[str]) -> States:
    """The state of the files that these sources read. Call it before reading them."""
    return {str(path): _state(path) for path in _paths(sources, list(keys))}


def remember_states(found: States) -> None:
    """Record the state of the files that have been read."""
    RECORD.parent.mkdir(exist_ok=True)
    with atomic_write(RECORD) as file:
        json.dump(found, file)


def changed_files(sources: Iterable[Source], keys: Iterable[str]) -> list[Path]:
    """The files and folders whose state differs from the recorded one."""
    try:
        recorded = dict(json.loads(RECORD.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return []
    now = local_states(sources, keys)
    return [Path(path) for path, state in now.items() if recorded.get(path, state) != state]


def _paths(sources: Iterable[Source], keys: list[str]) -> Iterator[Path]:
    wnids = [wnid for key in keys for wnid in synsets_of(key)]
    for source in sources:
        for path in map(Path, source.watched_paths(wnids)):
            if not path.is_relative_to(_WATCHED_BY_DVC):
                yield path


def _state(path: Path) -> list[int]:
    """Size in bytes and modification time in nanoseconds, as DVC compares; [] for no file."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
