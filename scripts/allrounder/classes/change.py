"""Adds a class to params.yaml or removes one, and says what `dvc repro` will fetch then.

The edit changes one line and keeps every other byte. ruamel.yaml finds the line; the edit is one of
text, since YAML libraries rewrite what they read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from allrounder.catalogue.synsets import (
    class_labels,
    class_name,
    find_synset,
    is_subtree,
    overlapping_classes,
    synsets_of,
    wnid_of,
)
from allrounder.classes.search import is_named, resolve
from allrounder.core.dvc_lock import read_yaml
from allrounder.core.errors import UsageError, first_line
from allrounder.core.paths import DATASET, PARAMS
from allrounder.history.lock import only_the_order_changed, pinned_params
from allrounder.params.classes import Classes, class_key, read_classes
from allrounder.params.loading import NOT_LINES, load_params, replace_params
from allrounder.params.schema import Params


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a class in a file's text."""

    first: int  # 0-based lines, from its key's
    last: int  # to its value's
    indent: int
    comment: int | None  # the column of the comment beside it


def added(text: str, key: str, voc: str | None, comment: str) -> str:
    """The text with one more class at the end, formatted like the lines before it.

    Raises UsageError for classes that are not one a line.
    """
    places = list(_places(text).values())
    lines = text.split("\n")
    last = places[-1].last
    end = "\r" if lines[0].endswith("\r") else ""
    line = " " * places[-1].indent + f"{key}: {'null' if voc is None else voc}"
    columns = [place.comment for place in places if place.comment is not None]
    if columns:
        line = f"{line.ljust(max(columns, key=columns.count) - 1)} # {comment}"
    if last == len(lines) - 1:  # the file ends there, without a line break
        lines[last] += end
        end = ""
    return "\n".join([*lines[: last + 1], line + end, *lines[last + 1 :]])


def removed(text: str, key: str) -> str:
    """The text without a class's line. The class must exist and must not be the only one.

    Raises UsageError for classes that are not one a line.
    """
    place = _places(text)[key]
    lines = text.split("\n")
    kept = lines[: place.first] + lines[place.last + 1 :]
    if place.last == len(lines) - 1:
        kept[-1] = kept[-1].removesuffix("\r")
    return "\n".join(kept)


def _places(text: str) -> dict[str, Place]:
    """The place of each class, in the file's order."""
    try:
        classes: Any = YAML().load(text)["classes"]
    except YAMLError as error:
        raise UsageError(f"not valid YAML: {first_line(error)}; correct it") from None
    is_block = isinstance(classes, CommentedMap) and not classes.fa.flow_style()
    if not is_block or set(classes) != set(classes.lc.data or {}):  # some come from an anchor
        raise UsageError(NOT_LINES)
    return {key: _place(classes, key) for key in classes}


def _place(classes: CommentedMap, key: str) -> Place:
    line, column, last, _ = classes.lc.data[key]
    if classes[key] is None:
        last = line  # an empty value's place is the next key's
    beside = (classes.ca.items.get(key) or [None] * 3)[2]
    mark = beside.start_mark if beside and beside.value.startswith("#") else None
    return Place(line, last, column, mark.column if mark and mark.line == last else None)


NO_LABEL = "null"


@dataclass(frozen=True, slots=True)
class Change:
    """A class that was added or removed, and sentences on the consequences."""

    action: str
    key: str
    name: str
    voc: str | None
    class_index: int
    follows: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """One line for the change, and one for each consequence."""
        label = self.voc or "no VOC label"
        what = f"{self.action} {self.key} ({self.name}) as {label}, class {self.class_index}"
        return [what, *(f"- {sentence}" for sentence in self.follows)]


def add(path: Path, query: str, voc: str = "") -> Change:
    """Add the class that a wnid or name means. `voc` is for synsets without a label.

    Raises UsageError when it is unknown, ambiguous or already in the params, or makes them
    invalid.
    """
    before = load_params(path)
    key = resolve(query)
    synset = find_synset(wnid_of(key))
    assert synset is not None
    name = synset.names[0]
    if key in before.classes:
        index = list(before.classes).index(key)
        raise UsageError(f"{path}: {key} ({name}) is already in it, as class {index}")
    if not synsets_of(key):
        raise UsageError(f"none of ILSVRC's classes is a {name}; add {synset.wnid} without +")
    if both := overlapping_classes([*before.classes, key]):
        other = both[0] if both[1] == key else both[1]
        raise UsageError(
            f"{path}: {key} ({name}) shares photos with {other} ({class_name(other)}), which is "
            "there; remove that first"
        )
    label = synset.voc if not voc else None if voc == NO_LABEL else voc
    count = len(synsets_of(key))
    inside = f" ({count} ILSVRC class{'es' * (count != 1)})" if is_subtree(key) else ""
    built = read_classes(pinned_params("split").get("classes"))
    text = _edited(path, added, key, label, name + inside)
    replace_params(path, text, {**before.classes, **read_classes({key: label})})
    after = load_params(path)
    if key in built:
        own = "dvc.lock still pins its photos: dvc repro fetches none of them again"
    else:
        own = f"dvc repro fetches up to {after.quota} photos of it, keeps up to {after.per_class}"
        own += f", evenly from {count} ILSVRC classes" if count > 1 else ""
    follows = _consequences(path, own, before, after)
    listed = sum(one.listed_urls for one in map(find_synset, synsets_of(key)) if one)
    if listed < after.min_per_class:
        least = after.min_per_class
        follows.append(f"ImageNet listed only {listed} photos of it, min_per_class is {least}")
    if label is None and not voc:
        follows.append(f"the catalogue has no VOC label for a {name}; give one with --voc")
    return Change("added", key, name, label, len(before.classes), tuple(follows))


