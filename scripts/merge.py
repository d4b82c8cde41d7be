"""Resolves a merge of two versions: with the pins of both, the build requests no photo again.

Run it when `git merge`, `git rebase` or `git cherry-pick` stops at params.yaml, dvc.lock or
data/metrics.json. Without one of these under way, it adds the pins of the named revision.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from allrounder.core.commands import git, new_parser, output_of
from allrounder.core.dvc_lock import read_yaml
from allrounder.core.errors import DataError, UsageError, first_line, run
from allrounder.core.files import atomic_write, folder_md5, folder_object, replace_text, stage_lock
from allrounder.core.paths import LOCK, METRICS, PARAMS
from allrounder.core.text import print_lines
from allrounder.history.versions import VersionFiles, cached_object, repository, revision_file
from allrounder.params.loading import load_params
from allrounder.versions.merging import OUTPUTS, Pins, merge_lines, merged_lock, merged_pins
from allrounder.versions.merging_params import merged_text

_MARKER = re.compile(r"^([<|=>])\1{6,}( |$)", re.MULTILINE)
"""A line that git writes around a conflict; the attribute conflict-marker-size makes it longer."""
_HEADS = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD")


def main() -> None:
    """Parse, merge params and pins, say what to do next."""
    parser = new_parser(__doc__)
    parser.add_argument("other", nargs="?", help="a git revision; default: the one being merged")
    args = parser.parse_args()
    git("rev-parse")  # fails if git cannot read the repository
    under_way = next((head for head in _HEADS if _commit(head)), "")
    if not (other := args.other or under_way):
        raise UsageError("no merge is under way; run git merge first, or name a revision")
    if not (theirs := _commit(other)):
        raise UsageError(f"{other}: no such git revision; git log and git tag list them")
    if under_way:
        _merge_params()
    elif git("status", "--porcelain", LOCK.name):
        words = "has changes that are not committed: git commit -m built -- dvc.lock params.yaml"
        raise UsageError(f"{LOCK} {words} data/metrics.json; or git checkout HEAD -- dvc.lock")
    with repository() as repo:
        ours, metrics = (_at(repo, "HEAD", path) for path in (LOCK, METRICS))
        replace_text(LOCK, ours)  # DVC reads nothing of a lock with conflict markers
        revs = (git("merge-base", "HEAD", theirs, fails=True), "HEAD", theirs)
        versions = [(VersionFiles(repo, rev), _stages(_at(repo, rev, LOCK))) for rev in revs if rev]
        merged = {stage: merged_pins(stage, *_pins(stage, versions)) for stage in OUTPUTS}
        outs = {stage: _keep_list(stage, one.pins.files) for stage, one in merged.items()}
    lock = merged_lock(_stages(ours), {stage: one.pins for stage, one in merged.items()}, outs)
    with atomic_write(LOCK) as file:
        YAML().dump({"schema": "2.0", "stages": lock}, file)
    then = ""
    if under_way:
        replace_text(METRICS, metrics)
        paths = [path.as_posix() for path in (PARAMS, LOCK, METRICS)]
        git("add", *paths)
        then = f" && git add {' '.join(paths)} && git commit"
    print_lines(merge_lines(merged, args.other or "the other branch"))
    print_lines([f"now build the merged version: dvc repro{then}"])


def _merge_params() -> None:
    """Resolve conflicts of params.yaml, unless both sides changed the same key.

    Raises UsageError then, and leaves the file as it is.
    """
    again = f"git checkout --merge {PARAMS} writes the conflict again"
    if not PARAMS.is_file():
        raise UsageError(f"{PARAMS}: no such file; {again}")
    if not _MARKER.search(PARAMS.read_text(encoding="utf-8", errors="replace")):
        load_params()
        return
    if not git("ls-files", "--unmerged", PARAMS.name):
        raise UsageError(f"{PARAMS} has conflict markers, and git knows of no conflict; {again}")
    base, ours, theirs = (output_of("git", "show", f":{number}:./{PARAMS}") for number in (1, 2, 3))
    with stage_lock("merge") as folder:
        merged = folder / PARAMS.name
        try:
            replace_text(merged, merged_text(base, ours, theirs, _union))
            load_params(merged)
        except (UsageError, YAMLError, ValueError) as error:
            raise UsageError(
                f"{first_line(error)}; edit {PARAMS}, without conflict markers, then run this again"
            ) from None
        merged.replace(PARAMS)


def _union(base: str, ours: str, theirs: str) -> str:
    """The lines of both sides, as git merges them."""
    with TemporaryDirectory() as folder:
        sides = [Path(folder) / name for name in ("ours", "base", "theirs")]
        for side, text in zip(sides, (ours, base, theirs), strict=True):
            replace_text(side, text)
        return output_of("git", "merge-file", "--union", "-p", *map(str, sides))


def _pins(stage: str, versions: list[tuple[VersionFiles, dict[str, Any]]]) -> list[Pins]:
    """What base, ours and theirs pin of a stage.

    The base only tells which side changed a class: none, or one whose objects are lost, pins
    nothing, and ours counts as changed.
    """
    found = []
    for number, (files, stages) in enumerate(versions):
        params = (stages.get(stage, {}).get("params") or {}).get(PARAMS.name) or {}
        try:
            found.append(Pins(params, files.listed(OUTPUTS[stage])))
        except DataError:
            if number or len(versions) < 3:
                raise
            found.append(Pins(params, {}))
    return [Pins({}, {})] * (3 - len(found)) + found


def _keep_list(stage: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Keep the list of a merged output in DVC's cache; returns the output for dvc.lock."""
    named = {path.removeprefix(f"{OUTPUTS[stage]}/"): md5 for path, md5 in files.items()}
    md5 = folder_md5(named)
    place = cached_object(md5)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.write_bytes(folder_object(named))
    return {"path": OUTPUTS[stage], "hash": "md5", "md5": md5, "nfiles": len(named)}


def _stages(lock: str) -> dict[str, Any]:
    return dict((read_yaml(lock) or {}).get("stages") or {})


def _commit(rev: str) -> str:
    """The commit that a revision names, '' if there is none."""
    return git("rev-parse", "-q", "--verify", f"{rev}^{{commit}}", fails=True)


def _at(repo: Any, rev: str, path: Path) -> str:
    """A file of a revision, '' if it has none."""
    try:
        return revision_file(repo, rev, path).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(run(main))
