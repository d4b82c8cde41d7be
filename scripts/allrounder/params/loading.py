"""Reads and checks params.yaml. An error is one line: file, line, key, value and what to do."""

import argparse
import ast
import inspect
import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from allrounder.core.dvc_lock import read_yaml
from allrounder.core.errors import UsageError, first_line
from allrounder.core.files import disguise, part_of, read_text
from allrounder.core.paths import PARAMS, in_pipeline
from allrounder.core.text import did_you_mean
from allrounder.params.classes import TAGS, Classes, ClassValue
from allrounder.params.dataset import dataset_classes
from allrounder.params.schema import Params
from allrounder.params.section import WNID, Section
from allrounder.params.sources import KINDS, PATTERNS

WATCHED = ("download", "clean", "split")
"""Sections that must be present, even if empty: DVC refuses to watch missing ones."""


def load_params(path: Path = PARAMS) -> Params:
    """Read and check a params file.

    Raises UsageError, one line that names file, line, key and value.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; run this from the project's folder, "
            "or start from a preset: cp presets/imagenet.yaml params.yaml"
        ) from None
    try:
        if what := disguise(text[:512].encode()):
            raise UsageError(f"{path}: is {what}")
        values = read_yaml(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}{_syntax_fault(text, error)}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}, line 1: must be a mapping of keys (sources, classes, ...)")
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        root = YAML(typ="safe").compose(text)
        raise UsageError(_first_fault(path, root, error)) from None
    try:
        dataset_classes(params)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    missing = [key for key in WATCHED if key not in params.model_fields_set]
    if missing and in_pipeline(path):
        raise UsageError(
            f"{path}: {missing[0]}: missing, and dvc.yaml watches it; "
            f"add it, or `{missing[0]}: {{}}` for its defaults"
        )
    return params


def load_with_command(description: str, *sections: type[Section]) -> Params:
    """The params of a stage whose command in dvc.yaml repeats the values of some sections.

    So DVC notices their changes; the values themselves are ignored. Raises UsageError for
    params.yaml; exits for other options.
    """
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    for section in sections:
        for name in section.model_fields:
            parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    _, others = parser.parse_known_args()
    params = load_params()
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    return params


NOT_LINES = "classes: not written as one `wnid: label` a line; write them so, or edit by hand"


def replace_params(path: Path, text: str, classes: Classes | None = None) -> None:
    """Replace a params file by a text, if it is valid and has exactly these classes, if given.

    Raises UsageError that says what would be wrong; the file is then left as it is.
    """
    path = path.resolve()
    part = part_of(path)
    try:
        part.write_bytes(text.encode())
        if path.exists():
            shutil.copymode(path, part)
        found = load_params(part).classes
        if classes is not None and list(found.items()) != list(classes.items()):
            raise UsageError(NOT_LINES)
        part.replace(path)
    except UsageError as error:
        reason = str(error).replace(str(part), path.name)
        raise UsageError(
            f"{path.name} is unchanged, because the new text would be invalid: {reason}"
        ) from None
    except PermissionError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); correct that") from None
    finally:
        part.unlink(missing_ok=True)


def json_schema() -> dict[str, Any]:
    """The JSON schema of params.yaml, as published in params.schema.json.

    Keys are described by their docstrings. pydantic could add these to the models, but then each
    start of a stage would parse the source of all models.
    """
    schema = Params.model_json_schema()
    nodes = {Params.__name__: schema, **schema["$defs"]}
    for model in _models(Section):
        properties = nodes.get(model.__name__, {}).get("properties", {})
        for owner in reversed(model.__mro__):
            texts = _key_docstrings(owner) if issubclass(owner, Section) else {}
            for key in texts.keys() & properties.keys():
                properties[key]["description"] = texts[key]
    return schema


def _models(base: type[Section]) -> Iterator[type[Section]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _key_docstrings(model: type[Section]) -> dict[str, str]:
    """The string that follows each key in the source of a model."""
    (tree,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for key, text in pairwise(tree.body):
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name):
            match text:
                case ast.Expr(ast.Constant(str(words))):
                    found[key.target.id] = inspect.cleandoc(words)
    return found


def _syntax_fault(text: str, error: Exception) -> str:
    """The line of an error that the YAML reader raised, what is wrong and what to do."""
    if isinstance(error, RecursionError):
        return ", line 1: not valid YAML: nested too deeply"
    if not isinstance(error, MarkedYAMLError) or not error.problem_mark:
        return f": not valid YAML: {first_line(error)}"
    line = error.problem_mark.line + 1
    if isinstance(error, DuplicateKeyError):
        key = str(error.problem).removeprefix('found duplicate key "').partition('" with value')[0]
        first = error.context_mark.line + 1
        return (
            f", line {line}: {key} is given twice in the mapping from line {first} on; remove one"
        )
    tab = "\t" in "".join(text.splitlines()[line - 1 : line])
    check = "check there and above it for a colon, bracket, quote or indentation"
    advice = "use spaces, not tabs" if tab else check
    return f", line {line}: not valid YAML: {error.problem}; {advice}"


def _first_fault(path: Path, root: Node, error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    # A misspelt key is also a missing one: the misspelt one has a line to show.
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    loc = [part for part in fault["loc"] if part not in (*KINDS, "[key]")]
    if loc and loc[0] == "classes":  # the kinds of values that a class may have are no keys
        loc = [part for n, part in enumerate(loc) if n != 2 or part not in TAGS]
    message = _message(fault)
    named = re.fullmatch(r"([a-z_]+(?:\.[^:]+)?): (.*)", message)
    if fault["type"] == "value_error" and named:  # the schema's own messages start with the key
        above = [] if loc == ["classes"] else loc
        loc = [*above, *named[1].split(".", 3 if named[1].startswith("sources.") else 1)]
        message = named[2]
    key = ".".join(str(part) for part in loc)
    # A key missing at the top level has no line.
    place = "" if fault["type"] == "missing" and len(loc) == 1 else f", line {_line(root, loc)}"
    return f"{path}{place}: {key}: {message}{_given(fault)}"


_WITHOUT_VALUE = (
    "missing", "value_error", "extra_forbidden", "union_tag_invalid", "union_tag_not_found",
)  # fmt: skip
"""Errors whose message needs no value, or already names it."""
_NO_MAPPING = "must be keys with values, `key: value`.{hint}"
_MESSAGES = {
    "missing": "missing; add it (see presets/imagenet.yaml)",
    "union_tag_not_found": "has no kind; write e.g. {{kind: folder, location: path}}. {kinds}",
    "dict_type": _NO_MAPPING,
    "model_type": _NO_MAPPING,
    "model_attributes_type": _NO_MAPPING,
    "list_type": "must be a list, e.g. {example}",
    "int_type": "must be an integer{hint}",
    "float_type": "must be a number{hint}",
    "bool_type": "must be true or false{hint}",
    "string_type": "must be a text{hint}",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "extra_forbidden": "unknown key.{hint} Remove it or correct its name",
    "union_tag_invalid": "{tag!r} is no kind of source.{hint} {kinds}",
}
"""What is wrong and what to do, by pydantic's type of error."""
_OPTIONAL = ("seed", "kfold", "max_side")
"""Numbers that may be null."""
_EXAMPLES = {
    "ratio": "[0.8, 0.2]",
    "sources": "[{kind: folder, location: photos}]",
    "licenses": "[cc-by-2.0, cc0-1.0]",
    "parts": "[validation, test]",
    "allow_private": "[localhost]",
}


