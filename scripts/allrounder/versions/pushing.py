"""Pushes a version's objects to its remote, which is asked for each of them.

`dvc push` does not ask for each. It takes a folder for complete if its list is on the remote, and
it keeps an index of what the remote has (dvc_data.hashfile.status). DVC clears the index once lists
are gone from the remote, a hundred entries at a time: a push killed then leaves an index that is
wrong, the next push leaves out what it names, and uploads the lists all the same.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allrounder.core.errors import DataError, first_line
from allrounder.core.files import remove_tree
from allrounder.history import versions
from allrounder.history.remotes import remote_fault, remote_of


def push(repo: Any, out: versions.Output) -> int:
    """Upload what the remote lacks of an output, its list last; returns the number of objects.

    Raises DataError if another DVC runs, the remote fails, or an object is in neither place;
    UsageError as `versions.remote_store` does.
    """
    from dvc.lock import LockError

    odb = versions.remote_store(repo, out)
    files = versions.folder_list(repo, out)
    names = {md5: path for path, md5 in files.items()} | {out.md5: out.path}
    try:
        with repo.lock:
            return _push(repo, out, odb, names)
    except LockError:
        raise DataError("another DVC is running here; wait for it, then push again") from None


def _push(repo: Any, out: versions.Output, odb: Any, names: Mapping[str, str]) -> int:
    try:
        _forget(odb)
        absent = {*names} - {*odb.oids_exist(list(names), jobs=odb.fs.jobs)}
        if lost := [one for one in absent if not versions.cached_object(one).exists()]:
            where = "in neither DVC's cache nor the remote; python scripts/doctor.py"
            raise DataError(f"{min(names[one] for one in lost)}: {where}")
        for some in (absent - {out.md5}, absent & {out.md5}):
            _upload(odb, repo.cache.local, sorted(some))
    except DataError:
        raise
    except Exception as error:  # remotes raise nearly anything
        fault = remote_fault(error, *remote_of(repo, out.remote))
        raise DataError(str(fault or f"{out.path}: {first_line(error)}; push again")) from None
    return len(absent)


def _forget(odb: Any) -> None:
    """Remove DVC's index of a remote, at once: renamed, it is no index."""
    from dvc_data.hashfile.db import get_index

    index: Any = get_index(odb)
    index.close()
    folder = Path(index.index_dir)
    old = folder.with_suffix(".old")
    remove_tree(old)
    folder.rename(old)
    remove_tree(old)


def _upload(odb: Any, cache: Any, names: Sequence[str]) -> None:
    """Copy objects from the cache to a remote. Raises the first error once all were tried."""
    failed: list[BaseException] = []
    if names:
        odb.add(
            [cache.oid_to_path(md5) for md5 in names], cache.fs, list(names), verify=False,
            check_exists=False, batch_size=odb.fs.jobs, on_error=lambda _, one: failed.append(one),
        )  # fmt: skip
    if failed:
        raise failed[0]
