"""Lists the differences of two versions: photos added, removed, moved, relabelled or renamed.

A version is a git revision; the default for the second one is the work tree. Photos are compared
by their bytes. Manifests come from DVC's cache or remote, and nothing is checked out.
"""

import argparse
import sys
from typing import Any

from allrounder.core import paths
from allrounder.core.errors import run
from allrounder.core.paths import DATASET
from allrounder.core.text import print_json, print_lines
from allrounder.history.versions import VersionFiles, repository
from allrounder.versions import comparison

MANIFEST = (DATASET / paths.MANIFEST).as_posix()
WORK_TREE = "work tree"
MOST = 5
"""Photos listed for each class and kind of change without --all."""


def main() -> None:
    """Parse, compare, report."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="exit codes: 0 compared, with or without differences; 1 no manifest; 2 bad usage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("v1", help="a git revision: a tag, a branch, a commit, HEAD~1")
    parser.add_argument("v2", nargs="?", help="another one; without it, the work tree")
    parser.add_argument(
        "--all", action="store_true", help=f"list every photo, not the first {MOST}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    with repository() as repo:
        before, after = (_photos(repo, rev) for rev in (args.v1, args.v2))
    names, found = (args.v1, args.v2 or WORK_TREE), comparison.differences(before, after)
    compared = comparison.Comparison(names, before, after, found)
    if args.json:
        print_json(comparison.comparison_json(compared))
    else:
        print_lines(comparison.comparison_lines(compared, None if args.all else MOST))


def _photos(repo: Any, rev: str | None) -> list[comparison.Photo]:
    manifest = VersionFiles(repo, rev).read(MANIFEST)
    return comparison.parse_manifest(manifest, rev or f"{MANIFEST} ({WORK_TREE})")


if __name__ == "__main__":
    sys.exit(run(main))
