"""Reads what dvc.lock pins, through DVC's cache or remote.

ALLROUNDER_PINS=ignore switches the pins off, ALLROUNDER_PINS=confirm too; see confirm.py.
"""

import csv
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from allrounder.core.dvc_lock import locked_outs, locked_params
from allrounder.core.errors import DataError, UsageError
from allrounder.core.files import file_md5, folder_md5, hash_file, remove_tree
from allrounder.core.paths import CLASSES, DATASET, LOCK, WORK
from allrounder.core.urls import is_url
from allrounder.history.versions import Output, VersionFiles, cached_list, cached_object
from allrounder.params.classes import class_key, read_classes
from allrounder.params.schema import Params
from allrounder.params.sources import Source, with_defaults

PINS_SWITCH = "ALLROUNDER_PINS"
_KEPT = "last"

ASK_AGAIN = (
    f"ask the web again with {PINS_SWITCH}=confirm dvc repro --force, which stops if it gives "
    f"other photos ({PINS_SWITCH}=ignore takes those)"
)


def pins_ignored() -> bool:
    """Whether the web is asked for all. Raises UsageError for an unknown value."""
    value = os.environ.get(PINS_SWITCH, "")
    if value not in ("", "use", "ignore", "confirm"):
        raise UsageError(
            f"environment: {PINS_SWITCH}: {value!r} is neither use nor ignore nor confirm; "
            "correct it"
        )
    return value in ("ignore", "confirm")


def pins_confirmed() -> bool:
    """Whether what the web gives must be what dvc.lock pins."""
    return os.environ.get(PINS_SWITCH) == "confirm"


def pinned_params(stage: str) -> dict[str, Any]:
    """The params in dvc.lock for a stage; empty when it was not built or pins are ignored.

    Raises DataError for a stage that was built and whose params are not there.
    """
    if pins_ignored():
        return {}
    found = locked_params(stage)
    if locked_outs(stage) and not found:
        raise DataError(
            f"{LOCK} has no params of {stage}, so that its pins cannot be used; git checkout "
            f"{LOCK}, or ask the web again with {PINS_SWITCH}=ignore"
        )
    return found


def only_the_order_changed(classes: Iterable[str]) -> bool:
    """Whether the classes differ from dvc.lock or the dataset in their order only.

    DVC compares no order: it takes such a dataset for up to date, or restores it from its cache.
    """
    now = list(classes)
    built = [[class_key(name) for name in locked_params("split").get("classes") or {}]]
    with (
        suppress(OSError, ValueError, csv.Error),
        (DATASET / CLASSES).open(encoding="utf-8", newline="") as file,
    ):
        built.append([row.get("wnid") or "" for row in csv.DictReader(file)])
    return any(one != now and sorted(one) == sorted(now) for one in built)


def locked_output(stage: str) -> str:
    """The hash in dvc.lock of a stage's output, or ''."""
    return str(next(iter(locked_outs(stage)), {}).get("md5") or "")


def output_is_cached(stage: str) -> bool:
    """Whether DVC's cache has all that dvc.lock records for a stage's outputs."""
    files = _locked_files(stage)
    return bool(files) and all(cached_object(md5).exists() for md5 in files.values())


def _locked_files(stage: str) -> dict[str, str]:
    """The MD5 of each file of a stage's output in dvc.lock; none if the list of them is lost."""
    found: dict[str, str] = {}
    for out in locked_outs(stage):
        files = cached_list(Output(out["path"], out.get("md5") or ".dir", 0, True, None))
        if files is None:
            return {}
        found |= files
    return found


def built_from(stage: str, params: Params) -> bool:
    """Whether dvc.lock has the same sources and classes for a stage."""
    pinned = pinned_params(stage)
    sources = [with_defaults(source) for source in pinned.get("sources") or ()]
    now = [source.model_dump() for source in params.sources]
    return (sources, read_classes(pinned.get("classes"))) == (now, params.classes)


