"""Keeps a stage's folder to the files of the classes in the params."""

from collections.abc import Collection
from pathlib import Path


def clear_others(folder: Path, wnids: Collection[str]) -> None:
    """Remove the files of classes that are no longer wanted, and parts of files never ended."""
    for path in folder.iterdir():
        if path.name.partition(".")[0] not in wnids or path.suffix == ".part":
            path.unlink()
