"""Checks the local files against dvc.lock and the manifest: every file is read and hashed.

`dvc status` trusts a file with unchanged time and size, so it does not notice a damaged disk.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allrounder.core.errors import DataError
from allrounder.core.files import FileHashes, hash_files
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.history.versions import Output, cached_list, cached_object, output_md5
from allrounder.verify.findings import Kind, OutReport, Problem

MANIFEST = "manifest.csv"


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: Kind
    words: str
    fix: str = ""  # '': depends on DVC's cache


@dataclass(slots=True)
class _Checked:
    """One output while it is checked."""

    out: Output
    listed: dict[str, str] | None  # path to MD5; None: the list of files is unknown
    found: dict[str, FileHashes] = field(default_factory=dict)
    faults: dict[str, _Fault] = field(default_factory=dict)


def check(
    repo: Any, outs: list[Output], show: Callable[[int], object] = lambda size: None
) -> list[OutReport]:
    """Compare all files of the outputs with dvc.lock. `show` gets the bytes read."""
    checks = [_Checked(out, _listed(repo, out)) for out in outs]
    paths = [(checked, path) for checked in checks for path in sorted(_files(checked.out))]
    for (checked, path), hashed in zip(
        paths, hash_files([Path(path) for _, path in paths], show), strict=True
    ):
        checked.found[path] = hashed
    for checked in checks:
        checked.faults |= _against_lock(checked)
        if f"{checked.out.path}/{MANIFEST}" in checked.found:
            checked.faults |= _against_manifest(checked)
    return [_report(repo, checked) for checked in checks]


def _listed(repo: Any, out: Output) -> dict[str, str] | None:
    return cached_list(repo, out) if out.is_folder else {out.path: out.md5}


def _files(out: Output) -> Iterator[str]:
    """The local files of an output, including links to folders."""
    if not Path(out.path).is_dir():
        if os.path.lexists(out.path):
            yield out.path
        return
    for folder, folders, files in os.walk(out.path):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*files, *links):
            yield f"{Path(folder).as_posix()}/{name}"


def _against_lock(checked: _Checked) -> Iterator[tuple[str, _Fault]]:
    out = checked.out
    if not out.md5:
        yield out.path, _Fault(Kind.MISSING, "not in dvc.lock", "dvc repro")
    elif not checked.found:
        words = f"{out.files} files, all missing" if out.is_folder else "missing"
        fix = f"dvc pull {out.path}" if out.cached else f"git checkout {out.path}"
        yield out.path, _Fault(Kind.MISSING, words, fix)
    elif checked.listed is not None:
        yield from _file_by_file(checked.listed, checked.found)
    elif output_md5(out, {path: one.md5 for path, one in checked.found.items()}) != out.md5:
        words = "does not match dvc.lock; DVC's cache lacks the list of its files"
        yield out.path, _Fault(Kind.BAD, words, f"dvc fetch {out.path}, then run this again")


def _file_by_file(
    listed: Mapping[str, str], found: Mapping[str, FileHashes]
) -> Iterator[tuple[str, _Fault]]:
    for path in listed.keys() | found.keys():
        if path not in found:
            yield path, _Fault(Kind.MISSING, "missing")
        elif path not in listed:
            yield path, _Fault(Kind.EXTRA, "not in dvc.lock", "remove it")
        elif found[path].error:
            yield path, _Fault(Kind.UNREADABLE, found[path].error)
        elif found[path].md5 != listed[path]:
            yield path, _Fault(Kind.BAD, "its bytes do not match dvc.lock")


def _against_manifest(checked: _Checked) -> Iterator[tuple[str, _Fault]]:
    """Files that do not match the manifest. Skipped if the manifest itself is not intact."""
    folder, again = checked.out.path, "dvc repro --force split"
    manifest = f"{folder}/{MANIFEST}"
    if manifest in checked.faults:
        return
    unsure = (
        checked.listed is None and folder in checked.faults
    )  # then only the manifest lists the files
    try:
        for row in read_csv(Path(manifest), ManifestRow):
            path = f"{folder}/{row.file}"
            hashed = checked.found.get(path)
            if path in checked.faults:
                continue
            if hashed is None:
                fix = f"dvc pull {folder}" if unsure else again
                yield path, _Fault(Kind.MISSING, "missing, but in manifest.csv", fix)
            elif hashed.sha256 != row.sha256:
                fix = f"remove it, then dvc pull {folder}" if unsure else again
                yield path, _Fault(Kind.BAD, "its bytes do not match manifest.csv", fix)
    except (DataError, UnicodeDecodeError) as error:
        words = str(error).partition("; ")[0].removeprefix(f"{manifest}, ")
        yield manifest, _Fault(Kind.BAD, words, again)


def _report(repo: Any, checked: _Checked) -> OutReport:
    out, listed = checked.out, checked.listed or {}
    open_ends = [path for path, fault in sorted(checked.faults.items()) if not fault.fix]
    places = [cached_object(repo, listed[path]) for path in open_ends]
    fixes = {}
    for path, place, hashed in zip(open_ends, places, hash_files(places), strict=True):
        fixes[path] = _fix(checked, path, place, hashed)
    problems = tuple(
        Problem(fault.kind, path, fault.words, fault.fix or fixes[path])
        for path, fault in sorted(checked.faults.items())
    )
    size = sum(hashed.size for hashed in checked.found.values())
    return OutReport(out.path, out.files, size, problems)


def _fix(checked: _Checked, path: str, place: Path, cached: FileHashes) -> str:
    """How to fix a file. A bad file must be removed first, since DVC would keep it."""
    if not checked.out.cached:
        return f"git checkout {path}"
    remove = [] if checked.faults[path].kind is Kind.MISSING else ["it"]
    command = f"dvc checkout {checked.out.path}"
    if cached.error or cached.md5 != (checked.listed or {})[path]:
        command = f"dvc pull {checked.out.path}"
        if not cached.error:
            remove.append(f"{os.path.relpath(place)}, which is damaged too")
    return f"remove {' and '.join(remove)}, then {command}" if remove else command
