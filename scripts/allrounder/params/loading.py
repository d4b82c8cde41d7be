"""Reads and checks params.yaml. An error is one line: file, line, key, value and what to do."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from allrounder.core.errors import UsageError
from allrounder.core.paths import PARAMS
from allrounder.core.text import did_you_mean
from allrounder.params.schema import Params
from allrounder.params.sources import KINDS

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML has it
WATCHED = ("download", "clean", "split")
"""Sections that must be present, even if empty: DVC refuses to watch missing ones."""


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
    """Return the values of a YAML text. Raises YAMLError, RecursionError and ValueError."""
    return yaml.load(text, Loader=_LOADER)


def json_schema() -> str:
    """Return the JSON schema of params.yaml, as published in params.schema.json."""
    return json.dumps(Params.model_json_schema(), indent=2) + "\n"


def _compose(path: Path, text: str) -> yaml.Node:
    """Parse to nodes, which have line numbers.

    Raises UsageError for invalid YAML, a file that is no mapping and a key that is given twice.
    """
    try:
        root = yaml.compose(text, Loader=_LOADER)
        read_yaml(text)
    except RecursionError:
        raise UsageError(f"{path}, line 1: not valid YAML: nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        tab = "\t" in "".join(text.splitlines()[line - 1 : line])
        check = "check there and above it for a colon, bracket, quote or indentation"
        advice = "use spaces, not tabs" if tab else check
        raise UsageError(
            f"{path}, line {line}: not valid YAML: {error.problem}; {advice}"
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
        reason = "nested too deeply, or an alias within its own anchor; write it out"
        raise UsageError(f"{path}, line 1: not valid YAML: {reason}") from None
    if repeated:
        key, first = repeated
        raise UsageError(
            f"{path}, line {key.start_mark.line + 1}: {key.value} is given twice "
            f"(first in line {first.start_mark.line + 1}); remove one"
        )
    return root


def _repeated(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Yield each repeated key and the first key of that name."""
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
    # A misspelt key is also a missing one: the misspelt one has a line to show.
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    loc = [part for part in fault["loc"] if part not in (*KINDS, "[key]")]
    message = _message(fault)
    named = re.fullmatch(r"([a-z_]+(?:\.[^:]+)?): (.*)", message)
    if fault["type"] == "value_error" and named:  # the schema's own messages start with the key
        loc, message = [*loc, *named[1].split(".", 1)], named[2]
    key = ".".join(str(part) for part in loc)
    # A key missing at the top level has no line.
    place = "" if fault["type"] == "missing" and len(loc) == 1 else f", line {_line(root, loc)}"
    return f"{path}{place}: {key}: {message}{_given(fault)}"


_WITHOUT_VALUE = (
    "missing", "value_error", "extra_forbidden", "union_tag_invalid", "union_tag_not_found",
)  # fmt: skip
"""Errors whose message needs no value, or already names it."""
_NO_MAPPING = "must be keys with values, `key: value`"
_MESSAGES = {
    "missing": "missing; add it (see presets/imagenet.yaml)",
    "union_tag_not_found": "has no kind; write e.g. {{kind: folder, location: path}}. {kinds}",
    "dict_type": _NO_MAPPING,
    "model_type": _NO_MAPPING,
    "model_attributes_type": _NO_MAPPING,
    "list_type": "must be a list, e.g. [one, another]",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "extra_forbidden": "unknown key.{hint} Remove it or correct its name",
    "union_tag_invalid": "{tag!r} is no kind of source.{hint} {kinds}",
}
"""What is wrong and what to do, by pydantic's type of error."""
_PATTERNS = {
    "contact": "must be plain ASCII, a URL or mail address",
    "dataset": "must be owner/name, as in https://huggingface.co/datasets/owner/name",
    "[key]": "is no wnid; write e.g. n02109961",
}
"""The same for a text that does not match the pattern of its key."""


def _message(fault: Any) -> str:
    """Word an error of pydantic without its terms."""
    kind, loc, context = fault["type"], fault["loc"], fault.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(loc[-1], "must be one line of 1 to 200 characters")
    if message := _MESSAGES.get(kind):
        hint = ""
        if kind == "extra_forbidden":
            hint = did_you_mean(str(loc[-1]), _keys(loc))
        elif kind == "union_tag_invalid":
            hint = did_you_mean(str(context["tag"]), KINDS)
        return message.format(**context, hint=hint, kinds=f"There are {', '.join(KINDS)}")
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "must be", 1)


def _keys(loc: Sequence[str | int]) -> list[str]:
    """The valid keys where `loc` ends: of the file or one of its sections."""
    fields = Params.model_fields
    if len(loc) == 2 and loc[0] in fields:
        return list(getattr(fields[str(loc[0])].annotation, "model_fields", ()))
    if len(loc) == 4 and loc[0] == "sources":
        return list(KINDS[str(loc[2])].model_fields)
    return list(fields) if len(loc) == 1 else []


def _given(fault: Any) -> str:
    if fault["type"] in _WITHOUT_VALUE:
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
