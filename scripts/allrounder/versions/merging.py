"""Merges the pins of two versions, so that a build of their merged params uses both.

The lists and the results of a class are files of their own, so each class comes from one parent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allrounder.params.classes import class_key

OUTPUTS = {"fetch_urls": "data/urls", "download": "data/raw"}
"""The stages with pins that the merged build uses, and their outputs."""
_DECIDING = {"fetch_urls": "sources", "download": "download"}
"""The params of a stage that its pins depend on, beside the classes."""


@dataclass(frozen=True, slots=True)
class Pins:
    """What a version pins of a stage: params, and the files of its output (path to MD5)."""

    params: Mapping[str, Any]
    files: Mapping[str, str]

    def of_class(self, name: str) -> dict[str, str]:
        """The files of a class, by its name in params.yaml."""
        key = class_key(name)
        return {
            path: md5
            for path, md5 in self.files.items()
            if path.rpartition("/")[2].partition(".")[0] == key
        }


@dataclass(frozen=True, slots=True)
class MergedPins:
    """The merged pins of a stage, and the classes whose pins are of no use there."""

    pins: Pins
    dropped: tuple[str, ...]


def merged_pins(stage: str, base: Pins, ours: Pins, theirs: Pins) -> MergedPins:
    """Merge the pins of two versions that come from `base`: what one side changed, from that side.

    What both changed is taken from ours. Pins of a side with other deciding params are dropped.
    """
    params = {
        key: _changed(base.params.get(key), ours.params.get(key), theirs.params.get(key))
        for key in {**theirs.params, **ours.params}
    }
    rule = _DECIDING[stage]
    sides = [side for side in (ours, theirs) if side.params.get(rule) == params.get(rule)]
    classes = {**_classes(theirs), **_classes(ours)}
    kept, files = {}, dict[str, str]()
    for key in classes:
        found = [side.of_class(key) for side in sides if key in _classes(side)]
        of_key = _changed(base.of_class(key), found[0], found[-1]) if found else {}
        if of_key:
            kept[key] = classes[key]
            files |= of_key
    dropped = tuple(key for key in classes if key not in kept)
    return MergedPins(Pins({**params, "classes": kept}, files), dropped)


def _classes(side: Pins) -> Mapping[str, Any]:
    return side.params.get("classes") or {}


def _changed(base: Any, ours: Any, theirs: Any) -> Any:
    return theirs if ours == base else ours


def merged_lock(
    stages: Mapping[str, Any], merged: Mapping[str, Pins], outs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The stages of our dvc.lock with merged pins and outputs, both by stage.

    They lose their dependencies there, so that DVC runs them whatever else it finds.
    """
    changed = {}
    for stage, pins in merged.items():
        entry = {key: value for key, value in stages.get(stage, {}).items() if key != "deps"}
        params = {"params": {"params.yaml": dict(pins.params)}, "outs": [dict(outs[stage])]}
        changed[stage] = entry | params
    return {**stages, **changed}


def merge_lines(merged: Mapping[str, MergedPins], other: str) -> Sequence[str]:
    """What was merged, for people."""
    held = merged["download"].pins.params["classes"]
    lists, photos = (", ".join(merged[stage].dropped) for stage in OUTPUTS)
    lines = [f"dvc.lock pins the photos of {len(held)} classes, of HEAD and of {other}"]
    if lists:
        lines.append(f"its sources are of both branches, so lists are read again of: {lists}")
    if photos:
        lines.append(
            f"built with other download params, so photos are requested again of: {photos}"
        )
    return lines
