"""The schema of `classes` in params.yaml: ImageNet's classes and classes of one's own.

A class key names files, folders and rows: the wnid (with + for a subtree), or a slug of the name.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError

from allrounder.catalogue.labels import ClassPart, meaning, normalized_label, usual_labels
from allrounder.catalogue.synsets import (
    NO_LABELS,
    VOC_LABELS,
    class_name,
    did_you_mean_voc,
    did_you_mean_wnid,
    find_synset,
    is_subtree,
    overlapping_classes,
    synsets_of,
    wnid_of,
)
from allrounder.params.section import Section, Wnid

_WNID = re.compile(r"n[0-9]{8}\+?")
_LIKE_WNID = re.compile(r"[nN]?[0-9]{7,9}\+*")
"""A wnid, perhaps with a slip: not the name of a class of one's own."""
_LONGEST_KEY, _DIGEST = 40, 8
_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10))}
"""No file of Windows can have these names, with any ending.

Source: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
"""

VocLabel = Annotated[str, Field(json_schema_extra={"enum": list(VOC_LABELS)})]
Label = Annotated[str, Field(min_length=1, max_length=200)]


class ClassValue(Section):
    """What the params say of a class of your own."""

    voc: VocLabel | None = None
    """the Pascal VOC label that it maps to"""
    synset: Wnid | None = None
    """the ImageNet synset that it is, for sources that have only those"""
    labels: list[Label] = Field([])
    """what sources call it, beside its name: labels of tables, names of folders"""


class NamedClass(ClassValue):
    """A class with all that the params say of it."""

    name: str  # its key in params.yaml

    @property
    def is_own(self) -> bool:
        """Whether it is not named by a wnid."""
        return not _WNID.fullmatch(self.name)


def class_key(name: str) -> str:
    """The key of a class: its wnid, or a slug of its name that every system takes as a file name.

    A name that is too long, or has letters that ASCII lacks, gets a hash at the end.
    """
    if _WNID.fullmatch(name):
        return name
    letters = [c for c in unicodedata.normalize("NFKD", name.casefold()) if c.isalnum()]
    plain = unicodedata.normalize("NFKD", name.casefold())
    slug = re.sub(r"[^a-z0-9]+", "_", re.sub(r"[\u0300-\u036f]", "", plain)).strip("_")
    if len(slug) > _LONGEST_KEY or not all(map(str.isascii, letters)):
        composed = unicodedata.normalize("NFC", name.casefold())
        digest = hashlib.sha256(composed.encode()).hexdigest()[:_DIGEST]
        start = slug[: _LONGEST_KEY - _DIGEST - 1].strip("_") or "class"
        return f"{start}_{digest}"
    return f"{slug}_class" if slug in NO_LABELS | _DEVICES else slug


def is_wnid(name: str) -> bool:
    """Whether a class is named by a wnid, with or without +, that the catalogue has."""
    return bool(_WNID.fullmatch(name) and find_synset(wnid_of(name)))


Classes = Mapping[str, str | NamedClass | None]
"""The classes by key. A class of ImageNet of which only the VOC label is given has just that."""


def voc_of(value: str | NamedClass | None) -> str | None:
    """A class's VOC label."""
    return value.voc if isinstance(value, NamedClass) else value


def name_of(key: str, value: str | NamedClass | None) -> str:
    """A class's name as the params write it."""
    return value.name if isinstance(value, NamedClass) else key


def title_of(key: str, value: str | NamedClass | None) -> str:
    """A class's name for people: its own, or the synset's first one in WordNet."""
    return value.name if isinstance(value, NamedClass) and value.is_own else class_name(key)


def parts_of(key: str, value: str | NamedClass | None) -> list[ClassPart]:
    """What sources list for a class: one part, or one for each ILSVRC synset of a subtree.

    A subtree with labels of its own also has its root, for the photos of these labels.
    """
    if not isinstance(value, NamedClass):
        return [ClassPart(wnid, wnid) for wnid in synsets_of(key)]
    labels = tuple(value.labels)
    if value.is_own:
        return [ClassPart(key, value.synset or "", (value.name, *labels))]
    root = ClassPart(wnid_of(key), wnid_of(key), labels)
    if not is_subtree(key):
        return [root]
    return [root, *(ClassPart(w, w) for w in synsets_of(key) if w != root.wnid)]


def class_parts(classes: Classes) -> list[ClassPart]:
    """What sources list for some classes, each part once."""
    parts = (part for key, value in classes.items() for part in parts_of(key, value))
    return list({part.key: part for part in parts}.values())


def _by_key(classes: dict[str, Any]) -> Classes:
    """The classes by their keys. Raises ValueError for a name that cannot be one, or a second."""
    found: dict[str, str | NamedClass | None] = {}
    for name, value in classes.items():
        if fault := _fault(name):
            raise ValueError(f"classes.{name}: {fault}")
        key = class_key(name)
        if key in found:
            raise ValueError(
                f"classes.{name}: has the same id, {key}, as {name_of(key, found[key])}; rename one"
            )
        is_plain = not isinstance(value, ClassValue)
        if _WNID.fullmatch(name):
            if not is_plain and value.synset not in (None, wnid_of(name)):
                raise ValueError(f"classes.{name}: synset: is {name} itself; remove the line")
            is_plain = is_plain or not value.labels
            voc = value.voc if isinstance(value, ClassValue) else value
        elif is_plain:
            value, is_plain = ClassValue(voc=value), False
        found[key] = voc if is_plain else NamedClass(name=name, **value.model_dump())
    return found


