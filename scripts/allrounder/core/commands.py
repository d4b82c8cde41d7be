"""Shared by the command-line tools: the form of their help, and other programs' output."""

import argparse
import subprocess


def new_parser(description: str | None, exit_codes: str = "") -> argparse.ArgumentParser:
    """A parser whose help shows a script's docstring as it is written, and what 0 and 1 mean."""
    form = argparse.RawDescriptionHelpFormatter
    epilog = f"exit codes: {exit_codes}; 2 bad usage" if exit_codes else ""
    return argparse.ArgumentParser(description=description, epilog=epilog, formatter_class=form)


def output_of(*command: str) -> str:
    """The standard output of a program; '' if there is no such program."""
    try:
        ended = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError:
        return ""
    return ended.stdout
