"""Writes a table of the fingerprints of the photos in a folder, for `clean.not_like`.

With it others keep these photos out of their training data without having them.
"""

import sys
from pathlib import Path

from allrounder.clean.test_sets import table_lines
from allrounder.core.commands import new_parser
from allrounder.core.errors import UsageError, run


def main() -> None:
    """Parse, fingerprint, write to stdout."""
    parser = new_parser(__doc__, "0 done")
    parser.add_argument("folder", type=Path, metavar="DIR", help="photos, in folders or not")
    folder = parser.parse_args().folder
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name one with photos")
    for line in table_lines(folder):
        sys.stdout.buffer.write(line.encode())


if __name__ == "__main__":
    sys.exit(run(main))
