"""Takes the lists of classes whose local folders have not changed from the last run.

Only where all sources are folders: in other lists, nothing shows that a single class is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from allrounder.core.class_cache import ClassCache, Code, inputs_digest
from allrounder.fetch_urls.listing import Listed
from allrounder.history.local_files import States, folder_state_name
from allrounder.params.classes import Classes, NamedClass
from allrounder.params.sources import FolderSource, Source

CODE: Code = ("core", "catalogue", "params", "history", "fetch_urls"), ()


@dataclass(frozen=True, slots=True)
class CachedLists:
    """The lists of the last run. `states` are those of the sources' folders now."""

    cache: ClassCache
    sources: Sequence[Source]
    states: States
    out: Path

    def restore(self, classes: Classes) -> dict[str, list[int]]:
        """Link the lists that would become the same; returns which sources list their classes."""
        found = {}
        for key, one in classes.items():
            inputs = self._inputs(key, one)
            if inputs and (sources := self.cache.restore(key, inputs)) is not None:
                found[key] = sources
        return found

    def store(self, classes: Classes, lists: Mapping[str, Listed]) -> None:
        """Cache the lists of classes, which have been written."""
        for key, listed in lists.items():
            if inputs := self._inputs(key, classes[key]):
                files = [self.out / f"{key}.csv"]
                self.cache.store(key, inputs, files, listed.used_sources)

    def _inputs(self, key: str, one: NamedClass) -> str:
        """A hash of all that decides a class's list; '' if that is not known."""
        names = [
            folder_state_name(source, part.key)
            for source in self.sources
            for part in one.parts
            if isinstance(source, FolderSource)
        ]
        states = [self.states.get(name, "") for name in names]
        if len(states) < len(self.sources) * len(one.parts) or not all(states):
            return ""
        return inputs_digest(key, repr(one.parts), *states)
