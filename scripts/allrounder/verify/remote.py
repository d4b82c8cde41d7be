"""Checks that every object of a version is on its DVC remote and intact: reads and hashes all.

It uses DVC's own file systems, so any kind of remote works. It changes nothing there, while DVC's
own check would remove a damaged object.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from allrounder.core.errors import DataError, first_line
from allrounder.core.files import disguise, in_threads
from allrounder.history import versions
from allrounder.verify.findings import Kind, OutReport, Problem

_CHUNK = 2**20
_READ_AHEAD = 4 * 2**20
"""Bytes that a remote's file system fetches at a time; s3fs would hold 50 MB a thread."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A remote's object: its hash, or the kind of failure and a message."""

    md5: str = ""
    size: int = 0
    failed: Kind | None = None
    words: str = ""


def check(
    repo: Any, outs: list[versions.Output], show: Callable[[int], object] = lambda size: None
) -> list[OutReport]:
    """Compare all objects of the outputs with dvc.lock. `show` gets the bytes read.

    Raises UsageError when there is no such remote, DataError when it cannot be reached.
    """
    return [_check_out(repo, out, show) for out in outs if out.cached]


def _check_out(repo: Any, out: versions.Output, show: Callable[[int], object]) -> OutReport:
    if not out.md5:
        problem = Problem(Kind.MISSING, out.path, "not in dvc.lock", "dvc repro")
        return OutReport(out.path, out.files, 0, (problem,))
    odb = versions.remote_store(repo, out)
    first = _read(odb, out.md5)
    if first.failed is Kind.UNREADABLE:
        raise DataError(
            f"the remote at {_place(odb, out.md5)} cannot be read: {first.words}; check its "
            "settings (dvc remote list) and your access to it"
        )
    names = {out.md5: out.path}
    for path, md5 in _files(repo, odb, out, first).items():
        names.setdefault(md5, path)
    answers = {}
    read = in_threads(lambda md5: first if md5 == out.md5 else _read(odb, md5), names, odb.fs.jobs)
    for md5, answer in zip(names, read, strict=True):
        answers[md5] = answer
        show(answer.size)
    size = sum(answer.size for answer in answers.values())
    problems = tuple(_problems(odb, out, names, answers))
    if len(problems) == len(names) and all(one.kind is Kind.MISSING for one in problems):
        words = f"none of its {len(names)} objects is on the remote"
        problems = (Problem(Kind.MISSING, out.path, words, f"dvc push {out.path}"),)
    return OutReport(out.path, len(names), size, problems)


def _files(repo: Any, odb: Any, out: versions.Output, first: _Answer) -> dict[str, str]:
    """The files of an output, path to MD5, as the remote or else DVC's cache lists them."""
    if not out.is_folder:
        return {out.path: out.md5}
    on_remote = None
    if first.md5 == out.md5:
        with odb.fs.open(odb.oid_to_path(out.md5), "rb") as file:
            on_remote = versions.parse_folder_object(file.read(), out)
    return on_remote or versions.cached_list(repo, out) or {}


def _read(odb: Any, md5: str) -> _Answer:
    """Hash an object while it streams."""
    found, size, words = hashlib.md5(usedforsecurity=False), 0, ""
    try:
        with odb.fs.open(odb.oid_to_path(md5), "rb", block_size=_READ_AHEAD) as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
                words = words if size else disguise(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return _Answer(failed=Kind.MISSING, words="not on the remote")
    except Exception as error:  # remotes raise nearly anything
        return _Answer(failed=Kind.UNREADABLE, words=f"{type(error).__name__}: {first_line(error)}")
    return _Answer(found.hexdigest() + ".dir" * md5.endswith(".dir"), size, words=words)


def _problems(
    odb: Any, out: versions.Output, names: dict[str, str], answers: dict[str, _Answer]
) -> Iterator[Problem]:
    """The problems of an output's objects.

    DVC takes a folder for complete if its list is on the remote. So the list must be removed too,
    or dvc push would skip its files (dvc_data.hashfile.status).
    """
    listing = _place(odb, out.md5) if out.is_folder and not answers[out.md5].failed else ""
    for md5, name in sorted(names.items(), key=lambda pair: pair[1]):
        answer, place = answers[md5], _place(odb, md5)
        kind, words = answer.failed, answer.words
        of_list = md5 == out.md5 and out.is_folder
        if kind is None and answer.md5 == md5:
            continue
        if kind is None:
            damaged = f"damaged on the remote{f': {words}' if words else ''}"
            kind, words = Kind.BAD, "not the list that dvc.lock names" if of_list else damaged
        if kind is Kind.UNREADABLE:
            yield Problem(kind, place, f"{words} ({name})", "run this again")
            continue
        remove = [place] * (kind is Kind.BAD) + [listing] * bool(listing and listing != place)
        words = f"{words} ({name}{': its list of files' * of_list})"
        fix = f"remove {' and '.join(remove)}, then " if remove else ""
        yield Problem(kind, place, words, f"{fix}dvc push {out.path}")


def _place(odb: Any, md5: str) -> str:
    """The URL or path of an object."""
    return str(odb.fs.unstrip_protocol(odb.oid_to_path(md5)))
