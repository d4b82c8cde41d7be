"""The texts of a release: its section of the changelog, its citation, how to get it."""

import re

from allrounder.core.errors import UsageError
from allrounder.versions.comparison import Comparison, by_class

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")
_KINDS = ("added", "removed", "moved", "relabelled here", "relabelled away", "renamed")


def checked_version(text: str) -> str:
    """A version without its `v`. Raises UsageError if it is no semantic version."""
    version = text.removeprefix("v")
    if not _VERSION.fullmatch(version):
        raise UsageError(f"{text!r} is no version such as 1.2.0; make release v=1.2.0")
    return version


def changelog_section(version: str, date: str, comparison: Comparison | None, photos: int) -> str:
    """The section of a version: what changed in each class since the version before, if any."""
    lines = [f"## {version} - {date}", ""]
    if comparison is None:
        return "\n".join([*lines, f"The first release: {photos} photos.", ""])
    labels = {one.wnid: one.label for one in (*comparison.before, *comparison.after)}
    changed = {key: row for key, row in by_class(comparison).items() if any(row[k] for k in _KINDS)}
    lines += [f"{photos} photos; {comparison.names[0]} had {len(comparison.before)}.", ""]
    if not changed:
        return "\n".join([*lines, "The same photos, in the same places.", ""])
    kinds = [kind for kind in _KINDS if any(row[kind] for row in changed.values())]
    rows = [["class", "photos", *kinds], ["---"] * (len(kinds) + 2)]
    for key, row in changed.items():
        rows.append(
            [f"{labels[key]} ({key})", str(row["after"]), *(str(row[k] or "") for k in kinds)]
        )
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


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
