"""Lists the differences of two versions: photos added, removed, moved, relabelled or renamed.

A version is a git revision; the default for the second one is the work tree. Photos are compared
by their bytes. Manifests come from DVC's cache or remote, and nothing is checked out.
"""

import csv
import io
import json
import sys
from collections.abc import Collection
from typing import Any

from allrounder.core.commands import new_parser
from allrounder.core.errors import DataError, UsageError, run
from allrounder.core.paths import CLEAN, METRICS
from allrounder.core.rows import Status
from allrounder.core.text import print_json, print_lines
from allrounder.history.versions import VersionFiles, repository, revision_file
from allrounder.versions import comparison
from allrounder.versions.releasing import Metrics, comment

WORK_TREE = "work tree"
MOST = 5
"""Photos listed for each class and kind of change without --all."""


def main() -> None:
    """Parse, compare, report."""
    parser = new_parser(__doc__, "0 compared, with or without differences; 1 no manifest")
    parser.add_argument("v1", help="a git revision: a tag, a branch, a commit, HEAD~1")
    parser.add_argument("v2", nargs="?", help="another one; without it, the work tree")
    words = f"list every photo, not the first {MOST}"
    parser.add_argument("--all", action="store_true", help=words)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--markdown", action="store_true", help="a comment for a pull request")
    args = parser.parse_args()
    revs = (args.v1, args.v2)
    with repository() as repo:
        before = comparison.photos_of(repo, args.v1)
        after = comparison.photos_of(repo, args.v2, args.v2 or f"manifest.csv ({WORK_TREE})")
        found = comparison.differences(before, after)
        keys = {photo.wnid for one in found for photo in (one.before, one.after) if photo}
        corrected = [_corrected(repo, rev, keys) for rev in revs]
        metrics = [_metrics(repo, rev) for rev in revs] if args.markdown else []
    names, found = (args.v1, args.v2 or WORK_TREE), comparison.with_corrections(found, *corrected)
    compared = comparison.Comparison(names, before, after, found)
    if args.json:
        print_json(comparison.comparison_json(compared))
    elif args.markdown:
        print_lines([comment(compared, *metrics)])
    else:
        print_lines(comparison.comparison_lines(compared, None if args.all else MOST))


def _metrics(repo: Any, rev: str | None) -> Metrics:
    """The counts of a version; none if it has no such file."""
    where = METRICS.as_posix() if rev is None else f"{rev}: its {METRICS.as_posix()}"
    try:
        raw = METRICS.read_bytes() if rev is None else revision_file(repo, rev, METRICS)
        return dict(json.loads(raw))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise UsageError(f"{where} is not JSON; git show shows it") from None


def _corrected(repo: Any, rev: str | None, keys: Collection[str]) -> comparison.Corrected:
    """The photos of these classes that a version corrects, if its tables can be read."""
    files, found = VersionFiles(repo, rev), dict[str, tuple[str, str]]()
    for key in sorted(keys):
        try:
            table = files.read(f"{CLEAN.as_posix()}/{key}.csv").decode("utf-8")
        except (DataError, UnicodeDecodeError):
            continue  # another version may lack the class
        for row in csv.DictReader(io.StringIO(table, newline="")):
            excluded, moved_from = row.get("status") == Status.EXCLUDED, row.get("moved_from")
            if excluded or moved_from:
                what = "excluded" if excluded else f"moved from {moved_from} by hand"
                found[row.get("sha256", "")] = what, row.get("detail") or ""
    return found


if __name__ == "__main__":
    sys.exit(run(main))
