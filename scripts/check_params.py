"""Checks params.yaml and corrections.csv before DVC removes anything.

Restores a dvc.lock that a kill has cut off. With --schema, prints params.schema.json. With
--retry, --relist, --judge or --order, exits with 1 if a stage should run again for a reason that
DVC cannot know.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from allrounder.clean.suspects import check_installed
from allrounder.core.commands import new_parser
from allrounder.core.corrections import check_conflicts, load_corrections, load_takedowns
from allrounder.core.errors import NOT_GOOD_ENOUGH, UsageError, run
from allrounder.core.files import file_disguise
from allrounder.core.paths import CLEAN, DATASET, PARAMS, RAW
from allrounder.core.text import and_more, printable
from allrounder.history.local_files import (
    changed_files,
    is_interrupted,
    local_states,
    test_sets_changed,
)
from allrounder.history.lock import built_from, only_the_order_changed, relist_command
from allrounder.history.mending import mend
from allrounder.history.prior_results import incomplete_classes
from allrounder.params.classes import class_parts
from allrounder.params.loading import json_schema, load_params
from allrounder.params.schema import Params
from allrounder.params.sources import BaseSource
from allrounder.split.shards import check_layout


def main() -> None:
    """Parse arguments; check the file, answer a question about it or print the schema."""
    parser = new_parser(__doc__, "0 valid, or the answer is no; 1 the answer is yes")
    parser.add_argument("file", nargs="?", type=Path, default=PARAMS, help="default: %(default)s")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    for name, question, words in (
        ("--retry", _retry, "whether the download may find more photos in a second run"),
        ("--relist", _relist, "whether local files changed, so that all is listed again"),
        ("--judge", _judge, "whether test sets changed, so that photos are chosen again"),
        ("--order", _order, "whether the classes are in another order than those of the dataset"),
    ):
        parser.add_argument(name, dest="question", action="store_const", const=question, help=words)
    args = parser.parse_args()
    if args.schema:
        text = json.dumps(json_schema(), indent=2) + "\n"
        sys.stdout.buffer.write(text.encode())  # a file, whatever the console's encoding
    elif not args.question:
        for warning in _check(args.file):
            print(warning, file=sys.stderr)
    elif reason := args.question(load_params(args.file)):
        print(f"building again: {reason}", file=sys.stderr)
        sys.exit(NOT_GOOD_ENOUGH)


def _check(path: Path) -> Iterator[str]:
    """Yield warnings. Raises UsageError for what is wrong."""
    yield from mend()
    params = load_params(path)
    check_conflicts(load_corrections(params.classes), params.classes, RAW, CLEAN)
    load_takedowns()
    yield from _missing_files(path, params)
    check_layout(params.split)
    check_installed(params.clean.suspects)
    if only_the_order_changed(params.classes):
        yield (
            f"warning: {path}: the order of the classes differs from dvc.lock or {DATASET}, so "
            "their class_index changes; DVC does not notice that: make repro, or dvc repro --force"
        )
    if changed := changed_files(params, _watched(params)):
        yield (
            f"warning: {printable(changed[0])}{and_more(changed)} changed since it was listed; DVC "
            f"does not notice that: run {relist_command(params)}"
        )


def _retry(params: Params) -> str:
    """Why the download should run a second time, or ''."""
    keys = incomplete_classes(params)
    return f"{', '.join(keys)} may get more photos" if keys else ""


def _relist(params: Params) -> str:
    """Why local files are to be listed and read again, or ''.

    Also after other sources: DVC's cache may have a list of these from before a change.
    """
    if any(source.is_remote for source in params.sources) or not (watched := _watched(params)):
        return ""
    is_whole = built_from("download", params) and not is_interrupted(params)
    same = is_whole and not changed_files(params, watched)
    return "" if same else "the local files are not those that the last build listed"


def _watched(params: Params) -> dict[str, str]:
    """The present states of the local files that the sources read."""
    return local_states(params.sources, class_parts(params.classes))


def _judge(params: Params) -> str:
    """Why the photos are to be compared with the test sets again, or ''."""
    return "test sets have changed" if RAW.is_dir() and test_sets_changed(params) else ""


def _order(params: Params) -> str:
    """Why all is to be built again for the order of the classes, or ''."""
    changed = only_the_order_changed(params.classes)
    return "the order of the classes has changed, and so has their class_index" if changed else ""


def _missing_files(path: Path, params: Params) -> Iterator[str]:
    """Yield a warning about missing local files.

    Raises UsageError for them, unless dvc.lock was built from the same lists.
    """
    faults = [
        f"sources.{number}.location: {root}: {words}"
        for number, source in enumerate(params.sources)
        for root in source.local_roots()
        if (words := _fault(source, Path(root)))
    ]
    if faults:
        words = f"{path}: {faults[0]}{and_more(faults)}"
        if not built_from("fetch_urls", params):
            raise UsageError(f"{words}; correct it before dvc repro removes outputs")
        yield f"warning: {words}; a class that is built again will need it"


def _fault(source: BaseSource, root: Path) -> str:
    """The fault of a local file or folder of a source, or ''."""
    what = file_disguise(root)
    if not root.exists():
        return "no such file or folder"
    if source.kind == "folder" and not root.is_dir():
        return f"is not a folder but {what or 'a file'}"
    if what == "a tar" and source.kind not in ("csv", "url-list"):
        return ""
    return f"is {what}" if what else ""


if __name__ == "__main__":
    sys.exit(run(main))
