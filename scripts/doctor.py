"""Finds what keeps this clone from working, in plain words, each with the command that mends it.

It checks git, .venv, the disk, dvc.lock, the DVC remote, every object in DVC's cache and what
builds left. It changes nothing.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict

try:
    from allrounder.core.commands import new_parser
    from allrounder.core.errors import DataError, Fault, UsageError, run
    from allrounder.core.text import print_json, print_lines, printable
    from allrounder.doctor import machine, version
    from allrounder.history.versions import outputs, repository
except ModuleNotFoundError as missing:
    sys.exit(f"error: the package {missing.name} is not installed: make repro")


def main() -> None:
    """Parse, check, report."""
    parser = new_parser(__doc__, "0 nothing found; 1 something found")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    found = list(_findings())
    if args.json:
        print_json({"ok": not found, "findings": [asdict(one) for one in found]})
    else:
        for number, one in enumerate(found, 1):
            print_lines([f"{number}. {printable(one.words)}", f"   {one.command}"])
        if not found:
            print_lines(["no fault found"])
    if found:
        raise DataError(
            f"faults found: {len(found)}; run the commands in this order, then this again"
        )


_FIRST = ("apt", "git init", "git config", "git checkout", "python", "cd")
"""Commands that mend what hides other faults."""


def _findings() -> Iterator[Fault]:
    in_git = list(machine.git_findings())
    yield from in_git
    yield from machine.venv_findings()
    yield from machine.process_findings()
    if any(one.command.startswith(_FIRST) for one in in_git):
        return  # what follows would be about that
    of_files = [*version.lock_findings(), *version.params_findings()]
    yield from of_files
    if of_files:
        yield from machine.disk_findings(0, ".")
        return  # what DVC says then would be about that
    try:
        with repository() as repo:
            yield from machine.link_findings(repo)
            outs = [out for out in outputs(repo) if out.cached and out.md5]
            yield from machine.disk_findings(version.size_of(repo), ".", repo.cache.local.path)
            faults = list(version.remote_findings(repo, outs))
            yield from faults
            yield from version.object_findings(repo, outs, remote_works=not faults)
            yield from () if faults else version.push_findings(repo, outs)
            yield from version.journal_findings()
    except (DataError, UsageError) as error:
        words, _, command = str(error).rpartition("; ")
        yield Fault(words, command)


if __name__ == "__main__":
    sys.exit(run(main))
