"""Prints a comment for a pull request: what this version changes compared with a git revision.

Markdown, from the manifests and data/metrics.json of both; see .github/workflows/dataset.yml.
"""

import argparse
import json
import sys

from allrounder.core.commands import output_of
from allrounder.core.errors import UsageError, run
from allrounder.core.paths import MANIFEST, METRICS
from allrounder.core.text import print_lines
from allrounder.history.versions import repository
from allrounder.versions.comparison import Comparison, differences, photos_of
from allrounder.versions.releasing import Metrics, comment


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="a git revision: the branch that is merged into")
    base = parser.parse_args().base
    with repository() as repo:
        before, after = (photos_of(repo, rev, MANIFEST) for rev in (base, None))
    compared = Comparison((base, "this"), before, after, differences(before, after))
    now = json.loads(METRICS.read_text(encoding="utf-8"))
    print_lines([comment(compared, _metrics(base), now)])


def _metrics(rev: str) -> Metrics:
    shown = output_of("git", "show", f"{rev}:./{METRICS.as_posix()}")
    try:
        return dict(json.loads(shown or "{}"))
    except ValueError:
        raise UsageError(f"{rev}: its {METRICS.as_posix()} is no JSON; git show shows it") from None


if __name__ == "__main__":
    sys.exit(run(main))
