"""Writes the params.yaml of photos that were found: today's file with other sources and classes."""

import json
import re

from allrounder.core.text import printable
from allrounder.params.classes import is_wnid
from allrounder.start.found import Found, FoundClass

_MIN_SHARE = 2
"""The build fails below this part of the photos of the smallest class."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_ ./-]*[A-Za-z0-9_]")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off"}


def params_text(template: str, found: Found, name: str) -> str:
    """The template with the sources, classes and counts of what was found.

    `name` is the dataset's. The template's other sections stay as they are.
    """
    source = ", ".join(f"{key}: {_scalar(value)}" for key, value in found.source.items())
    most = max(one.photos for one in found.classes)
    least = max(1, min(one.photos for one in found.classes) // _MIN_SHARE)
    keys = [f"  {_scalar(one.name)}: {_value(one)}" for one in found.classes]
    widest = min(60, max(map(len, keys)))
    classes = [
        f"{key.ljust(widest)}  # {_comment(one)}"
        for key, one in zip(keys, found.classes, strict=True)
    ]
    text = template
    for section, lines in (
        ("sources", [f"sources:\n  - {{{source}}}"]),
        ("classes", ["classes:                    # name: Pascal VOC label, or null", *classes]),
        ("per_class", [f"per_class: {most}"]),
        (
            "min_per_class",
            [f"min_per_class: {least}           # fewer in any class: the build fails"],
        ),
        ("dataset", ["dataset:                    # docs/params.md", f"  name: {_scalar(name)}"]),
    ):
        text = _with_section(text, section, "\n".join(lines))
    return text


def _with_section(text: str, name: str, lines: str) -> str:
    """The text with a section replaced; the blank line after it stays."""
    pattern = re.compile(rf"(?ms)^{name}:.*?(?=\n\n|\n[^\s]|\Z)")
    return pattern.sub(lambda _: lines, text, count=1)


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


def _scalar(value: object) -> str:
    """A value in YAML; texts in quotes where they need them."""
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if is_plain else json.dumps(value, ensure_ascii=not value.isprintable())
    return json.dumps(value)


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
