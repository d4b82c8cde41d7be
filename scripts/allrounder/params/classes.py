"""The schema of `classes` in params.yaml: ImageNet's classes, and classes of your own.

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
"""A wnid, perhaps misspelt: it cannot be the name of a class of your own."""
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
    """A class of the params. `synset` of one that a wnid names is that wnid, without +."""

    name: str  # its key in params.yaml

    @property
    def is_own(self) -> bool:
        """Whether it is not named by a wnid."""
        return not _WNID.fullmatch(self.name)

    @property
    def title(self) -> str:
        """The class's name for people: its own, or the synset's first one in WordNet."""
        return self.name if self.is_own else class_name(self.name)

    @property
    def parts(self) -> list[ClassPart]:
        """The parts that sources list: the class, or each ILSVRC synset of a subtree.

        A subtree with labels of its own also has its root, for the photos with these labels.
        """
        wnid, labels = self.synset or "", tuple(self.labels)
        if self.is_own:
            return [ClassPart(class_key(self.name), wnid, (self.name, *labels))]
        root = ClassPart(wnid, wnid, labels)
        if not is_subtree(self.name):
            return [root]
        members = [ClassPart(member, member) for member in synsets_of(self.name)]
        return [root, *(part for part in members if part.wnid != wnid)] if labels else members


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


Classes = Mapping[str, NamedClass]
"""The classes by key."""


def class_parts(classes: Classes) -> list[ClassPart]:
    """The parts of some classes, each once."""
    return list({part.key: part for one in classes.values() for part in one.parts}.values())


def _by_key(classes: dict[str, Any]) -> Classes:
    """The classes by their keys. Raises ValueError for an invalid name, and for a repeated key."""
    by_key: dict[str, NamedClass] = {}
    for name, written in classes.items():
        # Wnids are unchecked, as in a dvc.lock: `check_classes` does that.
        if not _WNID.fullmatch(name) and (fault := name_fault(name)):
            raise ValueError(f"classes.{name}: {fault}")
        key = class_key(name)
        if key in by_key:
            raise ValueError(
                f"classes.{name}: has the same id, {key}, as {by_key[key].name}; rename one"
            )
        value = written if isinstance(written, ClassValue) else ClassValue(voc=written)
        synset = value.synset
        if _WNID.fullmatch(name):
            if synset not in (None, wnid_of(name)):
                raise ValueError(f"classes.{name}: synset: is {name} itself; remove the line")
            synset = wnid_of(name)
        by_key[key] = NamedClass.model_construct(
            name=name, voc=value.voc, synset=synset, labels=value.labels
        )
    return by_key


def name_fault(name: str) -> str:
    """What is wrong with a class's name, or ''."""
    if _WNID.fullmatch(name):
        if is_wnid(name):
            return ""
        return f"ImageNet has no such synset.{did_you_mean_wnid(wnid_of(name))}"
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
"""The tags that pydantic adds to the place of an error."""
_Value = Annotated[
    Annotated[VocLabel | None, Tag("label")] | Annotated[ClassValue, Tag("class")],
    Discriminator(_tag),
]
if TYPE_CHECKING:  # the type after validation
    ClassesByKey = dict[str, NamedClass]
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
    for key, one in classes.items():
        name, voc = one.name, one.voc
        if fault := name_fault(name):
            raise ValueError(f"classes.{name}: {fault}")
        synset = None if one.is_own else find_synset(wnid_of(key))
        if voc is not None and voc not in VOC_LABELS:
            means_none = voc.lower() in ("", "no", "none", "nil", "false", "n/a", "-")
            hint = " Write null for none." if means_none else did_you_mean_voc(voc)
            raise ValueError(f"classes.{name}: {voc!r} is not a VOC label.{hint}")
        if synset and not synsets_of(key):
            raise ValueError(
                f"classes.{name}: none of ILSVRC's classes is a {synset.names[0]}; write "
                f"{synset.wnid} without +, or another class"
            )
        for member in filter(None, (find_synset(part.wnid) for part in one.parts)):
            if voc is not None and member.voc is not None and voc != member.voc:
                raise ValueError(
                    f"classes.{name}: {member.names[0]} is no {voc!r}. Did you mean "
                    f"{member.voc}? (null: no VOC label)"
                )


def check_overlaps(classes: Classes) -> None:
    """Check that no two classes share photos or labels. Raises ValueError that names both."""
    # The classes that are synsets, by wnid (with + for a subtree).
    names = {key: one.name for key, one in classes.items() if not one.is_own}
    for one in classes.values():
        if one.is_own and one.synset:
            if one.synset in names:
                raise ValueError(
                    f"classes.{one.name}: synset: {one.synset} is class "
                    f"{names[one.synset]} too; remove one of them"
                )
            names[one.synset] = one.name
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
    """The labels that two classes have: (class, label, other class).

    A synset's name counts only if it means no other synset.
    """
    owners: dict[str, NamedClass] = {}  # of each label that the params give
    for key, one in classes.items():
        if one.is_own or one.labels:
            names = [one.name, key] if one.is_own else [key]
            for label in dict.fromkeys(map(normalized_label, (*names, *one.labels))):
                if owners.setdefault(label, one) is not one:
                    yield one.name, label, owners[label].name
    for one in classes.values() if owners else ():
        for part in one.parts:
            for label in usual_labels(part.wnid) & owners.keys() if part.wnid else ():
                if owners[label] is not one and meaning(label) == part.wnid:
                    yield owners[label].name, label, one.name