def remove(path: Path, query: str) -> Change:
    """Remove the class that a wnid or name means.

    Raises UsageError when none or several are meant, or when it is the only one.
    """
    before = load_params(path)
    key = _listed(path, before.classes, query)
    if len(before.classes) == 1:
        name = before.classes[key].title
        raise UsageError(f"{path}: {key} ({name}) is the only class; add another first")
    index = list(before.classes).index(key)
    built = read_classes(pinned_params("split").get("classes"))
    value = before.classes[key]
    classes = {one: other for one, other in before.classes.items() if one != key}
    replace_params(path, _edited(path, removed, value.name), classes)
    own = "dvc repro drops its photos" if key in built else "dvc.lock has no photos of it"
    follows = _consequences(path, own, before, load_params(path))
    if later := len(classes) - index:
        follows.append(f"{later} class{'es' * (later != 1)} after it: index one lower")
    return Change("removed", key, value.title, value.voc, index, tuple(follows))


def _edited(path: Path, edit: Callable[..., str], *arguments: Any) -> str:
    """The edited text of a file. An error names the file."""
    try:
        return edit(path.read_bytes().decode("utf-8"), *arguments)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _listed(path: Path, classes: Classes, query: str) -> str:
    """The class key in the params that a query means."""
    if (own := class_key(query.strip())) in classes:
        return own
    name = wnid_of(query.strip())
    found = [
        key
        for key in classes
        if (synset := find_synset(wnid_of(key))) and is_named(synset, name)
        if is_subtree(key) or not is_subtree(query.strip())
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        near = [key for key, value in classes.items() if _is_like(key, value.voc, name)]
        hint = f". Did you mean {near[0]} ({classes[near[0]].title})?" if near else ""
        raise UsageError(f"{path}: no class {query!r}{hint or '; classes.py voc lists them'}")
    raise UsageError(f"{path}: {query!r} means {' and '.join(found)}; give the wnid of one")


def _is_like(key: str, voc: str | None, text: str) -> bool:
    """Whether `text` is part of a class's names or is its VOC label."""
    synset, text = find_synset(wnid_of(key)), text.casefold()
    names = synset.names if synset and text else ()
    return text == voc or any(text in name.casefold() for name in names)


def _consequences(path: Path, own: str, before: Params, after: Params) -> list[str]:
    """What happens to the class (`own`) and to the others. Only the project's own params are built.

    The lock's params are compared as DVC does, without defaults.
    """
    if path.resolve() != PARAMS.resolve():
        return [f"dvc repro reads {PARAMS}: copy {path} there to build it"]
    pinned = pinned_params("download") | pinned_params("clean") | pinned_params("split")
    built = read_classes(pinned.pop("classes", None))
    written = read_yaml(path.read_text(encoding="utf-8"))
    changed = ", ".join(sorted(key for key, value in pinned.items() if written.get(key) != value))
    if not built:
        return [f"dvc.lock holds no dataset: dvc repro builds all {len(after.classes)} classes"]
    if not changed and dict(after.classes) == built:
        if only_the_order_changed(after.classes):
            order = "only the order of the classes differs from dvc.lock, which DVC does not notice"
            return [f"{order}: run dvc repro --force for their new indices"]
        get = "nothing changes" if DATASET.is_dir() else "dvc pull gets the dataset"
        return [f"the params are those of dvc.lock: {get}"]
    stay = "the other classes keep their photos, except pictures that are in both"
    if changed:
        stay = f"all classes follow the edits of {changed}"
    follows = [own, stay]
    if after.split.folders == "label":
        old, new = class_labels(before.classes), class_labels(after.classes)
        renamed = [f"{old[key]} to {new[key]}" for key in old if new.get(key, old[key]) != old[key]]
        follows += [f"its namesake's folder changes from {one}" for one in renamed]
    return follows
