"""Finds the classes of a folder or table of photos, and writes a params.yaml for them."""

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from PIL import Image

from allrounder.catalogue.labels import meaning, normalized_label
from allrounder.catalogue.synsets import Synset, find_synset
from allrounder.core.errors import UsageError
from allrounder.core.photos import FORMATS
from allrounder.core.text import OR_WINDOWS_1252, printable, short_list
from allrounder.history.local_files import photo_files
from allrounder.params.classes import class_key, is_wnid, name_fault

_MOST_LABELS = 10_000
_URL_COLUMNS = ("url", "path", "file", "filename", "file_name", "image", "image_path", "image_url")
_LABEL_COLUMNS = ("label", "class", "category", "labels", "class_name", "target", "name")
_MIN_DIVISOR = 2
"""`min_per_class` is the number of photos of the smallest class, divided by this."""


@dataclass(frozen=True, slots=True)
class FoundClass:
    """A class by the name of its folder or its label, and the synset that the name may mean."""

    name: str
    photos: int
    synset: Synset | None


@dataclass(frozen=True, slots=True)
class Found:
    """The classes of a place, and the source that lists them."""

    source: dict[str, object]
    classes: tuple[FoundClass, ...]
    notes: tuple[str, ...] = ()


def find_classes(place: str) -> Found:
    """Find the classes of a folder or table. Raises UsageError for anything else."""
    path = Path(place)
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _table(path)
    raise UsageError(f"{place}: no such folder or table; name a folder of class folders, or a CSV")


def _folder(path: Path) -> Found:
    classes, notes, recursive = [], list[str](), False
    for name in sorted(one.name for one in path.iterdir() if one.is_dir() and one.name[:1] != "."):
        flat = _count(path / name, recursive=False)
        deep = _count(path / name, recursive=True)
        recursive |= deep > flat
        if fault := name_fault(name) if deep else "has no photo":
            notes.append(f"folder {name!r} is left out: {fault}")
        else:
            classes.append(_class(name, deep))
    loose = _count(path, recursive=False)
    if not classes:
        hint = f"its {loose} photos are in no folder" if loose else "it has no folders of photos"
        raise UsageError(f"{path}: {hint}; put each class into a folder of its own: {path}/CLASS/")
    if loose:
        notes.append(f"{loose} photos are in no class's folder: left out")
    deeper = {"recursive": True} if recursive else {}
    return Found({"kind": "folder", "location": str(path), **deeper}, _unique(classes), (*notes,))


def _count(folder: Path, recursive: bool) -> int:
    """The photos of a folder, by their endings. The download goes by their bytes."""
    endings = tuple(end for end, kind in Image.registered_extensions().items() if kind in FORMATS)
    files = photo_files(str(folder), recursive)
    return sum(not reason and name.lower().endswith(endings) for name, reason in files)


def _table(path: Path) -> Found:
    """The classes of a CSV or TSV with a line of names."""
    if (kind := path.suffix.lower()) not in (".csv", ".tsv", ".tab"):
        raise UsageError(
            f"{path}: neither a .csv nor a .tsv; write params.yaml by hand: docs/sources.md"
        )
    with path.open(encoding="utf-8-sig", errors=OR_WINDOWS_1252, newline="") as file:
        rows = csv.DictReader(file, delimiter="," if kind == ".csv" else "\t")
        rows.fieldnames = names = [name.strip() for name in rows.fieldnames or ()]
        known = {name.lower(): name for name in names}
        url = next((known[name] for name in _URL_COLUMNS if name in known), "")
        label = next((known[name] for name in _LABEL_COLUMNS if known.get(name, url) != url), "")
        if not (url and label):
            raise UsageError(
                f"{path}: no columns of URLs or paths and of labels among {short_list(names)}; "
                "rename them url and label, or write params.yaml by hand: docs/sources.md"
            )
        try:
            counts = Counter((row[label] or "").strip() for row in rows if row[url])
        except csv.Error as error:
            raise UsageError(f"{path}, line {rows.line_num}: {error}; correct it") from None
    left_out = [name for name in counts if name_fault(name)]
    classes = [_class(name, counts[name]) for name in sorted(counts.keys() - {*left_out})]
    if not classes or len(counts) > _MOST_LABELS:
        raise UsageError(f"{path}: {len(counts)} labels in column {label!r}: no classes")
    notes = [f"labels that cannot be names: {short_list(left_out)}: left out"] if left_out else []
    source: dict[str, object] = {"kind": "csv", "location": str(path)}
    source |= {key: own for key, own in (("url", url), ("label", label)) if own != key}
    return Found(source, _unique(classes), (*notes,))


