"""Reads params.yaml and says in one line (file, line, key, value, what to do) what is wrong in it.

Not for what the keys mean: that is params.py.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from allrounder.core.errors import UsageError
from allrounder.core.paths import PARAMS
from allrounder.params.schema import Params
from allrounder.params.sources import KINDS

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML has it
WATCHED = ("download", "clean", "split")
"""Sections that may be empty, but must be there: DVC refuses to watch what is missing."""


def load_params(path: Path = PARAMS) -> Params:
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
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); correct that") from None
    root = _compose(path, text)
    try:
        params = Params.model_validate(read_yaml(text))
    except ValidationError as error:
        raise UsageError(_first_fault(path, root, error)) from None
    if missing := [key for key in WATCHED if key not in params.model_fields_set]:
        raise UsageError(
            f"{path}: {missing[0]}: missing, and dvc.yaml watches it; "
            f"add it, or `{missing[0]}: {{}}` for its defaults"
        )
    return params


def read_yaml(text: str) -> Any:
    """The values of a YAML text. Raises YAMLError, RecursionError and ValueError."""
    return yaml.load(text, Loader=_LOADER)


def json_schema() -> str:
    """The JSON schema of params.yaml, as published in params.schema.json."""
    return json.dumps(Params.model_json_schema(), indent=2) + "\n"


def _compose(path: Path, text: str) -> yaml.Node:
    """Parse to nodes, which know their lines; refuse what is no mapping and keys given twice."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
        read_yaml(text)
    except RecursionError:
        raise UsageError(f"{path}, line 1: not valid YAML: nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        tab = "\t" in "".join(text.splitlines()[line - 1 : line])
        look = "look there and above it for a colon, bracket, quote or indentation"
        way_out = "use spaces, not tabs" if tab else look
        raise UsageError(
            f"{path}, line {line}: not valid YAML: {error.problem}; {way_out}"
        ) from None
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
    faults = error.errors(include_url=False)
    # A misspelt key is also a missing one: the line that is there says more.
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    loc = [part for part in fault["loc"] if part not in (*KINDS, "[key]")]
    words = _words(fault)
    named = re.fullmatch(r"([a-z_]+(?:\.[^:]+)?): (.*)", words)
    if fault["type"] == "value_error" and named:
        loc, words = [*loc, *named[1].split(".", 1)], named[2]  # our own say the key they mean
    key = ".".join(str(part) for part in loc)
    # What is missing from the file as a whole has no line.
    place = "" if fault["type"] == "missing" and len(loc) == 1 else f", line {_line(root, loc)}"
    return f"{path}{place}: {key}: {words}{_given(fault)}"


_SAID_IN_WORDS = (
    "missing", "value_error", "extra_forbidden", "union_tag_invalid", "union_tag_not_found",
)  # fmt: skip


def _words(fault: Any) -> str:
    """What is wrong and what to do, without the terms of pydantic."""
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            near = _close_matches(str(fault["loc"][-1]), _keys(fault["loc"]))
            return f"unknown key.{_did_you_mean(near)} Remove it or correct its name"
        case "missing":
            return "missing; add it (see presets/imagenet.yaml)"
        case "union_tag_invalid":
            near = _close_matches(str(context["tag"]), KINDS)
            return f"{context['tag']!r} is no kind of source.{_did_you_mean(near)} {_kinds()}"
        case "union_tag_not_found":
            return f"has no kind; write e.g. {{kind: folder, location: path}}. {_kinds()}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "must be keys with values, `key: value`"
        case "list_type":
            return "must be a list, e.g. [one, another]"
        case "string_pattern_mismatch" if fault["loc"][-1] == "contact":
            return "must be plain ASCII, a URL or mail address"
        case "string_pattern_mismatch" if fault["loc"][-1] == "dataset":
            return "must be owner/name, as in https://huggingface.co/datasets/owner/name"
        case "string_pattern_mismatch" if fault["loc"][-1] == "[key]":
            return "is no wnid; write e.g. n02109961"
        case "string_pattern_mismatch":
            return "must be one line of 1 to 200 characters"
        case "too_short":
            return f"must hold at least {context['min_length']}"
        case "too_long":
            return f"must hold at most {context['max_length']}"
    words: str = fault["msg"].removeprefix("Value error, ")
    return words.replace("Input should be", "must be", 1)


def _keys(loc: Sequence[str | int]) -> list[str]:
    """The keys there are where `loc` ends: of the file or one of its sections."""
    fields = Params.model_fields
    if len(loc) == 2 and loc[0] in fields:
        return list(getattr(fields[str(loc[0])].annotation, "model_fields", ()))
    if len(loc) == 4 and loc[0] == "sources":
        return list(KINDS[str(loc[2])].model_fields)
    return list(fields) if len(loc) == 1 else []


def _did_you_mean(near: Sequence[str]) -> str:
    return f" Did you mean {near[0]}?" if near else ""


def _kinds() -> str:
    return f"There are {', '.join(KINDS)}"


def _given(fault: Any) -> str:
    if fault["type"] in _SAID_IN_WORDS:
        return ""
    value = "null" if fault["input"] is None else repr(fault["input"])
    return f" (it is {value if len(value) <= 80 else value[:79] + '…'})"


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


def _close_matches(text: str, known: Iterable[str]) -> list[str]:
    import difflib  # slow to import, and only mistakes need it

    return difflib.get_close_matches(text, list(known), n=1)
