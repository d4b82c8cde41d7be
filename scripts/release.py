"""Makes a release of the committed version: checks it, pushes its data, writes the changelog, tags.

Nothing is tagged unless all stages are up to date, git has no changes, and every local file and
every object on the remote is as dvc.lock says. It pushes the data, but nothing with git.
"""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from allrounder.core.commands import git, new_parser
from allrounder.core.errors import DataError, UsageError, run
from allrounder.core.files import replace_text
from allrounder.core.text import print_lines
from allrounder.history.remotes import remote_of
from allrounder.history.versions import repository
from allrounder.versions.comparison import Comparison, differences, photos_of
from allrounder.versions.releasing import (
    changelog_section,
    checked_version,
    how_to_get,
    with_section,
    with_version,
)

CHANGELOG, CITATION = Path("CHANGELOG.md"), Path("CITATION.cff")
CHECKS = (
    ("every stage is built", ["-m", "dvc", "repro"]),
    ("every local file is as dvc.lock says", ["scripts/verify.py"]),
    ("the remote has the data", ["scripts/push.py"]),
    ("every object on the remote is intact", ["scripts/verify.py", "--remote"]),
)


def main() -> None:
    """Check, push, write, commit, tag, say what is left to do."""
    parser = new_parser(__doc__, "0 released; 1 a check failed, nothing was released")
    parser.add_argument("version", help="a semantic version that no tag has, e.g. 1.2.0")
    version = checked_version(parser.parse_args().version)
    tags = (f"v{version}", f"dataset@v{version}")
    if taken := [tag for tag in tags if git("tag", "--list", tag)]:
        raise UsageError(f"the tag {taken[0]} exists; a version is never changed: take another one")
    _check_clean("commit or stash that first")
    for words, command in CHECKS:
        print(f"checking that {words}", file=sys.stderr)
        if run_python(command):
            raise DataError(f"check failed: {words}; see above. Nothing was released")
    _check_clean("the build has changed it: check it, commit it, then release")
    _check_store()
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    section = changelog_section(version, date, *_changes())
    start = git("rev-parse", "HEAD")
    try:
        replace_text(CHANGELOG, with_section(CHANGELOG.read_text(encoding="utf-8"), section))
        replace_text(CITATION, with_version(CITATION.read_text(encoding="utf-8"), version, date))
        git("commit", "-q", "-m", f"Release {version}", "--", str(CHANGELOG), str(CITATION))
        for tag in tags:
            git("tag", "-a", tag, "-m", f"Version {version}")
    except BaseException:  # a hook or a signature that fails: nothing stays behind
        git("tag", "--delete", *tags, fails=True)
        git("reset", "-q", "--soft", start)
        git("checkout", "-q", start, "--", str(CHANGELOG), str(CITATION))
        raise
    url = git("remote", "get-url", "origin", fails=True) or Path.cwd().as_posix()
    url = re.sub("^(https?://)[^/]*@", r"\1", url)  # a login is not printed
    print_lines([section, *how_to_get(version, url)])


def run_python(command: list[str]) -> int:
    """Run Python with these arguments; returns its exit code."""
    return subprocess.run([sys.executable, *command], check=False).returncode


def _check_clean(advice: str) -> None:
    if changes := git("status", "--porcelain"):
        raise UsageError(f"git has changes: {changes.splitlines()[0].strip()}; {advice}")


def _check_store() -> None:
    """Raise DataError if the remote is a folder of this clone, and git lacks objects of it."""
    with repository() as repo:
        name, url = remote_of(repo, None)
    store = Path(url)
    if not (store.is_dir() and store.resolve().is_relative_to(Path.cwd().resolve())):
        return
    if git("status", "--porcelain", "--ignored", "--untracked-files=all", "--", url):
        raise DataError(
            f"the remote {name} is a folder of this clone, and git does not have all of its "
            "objects, so nobody else could get them; name a remote that others can reach "
            "(docs/versions.md#remotes), or run make store and commit, then release"
        )


def _changes() -> tuple[Comparison | None, int]:
    """The comparison with the release before, if there is one, and the number of photos."""
    last = git("describe", "--tags", "--match", "v[0-9]*", "--abbrev=0", fails=True)
    with repository() as repo:
        after = photos_of(repo, None, "HEAD")
        if not last:
            return None, len(after)
        before = photos_of(repo, last)
    found = differences(before, after)
    return Comparison((last, "HEAD"), before, after, found), len(after)


if __name__ == "__main__":
    sys.exit(run(main))
