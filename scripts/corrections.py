"""Corrections by hand: add lines to corrections.csv, list what its lines did, find edits.

add FILE     check the lines of a file (- for standard input) and append those that are new
list         say what each line did in the last build
edits        end with 1 if photos in data/dataset were removed or changed by hand, which a build
             would undo; the lines for corrections.csv are written to a file
"""

import sys
from dataclasses import replace
from pathlib import Path

from allrounder.core.commands import new_parser
from allrounder.core.corrections import (
    append,
    check_conflicts,
    load_corrections,
    new_lines,
    read_lines,
)
from allrounder.core.errors import DataError, UsageError, run
from allrounder.core.paths import CORRECTIONS, DATASET, FINGERPRINTS, LOCK, MANIFEST, WORK, Stages
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.core.text import print_lines, short_list
from allrounder.corrections import edits, lines
from allrounder.params.loading import load_params

FOUND = WORK / "edits.csv"


def main() -> None:
    """Parse and run a command."""
    parser = new_parser(__doc__, "0 done; 1 edits by hand")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="append the new lines of a file")
    add.add_argument("file", help="a CSV file, or - for standard input")
    commands.add_parser("list", help="what each line did in the last build")
    commands.add_parser("edits", help="lines for what was changed by hand in data/dataset")
    args = parser.parse_args()
    if args.command == "add":
        _add(args.file)
    elif args.command == "list":
        classes = load_params().classes
        present = load_corrections(classes)
        print_lines(lines.listed(present, classes, Stages()) if present else ["no lines"])
    else:
        _edits()


def _add(name: str) -> None:
    classes = load_params().classes
    present = load_corrections(classes)
    try:
        body = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}; name a file of lines, or -") from None
    where = "standard input" if name == "-" else name
    raw = lines.raw_hashes(classes, Stages())
    found = read_lines(text, classes, where, needs_header=False)
    added = [replace(line, match=raw.get(line.name, line.match)) for line in found]
    new = new_lines(present, added)
    check_conflicts([*present, *new], classes, Stages().raw, Stages().clean)
    if new:
        append(CORRECTIONS, new)
    then = "; dvc repro applies them" if new else ""
    print(f"{CORRECTIONS}: {len(new)} lines added, {len(added) - len(new)} already there{then}")


def _edits() -> None:
    manifest = DATASET / MANIFEST
    if not (LOCK.exists() and manifest.is_file()):
        return
    found = edits.changes(DATASET)
    if {MANIFEST, FINGERPRINTS} <= {*found.modified, *found.deleted}:
        return  # it is another version's, or of a build that did not end
    classes = load_params().classes
    known, raw = load_corrections(classes), lines.raw_hashes(classes, Stages())
    by_hand = edits.edits(DATASET, read_csv(manifest, ManifestRow), found, known, raw)
    if not by_hand.lines and not by_hand.others:
        return
    words, ways = [], []
    if by_hand.lines:
        lines.write_lines(FOUND, by_hand.lines)
        words.append(f"photos removed or moved by hand: {len(by_hand.lines)}")
        ways.append(f"keep it: python scripts/corrections.py add {FOUND}")
    if by_hand.others:
        others = short_list(by_hand.others)
        words.append(f"changed, copied or renamed by hand, which no line can keep: {others}")
    ways.append(f"undo it: dvc checkout --force {DATASET}")
    ways.append("build all the same: make repro edits=discard")
    raise DataError(
        f"{DATASET}: {'; '.join(words)}. A build would undo that. To {', to '.join(ways)}"
    )


if __name__ == "__main__":
    sys.exit(run(main))
