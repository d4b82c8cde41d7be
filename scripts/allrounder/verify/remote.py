"""Checks that every object of a version is on its DVC remote and intact: reads and hashes all.

It uses DVC's own file systems, so any kind of remote works. It changes nothing there, while DVC's
own check would remove a damaged object.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from allrounder.core.errors import DataError, Fault
from allrounder.core.files import disguise, in_threads
from allrounder.history import versions
from allrounder.history.remotes import remote_fault, remote_of
from allrounder.verify.findings import Kind, OutReport, Problem

_CHUNK = 2**20
_READ_AHEAD = 4 * 2**20
"""Bytes that a remote's file system fetches at a time; s3fs would hold 50 MB a thread."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a remote gives for an object: its hash, '' if it has none, or why it cannot be used."""

    md5: str = ""
    size: int = 0
    disguise: str = ""  # what the object is instead, if that is known
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Subset:
    """A part of the objects, always the same one: the `number`th of `parts`, from 1 on."""

    number: int = 1
    parts: int = 1

    def has(self, md5: str) -> bool:
        """Whether an object is in it. It goes by the hash, so parts are of about one size."""
        return int(md5[:8], 16) % self.parts == self.number - 1


def check(
    repo: Any,
    outs: list[versions.Output],
    show: Callable[[int], object] = lambda size: None,
    subset: Subset = Subset(),
    is_over: Callable[[], bool] = lambda: False,
) -> list[OutReport]:
    """Compare objects of the outputs with dvc.lock. `show` gets the bytes read.

    Lists of files are always read; of the other objects those of the subset, until `is_over`.
    Raises UsageError when there is no such remote, DataError when it cannot be reached.
    """
    return [_check_out(repo, out, show, subset, is_over) for out in outs if out.cached]


def _check_out(
    repo: Any,
    out: versions.Output,
    show: Callable[[int], object],
    subset: Subset,
    is_over: Callable[[], bool],
) -> OutReport:
    if not out.md5:
        problem = Problem(Kind.MISSING, out.path, "not in dvc.lock", "dvc repro")
        return OutReport(out.path, out.files, 0, (problem,))
    odb, remote = versions.remote_store(repo, out), remote_of(repo, out.remote)
    first = _read(odb, out.md5, remote)
    if first.fault:
        raise DataError(str(first.fault))
    names = {out.md5: out.path}
    for path, md5 in _files(repo, odb, out, first).items():
        names.setdefault(md5, path)

    def read(md5: str) -> _Answer | None:
        if md5 == out.md5:
            return first
        return None if is_over() else _read(odb, md5, remote)

    chosen = [md5 for md5 in names if md5 == out.md5 or subset.has(md5)]
    answers = {}
    for md5, answer in zip(chosen, in_threads(read, chosen, odb.fs.jobs), strict=True):
        if answer:
            answers[md5] = answer
            show(answer.size)
    size = sum(answer.size for answer in answers.values())
    problems = tuple(_problems(odb, out, names, answers))
    if len(problems) == len(answers) and all(one.kind is Kind.MISSING for one in problems):
        asked = "" if len(answers) == len(names) else " that were read"
        words = f"none of its {len(answers)} objects{asked} is on the remote"
        problems = (Problem(Kind.MISSING, out.path, words, _push(out)),)
    return OutReport(out.path, len(names), size, problems, len(names) - len(answers))


def _files(repo: Any, odb: Any, out: versions.Output, first: _Answer) -> dict[str, str]:
    """The files of an output, path to MD5, as the remote or else DVC's cache lists them."""
    on_remote = None
    if out.is_folder and first.md5 == out.md5:
        with odb.fs.open(odb.oid_to_path(out.md5), "rb") as file:
            on_remote = versions.parse_folder_object(file.read(), out)
    return on_remote or versions.cached_list(out) or {}


def _read(odb: Any, md5: str, remote: tuple[str, str]) -> _Answer:
    """Hash an object while it streams. `remote`: its name and URL."""
    found, size, what = hashlib.md5(usedforsecurity=False), 0, ""
    try:
        with odb.fs.open(odb.oid_to_path(md5), "rb", block_size=_READ_AHEAD) as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
                what = what if size else disguise(chunk)
                size += len(chunk)
    except Exception as error:  # remotes raise nearly anything
        return _Answer(fault=remote_fault(error, *remote))
    return _Answer(found.hexdigest() + ".dir" * md5.endswith(".dir"), size, what)


def _problems(
    odb: Any, out: versions.Output, names: dict[str, str], answers: dict[str, _Answer]
) -> Iterator[Problem]:
    """The problems of the objects that were read, by name."""
    for md5 in sorted(answers, key=names.__getitem__):
        answer, name, place = answers[md5], names[md5], _place(odb, md5)
        if answer.md5 == md5:
            continue
        if answer.fault:
            words = f"{answer.fault.words} ({name})"
            yield Problem(Kind.UNREADABLE, place, words, "run this again")
            continue
        is_list = md5 == out.md5 and out.is_folder
        kind, words, fix = Kind.MISSING, "not on the remote", _push(out)
        if answer.md5:
            damaged = f"damaged on the remote{f': {answer.disguise}' if answer.disguise else ''}"
            kind, words = Kind.BAD, "not the list that dvc.lock names" if is_list else damaged
            fix = f"remove {place}, then {fix}"
        yield Problem(kind, place, f"{words} ({name}{': its list of files' * is_list})", fix)


def _push(out: versions.Output) -> str:
    return f"python scripts/push.py {out.path}"  # dvc push trusts the list of a folder


def _place(odb: Any, md5: str) -> str:
    """The URL or path of an object."""
    return str(odb.fs.unstrip_protocol(odb.oid_to_path(md5)))
