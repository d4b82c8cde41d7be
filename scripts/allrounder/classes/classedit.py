"""Adds a class to params.yaml or removes one: one line of the file, every other byte kept.

ruamel.yaml tells where the classes and their comments stand; the edit itself is one of text,
since a round trip through any YAML library respells what it reads. Not for choosing a class.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from allrounder.errors import UsageError
from allrounder.paramsfile import load

_TOO_CLEVER = "classes: not written as one `wnid: label` a line; write them so, or edit by hand"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a class stands in a file's text."""

    first: int  # 0-based lines, from its key's
    last: int  # to its value's
    indent: int
    comment: int | None  # the column of the comment beside it


def added(text: str, key: str, voc: str | None, comment: str) -> str:
    """The text with one class more, the last one, in a line that looks like its neighbours.

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
    """The text without a class's line. The class must be there, and not be the only one.

    Raises UsageError for classes that are not one a line.
    """
    place = _places(text)[key]
    lines = text.split("\n")
    kept = lines[: place.first] + lines[place.last + 1 :]
    if place.last == len(lines) - 1:
        kept[-1] = kept[-1].removesuffix("\r")
    return "\n".join(kept)


def replace_checked(path: Path, text: str, classes: Mapping[str, str | None]) -> None:
    """Put a text in a params file's place, if it is good params with just these classes.

    Raises UsageError that says what would be wrong; the file is then left as it is.
    """
    path = path.resolve()
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(text.encode())
        shutil.copymode(path, part)
        if list(load(part).classes.items()) != list(classes.items()):
            raise UsageError(_TOO_CLEVER)
        part.replace(path)
    except UsageError as error:
        told = str(error).replace(str(part), path.name)
        raise UsageError(f"{path.name} is left as it was, for it would be: {told}") from None
    except PermissionError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def _places(text: str) -> dict[str, Place]:
    """Where each class stands, in the file's order."""
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
