"""Adds a class to the params or removes one, as asked by name, and says what follows from it.

Not for the text of the file (classedit.py) or for what DVC will do (forecast.py).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from allrounder.classes import forecast
from allrounder.classes.classedit import added, removed, replace_checked
from allrounder.classes.search import is_named, resolve
from allrounder.errors import UsageError
from allrounder.params import Params
from allrounder.paramsfile import PARAMS, load
from allrounder.subtrees import class_name, is_subtree, overlap, synsets_of, wnid_of
from allrounder.synsets import find, labels

NO_LABEL = "null"


@dataclass(frozen=True, slots=True)
class Change:
    """A class that was added or removed, and sentences on what follows."""

    action: str
    key: str
    name: str
    voc: str | None
    class_index: int
    follows: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """What happened in one line, and a line for each thing that follows."""
        label = self.voc or "no VOC label"
        what = f"{self.action} {self.key} ({self.name}) as {label}, class {self.class_index}"
        return [what, *(f"- {sentence}" for sentence in self.follows)]


def add(path: Path, query: str, voc: str = "") -> Change:
    """Add the class that a wnid or name means; `voc` where the catalogue has no label for it.

    Raises UsageError when it is unknown, ambiguous, there already, or would make bad params.
    """
    before = load(path)
    key = resolve(query)
    synset = find(wnid_of(key))
    assert synset is not None
    name = synset.names[0]
    if key in before.classes:
        index = list(before.classes).index(key)
        raise UsageError(f"{path}: {key} ({name}) is there already, as class {index}")
    if not synsets_of(key):
        raise UsageError(f"none of ILSVRC's classes is a {name}; add {synset.wnid} without +")
    if both := overlap([*before.classes, key]):
        other = both[0] if both[1] == key else both[1]
        raise UsageError(
            f"{path}: {key} ({name}) shares photos with {other} ({class_name(other)}), which is "
            "there; remove that first"
        )
    label = synset.voc if not voc else None if voc == NO_LABEL else voc
    inside = ""
    if is_subtree(key):
        inside = f" ({forecast.count_classes(len(synsets_of(key)), 'ILSVRC ')})"
    text = _text(path)
    lock = forecast.locked(text)
    with _in_file(path):
        text = added(text, key, label, name + inside)
    replace_checked(path, text, {**before.classes, key: label})
    after = load(path)
    follows = _follow(path, before, after, forecast.after_adding(key, after, lock))
    if label is None and not voc:
        follows.append(f"the catalogue has no VOC label for a {name}; give one with --voc")
    return Change("added", key, name, label, len(before.classes), tuple(follows))


def remove(path: Path, query: str) -> Change:
    """Remove the class of the params that a wnid or name means.

    Raises UsageError when none or several are meant, or when it is the only one.
    """
    before = load(path)
    key = _listed(path, before.classes, query)
    if len(before.classes) == 1:
        raise UsageError(f"{path}: {key} ({class_name(key)}) is the only class; add another first")
    index = list(before.classes).index(key)
    text = _text(path)
    lock = forecast.locked(text)
    with _in_file(path):
        text = removed(text, key)
    replace_checked(path, text, {one: v for one, v in before.classes.items() if one != key})
    after = load(path)
    sentences = forecast.after_removing(key, index, after, lock)
    follows = _follow(path, before, after, sentences)
    return Change("removed", key, class_name(key), before.classes[key], index, tuple(follows))


def _listed(path: Path, classes: Mapping[str, str | None], query: str) -> str:
    """The one class key of the params that a query means."""
    name = wnid_of(query.strip())
    found = [
        key
        for key in classes
        if (synset := find(wnid_of(key))) and is_named(synset, name)
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
    """Whether a class has `text` in one of its names, or as its VOC label."""
    synset, text = find(wnid_of(key)), text.casefold()
    names = synset.names if synset and text else ()
    return text == voc or any(text in name.casefold() for name in names)


def _follow(path: Path, before: Params, after: Params, sentences: list[str]) -> list[str]:
    """What follows for the dataset; only the project's own params have a build that follows."""
    if path.resolve() != PARAMS.resolve():
        return [f"dvc repro reads {PARAMS}: copy {path} there to build it"]
    if after.split.folders != "label":
        return sentences
    old, new = labels(before.classes), labels(after.classes)
    renamed = [f"{old[key]} to {new[key]}" for key in old if new.get(key, old[key]) != old[key]]
    return [*sentences, *(f"its namesake's folder changes from {one}" for one in renamed)]


@contextmanager
def _in_file(path: Path) -> Iterator[None]:
    """Names the file in what is said of its text."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8")
