"""Prints the reference of params.yaml (docs/params.md), made from its JSON schema."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from allrounder.params.loading import json_schema

Node = Mapping[str, Any]
"""A part of a JSON schema."""

_INTRO = """\
# params.yaml

<!-- Made by `make lock` from scripts/allrounder/params. Change the schema there, not this file. -->

`params.yaml` says what a dataset version is. This page lists every key. Keys without a default must
be there. So must the sections `download`, `clean` and `split`, because DVC watches them; each may
be empty: `clean: {}`. Unknown keys are refused. It is read as DVC reads it, as YAML 1.2: `yes` is a
text and not `true`, `024` is 24, and tabs are refused. `python scripts/check_params.py` checks the
file and names the line of a mistake. [sources.md](sources.md) describes each kind of source.
"""
_HEAD = "| key | value | default | meaning |\n|---|---|---|---|\n"
_BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}"}


def markdown() -> str:
    """Return the text of docs/params.md."""
    return "\n".join(_parts(json_schema()))


def _parts(schema: Node) -> Iterator[str]:
    models, fields = schema["$defs"], schema["properties"]
    yield _INTRO
    plain = {key: node for key, node in fields.items() if "$ref" not in node}
    yield f"## The file\n\n{_HEAD}{_rows(plain)}"
    value = models["ClassValue"]
    yield f"### A class with more than a VOC label\n\n{value['description']}\n"
    yield f"{_HEAD}{_rows(value['properties'])}"
    for key, node in fields.items():
        if key not in plain:
            model = models[_name(node)]
            yield f"## {key}\n\n{model['description']}\n\n{_HEAD}{_rows(model['properties'])}"
            for name, part in model["properties"].items():
                for inner in (models[_name(one)] for one in part.get("anyOf", []) if "$ref" in one):
                    rows = _rows(inner["properties"])
                    yield f"### {key}.{name}\n\n{inner['description']}\n\n{_HEAD}{rows}"
    yield "## Sources\n\nEach entry of `sources` has a `kind` and the keys of that kind.\n"
    for kind, place in fields["sources"]["items"]["discriminator"]["mapping"].items():
        model = models[place.rpartition("/")[2]]
        keys = {key: node for key, node in model["properties"].items() if key != "kind"}
        yield f"### {kind}\n\n{model['description']}\n\n{_HEAD}{_rows(keys)}"


def _rows(fields: Mapping[str, Node]) -> str:
    return "".join(
        f"| `{key}` | {_cell(_value(node))} | {_default(node)} "
        f"| {_cell(node.get('description', ''))} |\n"
        for key, node in fields.items()
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _name(node: Node) -> str:
    return str(node["$ref"]).rpartition("/")[2]


def _default(node: Node) -> str:
    return f"`{json.dumps(node['default'], ensure_ascii=False)}`" if "default" in node else ""


def _value(node: Node) -> str:
    """What a key may hold, with its bounds."""
    if choices := node.get("anyOf") or node.get("oneOf"):
        return " or ".join(map(_value, choices))
    if "const" in node:
        return f"`{node['const']}`"
    if choices := node.get("enum"):
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = [words.format(f"{node[key]:,}") for key, words in _BOUNDS.items() if key in node]
    return " ".join([_kind(node), ", ".join(bounds)]).strip()


def _kind(node: Node) -> str:
    match node.get("type", "object"):
        case "array":
            items = node["items"]
            least, most = node.get("minItems"), node.get("maxItems")
            both = least if least == most else f"{least} to {most}"
            count = f"{both} " if most else f"{least} or more " if least else ""
            plural = "sources" if "oneOf" in items else f"{items.get('type')}s"
            return f"list of {count}{_value(items) if 'enum' in items else plural}"
        case "object":
            return "mapping"
        case "null":
            return "`null`"
        case kind:
            return str(kind)


if __name__ == "__main__":
    sys.stdout.buffer.write(markdown().encode())  # UTF-8, whatever the console's encoding
