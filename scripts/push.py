"""Pushes this version's objects to the DVC remote: all that it lacks, also after a killed push.

It asks the remote for every object, while `dvc push` trusts its own index of the remote.
"""

import sys
from pathlib import Path

from allrounder.core.commands import new_parser
from allrounder.core.errors import DataError, UsageError, run
from allrounder.core.progress import progress
from allrounder.history.versions import outputs, repository
from allrounder.versions.pushing import push


def main() -> None:
    """Parse, push, report."""
    parser = new_parser(__doc__, "0 all is on the remote; 1 something is not, or was not built")
    parser.add_argument("outs", nargs="*", metavar="OUT", help="only these, e.g. data/dataset")
    chosen = [Path(path).as_posix() for path in parser.parse_args().outs]
    with repository() as repo:
        listed = [out for out in outputs(repo) if out.cached]
        outs = {out.path: out for out in listed if out.md5}
        if unknown := [path for path in chosen if path not in outs]:
            raise UsageError(f"{unknown[0]}: no output to push; take from {', '.join(outs)}")
        some = [outs[path] for path in chosen] or list(outs.values())
        pushed = sum(push(repo, out) for out in progress(iterable=some, desc="push"))
    print(f"{pushed} objects pushed; the remote has all of {', '.join(out.path for out in some)}")
    if not chosen and (unbuilt := [out.path for out in listed if not out.md5]):
        raise DataError(f"dvc.lock names no {', '.join(unbuilt)}; run dvc repro, then push again")


if __name__ == "__main__":
    sys.exit(run(main))