def pinned_lists(params: Params) -> dict[str, Path]:
    """The list of each class whose list is pinned, by class key.

    None if the sources have changed, or are all on this machine: reading them again is cheap.
    Raises DataError if only a local path has changed, and the list there may be another one.
    """
    pinned = pinned_params("fetch_urls")
    if pinned.get("sources") is None or not _are_pinned(params):
        return {}
    before = [with_defaults(source) for source in pinned["sources"]]
    if not _are_same(before, params.sources):
        print("sources differ from those in dvc.lock: their lists are read again", file=sys.stderr)
        return {}
    folder, built = WORK / "fetch_urls", read_classes(pinned.get("classes"))
    keys = [
        key for key, one in params.classes.items() if key in built and built[key].parts == one.parts
    ]
    try:
        return {key: pinned_file(f"data/urls/{key}.csv", folder) for key in keys}
    except DataError:
        if (kept := _uncommitted(folder, keys)) is None:
            raise
        return kept


def keep_lists(lists: Path, folder: Path) -> None:
    """Keep the lists of this run until the next one: DVC may not commit them (--no-commit)."""
    kept = folder / _KEPT
    remove_tree(kept)
    kept.mkdir(parents=True)
    for path in lists.glob("*.csv"):
        try:
            (kept / path.name).hardlink_to(path)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, kept / path.name)


def _uncommitted(folder: Path, keys: Iterable[str]) -> dict[str, Path] | None:
    """The lists of the last run, if dvc.lock pins just them; else None."""
    lists = {path.stem: path for path in (folder / _KEPT).glob("*.csv")}
    md5 = folder_md5({path.name: file_md5(path) for path in lists.values()})
    return {key: lists[key] for key in keys} if md5 == locked_output("fetch_urls") else None


def _are_same(before: Sequence[dict[str, Any]], sources: Sequence[Source]) -> bool:
    """Whether the sources list the same: pins go by a list's hash, not by its path."""
    today = [source.model_dump() for source in sources]
    if len(before) != len(today):
        return False
    moved = []
    for old, new, source in zip(before, today, sources, strict=True):
        same_but_path = {**old, "location": ""} == {**new, "location": ""}
        if old != new and (source.is_remote or is_url(str(old["location"])) or not same_but_path):
            return False
        moved += [source] if old != new else []
    for source in moved:
        pin = getattr(source, "sha256", "")
        if not (pin and hash_file(Path(source.location)).sha256 == pin):
            raise DataError(
                f"{source.name}: dvc.lock pins lists that were read from another path, and this "
                "may be another list; use the old path, or a list with a sha256, or list all "
                f"sources again with {PINS_SWITCH}=ignore"
            )
    return True


def relist_command(params: Params) -> str:
    """The command that lists all sources again."""
    start = f"{PINS_SWITCH}=ignore" if _are_pinned(params) else "make repro, or"
    return f"{start} dvc repro --force"


def _are_pinned(params: Params) -> bool:
    """Whether lists are pinned: at least one source is on the web."""
    return any(source.is_remote for source in params.sources)


def pinned_file(path: str, folder: Path) -> Path:
    """A file that dvc.lock pins, to read; what DVC's cache lacks is copied into `folder`.

    Raises DataError when DVC's cache and remote do not have it, or have it damaged.
    """
    try:
        return _version().located(path, folder / "pinned")
    except (DataError, UsageError) as error:
        raise DataError(f"{error}; or {ASK_AGAIN}") from None


def pinned_files(stage: str) -> dict[str, str]:
    """The MD5 of each file of a stage's output that dvc.lock pins, by path.

    Empty when pins are ignored, the stage was not built, or DVC's cache has no list of the files.
    """
    return {} if pins_ignored() else _locked_files(stage)


@cache
def _version() -> VersionFiles:
    from dvc.repo import Repo  # costs 0.3 s: only where pins are needed

    return VersionFiles(Repo("."))