def _class(name: str, photos: int) -> FoundClass:
    """A class and what its name means. A number means nothing: `3` is rarely ILSVRC's class 3."""
    wnid = name if is_wnid(name) or name.isdecimal() else meaning(normalized_label(name))
    return FoundClass(name, photos, find_synset(wnid) if wnid else None)


def _unique(classes: list[FoundClass]) -> tuple[FoundClass, ...]:
    """Merge classes with one id, such as `dog`, `Dog` and dog's wnid.

    A synset that two of the names mean is proposed for neither: sources could not tell them apart.
    """
    wnids = {one.name for one in classes if is_wnid(one.name)}
    by_key: dict[str, FoundClass] = {}
    for one in classes:
        meant = one.synset.wnid if one.synset else ""
        name = meant if meant in wnids else one.name
        first = by_key.get(class_key(name), FoundClass(name, 0, one.synset))
        by_key[class_key(name)] = replace(first, photos=first.photos + one.photos)
    meanings = Counter(one.synset for one in by_key.values())
    return tuple(
        replace(one, synset=one.synset if meanings[one.synset] == 1 else None)
        for one in by_key.values()
    )


def params_text(template: str, found: Found, name: str) -> str:
    """The template with the sources, classes and counts of what was found.

    `name` is the dataset's. The template's other sections stay as they are.
    """
    most = max(one.photos for one in found.classes)
    least = max(1, min(one.photos for one in found.classes) // _MIN_DIVISOR)
    keys = [f"  {_yaml(one.name)}: {_value(one)}" for one in found.classes]
    widest = min(60, max(map(len, keys)))
    classes = ["classes:                    # name: Pascal VOC label, or null"]
    for key, one in zip(keys, found.classes, strict=True):
        classes.append(f"{key.ljust(widest)}  # {_comment(one)}")
    sections = {
        "sources": f"sources:\n  - {_yaml(found.source)}",
        "classes": "\n".join(classes),
        "per_class": f"per_class: {most}",
        "min_per_class": f"min_per_class: {least}           # fewer in any class: the build fails",
        "dataset": f"dataset:                    # docs/params.md\n  name: {_yaml(name)}",
    }
    text = template
    for section, lines in sections.items():
        old = re.search(rf"(?ms)^{section}:.*?(?=\n\n|\n[^\s-]|\Z)", text)  # no blank line after it
        text = text[: old.start()] + lines + text[old.end() :] if old else text
    return text


def _value(one: FoundClass) -> str:
    voc = (one.synset and one.synset.voc) or "null"
    if one.synset is None or is_wnid(one.name):
        return voc
    return f"{{voc: {voc}, synset: {one.synset.wnid}}}"


def _comment(one: FoundClass) -> str:
    count = f"{one.photos} photo{'s' * (one.photos != 1)}"
    if one.synset is None:
        return count
    if is_wnid(one.name):
        return f"{count}; {one.synset.names[0]}"
    return f"{count}; ImageNet's {', '.join(one.synset.names[:2])}? If not, remove synset"


def _yaml(value: object) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6
    )
    return text.removesuffix("\n...\n").removesuffix("\n")


def report(found: Found, output: str, is_project: bool) -> list[str]:
    """What was found and what to do next, as lines."""
    lines = [f"{printable(one.name)}: {_comment(one)}" for one in found.classes]
    lines += [f"note: {printable(note)}" for note in found.notes]
    proposed = sum(one.synset is not None for one in found.classes)
    hint = f"; check the synsets that it proposes: {proposed}" if proposed else ""
    photos = sum(one.photos for one in found.classes)
    lines.append(f"{output}: {len(found.classes)} classes, {photos} photos{hint}")
    copy = "" if is_project else f"cp {output} params.yaml && "
    lines.append(
        f"next: check {output}, then run {copy}make repro (or dvc repro), then open "
        "reports/index.html"
    )
    return lines
