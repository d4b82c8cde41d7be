"""Faults of the clone and its machine: git, .venv, Git LFS, disk, links, stages left running."""

import os
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from allrounder.core.commands import output_of
from allrounder.core.errors import Fault
from allrounder.core.files import file_disguise
from allrounder.core.paths import LOCK, METRICS, PARAMS, WORK
from allrounder.core.text import and_more

_NEEDED = (".dvc", "dvc.yaml", "dvc.lock", "params.yaml", "scripts", "store")
_git = partial(output_of, "git")
_ROOM = 50_000_000
"""Bytes that a build needs at least."""


def git_findings() -> Iterator[Fault]:
    """No git repository, a merge that stopped, a shallow one, files that are Git LFS pointers."""
    if not shutil.which("git"):
        yield Fault("git is not installed; DVC needs it", "apt install git")
        return
    if not _git("rev-parse", "--git-dir"):
        if _git("-c", "safe.directory=*", "rev-parse", "--git-dir"):
            folder = shlex.quote(str(Path.cwd()))
            words = "git refuses this folder, which another user owns"
            yield Fault(words, f"git config --global --add safe.directory {folder}")
            return
        words = "this folder is no git repository, as in an unpacked ZIP; DVC needs one. Better "
        words += "clone the project, which keeps its history; or make a new repository"
        yield Fault(words, "git init -q && git add -A && git commit -qm start")
        return
    versions = [path.as_posix() for path in (PARAMS, LOCK, METRICS)]
    if open_ones := _git("diff", "--name-only", "--diff-filter=U", "--", *versions).split():
        words = f"a merge of two versions has stopped at {' and '.join(open_ones)}"
        yield Fault(words, "python scripts/merge.py")
    if gone := _git("ls-files", "--deleted", "--", *_NEEDED).splitlines():
        words = f"{gone[0]}{and_more(gone)} is missing, and git has it"
        folders = sorted({name.partition("/")[0] for name in gone})
        yield Fault(words, f"git checkout HEAD -- {' '.join(folders)}")
    elif not Path("dvc.yaml").exists():
        yield Fault("no dvc.yaml is here: run this in the project's folder", 'cd "$(dvc root)"')
    if _git("rev-parse", "--is-shallow-repository").startswith("true"):
        words = "a shallow clone: older versions are missing, for diff.py and git checkout"
        yield Fault(words, "git fetch -q --unshallow --tags")
    names = _git("ls-files", "-z").split("\0")
    pointers = [name for name in names if name and "Git LFS" in file_disguise(Path(name))]
    if pointers:
        words = f"{pointers[0]}{and_more(pointers)} is a Git LFS pointer, not the file"
        yield Fault(words, "git lfs install --local && git lfs pull")


def venv_findings() -> Iterator[Fault]:
    """A .venv that was made in another folder: its programs name that folder."""
    program = Path(".venv/bin/dvc")
    first = program.read_bytes().partition(b"\n")[0] if program.is_file() else b""
    mark, _, python = first.decode(errors="replace").partition("#!")
    here = (Path(".venv").absolute(), Path(".venv").resolve())
    if python and not mark and not any(map(Path(python.split()[0]).is_relative_to, here)):
        words = f".venv was made in another folder ({python}): the project was moved or copied"
        yield Fault(words, "rm -rf .venv && make .venv/ready")


def disk_findings(needed: int, *folders: str) -> Iterator[Fault]:
    """A disk without room to build a version again. `needed`: bytes of its outputs, if known."""
    places = {folder: shutil.disk_usage(folder).free for folder in folders if Path(folder).exists()}
    place, free = min(places.items(), key=lambda pair: pair[1])
    if free < max(needed, _ROOM):
        words = f"the disk of {place} is nearly full: {free / 1e6:.0f} MB are free, and a build "
        words += f"writes {max(needed, _ROOM) / 1e6:.0f} MB. Remove from DVC's cache what the work "
        words += "tree does not need, and the cached lists"
        yield Fault(words, "dvc gc --workspace --force && make clean-cache")


def link_findings(repo: Any) -> Iterator[Fault]:
    """A cache.type that does not work between the cache and the work tree."""
    types = repo.config["cache"].get("type") or []
    types = [types] if isinstance(types, str) else types
    cache, makers = Path(repo.cache.local.path), {"hardlink": os.link, "symlink": os.symlink}
    if not types or not {*types} <= {*makers}:
        return  # it copies then, at the latest
    failed = {kind: words for kind in types if (words := _link_fault(makers[kind], cache))}
    if len(failed) == len(types):
        said = "; ".join(f"{kind}: {words}" for kind, words in failed.items())
        then = "symlink" if not _link_fault(os.symlink, cache) else "copy"
        words = f"cache.type cannot be used between the cache {cache} and this folder ({said})"
        yield Fault(f"{words}: they may be on two disks", f"dvc config --local cache.type {then}")


def _link_fault(make: Any, cache: Path) -> str:
    """What keeps links from the work tree to the cache from being made; '' if nothing does."""
    cache.mkdir(parents=True, exist_ok=True)
    source, link = cache / f"doctor-{os.getpid()}", Path(f".doctor-{os.getpid()}")
    try:
        source.touch()
        make(source, link)
    except (OSError, NotImplementedError) as error:
        return getattr(error, "strerror", "") or type(error).__name__
    finally:
        source.unlink(missing_ok=True)
        link.unlink(missing_ok=True)
    return ""


def process_findings() -> Iterator[Fault]:
    """Stages that still run although the DVC that started them was killed."""
    for holder in sorted(WORK.glob("*/holder")):
        pid = holder.read_text(encoding="utf-8").strip()
        try:
            with FileLock(holder.with_name("lock"), timeout=0):
                continue
        except Timeout:
            pass
        if pid.isdecimal() and output_of("ps", "-o", "ppid=", "-p", pid).strip() == "1":
            words = f"{holder.parent.name} still runs, though the dvc that started it was killed"
            yield Fault(f"{words} (process {pid}); it keeps new builds waiting", f"kill {pid}")
