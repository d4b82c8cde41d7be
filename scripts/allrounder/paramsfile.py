"""Reads params.yaml and says in one line (file, line, key, value, what to do) what is wrong in it.

Not for what the keys mean: that is params.py.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from allrounder.errors import UsageError
from allrounder.params import Params

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML has it
WATCHED = ("download", "clean", "split")
"""Sections that may be empty, but must be there: DVC refuses to watch what is missing."""
PARAMS = Path("params.yaml")


def load(path: Path = PARAMS) -> Params:
    """Read and check a params file.

    Raises UsageError, one line that names file, line, key and value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; run this from the project's folder, "
            "or start from a preset: cp presets/imagenet.yaml params.yaml"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    root = _compose(path, text)
    try:
        params = Params.model_validate(yaml.load(text, Loader=_LOADER))
    except ValidationError as error:
        raise UsageError(_first_fault(path, root, error)) from None
    if missing := [key for key in WATCHED if key not in params.model_fields_set]:
        raise UsageError(
            f"{path}, line 1: {missing[0]}: missing, and dvc.yaml watches it; "
            f"add it, or `{missing[0]}: {{}}` for its defaults"
        )
    return params


def schema() -> str:
    """The JSON schema of params.yaml, as published in params.schema.json."""
    return json.dumps(Params.model_json_schema(), indent=2) + "\n"


def _compose(path: Path, text: str) -> yaml.Node:
    """Parse to nodes, which know their lines; refuse what is no mapping and keys given twice."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
        yaml.load(text, Loader=_LOADER)
    except RecursionError:
        raise UsageError(f"{path}, line 1: not valid YAML: nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}, line {line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(f"{path}, line 1: must be a mapping of keys (sources, classes, ...)")
    try:
        repeated = next(_repeated(root), None)
    except RecursionError:
        words = "nested too deeply, or an alias within its own anchor; write it out"
        raise UsageError(f"{path}, line 1: not valid YAML: {words}") from None
    if repeated:
        key, first = repeated
        raise UsageError(
            f"{path}, line {key.start_mark.line + 1}: {key.value} is given twice "
            f"(first in line {first.start_mark.line + 1}); remove one"
        )
    return root


def _repeated(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value in seen and not isinstance(key.value, list):
                yield key, seen[key.value]
            if isinstance(key.value, str):
                seen[key.value] = key
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated(value)


def _first_fault(path: Path, root: yaml.Node, error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    loc = [part for part in fault["loc"] if part not in _TAGS]
    words = fault["msg"].removeprefix("Value error, ")
    head, separator, tail = words.partition(": ")
    if fault["type"] == "value_error" and separator and " " not in head:
        loc, words = [*loc, *head.split(".")], tail  # our own validators name the key they mean
    line, key = _line(root, loc), ".".join(str(part) for part in loc)
    hint = _HINTS.get(fault["type"], "")
    given = _given(fault)
    return f"{path}, line {line}: {key}: {words}{hint}{given}"


_TAGS = {
    "folder", "imagenet-api", "url-list", "synset-tar",
    "open-images", "ilsvrc", "webdataset", "huggingface", "csv",
}  # fmt: skip
_HINTS = {
    "extra_forbidden": "; remove it or correct its name (params.schema.json lists them)",
    "missing": "; add it (see presets/imagenet.yaml)",
}


def _given(fault: Any) -> str:
    value = fault.get("input")
    if fault["type"] in ("missing", "value_error", "extra_forbidden"):
        return ""
    return f" (it is {value!r:.80})"


def _line(node: yaml.Node, loc: Sequence[str | int]) -> int:
    """The 1-based line of the deepest part of `loc` that is written in the file."""
    line = node.start_mark.line + 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                return line
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
