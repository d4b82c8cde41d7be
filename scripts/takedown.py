"""Finds every version and object that holds a photo or its copies; with --purge, removes them.

The photo is named by its URL, its SHA-256 or a file with it. Copies are found by picture. All
objects of DVC's cache, of the default remote and of those that outputs name are read, also those of
no version, and the built files. --purge adds the photo to takedowns.csv and corrections.csv, builds
again, deletes the objects that held it, and reads everything once more.
"""

import subprocess
import sys

from allrounder.core.commands import new_parser
from allrounder.core.errors import DataError, UsageError, run
from allrounder.core.files import stage_lock
from allrounder.core.paths import TAKEDOWNS
from allrounder.core.text import print_lines
from allrounder.history.versions import repository
from allrounder.params.loading import load_params
from allrounder.params.schema import Params
from allrounder.takedown import purge
from allrounder.takedown.search import Findings, Search, lines
from allrounder.takedown.survey import WORK_TREE


def main() -> None:
    """Parse, search, and remove if asked to."""
    parser = new_parser(__doc__, "0 done; 1 a place cannot be read or still holds it")
    parser.add_argument("photo", help="a URL, a SHA-256 or a file")
    parser.add_argument("--purge", action="store_true", help="remove it from all places")
    parser.add_argument("--yes", action="store_true", help="with --purge: do not ask")
    parser.add_argument("--reason", default="takedown", help="for the lines of the exclusion")
    args = parser.parse_args()
    if args.purge and not args.yes and not sys.stdin.isatty():
        raise UsageError("--purge deletes objects, and there is no terminal to ask on; add --yes")
    params = load_params()
    with stage_lock("takedown") as folder:
        search = Search(params, args.photo, folder / "object")
        found = search.run()
        print_lines(lines(found))
        if args.purge and not found.places:
            print(
                f"nothing was changed; to keep it out of later builds, add its line to {TAKEDOWNS}"
            )
        elif args.purge:
            if not args.yes and input("Exclude it and delete all of these? yes/no: ") != "yes":
                raise UsageError("nothing was changed; run it again and answer yes")
            _purge(search, found, params, args.reason)


def _purge(search: Search, before: Findings, params: Params, reason: str) -> None:
    purge.exclude(before.target, params.classes, reason)
    if subprocess.run([sys.executable, "-m", "dvc", "repro"], check=False).returncode:
        raise DataError(
            f"the build failed, so nothing was deleted; mend it and run this again "
            f"({TAKEDOWNS} has the photo already)"
        )
    after = search.run()
    new = after.versions.get(WORK_TREE, frozenset())
    if kept := new & set(after.held):
        raise DataError(
            f"the new version still holds it ({min(kept)}), so nothing was deleted; see above"
        )
    with repository() as repo:
        tracked = purge.in_git(repo, after.places)
        purge.delete(repo, after.places)
    last = search.run()
    print_lines(lines(last))
    if last.places:
        raise DataError(f"{len(last.places)} places still hold it; see above")
    print(f"deleted: {len(after.places)} objects and files")
    print(f"versions that can no longer be had: {after.in_versions}")
    if tracked:
        print(
            f"git tracks {tracked} of these objects: its history keeps them until it is rewritten"
        )
    print("next: commit the new version, then python scripts/push.py")


if __name__ == "__main__":
    sys.exit(run(main))
