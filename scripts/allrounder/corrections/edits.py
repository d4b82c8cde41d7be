"""Finds what was changed by hand in data/dataset, and words it as lines for corrections.csv."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from allrounder.core.corrections import Action, Correction, PhotoNames
from allrounder.core.files import hash_file
from allrounder.core.rows import ManifestRow
from allrounder.history.versions import repository


@dataclass(frozen=True, slots=True)
class Changes:
    """The paths in a dataset that differ from the recorded build, from its folder."""

    deleted: Sequence[str] = ()
    modified: Sequence[str] = ()
    added: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Edits:
    """Changes by hand as lines, and files whose change no line can express."""

    lines: Sequence[Correction] = ()
    others: Sequence[str] = ()


def changes(dataset: Path) -> Changes:
    """The differences from the build that dvc.lock records; none if that was not checked out."""
    with repository() as repo:
        status = repo.data_status(targets=[dataset.as_posix()], granular=True, untracked_files="no")
    found: Mapping[str, Any] = status.get("uncommitted") or {}
    renamed = found.get("renamed", ())
    deleted = [*found.get("deleted", ()), *(one["old"] for one in renamed)]
    added = [*found.get("added", ()), *(one["new"] for one in renamed)]

    def files(paths: Iterable[str]) -> list[str]:
        prefix = f"{dataset.as_posix()}/"
        return sorted(path.removeprefix(prefix) for path in paths if not path.endswith("/"))

    return Changes(files(deleted), files(found.get("modified", ())), files(added))


def edits(
    dataset: Path,
    manifest: Iterable[ManifestRow],
    found: Changes,
    known: Iterable[Correction],
    raw: Mapping[str, str],
) -> Edits:
    """The edits by hand that the lines in `known` do not cover. `raw`: see `raw_hashes`.

    A photo in another class's folder was moved. A copy, a new name and another split are changes
    that no line can express. A class folder that is missing altogether was not pulled; nobody has
    removed it.
    """
    rows = {row.name: row for row in manifest}
    classes = {row.folder: row.wnid for row in rows.values()}
    added = {
        path: (hash_file(dataset / path).sha256, classes.get(PurePosixPath(path).parent.name, ""))
        for path in found.added
    }
    to = dict(added.values())
    covered = {(one.name, one.effect) for one in known}
    lines: dict[str, Correction] = {}
    moves = set[tuple[str, str]]()
    for path in found.deleted:
        row = rows.get(PurePosixPath(path).name)
        if row is None or not (dataset / path).parent.is_dir():
            continue
        key = to.get(row.sha256)
        if key in ("", row.wnid):  # it is still there, in a folder of no class or of its own
            continue
        action, verb = (Action.MOVE, "moved") if key else (Action.EXCLUDE, "removed")
        sha256 = raw.get(row.sha256, row.sha256)
        line = Correction(sha256, action, key or "", f"{verb} by hand")
        moves.add((row.sha256, line.to))
        photo = PhotoNames(
            row.moved_from or row.wnid, row.image_id, {row.sha256, sha256}, [row.url]
        )
        if not any((name, line.effect) in covered for name in photo.names()):
            lines[row.sha256] = line
    strange = [path for path, move in added.items() if move not in moves]
    return Edits(sorted(lines.values()), [*found.modified, *strange])
