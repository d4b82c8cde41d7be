"""Predicts what `dvc repro` will do after an edit of the classes, from the params and dvc.lock."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allrounder.catalogue.synsets import find_synset, synsets_of
from allrounder.history.lock import pinned_params
from allrounder.params.loading import read_yaml
from allrounder.params.schema import Params

STAGES = ("fetch_urls", "download", "clean", "split")
METRICS = Path("data/metrics.json")


@dataclass(frozen=True, slots=True)
class Locked:
    """The params with which dvc.lock was built."""

    classes: tuple[tuple[str, str | None], ...]
    changed: tuple[str, ...]  # keys, classes aside, that the params now have otherwise

    @property
    def keys(self) -> frozenset[str]:
        """The class keys."""
        return frozenset(key for key, _ in self.classes)


def locked(text: str) -> Locked:
    """Compare a params file's text with dvc.lock as DVC does, without defaults.

    `pins.lock_params` holds nothing where ALLROUNDER_PINS=ignore says so.
    """
    written = read_yaml(text)
    held: dict[str, Any] = {}
    for stage in STAGES:
        held |= pinned_params(stage)
    classes = held.pop("classes", None) or {}
    changed = [key for key, value in held.items() if written.get(key) != value]
    return Locked(tuple(classes.items()), tuple(sorted(changed)))


def after_adding(key: str, params: Params, lock: Locked) -> list[str]:
    """Sentences on the consequences of a new class."""
    if not lock.classes:
        return [
            f"dvc repro will build {count_classes(len(params.classes))}: dvc.lock holds none yet"
        ]
    if same := _nothing_to_do(params, lock):
        return same
    if fault := _fault(key, params):
        return [fault]
    if key in lock.keys and "sources" not in lock.changed:
        own = "dvc.lock still pins its photos: dvc repro will fetch none of them again"
    else:
        own = _new(key, params)
    return [own, *_others(key, params, lock), *_few(key, params)]


def after_removing(key: str, index: int, params: Params, lock: Locked) -> list[str]:
    """Sentences on the consequences of removing a class; `index` was its class index."""
    later = len(params.classes) - index
    moved = [f"{count_classes(later)} after it: index one lower"] if later else []
    if not lock.classes:
        return [f"dvc repro will build {count_classes(len(params.classes))}", *moved]
    if same := _nothing_to_do(params, lock):
        return [*same, *moved]
    kept = _kept(key)
    its = f"its {kept} photos" if kept else "its photos"
    own = f"dvc repro will drop {its}" if key in lock.keys else "it was never built"
    return [own, *_others(key, params, lock), *moved]


def _new(key: str, params: Params) -> str:
    """Where the photos of a new class come from."""
    wnids = synsets_of(key)
    spread = f", evenly from {len(wnids)} ILSVRC classes" if len(wnids) > 1 else ""
    if not _all_folders(key, params):
        return f"dvc repro will list and fetch about {params.quota} photos of it{spread}"
    there = _there(key, params)
    some = str(there[0]) if len(there) == 1 else f"{len(there)} folders"
    return f"dvc repro will take at most {params.quota} photos of it from {some}{spread}"


def _fault(key: str, params: Params) -> str:
    """Why a build will fail because a class has no photos, as far as local files show; or ''."""
    if not _all_folders(key, params) or _there(key, params):
        return ""
    names, wnid = ", ".join(source.name for source in params.sources), synsets_of(key)[0]
    return f"dvc repro will fail: {names} has no folder {wnid}; add a source that has, or remove it"


def _all_folders(key: str, params: Params) -> bool:
    """Whether all sources are local class folders."""
    return all(source.class_folder(synsets_of(key)[0]) for source in params.sources)


def _there(key: str, params: Params) -> list[Path]:
    """The local folders with a class's photos."""
    paths = [source.class_folder(wnid) for source in params.sources for wnid in synsets_of(key)]
    return [path for path in paths if path and path.is_dir()]


def _others(key: str, params: Params, lock: Locked) -> list[str]:
    others = [other for other in params.classes if other != key]
    new = [other for other in others if other not in lock.keys]
    parts = []
    if lock.changed:
        parts = [f"all classes follow the edits of {', '.join(lock.changed)}"]
    elif count := len(others) - len(new):
        keep = "keeps its" if count == 1 else "keep their"
        parts = [
            f"{count_classes(count, 'other ')} {keep} bytes (unless they share pictures with it)"
        ]
    if new:
        parts.append(f"{len(new)} more to be built: {', '.join(new[:5])}")
    return ["; ".join(parts)] if parts else []


def _nothing_to_do(params: Params, lock: Locked) -> list[str]:
    if lock.changed or dict(params.classes) != dict(lock.classes):
        return []
    if tuple(params.classes.items()) == lock.classes:
        return ["the params are as dvc.lock has them: dvc repro has nothing to do"]
    return [
        "only the order of the classes differs from dvc.lock, which DVC does not notice: "
        "run dvc repro --force for their new indices"
    ]


def _few(key: str, params: Params) -> list[str]:
    """A warning if ImageNet listed fewer photos than min_per_class."""
    listed = sum(synset.listed_urls for wnid in synsets_of(key) if (synset := find_synset(wnid)))
    if listed >= params.min_per_class:
        return []
    return [f"ImageNet listed only {listed} photos of it, min_per_class is {params.min_per_class}"]


def _kept(key: str) -> int:
    """The number of a class's photos in the last build, or 0."""
    try:
        classes = json.loads(METRICS.read_text(encoding="utf-8"))["classes"]
        return int(classes[key]["kept"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def count_classes(count: int, which: str = "") -> str:
    """`1 class`, `2 classes`. `which` is an adjective with a space behind it."""
    return f"{count} {which}class{'' if count == 1 else 'es'}"
