"""Adds a class to params.yaml or removes one, and predicts what `dvc repro` will do then.

The edit changes one line and keeps every other byte. ruamel.yaml finds the line; the edit is one of
text, since YAML libraries rewrite what they read.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from allrounder.core.errors import UsageError
from allrounder.core.files import part_of
from allrounder.core.paths import METRICS, PARAMS
from allrounder.history.lock import pinned_params
from allrounder.params.loading import load_params, read_yaml
from allrounder.params.schema import Params

_TOO_CLEVER = "classes: not written as one `wnid: label` a line; write them so, or edit by hand"


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
        return "\n".join([*lines, line])
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


def replace_checked(path: Path, text: str, classes: Mapping[str, str | None]) -> None:
    """Replace a params file by a text, if the text is valid and has exactly these classes.

    Raises UsageError that says what would be wrong; the file is then left as it is.
    """
    path = path.resolve()
    part = part_of(path)
    try:
        part.write_bytes(text.encode())
        shutil.copymode(path, part)
        if list(load_params(part).classes.items()) != list(classes.items()):
            raise UsageError(_TOO_CLEVER)
        part.replace(path)
    except UsageError as error:
        reason = str(error).replace(str(part), path.name)
        raise UsageError(
            f"{path.name} is unchanged, because the new text would be invalid: {reason}"
        ) from None
    except PermissionError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def _places(text: str) -> dict[str, Place]:
    """The place of each class, in the file's order."""
    try:
        classes: Any = YAML().load(text)["classes"]
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        words = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"not valid YAML 1.2{where}: {words}; correct it first") from None
    if not isinstance(classes, CommentedMap) or classes.fa.flow_style():
        raise UsageError(_TOO_CLEVER)
    if set(classes) != set(classes.lc.data or {}):
        raise UsageError(_TOO_CLEVER)  # some come from an anchor
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
    inside = ""
    if is_subtree(key):
        inside = f" ({_count_classes(len(synsets_of(key)), 'ILSVRC ')})"
    text = _text(path)
    lock = _locked(text)
    with _in_file(path):
        text = added(text, key, label, name + inside)
    replace_checked(path, text, {**before.classes, key: label})
    after = load_params(path)
    follows = _follow(path, before, after, _after_adding(key, after, lock))
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
        raise UsageError(f"{path}: {key} ({class_name(key)}) is the only class; add another first")
    index = list(before.classes).index(key)
    text = _text(path)
    lock = _locked(text)
    with _in_file(path):
        text = removed(text, key)
    replace_checked(path, text, {one: v for one, v in before.classes.items() if one != key})
    after = load_params(path)
    sentences = _after_removing(key, index, after, lock)
    follows = _follow(path, before, after, sentences)
    return Change("removed", key, class_name(key), before.classes[key], index, tuple(follows))


def _listed(path: Path, classes: Mapping[str, str | None], query: str) -> str:
    """The class key in the params that a query means."""
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
        near = [key for key, voc in classes.items() if _is_like(key, voc, name)]
        hint = f". Did you mean {near[0]} ({class_name(near[0])})?" if near else ""
        raise UsageError(f"{path}: no class {query!r}{hint or '; classes.py voc lists them'}")
    raise UsageError(f"{path}: {query!r} means {' and '.join(found)}; give the wnid of one")


def _is_like(key: str, voc: str | None, text: str) -> bool:
    """Whether `text` is part of a class's names or is its VOC label."""
    synset, text = find_synset(wnid_of(key)), text.casefold()
    names = synset.names if synset and text else ()
    return text == voc or any(text in name.casefold() for name in names)


def _follow(path: Path, before: Params, after: Params, sentences: list[str]) -> list[str]:
    """The consequences for the dataset. Only the project's own params are built."""
    if path.resolve() != PARAMS.resolve():
        return [f"dvc repro reads {PARAMS}: copy {path} there to build it"]
    if after.split.folders != "label":
        return sentences
    old, new = class_labels(before.classes), class_labels(after.classes)
    renamed = [f"{old[key]} to {new[key]}" for key in old if new.get(key, old[key]) != old[key]]
    return [*sentences, *(f"its namesake's folder changes from {one}" for one in renamed)]


@contextmanager
def _in_file(path: Path) -> Iterator[None]:
    """Add the file's name to errors about its text."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


@dataclass(frozen=True, slots=True)
class Locked:
    """The params with which dvc.lock was built."""

    classes: tuple[tuple[str, str | None], ...]
    changed: tuple[str, ...]  # keys, classes aside, that the params now have otherwise

    @property
    def keys(self) -> frozenset[str]:
        """The class keys."""
        return frozenset(key for key, _ in self.classes)


def _locked(text: str) -> Locked:
    """Compare a params file's text with dvc.lock as DVC does, without defaults.

    ALLROUNDER_PINS=ignore makes it an empty lock.
    """
    written = read_yaml(text)
    held: dict[str, Any] = {}
    for stage in ("fetch_urls", "download", "clean", "split"):
        held |= pinned_params(stage)
    classes = held.pop("classes", None) or {}
    changed = [key for key, value in held.items() if written.get(key) != value]
    return Locked(tuple(classes.items()), tuple(sorted(changed)))


def _after_adding(key: str, params: Params, lock: Locked) -> list[str]:
    """Sentences on the consequences of a new class."""
    if not lock.classes:
        return [
            f"dvc repro will build {_count_classes(len(params.classes))}: dvc.lock holds none yet"
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


def _after_removing(key: str, index: int, params: Params, lock: Locked) -> list[str]:
    """Sentences on the consequences of removing a class; `index` was its class index."""
    later = len(params.classes) - index
    moved = [f"{_count_classes(later)} after it: index one lower"] if later else []
    if not lock.classes:
        return [f"dvc repro will build {_count_classes(len(params.classes))}", *moved]
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
            f"{_count_classes(count, 'other ')} {keep} bytes (unless they share pictures with it)"
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


def _count_classes(count: int, which: str = "") -> str:
    """`1 class`, `2 classes`. `which` is an adjective with a space behind it."""
    return f"{count} {which}class{'' if count == 1 else 'es'}"
