"""Takes classes from the last run whose list, quota, rules and local files are the same.

A class is cached if dvc.lock pins its very table, so a crawl would take all its results from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from allrounder.core.class_cache import ClassCache, Code, inputs_digest
from allrounder.core.files import file_md5
from allrounder.core.workers import map_classes
from allrounder.download.class_quota import ClassResult

CODE: Code = (
    ("core", "catalogue", "params", "web", "history", "download"),
    ("pillow", "pillow-heif"),  # judge a photo's bytes
)


@dataclass(frozen=True, slots=True)
class CachedClasses:
    """The downloaded classes of the last run. `cache` has the sources and rules in common."""

    cache: ClassCache
    urls: Path
    raw: Path
    pinned: Mapping[str, str] = field(default_factory=dict)  # MD5 by path

    def restore(self, quotas: Mapping[str, int]) -> dict[str, ClassResult]:
        """Link the files of the classes that would become the same; returns their results."""
        md5s = {key: self.pinned.get(f"{self.raw.as_posix()}/{key}.csv") for key in quotas}
        jobs = [(key, quotas[key], md5) for key, md5 in md5s.items() if md5]
        restore = replace(self, pinned={})._restore  # a worker gets no more than it needs
        found = map_classes(restore, jobs)
        return {key: facts for (key, *_), facts in zip(jobs, found, strict=True) if facts}

    def _restore(self, job: tuple[str, int, str]) -> ClassResult | None:
        facts = self.cache.restore(job[0], self._inputs(*job))
        return facts and ClassResult.from_json(facts)

    def store(self, result: ClassResult, quota: int, local_files: Mapping[str, str]) -> None:
        """Cache a class that has been written, unless a later run may give it more photos.

        `local_files` are those that were read for it: see `ClassCache.store`.
        """
        full = result.taken >= quota and not local_files
        if result.unrequested or (result.transient and not full):
            return  # a local file that could not be read is read again
        table, tar = (self.raw / f"{result.key}.{kind}" for kind in ("csv", "tar"))
        inputs = self._inputs(result.key, quota, file_md5(table))
        self.cache.store(result.key, inputs, [table, tar], result.as_json(), local_files)

    def _inputs(self, key: str, quota: int, md5: str) -> str:
        return inputs_digest(f"{quota}", md5, self.urls / f"{key}.csv")
