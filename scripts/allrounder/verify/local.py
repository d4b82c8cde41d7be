"""Checks the files here against dvc.lock and the manifest: every one is read and hashed.

Not what `dvc status` does: that trusts a file whose time and size are as they were, so it never
notices a disk that has changed a byte. It changes nothing.
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
    fix: str = ""  # '': depends on what DVC's cache has


@dataclass(slots=True)
class _Look:
    """One output while it is looked at."""

    out: Output
    listed: dict[str, str] | None  # path to MD5; None: not known file by file
    found: dict[str, FileHashes] = field(default_factory=dict)
    faults: dict[str, _Fault] = field(default_factory=dict)


def check(
    repo: Any, outs: list[Output], show: Callable[[int], object] = lambda size: None
) -> list[OutReport]:
    """Compare all files of the outputs with what they should be. `show` is told the bytes read."""
    looks = [_Look(out, _listed(repo, out)) for out in outs]
    paths = [(look, path) for look in looks for path in sorted(_here(look.out))]
    for (look, path), hashed in zip(
        paths, hash_files([Path(path) for _, path in paths], show), strict=True
    ):
        look.found[path] = hashed
    for look in looks:
        look.faults |= _against_lock(look)
        if f"{look.out.path}/{MANIFEST}" in look.found:
            look.faults |= _against_manifest(look)
    return [_report(repo, look) for look in looks]


def _listed(repo: Any, out: Output) -> dict[str, str] | None:
    return cached_list(repo, out) if out.is_folder else {out.path: out.md5}


def _here(out: Output) -> Iterator[str]:
    """The files of an output that are here, links to folders among them."""
    if not Path(out.path).is_dir():
        if os.path.lexists(out.path):
            yield out.path
        return
    for folder, folders, files in os.walk(out.path):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*files, *links):
            yield f"{Path(folder).as_posix()}/{name}"


def _against_lock(look: _Look) -> Iterator[tuple[str, _Fault]]:
    out = look.out
    if not out.md5:
        yield out.path, _Fault(Kind.MISSING, "not in dvc.lock", "dvc repro")
    elif not look.found:
        words = f"{out.files} files, none of them here" if out.is_folder else "not here"
        fix = f"dvc pull {out.path}" if out.cached else f"git checkout {out.path}"
        yield out.path, _Fault(Kind.MISSING, words, fix)
    elif look.listed is not None:
        yield from _file_by_file(look.listed, look.found)
    elif output_md5(out, {path: one.md5 for path, one in look.found.items()}) != out.md5:
        words = "not as dvc.lock says; which files, only their list in DVC's cache could tell"
        yield out.path, _Fault(Kind.BAD, words, f"dvc fetch {out.path}, then run this again")


def _file_by_file(
    listed: Mapping[str, str], found: Mapping[str, FileHashes]
) -> Iterator[tuple[str, _Fault]]:
    for path in listed.keys() | found.keys():
        if path not in found:
            yield path, _Fault(Kind.MISSING, "not here")
        elif path not in listed:
            yield path, _Fault(Kind.EXTRA, "dvc.lock does not name it", "remove it")
        elif found[path].error:
            yield path, _Fault(Kind.UNREADABLE, found[path].error)
        elif found[path].md5 != listed[path]:
            yield path, _Fault(Kind.BAD, "not the bytes that dvc.lock names")


def _against_manifest(look: _Look) -> Iterator[tuple[str, _Fault]]:
    """What the manifest says otherwise; nothing when it is itself not the version's."""
    folder, again = look.out.path, "dvc repro --force split"
    manifest = f"{folder}/{MANIFEST}"
    if manifest in look.faults:
        return
    unsure = look.listed is None and folder in look.faults  # then the manifest alone knows
    try:
        for row in read_csv(Path(manifest), ManifestRow):
            path = f"{folder}/{row.file}"
            hashed = look.found.get(path)
            if path in look.faults:
                continue
            if hashed is None:
                fix = f"dvc pull {folder}" if unsure else again
                yield path, _Fault(Kind.MISSING, "not here, and manifest.csv names it", fix)
            elif hashed.sha256 != row.sha256:
                fix = f"remove it, then dvc pull {folder}" if unsure else again
                yield path, _Fault(Kind.BAD, "not the bytes that manifest.csv names", fix)
    except (DataError, UnicodeDecodeError) as error:
        words = str(error).partition("; ")[0].removeprefix(f"{manifest}, ")
        yield manifest, _Fault(Kind.BAD, words, again)


def _report(repo: Any, look: _Look) -> OutReport:
    out, listed = look.out, look.listed or {}
    open_ends = [path for path, fault in sorted(look.faults.items()) if not fault.fix]
    places = [cached_object(repo, listed[path]) for path in open_ends]
    fixes = {}
    for path, place, hashed in zip(open_ends, places, hash_files(places), strict=True):
        fixes[path] = _fix(look, path, place, hashed)
    problems = tuple(
        Problem(fault.kind, path, fault.words, fault.fix or fixes[path])
        for path, fault in sorted(look.faults.items())
    )
    size = sum(hashed.size for hashed in look.found.values())
    return OutReport(out.path, out.files, size, problems)


def _fix(look: _Look, path: str, place: Path, cached: FileHashes) -> str:
    """How to mend a file. A bad one must go first: DVC would not see that it is bad."""
    if not look.out.cached:
        return f"git checkout {path}"
    remove = [] if look.faults[path].kind is Kind.MISSING else ["it"]
    command = f"dvc checkout {look.out.path}"
    if cached.error or cached.md5 != (look.listed or {})[path]:
        command = f"dvc pull {look.out.path}"
        if not cached.error:
            remove.append(f"{os.path.relpath(place)}, which is damaged too")
    return f"remove {' and '.join(remove)}, then {command}" if remove else command
