"""Removes a photo: excludes it, and deletes the objects and files that hold it."""

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from allrounder.core.class_cache import drop_trusted_caches
from allrounder.core.commands import git
from allrounder.core.corrections import Action, Correction, append, load_corrections, new_lines
from allrounder.core.errors import DataError, first_line
from allrounder.core.files import remove_tree
from allrounder.core.paths import CORRECTIONS, DECODED, TAKEDOWNS, THUMBNAILS, WORK
from allrounder.core.text import one_line
from allrounder.history.journal import clear_journal
from allrounder.takedown.survey import WORK_TREE, Place, Target, stores


def exclude(target: Target, classes: Collection[str], reason: str) -> None:
    """Add the photo to takedowns.csv, and its listed URLs to corrections.csv."""
    names = [*sorted(target.sha256s), *target.urls]
    for path, own, keys in ((TAKEDOWNS, names, ()), (CORRECTIONS, target.listed, classes)):
        present = load_corrections(keys, path)
        known = {one.name for one in present}  # a move of the photo may stay: nothing matches it
        wanted = [Correction(name, Action.EXCLUDE, "", one_line(reason, 200)) for name in own]
        append(path, new_lines(present, [one for one in wanted if one.name not in known]))


def delete(repo: Any, places: Sequence[Place]) -> None:
    """Delete objects from cache and remotes, files of the work folder, and the journal.

    Raises DataError when a store refuses that; what was deleted until then stays so.
    """
    found = stores(repo)
    for place in places:
        if place.where == WORK_TREE:
            continue
        try:
            found[place.where].delete(place.name)
        except FileNotFoundError:
            continue
        except Exception as error:  # remotes raise nearly anything
            words = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(
                f"{place.where} does not delete {place.name}: {words}; run this again with "
                "access to it"
            ) from None
    files = [Path(one.name) for one in places if one.where == WORK_TREE]
    for path in files:
        if path.is_relative_to(WORK):
            path.unlink(missing_ok=True)
    clear_journal(WORK / "download")  # the build has committed what it holds
    remove_tree(DECODED)
    remove_tree(THUMBNAILS)
    drop_trusted_caches()


def in_git(repo: Any, places: Iterable[Place]) -> int:
    """How many of the objects git tracks: its history keeps them."""
    root, found = repo.scm.root_dir, stores(repo)
    tracked = {*git("-C", root, "ls-files", "-z").split("\0")}
    paths = (
        found[place.where].oid_to_path(place.name) for place in places if place.where != WORK_TREE
    )
    return sum(Path(os.path.relpath(path, root)).as_posix() in tracked for path in paths)