def _fault(name: str) -> str:
    """What is wrong with a class's name, or ''."""
    if _WNID.fullmatch(name):
        return ""
    if _LIKE_WNID.fullmatch(name):
        return f"is no wnid; write e.g. n02109961.{did_you_mean_wnid(name.lower())}"
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= 100:
        return "must be one line of 1 to 100 characters, without spaces around it"
    if not any(map(str.isalnum, name)):
        return "must have a letter or a digit"
    return ""


def _tag(value: Any) -> str:
    return TAGS[isinstance(value, dict | ClassValue)]


TAGS = ("label", "class")
"""What pydantic adds to the place of an error."""
_Value = Annotated[
    Annotated[VocLabel | None, Tag("label")] | Annotated[ClassValue, Tag("class")],
    Discriminator(_tag),
]
if TYPE_CHECKING:  # what the validator makes of it
    ClassesByKey = dict[str, str | NamedClass | None]
else:
    ClassesByKey = Annotated[dict[str, _Value], AfterValidator(_by_key)]
_ANY = TypeAdapter[Classes](ClassesByKey)


def read_classes(written: Mapping[str, Any] | None) -> Classes:
    """The classes of another params file or of dvc.lock, by key; {} for what is not valid today."""
    try:
        return _ANY.validate_python(dict(written or {}))
    except ValidationError:
        return {}


def check_classes(classes: Classes) -> None:
    """Check each class by the catalogue. Raises ValueError that names the class."""
    for key, value in classes.items():
        name, voc = name_of(key, value), voc_of(value)
        is_own = isinstance(value, NamedClass) and value.is_own
        synset = None if is_own else find_synset(wnid_of(key))
        if not is_own and synset is None:
            hint = did_you_mean_wnid(wnid_of(key))
            raise ValueError(f"classes.{name}: ImageNet has no such synset.{hint}")
        if voc is not None and voc not in VOC_LABELS:
            none = voc.lower() in ("", "no", "none", "nil", "false", "n/a", "-")
            hint = " Write null for none." if none else did_you_mean_voc(voc)
            raise ValueError(f"classes.{name}: {voc!r} is not a VOC label.{hint}")
        if synset and not synsets_of(key):
            raise ValueError(
                f"classes.{name}: none of ILSVRC's classes is a {synset.names[0]}; write "
                f"{synset.wnid} without +, or another class"
            )
        for member in filter(None, (find_synset(part.wnid) for part in parts_of(key, value))):
            if voc is not None and member.voc is not None and voc != member.voc:
                raise ValueError(
                    f"classes.{name}: {member.names[0]} is no {voc!r}. Did you mean "
                    f"{member.voc}? (null: no VOC label)"
                )


def check_overlaps(classes: Classes) -> None:
    """Check that no two classes share photos or labels. Raises ValueError that names both."""
    # By wnid, with + for a subtree: the classes that are synsets.
    names = {
        key: name_of(key, value)
        for key, value in classes.items()
        if not isinstance(value, NamedClass) or not value.is_own
    }
    for value in classes.values():
        if isinstance(value, NamedClass) and value.is_own and value.synset:
            if value.synset in names:
                raise ValueError(
                    f"classes.{value.name}: synset: {value.synset} is class "
                    f"{names[value.synset]} too; remove one of them"
                )
            names[value.synset] = value.name
    if both := overlapping_classes(names):
        tree, key = both
        raise ValueError(
            f"classes.{names[key]}: shares photos with {tree}, which contains all below "
            f"{wnid_of(tree)}; remove one of them"
        )
    for name, label, other in _shared_labels(classes):
        raise ValueError(
            f"classes.{name}: {label!r} means {other} too; rename the class or remove the label"
        )


def _shared_labels(classes: Classes) -> Iterator[tuple[str, str, str]]:
    """The labels that two classes have: (class, label, other class). Names of synsets count once
    they mean just that synset."""
    own: dict[str, str] = {}  # the class of each label that the params give
    for key, value in classes.items():
        if isinstance(value, NamedClass):
            first = [value.name, key] if value.is_own else [key]
            for label in dict.fromkeys(map(normalized_label, (*first, *value.labels))):
                if label in own and own[label] != key:
                    yield value.name, label, name_of(own[label], classes[own[label]])
                own[label] = key
    for key, value in classes.items() if own else ():
        for part in parts_of(key, value):
            for label in usual_labels(part.wnid) & own.keys() if part.wnid else ():
                if own[label] != key and meaning(label) == part.wnid:
                    yield name_of(own[label], classes[own[label]]), label, name_of(key, value)
