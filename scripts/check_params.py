"""Check params.yaml and corrections.csv before DVC removes anything.

Also restore a dvc.lock that a kill has cut off.

With --schema, print params.schema.json. With --retry, exit 1 when a class of the last build may get
more photos from a second download. With --relist, exit 1 when all sources are on this machine, and
what they list is not what the last build listed.
"""

import argparse
import sys
from pathlib import Path

from allrounder.clean.suspects import check_installed
from allrounder.core.corrections import check_conflicts, load_corrections, load_takedowns
from allrounder.core.errors import NOT_GOOD_ENOUGH, UsageError, run
from allrounder.core.files import file_disguise
from allrounder.core.paths import CLEAN, PARAMS, RAW
from allrounder.core.text import printable
from allrounder.history.local_files import changed_files, local_states, test_sets_changed
from allrounder.history.lock import built_from, only_the_order_changed, relist_command
from allrounder.history.mending import mend
from allrounder.history.prior_results import incomplete_classes
from allrounder.params.classes import class_parts
from allrounder.params.loading import json_schema, load_params
from allrounder.params.schema import Params
from allrounder.params.sources import BaseSource
from allrounder.split.shards import check_layout


def main() -> None:
    """Parse arguments, check the file or print the schema."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=PARAMS)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    parser.add_argument("--retry", action="store_true", help="whether the download should retry")
    parser.add_argument("--relist", action="store_true", help="whether to list all again")
    parser.add_argument("--judge", action="store_true", help="whether to clean all again")
    args = parser.parse_args()
    if args.relist or args.judge:
        if (_must_relist if args.relist else _must_judge)(load_params(args.file)):
            sys.exit(NOT_GOOD_ENOUGH)
    elif args.retry:
        if keys := incomplete_classes(load_params(args.file)):
            print(f"retry: {', '.join(keys)} may get more photos", file=sys.stderr)
            sys.exit(NOT_GOOD_ENOUGH)
    elif args.schema:
        sys.stdout.buffer.write(json_schema().encode())  # a file, whatever the console's encoding
    else:
        for warning in mend():
            print(warning, file=sys.stderr)
        params = load_params(args.file)
        check_conflicts(load_corrections(params.classes), params.classes, RAW, CLEAN)
        load_takedowns()
        _check_locations(args.file, params)
        check_layout(params.split)
        check_installed(params.clean.suspects)
        if only_the_order_changed(params.classes):
            print(
                f"warning: {args.file}: the order of the classes differs from dvc.lock, so their "
                "class_index changes; DVC does not notice that: run dvc repro --force",
                file=sys.stderr,
            )
        if changed := changed_files(params):
            others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            print(
                f"warning: {printable(changed[0])}{others} changed since it was listed; DVC does "
                f"not notice that: run {relist_command(params)}",
                file=sys.stderr,
            )


def _must_relist(params: Params) -> bool:
    """Whether local files are to be listed and read again, which DVC cannot know.

    Also after other sources: DVC may have an older list of these, from before a change.
    """
    watched = local_states(params.sources, class_parts(params.classes))
    if not watched or any(source.is_remote for source in params.sources):
        return False
    return not built_from("download", params) or bool(changed_files(params))


def _must_judge(params: Params) -> bool:
    """Whether the photos are to be compared with changed test sets, which DVC cannot know."""
    return RAW.is_dir() and test_sets_changed(params)


def _check_locations(path: Path, params: Params) -> None:
    """Report missing local files. An error, unless dvc.lock was built from the same lists."""
    faults = [
        f"sources.{number}.location: {root}: {words}"
        for number, source in enumerate(params.sources)
        for root in source.local_roots()
        if (words := _fault(source, Path(root)))
    ]
    if not faults:
        return
    words = f"{path}: {faults[0]}" + f" (and {len(faults) - 1} more)" * (len(faults) > 1)
    if not built_from("fetch_urls", params):
        raise UsageError(f"{words}; correct it before dvc repro removes outputs")
    print(f"warning: {words}; a class that is built again will need it", file=sys.stderr)


def _fault(source: BaseSource, root: Path) -> str:
    """What is wrong with a local file or folder of a source, or ''."""
    what = file_disguise(root)
    if not root.exists():
        return "no such file or folder"
    if source.kind == "folder" and not root.is_dir():
        return f"is no folder but {what or 'a file'}"
    if what == "a tar" and source.kind not in ("csv", "url-list"):
        return ""
    return f"is {what}" if what else ""


if __name__ == "__main__":
    sys.exit(run(main))
