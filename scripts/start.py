"""Writes a params.yaml for photos of your own: a folder of class folders, or a CSV."""

import argparse
import sys
from pathlib import Path

from allrounder.core.commands import output_of
from allrounder.core.errors import UsageError, run
from allrounder.core.paths import PARAMS
from allrounder.core.text import print_lines
from allrounder.params.loading import replace_params
from allrounder.start.proposal import find_classes, params_text, report


def main() -> None:
    """Parse arguments, look, write, say what to do next."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", help="a folder that holds CLASS/*.jpg, or a .csv or .tsv")
    parser.add_argument(
        "--output", type=Path, default=PARAMS, metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that has edits")
    args = parser.parse_args()
    if not args.place:
        raise UsageError("which photos? make start d=FOLDER, or a CSV")
    found = find_classes(args.place.rstrip("/") or "/")
    in_git = output_of("git", "ls-files", "--", str(args.output))
    changed = output_of("git", "status", "--porcelain", "--ignored", "--", str(args.output))
    if args.output.exists() and not args.force and (changed or not in_git):
        raise UsageError(
            f"{args.output} has edits that are not in git; commit them, or write to another file "
            "(make start o=FILE, or --output FILE), or replace them (make start force=1, or "
            "--force)"
        )
    try:
        template = PARAMS.read_text(encoding="utf-8")
    except OSError as error:
        words = f"{PARAMS}: {error.strerror}; git checkout {PARAMS}"
        raise UsageError(f"{words}, or run this from the project's folder") from None
    text = params_text(template, found, Path(args.place).resolve().stem)
    replace_params(args.output, text)
    print_lines(report(found, str(args.output), args.output == PARAMS))


if __name__ == "__main__":
    sys.exit(run(main))
