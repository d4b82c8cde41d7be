"""ALLROUNDER_PINS=confirm: asks the web again, and stops if it gives other than dvc.lock pins.

For a version whose objects are lost: the same bytes are the same version, others a new one.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from allrounder.core.dvc_lock import locked_params, read_yaml
from allrounder.core.errors import DataError, UsageError
from allrounder.core.files import file_md5, folder_md5
from allrounder.core.paths import PARAMS, is_clutter
from allrounder.core.text import one_line, print_lines, printable
from allrounder.history.lock import PINS_SWITCH, locked_output, pins_confirmed
from allrounder.history.versions import VersionFiles, repository

_MOST = 20
"""Differences printed; the message counts all."""
_ACCEPT = f"to take what the web gives now: {PINS_SWITCH}=ignore dvc repro --force"


def confirm_output(stage: str, out: Path) -> None:
    """Compare a stage's new output with dvc.lock, if the pins are to be confirmed.

    Raises DataError that counts what differs, and prints the photos, as far as the pinned tables
    can still be read. Raises UsageError if the params are not those of dvc.lock.
    """
    if not pins_confirmed() or not (locked := locked_output(stage)):
        return
    now_given = read_yaml(PARAMS.read_text(encoding="utf-8"))
    if other := [key for key, value in locked_params(stage).items() if now_given.get(key) != value]:
        raise UsageError(
            f"{PARAMS}: {other[0]} differs from dvc.lock, so {PINS_SWITCH}=confirm cannot compare; "
            f"restore the file first (git checkout HEAD -- {PARAMS}), change it later; {_ACCEPT}"
        )
    paths = sorted(path for path in out.iterdir() if not is_clutter(path.name))
    now = {path.name: file_md5(path) for path in paths}
    if folder_md5(now) == locked:
        return
    found = list(_differences(out, now))
    print_lines(printable(line) for line in found[:_MOST])
    count = f"{len(found)} differ, see above" if found else "the differences cannot be listed"
    raise DataError(
        f"the web no longer gives what dvc.lock pins in {out.as_posix()} ({count}); {_ACCEPT}"
    )


def _differences(out: Path, now: Mapping[str, str]) -> Iterator[str]:
    """What differs: rows of the tables that can still be read, else files."""
    with repository() as repo:
        version = VersionFiles(repo)
        try:
            listed = version.listed(out.as_posix())
        except (DataError, UsageError):
            return  # only the hash of the whole is known
        for path, md5 in listed.items():
            name = Path(path).name
            if now.get(name) == md5:
                continue
            if not name.endswith(".csv"):
                yield f"{path}: differs"
                continue
            try:
                before = version.read(path, in_work_tree=False).decode("utf-8")
            except (DataError, UsageError, UnicodeDecodeError):
                yield f"{path}: differs (its pinned copy is lost)"
            else:
                yield from _rows(name, before, (out / name).read_text(encoding="utf-8"))


def _rows(name: str, before: str, now: str) -> Iterator[str]:
    """The URLs of a table whose row differs, with status and detail then and now."""
    old, new = _by_url(before), _by_url(now)
    for url in {**old, **new}:
        if old.get(url) != new.get(url):
            yield f"{name}: {url}: {_said(old.get(url))}, now {_said(new.get(url))}"


def _by_url(table: str) -> dict[str, dict[str, str]]:
    return {row.get("url") or "": row for row in csv.DictReader(table.splitlines())}


def _said(row: Mapping[str, str] | None) -> str:
    if row is None:
        return "not listed"
    words = (row.get("status"), row.get("detail"), (row.get("sha256") or "")[:12])
    return one_line(" ".join(word for word in words if word)) or "listed"
