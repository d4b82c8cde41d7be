"""Check params.yaml before DVC removes anything; with --schema, print params.schema.json."""

import argparse
import sys
from pathlib import Path

from allrounder.core.errors import run
from allrounder.core.paths import PARAMS
from allrounder.history.local_files import changed_files
from allrounder.history.lock import only_the_order_changed, relist_command
from allrounder.params.loading import json_schema, load_params
from allrounder.params.reference import markdown


def main() -> None:
    """Parse arguments, check the file or print the schema."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=PARAMS)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    parser.add_argument("--markdown", action="store_true", help="print docs/params.md instead")
    args = parser.parse_args()
    if args.schema:
        sys.stdout.write(json_schema())
    elif args.markdown:
        sys.stdout.write(markdown())
    else:
        params = load_params(args.file)
        if only_the_order_changed(params.classes):
            print(
                f"warning: {args.file}: the order of the classes differs from dvc.lock, so their "
                "class_index changes; DVC does not notice that: run dvc repro --force",
                file=sys.stderr,
            )
        if changed := changed_files(params.sources, params.classes):
            others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            print(
                f"warning: {changed[0]}{others} changed since it was listed; DVC does not notice "
                f"that: run {relist_command(params)}",
                file=sys.stderr,
            )


if __name__ == "__main__":
    sys.exit(run(main))
