"""The outputs that dvc.lock names and their files, read through DVC's own API."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml.error import YAMLError

from allrounder.core.dvc_lock import read_yaml
from allrounder.core.errors import DataError, UsageError, first_line
from allrounder.core.files import file_md5, folder_md5
from allrounder.core.paths import LOCK
from allrounder.history.remotes import no_remote, remote_fault, remote_of


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a stage: a file, or a folder whose hash ends in .dir."""

    path: str  # from the project's folder, with /
    md5: str  # '' if dvc.lock does not name it
    files: int
    cached: bool  # False: it is in git and on no remote
    remote: str | None  # None: the default remote

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, whose files are listed in an object of its own."""
        return self.md5.endswith(".dir")


@contextmanager
def repository() -> Iterator[Any]:
    """The DVC repository of the current folder. Raises UsageError if it is not one."""
    from dvc.exceptions import DvcException, NotDvcRepoError  # slow to import
    from dvc.repo import Repo

    logging.getLogger("aiohttp_retry").setLevel(logging.ERROR)  # DVC never closes its clients
    try:
        repo = Repo(".")
    except NotDvcRepoError:
        raise UsageError("this folder is no DVC project; run this from the project's own") from None
    except DvcException as error:
        raise UsageError(f"{first_line(error)}; {_mend_config()}") from None
    with repo:
        if not Path(repo.root_dir).samefile("."):
            raise UsageError(f"run this from the project's folder: cd {repo.root_dir}")
        yield repo


def _mend_config() -> str:
    """The command that mends DVC's config: that of this clone if it is at fault, else git's."""
    from dvc.config import Config, ConfigError

    with suppress(ConfigError):
        if Path(".dvc/config.local").exists() and Config(".dvc", ".dvc/no local one"):
            return "mv .dvc/config.local .dvc/config.local.bad"
    return "git checkout .dvc/config dvc.yaml"


def outputs(repo: Any) -> list[Output]:
    """The outputs of all stages. Raises DataError if none was built, and as `_outputs` does."""
    found = _outputs(repo)
    if not any(out.md5 for out in found):
        raise DataError("dvc.lock names no outputs; run dvc repro, which builds them")
    return found


def _outputs(repo: Any) -> list[Output]:
    """The outputs of all stages. Raises UsageError for a broken dvc.yaml or dvc.lock."""
    from dvc.exceptions import DvcException

    try:
        return [_output(repo, out) for out in repo.index.outs]
    except (DvcException, AttributeError, TypeError) as error:  # DVC checks no hash
        raise UsageError(f"{first_line(error)}; git checkout dvc.yaml dvc.lock") from None


def _output(repo: Any, out: Any) -> Output:
    path = Path(os.path.relpath(out.fs_path, repo.root_dir)).as_posix()
    md5 = str(out.hash_info.value or "") if out.hash_info else ""
    return Output(path, md5, int(out.meta.nfiles or 1), bool(out.use_cache), out.remote)


def parse_folder_object(raw: bytes, out: Output) -> dict[str, str] | None:
    """The files in a folder's object (path to MD5); None if the object is damaged."""
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() + ".dir" != out.md5:
        return None
    return {f"{out.path}/{entry['relpath']}": str(entry["md5"]) for entry in json.loads(raw)}


def output_md5(out: Output, files: dict[str, str]) -> str:
    """DVC's hash of a folder with these files (path to MD5)."""
    return folder_md5({path.removeprefix(f"{out.path}/"): md5 for path, md5 in files.items()})


def cached_list(out: Output) -> dict[str, str] | None:
    """The files of an output (path to MD5).

    Those of a folder are listed in DVC's cache: None if the list is missing or damaged there.
    """
    if not out.is_folder:
        return {out.path: out.md5}
    try:
        return parse_folder_object(cached_object(out.md5).read_bytes(), out)
    except OSError:
        return None


def cached_object(md5: str) -> Path:
    """The path of an object in DVC's cache, whether it exists or not.

    DVC's repository object, which knows it too, takes a second for a thousand classes.
    """
    return _cache_folder(Path.cwd()) / "files" / "md5" / md5[:2] / md5[2:]


@cache
def _cache_folder(project: Path) -> Path:
    from dvc.config import Config

    return Path(Config(str(project / ".dvc"))["cache"].get("dir") or ".dvc/cache")


def folder_list(repo: Any, out: Output, where: str = "dvc.lock") -> dict[str, str]:
    """The files of an output (path to MD5), those of a folder from DVC's cache or its remote.

    Raises DataError if neither has an intact list, UsageError if there is no remote.
    """
    if (files := cached_list(out)) is not None:
        return files
    odb = remote_store(repo, out)
    try:
        with odb.fs.open(odb.oid_to_path(out.md5), "rb") as file:
            files = parse_folder_object(file.read(), out)
    except Exception as error:  # remotes raise nearly anything
        raise DataError(_missing(out.path, where, error)) from None
    if files is None:
        place = odb.fs.unstrip_protocol(odb.oid_to_path(out.md5))
        raise DataError(
            f"{out.path}: the list of its files (the remote's, {place}) is not the one that "
            f"{where} names; remove it there, then python scripts/push.py {out.path} in a clone "
            "where verify.py finds no problem"
        )
    return files


def remote_store(repo: Any, out: Output) -> Any:
    """The object store of an output's remote.

    Raises UsageError for an unknown remote, and for one whose package is not installed.
    """
    from dvc.exceptions import DvcException

    name, url = remote_of(repo, out.remote)
    if not url:
        raise UsageError(str(no_remote(name)))
    try:
        odb = repo.cloud.get_remote_odb(out.remote, "push")
        _ = odb.fs  # imports the remote's package
        return odb
    except DvcException as error:
        raise UsageError(first_line(error)) from None
    except ImportError as error:
        raise UsageError(str(remote_fault(error, name, url))) from None