def _hint(kind: str, loc: Sequence[str | int], value: Any) -> str:
    """What to write in place of a value of the wrong type, if that can be guessed."""
    text = str(value).strip().lower()
    if kind == "dict_type" and loc[-1] == "classes":
        return " One class a line: `n02109961: dog`, or `n02109961: null` without a VOC label"
    if kind == "string_type":
        return ", or null for no VOC label" if loc[0] == "classes" else "; put it into quotes"
    if kind == "bool_type" and (found := re.fullmatch("(yes|on|true|1)|no|off|false|0", text)):
        return f"; write {'true' if found[1] else 'false'}"
    if loc[-1] in _OPTIONAL and text in ("none", "null", "~", "no", "nil"):
        return "; write null"
    number = re.sub(r"(?<=\d)[,_' ](?=\d{3}\b)", "", text)  # 20,000
    if kind in ("int_type", "float_type") and re.fullmatch(r"-?\d+(\.\d+)?", number):
        whole = number.removesuffix(".0")
        return f"; write {whole}{' without quotes' if isinstance(value, str) else ''}"
    return ""


def _message(fault: Any) -> str:
    """Word an error of pydantic without its terms."""
    kind, loc, context = fault["type"], fault["loc"], fault.get("ctx", {})
    if kind == "string_type" and loc[-1] == "[key]":
        return f"{PATTERNS[WNID]}, or the name of a class of your own in quotes"
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], "must be one line of 1 to 200 characters")
    if message := _MESSAGES.get(kind):
        hint = _hint(kind, loc, fault["input"])
        if kind == "extra_forbidden":
            hint = did_you_mean(str(loc[-1]), _keys(loc))
        elif kind == "union_tag_invalid":
            hint = did_you_mean(str(context["tag"]), KINDS)
        example = _EXAMPLES.get(loc[-1], "[one, another]")
        kinds = f"There are {', '.join(KINDS)}"
        return message.format(**context, hint=hint, kinds=kinds, example=example)
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "must be", 1)


def _keys(loc: Sequence[str | int]) -> list[str]:
    """The valid keys where `loc` ends: of the file or one of its sections."""
    fields = Params.model_fields
    if loc[0] == "classes":
        return list(ClassValue.model_fields)
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


def _line(node: Node, loc: Sequence[str | int]) -> int:
    """The 1-based line of the deepest part of `loc` that is written in the file."""
    line: int = node.start_mark.line + 1
    for part in loc:
        inner: dict[str, tuple[Node, Node]] = {}
        if isinstance(node, MappingNode):
            inner = {str(key.value): (key, value) for key, value in node.value}
        elif isinstance(node, SequenceNode):
            inner = {str(number): (one, one) for number, one in enumerate(node.value)}
        if str(part) not in inner:
            break
        key, node = inner[str(part)]
        line = key.start_mark.line + 1
    return line
