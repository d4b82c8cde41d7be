"""Checks params.yaml before DVC removes anything; with --schema prints params.schema.json."""

import argparse
import sys
from pathlib import Path

from allrounder import localfiles, pins
from allrounder.errors import run
from allrounder.paramsfile import PARAMS, load, schema


def main() -> None:
    """Parse, check or print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=PARAMS)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    args = parser.parse_args()
    if args.schema:
        sys.stdout.write(schema())
    else:
        params = load(args.file)
        if pins.only_the_order_changed(params.classes):
            print(
                f"warning: {args.file}: classes stand in another order than dvc.lock's, so their "
                "class_index changes; DVC does not notice that: run dvc repro --force",
                file=sys.stderr,
            )
        if changed := localfiles.changed(params.sources, params.classes):
            others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            print(
                f"warning: {changed[0]}{others} changed since it was listed; DVC does not notice "
                f"that: run {pins.relisting(params)}",
                file=sys.stderr,
            )


if __name__ == "__main__":
    sys.exit(run(main))