def pinned_outputs(repo: Any, rev: str | None = None) -> dict[str, str]:
    """The hash of each output by its path, in the dvc.lock of a revision or (None) the work tree.

    Raises UsageError if the revision is unknown or no commit, or its dvc.lock broken.
    """
    try:
        lock = LOCK.read_bytes() if rev is None else revision_file(repo, rev, LOCK)
        return dict(_outputs_in(lock))
    except FileNotFoundError:
        return {}
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError):
        raise UsageError(f"{_where(rev)}: its {LOCK} is not as DVC writes it") from None


@lru_cache(1_000)
def _outputs_in(lock: bytes) -> Mapping[str, str]:
    """The same of a lock file, which many revisions share. Parsing one takes 50 ms."""
    stages = read_yaml(lock.decode("utf-8"))["stages"].values()
    return {out["path"]: out["md5"] for one in stages for out in one.get("outs", ())}


def _where(rev: str | None) -> str:
    return "dvc.lock" if rev is None else f"revision {rev}"


class VersionFiles:
    """The files of a version: a git revision, or (None) the dvc.lock of the work tree.

    DVC's own view of a revision misses projects in a subfolder of a repository and remotes with a
    relative path, and trusts lists of files.
    """

    def __init__(self, repo: Any, rev: str | None = None):
        """Raises UsageError if the revision is unknown or no commit."""
        self._repo, self._rev = repo, rev

        self._where, pinned = _where(rev), pinned_outputs(repo, rev)
        self._lists: dict[str, dict[str, str]] = {}  # the files of each folder that was read
        remotes = {out.path: out.remote for out in _outputs(repo)}
        self._outs = {
            path: Output(path, md5, 0, True, remotes.get(path)) for path, md5 in pinned.items()
        }

    def listed(self, folder: str) -> dict[str, str]:
        """The files of an output, path to MD5; none if it was not built. Raises DataError."""
        if folder not in self._lists:
            out = self._outs.get(folder)
            self._lists[folder] = folder_list(self._repo, out, self._where) if out else {}
        return self._lists[folder]

    def read(self, path: str, in_work_tree: bool = True) -> bytes:
        """The content of a file, from the work tree (if it may be), DVC's cache or its remote.

        Raises DataError if the version has no such file, or if it is missing or damaged.
        """
        with self._opened(path, in_work_tree and self._rev is None) as (file, md5):
            body = bytes(file.read())
        if hashlib.md5(body, usedforsecurity=False).hexdigest() != md5:
            raise DataError(f"{path}: not the bytes that {self._where} names; see verify.py")
        return body

    def located(self, path: str, folder: Path) -> Path:
        """A file to read: its object in DVC's cache, or else a copy of the remote's, in `folder`.

        Raises DataError as `read` does.
        """
        with self._opened(path) as (file, md5):
            found, mend = cached_object(md5), "see verify.py --remote"
            if found.is_file():
                mend = f"remove {found} and run dvc pull"
            else:
                folder.mkdir(parents=True, exist_ok=True)
                found = folder / PurePosixPath(path).name
                with found.open("wb") as copy:
                    shutil.copyfileobj(file, copy, 2**20)
        if file_md5(found) != md5:
            raise DataError(f"{path}: DVC's copy ({md5}) is damaged; {mend}")
        return found

    @contextmanager
    def _opened(self, path: str, in_work_tree: bool = False) -> Iterator[tuple[Any, str]]:
        """Open a file; yields it and the hash that it should have. Raises DataError."""
        folder = PurePosixPath(path).parent.as_posix()
        if (md5 := self.listed(folder).get(path)) is None:
            raise DataError(f"{self._where} names no {path}: it was not built")
        places = [Path(path)] * in_work_tree + [cached_object(md5)]
        if place := next(filter(Path.is_file, places), None):
            with place.open("rb") as file:
                yield file, md5
            return
        odb = remote_store(self._repo, self._outs[folder])
        try:
            with odb.fs.open(odb.oid_to_path(md5), "rb") as file:
                yield file, md5
        except Exception as error:  # remotes raise nearly anything
            raise DataError(_missing(path, self._where, error, self._rev)) from None


def revision_file(repo: Any, rev: str, path: Path) -> bytes:
    """A file of a git revision.

    Raises UsageError if the revision is unknown or no commit, FileNotFoundError if it lacks the
    file.
    """
    import pygit2
    from dvc.exceptions import DvcException
    from dvc.scm import resolve_rev

    # libgit2 refuses the repositories of other users, as one mounted into a container is.
    # This code is from the same checkout, so its owner is trusted already.
    pygit2.settings.owner_validation = False
    try:
        if not rev:  # which DVC takes for the work tree
            raise UsageError("an empty git revision; git log and git tag list them")
        commit = resolve_rev(repo.scm, rev)
        repo.scm.resolve_commit(commit)
    except (DvcException, AttributeError, NotImplementedError):  # e.g. a file of a commit
        raise UsageError(f"{rev}: no such git revision; git log and git tag list them") from None
    folder = os.path.relpath(repo.root_dir, repo.scm.root_dir)
    with repo.scm.get_fs(commit).open(Path(folder, path).as_posix(), "rb") as file:
        return bytes(file.read())


def _missing(path: str, where: str, error: Exception, rev: str | None = None) -> str:
    words = f"{type(error).__name__}: {first_line(error)}"
    # The revision may have had another default remote, which only its own .dvc/config names.
    then = f"; if it was pushed to another remote: git checkout {rev} && dvc fetch" if rev else ""
    return (
        f"{where} names {path}, but neither DVC's cache nor its remote gives it ({words}); check "
        f"`dvc remote list` and your access to it{then}"
    )
