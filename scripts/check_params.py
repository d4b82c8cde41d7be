"""Checks params.yaml before DVC removes anything; with --schema prints params.schema.json."""

import argparse
import sys
from pathlib import Path

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
        load(args.file)


if __name__ == "__main__":
    sys.exit(run(main))
