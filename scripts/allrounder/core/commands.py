"""Shared by the command-line tools: the form of their help, and other programs' output."""

import argparse
import subprocess
import sys

from allrounder.core.errors import UsageError


def new_parser(description: str | None, exit_codes: str = "") -> argparse.ArgumentParser:
    """A parser whose help shows a script's docstring as it is written, and what 0 and 1 mean."""
    form = argparse.RawDescriptionHelpFormatter
    epilog = f"exit codes: {exit_codes}; 2 bad usage" if exit_codes else ""
    return argparse.ArgumentParser(description=description, epilog=epilog, formatter_class=form)


def output_of(*command: str) -> str:
    """The standard output of a program; '' if there is no such program."""
    try:
        return _run(*command).stdout
    except OSError:
        return ""


def git(*arguments: str, fails: bool = False) -> str:
    """What git prints. Raises UsageError if it fails or is not there; `fails`: returns '' then."""
    try:
        ended = _run("git", *arguments)
    except OSError as error:
        raise UsageError(f"git: {error.strerror}; install git, then run this again") from None
    if ended.returncode and not fails:
        *more, said = ended.stderr.strip().splitlines() or ["failed"]
        sys.stderr.writelines(f"{line}\n" for line in more)
        raise UsageError(f"git {arguments[0]}: {said.strip()}; correct that, then run this again")
    return "" if ended.returncode else ended.stdout.strip()


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
