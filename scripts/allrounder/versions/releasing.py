"""The texts of a release: its section of the changelog, its citation, how to get it."""

import re
from collections.abc import Mapping
from typing import Any

from allrounder.core.errors import UsageError
from allrounder.versions.comparison import KINDS, Comparison, by_class

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")
Metrics = Mapping[str, Any]
"""The content of data/metrics.json."""


def checked_version(text: str) -> str:
    """A version without its `v`. Raises UsageError if it is no semantic version."""
    version = text.removeprefix("v")
    if not _VERSION.fullmatch(version):
        raise UsageError(f"{text!r} is no version such as 1.2.0; make release v=1.2.0")
    return version


def class_table(comparison: Comparison) -> list[str]:
    """A Markdown table of the classes that changed; empty if none did."""
    labels = {one.wnid: one.label for one in (*comparison.before, *comparison.after)}
    changed = {key: row for key, row in by_class(comparison).items() if any(row[k] for k in KINDS)}
    kinds = [kind for kind in KINDS if any(row[kind] for row in changed.values())]
    rows = [
        [f"{labels[key]} ({key})", str(row["after"]), *(str(row[kind] or "") for kind in kinds)]
        for key, row in changed.items()
    ]
    return _table([["class", "photos", *kinds], *rows]) if rows else []


def changelog_section(version: str, date: str, comparison: Comparison | None, photos: int) -> str:
    """The section of a version: what changed in each class since the version before, if any."""
    lines = [f"## {version} - {date}", ""]
    if comparison is None:
        return "\n".join([*lines, f"The first release: {photos} photos.", ""])
    lines += [f"{photos} photos; {comparison.names[0]} had {len(comparison.before)}.", ""]
    table = class_table(comparison) or ["The same photos, in the same places."]
    return "\n".join([*lines, *table, ""])


def comment(comparison: Comparison, before: Metrics, after: Metrics) -> str:
    """What a pull request changes, in Markdown: photos by class, counts of every step."""
    names = comparison.names
    lines = [f"### {len(comparison.after)} photos; {names[0]} has {len(comparison.before)}", ""]
    lines += class_table(comparison) or ["The same photos, in the same places."]
    old, new = _flat(before.get("all") or {}), _flat(after.get("all") or {})
    differ = {key: (old.get(key, 0), new.get(key, 0)) for key in {**new, **old}}
    rows = [[key, str(a), str(b), f"{b - a:+}"] for key, (a, b) in differ.items() if a != b]
    if rows:
        lines += ["", "### Counts that changed", "", *_table([["", *names, "change"], *rows])]
    return "\n".join([*lines, ""])


def _flat(values: Metrics, path: str = "") -> dict[str, int]:
    """Nested counts as one mapping: `lost.taken.empty: 1`."""
    found: dict[str, int] = {}
    for key, value in values.items():
        name = f"{path}{key}"
        if isinstance(value, dict):
            found |= _flat(value, f"{name}.")
        elif isinstance(value, int):
            found[name] = value
    return found


def _table(rows: list[list[str]]) -> list[str]:
    cells = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells]


def with_section(changelog: str, section: str) -> str:
    """A changelog with a new section above the others."""
    head, mark, rest = changelog.partition("\n## ")
    return f"{head.rstrip()}\n\n{section}{mark}{rest}"


def with_version(citation: str, version: str, date: str) -> str:
    """A CITATION.cff of this version."""
    citation = re.sub(r"^version: .*$", f"version: {version}", citation, flags=re.MULTILINE)
    return re.sub(r"^date-released: .*$", f'date-released: "{date}"', citation, flags=re.MULTILINE)


def how_to_get(version: str, url: str) -> list[str]:
    """The commands that publish a release, and those that get it."""
    return [
        "publish it:",
        f"  git push --atomic origin HEAD v{version} dataset@v{version}",
        "then anybody gets it by one of:",
        f"  dvc get {url} data/dataset --rev v{version}",
        f"  dvc artifacts get {url} dataset --rev v{version}",
        f"  python scripts/fetch_version.py {url} --rev v{version}      # without DVC",
    ]
