"""Merges params.yaml of two branches by its keys, and keeps the lines of both where that agrees."""

import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from allrounder.core.dvc_lock import read_yaml
from allrounder.core.errors import UsageError

_GONE = object()
"""The value of a key that a version has not."""

Union = Callable[[str, str, str], str]
"""Merges texts (base, ours, theirs) by lines; of a conflict it keeps the lines of both."""


def merged_text(base: str, ours: str, theirs: str, union: Union) -> str:
    """The merged params.yaml.

    Raises UsageError that names a key which both changed, and YAMLError or ValueError for no YAML.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10**6
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda it, _: it.represent_scalar(_NULL, "null"))
    before, own, other = (yaml.load(text) or CommentedMap() for text in (base, ours, theirs))
    merged = _merged(before, own, other, "")
    parts = [_parts(text) for text in (base, ours, theirs)]
    lines = "".join(union(*(one.get(key, "") for one in parts)) for key in {**parts[1], **parts[2]})
    written = io.StringIO()
    yaml.dump(merged, written)
    with suppress(YAMLError, ValueError):  # lines of both may be no YAML, or have a key twice
        if read_yaml(lines) == merged:
            return lines
    return written.getvalue()


_NULL = "tag:yaml.org,2002:null"


def _parts(text: str) -> dict[str, str]:
    """The lines of each key of the top level, with the comments below it."""
    parts = re.split(r"^(?=[\w-]+ *:)", text, flags=re.MULTILINE)
    return {part.partition(":")[0] if at else "": part for at, part in enumerate(parts)}


def _merged(base: Any, ours: Any, theirs: Any, place: str) -> Any:
    """The merged value: ours, into which the changes of theirs go."""
    if theirs in (base, ours):
        return ours
    if ours == base:
        return theirs
    if isinstance(ours, CommentedMap) and isinstance(theirs, CommentedMap):
        comments = theirs.ca.items
        before = base if isinstance(base, dict) else {}
        for key in {**ours, **theirs}:
            old, own, other = (one.get(key, _GONE) for one in (before, ours, theirs))
            value = _merged(old, own, other, f"{place}{': ' * bool(place)}{key}")
            if value is _GONE:
                ours.pop(key, None)
            elif value is not own:
                ours[key] = value
                if "#" in str(comment := comments.get(key)):
                    ours.ca.items[key] = comment
        return ours
    lists = all(isinstance(one, list) for one in (base, ours, theirs))
    if lists and all(item in ours or item in theirs for item in base):
        ours[:] = [item for item in ours if item in theirs or item not in base]
        return ours + [item for item in theirs if item not in base and item not in ours]
    raise UsageError(f"both branches changed the same key: {place}")
