"""Checks the local files against dvc.lock and the manifest: every file is read and hashed.

`dvc status` trusts a file with unchanged time and size, so it does not notice a damaged disk.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from allrounder.core.errors import DataError, UsageError, first_line
from allrounder.core.files import FileHashes, file_disguise, hash_files
from allrounder.core.paths import MANIFEST, is_clutter
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.history import versions
from allrounder.verify.findings import Kind, OutReport, Problem

Found = Mapping[str, FileHashes]
"""The local files by path."""


def check(
    repo: Any, outs: list[versions.Output], show: Callable[[int], object] = lambda size: None
) -> list[OutReport]:
    """Compare all files of the outputs with dvc.lock. `show` gets the bytes read."""
    return [_check_out(repo, out, show) for out in outs]


def _check_out(repo: Any, out: versions.Output, show: Callable[[int], object]) -> OutReport:
    paths, empty = _files(out.path)
    hashes = hash_files([Path(path) for path in paths], show)
    found = dict(zip(paths, hashes, strict=True))
    listed, problems = _against_lock(repo, out, found)
    if found and (listed is not None or not problems):
        problems += [
            Problem(Kind.EXTRA, folder, "an empty folder, not in dvc.lock", "remove it")
            for folder in empty
            if not any(path.startswith(f"{folder}/") for path in listed or ())
        ]
    faulty = {one.path for one in problems}
    manifest = f"{out.path}/{MANIFEST}"
    if manifest in found and manifest not in faulty and not in_shards(found):
        problems += _against_manifest(out, found, faulty, unsure=out.path in faulty)
    problems = sorted(_with_fixes(repo, out, listed or {}, problems), key=lambda one: one.path)
    size = sum(hashed.size for hashed in found.values())
    return OutReport(out.path, out.files, size, tuple(problems))


def in_shards(paths: Collection[str]) -> bool:
    """Whether the photos are in shards, which dvc.lock lists; the manifest lists only photos."""
    suffixes = {path.rpartition(".")[2] for path in paths}
    return bool(suffixes & {"tar", "parquet"}) and "jpg" not in suffixes


def _files(root: str) -> tuple[list[str], list[str]]:
    """The local files of an output, links to folders included, and its topmost empty folders."""
    if not Path(root).is_dir():
        return [root] * os.path.lexists(root), []
    files, folders = [], []
    for folder, inner, names in os.walk(root):
        here = Path(folder)
        inner[:], names = ([one for one in part if not is_clutter(one)] for part in (inner, names))
        links = [name for name in inner if (here / name).is_symlink()]
        files += [(here / name).as_posix() for name in (*names, *links)]
        folders += [here / name for name in inner if name not in links]
    holding = {Path(root)}.union(*(Path(file).parents for file in files))
    empty = [one.as_posix() for one in folders if one not in holding and one.parent in holding]
    return sorted(files), empty


def _against_lock(
    repo: Any, out: versions.Output, found: Found
) -> tuple[dict[str, str] | None, list[Problem]]:
    """The files (path to MD5) that dvc.lock lists, None if they are unknown, and the problems.

    Without a list in DVC's cache the whole folder is compared first, which needs no remote.
    """
    if not out.md5:
        return None, [Problem(Kind.MISSING, out.path, "not in dvc.lock", "dvc repro")]
    if not found:
        words = f"{out.files} files, all missing" if out.is_folder else "missing"
        fix = f"dvc pull {out.path}" if out.cached else f"git checkout {out.path}"
        return None, [Problem(Kind.MISSING, out.path, words, fix)]
    listed = versions.cached_list(out)
    if listed is None:
        if versions.output_md5(out, {path: one.md5 for path, one in found.items()}) == out.md5:
            return None, []
        try:
            listed = versions.folder_list(repo, out)
        except (DataError, UsageError) as error:
            words = f"does not match dvc.lock, and DVC's cache lacks its list: {first_line(error)}"
            return None, [Problem(Kind.BAD, out.path, words, "python scripts/doctor.py")]
    return listed, list(_file_by_file(listed, found))


def _file_by_file(listed: Mapping[str, str], found: Found) -> Iterator[Problem]:
    """The files that differ. Their fix depends on DVC's cache."""
    for path in listed.keys() | found.keys():
        if path not in found:
            yield Problem(Kind.MISSING, path, "missing")
        elif path not in listed:
            yield Problem(Kind.EXTRA, path, "not in dvc.lock", "remove it")
        elif found[path].error:
            yield Problem(Kind.UNREADABLE, path, found[path].error)
        elif found[path].md5 != listed[path]:
            what = file_disguise(Path(path))
            what = "" if what == "a tar" and path.endswith(".tar") else what
            words = f" (it is {what})" if what else ""
            yield Problem(Kind.BAD, path, f"its bytes do not match dvc.lock{words}")


def _against_manifest(
    out: versions.Output, found: Found, faulty: set[str], unsure: bool
) -> Iterator[Problem]:
    """Files that do not match an intact manifest. If `unsure`, nothing else lists the files."""
    manifest, again = f"{out.path}/{MANIFEST}", "dvc repro --force split"
    try:
        for row in read_csv(Path(manifest), ManifestRow):
            path = f"{out.path}/{row.file}"
            if path in faulty:
                continue
            if path not in found:
                fix = f"dvc pull {out.path}" if unsure else again
                yield Problem(Kind.MISSING, path, "missing, but in manifest.csv", fix)
            elif found[path].sha256 != row.sha256:
                fix = f"remove it, then dvc pull {out.path}" if unsure else again
                yield Problem(Kind.BAD, path, "its bytes do not match manifest.csv", fix)
    except (DataError, UnicodeDecodeError) as error:
        words = str(error).partition("; ")[0].removeprefix(f"{manifest}, ")
        yield Problem(Kind.BAD, manifest, words, again)


def _with_fixes(
    repo: Any, out: versions.Output, listed: Mapping[str, str], problems: list[Problem]
) -> Iterator[Problem]:
    """The problems, with a fix each. A bad file must be removed first, since DVC would keep it."""
    yield from (one for one in problems if one.fix)
    unfixed = [one for one in problems if not one.fix]
    places = [versions.cached_object(listed[one.path]) for one in unfixed]
    for one, place, cached in zip(unfixed, places, hash_files(places), strict=True):
        remove = ["it"] * (one.kind is not Kind.MISSING)
        command = f"dvc checkout {out.path}"
        if not out.cached:
            remove, command = [], f"git checkout {one.path}"
        elif cached.md5 != listed[one.path]:
            command = f"dvc pull {out.path}"
            if not cached.error:
                remove.append(f"{place}, which is damaged too")
        fix = f"remove {' and '.join(remove)}, then {command}" if remove else command
        yield replace(one, fix=fix)
