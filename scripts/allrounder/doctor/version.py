"""Faults of this version: dvc.lock, the remote, objects, the download's journal."""

import re
import shlex
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from allrounder.core.dvc_lock import read_yaml
from allrounder.core.errors import DataError, Fault, UsageError, first_line
from allrounder.core.files import file_md5, hash_files, hash_folder
from allrounder.core.paths import LOCK, WORK
from allrounder.core.text import and_more
from allrounder.history import versions
from allrounder.history.journal import read_state
from allrounder.history.lock import PINS_SWITCH, locked_output
from allrounder.history.mending import cut_off_files
from allrounder.history.remotes import no_remote, remote_fault, remote_of
from allrounder.params.loading import load_params

_BACK, _PUSH = "git checkout HEAD --", "python scripts/push.py"
_MD5 = r"[0-9a-f]{32}(\.dir)?"
_ASKED = 20
"""Objects of an output that the remote is asked for."""
_NOT_AS_WRITTEN = (
    OSError, YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
)  # fmt: skip


def lock_findings() -> Iterator[Fault]:
    """A dvc.lock that DVC cannot read, or that no build has written."""
    if cut := cut_off_files():
        words = f"{cut[0].as_posix()} is cut off: a build was killed while DVC wrote it"
        yield Fault(words, "python scripts/check_params.py")
        return
    if not LOCK.exists():
        yield Fault("there is no dvc.lock: nothing was built yet", "dvc repro")
        return
    if not LOCK.is_file():
        yield Fault("dvc.lock is no file", f"rm -r dvc.lock && {_BACK} dvc.lock")
        return
    text = LOCK.read_text(encoding="utf-8", errors="replace")
    if "\n<<<<<<< " in f"\n{text}":
        yield Fault("dvc.lock has conflict markers, and no merge runs", f"{_BACK} dvc.lock")
        return
    try:
        wanted = {*read_yaml(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]}
    except _NOT_AS_WRITTEN as error:
        yield Fault(f"dvc.yaml cannot be read ({first_line(error)})", f"{_BACK} dvc.yaml")
        return
    try:
        stages = dict(read_yaml(text)["stages"])
        made = {out["path"]: out["md5"] for one in stages.values() for out in one.get("outs", ())}
        if odd := [path for path, md5 in made.items() if not re.fullmatch(_MD5, md5)]:
            raise ValueError(f"no hash of {odd[0]}")
        deps = [(name, dep) for name, one in stages.items() for dep in one.get("deps", ())]
        read = [(name, dep["path"], dep["md5"]) for name, dep in deps]
        other = [(name, path) for name, path, md5 in read if made.get(path, md5) != md5]
    except _NOT_AS_WRITTEN as error:
        words = f"dvc.lock is not as DVC writes it ({first_line(error)}); someone edited it"
        yield Fault(words, f"{_BACK} dvc.lock")
        return
    if orphans := sorted({*stages} - wanted):
        words = f"dvc.lock has the stage {', '.join(orphans)}, which dvc.yaml does not have"
        yield Fault(words, f"{_BACK} dvc.yaml dvc.lock")
    if other:
        words = "dvc.lock mixes two builds: {} was built from another {} than the file names now. "
        words += "A build stopped halfway, or someone edited the file"
        yield Fault(words.format(*other[0]), "dvc repro")


def params_findings() -> Iterator[Fault]:
    """A params.yaml that no stage can read."""
    try:
        load_params()
    except UsageError as error:
        yield Fault(f"{error}, then check it again", "python scripts/check_params.py")


def remote_findings(repo: Any, outs: list[versions.Output]) -> Iterator[Fault]:
    """A default remote that is not there, or cannot be read."""
    name, url = remote_of(repo, None)
    if not url:
        yield no_remote(name)
    for out in outs[:1] if url else ():
        try:
            odb = repo.cloud.get_remote_odb(out.remote, "push")
            with odb.fs.open(odb.oid_to_path(out.md5), "rb") as file:
                file.read(1)
        except Exception as error:  # remotes raise nearly anything
            if fault := remote_fault(error, *remote_of(repo, out.remote)):
                yield fault


def push_findings(repo: Any, outs: list[versions.Output]) -> Iterator[Fault]:
    """What a killed push left: a wrong index of the remote, or a list there without its files."""
    remotes = {out.remote: out for out in outs}.values()
    if any(_has_wrong_index(versions.remote_store(repo, out)) for out in remotes):
        words = "a push was killed, and left a wrong index of what the remote has"
        yield Fault(f"{words}: dvc push would leave objects out", _PUSH)
        return
    for out in outs:
        files = versions.cached_list(out) if out.is_folder else None
        if not files or not _has(repo, out, out.md5):
            continue
        names = {md5: path for path, md5 in files.items()}
        asked = sorted(names)[:: len(names) // _ASKED + 1]
        absent = [md5 for md5 in asked if not _has(repo, out, md5)]
        if absent and all(versions.cached_object(md5).exists() for md5 in names):
            words = f"the remote has the list of {out.path}, but not {names[absent[0]]}"
            yield Fault(f"{words}: a push was killed, and dvc push leaves it at that", _PUSH)
            return


def _has_wrong_index(odb: Any) -> bool:
    """Whether DVC's index of a remote has files but no list, without which DVC never checks it."""
    from dvc_data.hashfile.db import get_index

    with closing(get_index(odb)) as index:
        return any(True for _ in index.hashes()) and not [*index.dir_hashes()]


def size_of(repo: Any) -> int:
    """The bytes of all outputs, as dvc.lock has them."""
    return sum(int(out.meta.size or 0) for out in repo.index.outs)


@dataclass(frozen=True, slots=True)
class _Loss:
    """Objects of an output that DVC's cache lacks or has damaged, and where their bytes are."""

    path: str
    words: str
    whole: bool  # nothing of it is in the cache
    damaged: tuple[Path, ...]  # to remove: objects, and files that are links to them
    remote: bool  # the remote has them
    here: bool  # the files of the output are intact


def object_findings(repo: Any, outs: list[versions.Output], remote_works: bool) -> Iterator[Fault]:
    """Objects that DVC's cache lacks or has damaged. Every object is hashed."""
    lost = [loss for out in outs if (loss := _loss(repo, out, remote_works))]
    try:
        committed = versions.pinned_outputs(repo, "HEAD")
    except UsageError:  # nothing is committed yet
        committed = {}
    edited = {out.path for out in outs if committed.get(out.path, out.md5) != out.md5}
    never = [loss.path for loss in lost if loss.whole and loss.remote]
    if never:
        words = f"{', '.join(never)}: not in DVC's cache, but on the remote"
        yield Fault(words, f"dvc pull {' '.join(never)}")
    unclear = [one for one in lost if not (remote_works or one.remote or one.here)]
    if unclear:
        words = f"{unclear[0].words}{and_more(unclear)}; the remote may have it: mend that first"
        yield Fault(words, "python scripts/doctor.py")
    for loss in lost:
        remove = " ".join(shlex.quote(str(path)) for path in loss.damaged)
        remove = f"rm -f {remove} && " if remove else ""
        if loss.path in never or loss in unclear:
            continue
        if loss.remote:
            yield Fault(f"{loss.words}; the remote has it", f"{remove}dvc pull {loss.path}")
        elif loss.here:
            words = f"{loss.words}, and the remote lacks it; the local files are whole"
            yield Fault(words, f"{remove}dvc commit --force {loss.path}")
        elif loss.path in edited:
            words = f"dvc.lock was edited by hand: nothing has {loss.path} as it names it"
            yield Fault(words, f"{_BACK} dvc.lock")
        else:
            words = f"{loss.words}; neither the remote nor data/ has a copy. The web may give it"
            yield Fault(words, f"{remove}{PINS_SWITCH}=confirm dvc repro --force")


def _loss(repo: Any, out: versions.Output, remote_works: bool) -> _Loss | None:
    listing = versions.cached_object(out.md5)
    files = versions.cached_list(out)
    if files is None and remote_works:
        with suppress(DataError, UsageError):
            files = versions.folder_list(repo, out)
    if files is None:
        damaged = (listing,) * listing.exists()
        here = out.is_folder and hash_folder(Path(out.path)) == out.md5
        words = f"{out.path}: missing from DVC's cache"
        return _Loss(out.path, words, not damaged, damaged, False, here)
    names = {out.md5: out.path} | {md5: path for path, md5 in files.items()}
    places = {md5: versions.cached_object(md5) for md5 in names}
    hashed = dict(zip(places, hash_files(list(places.values())), strict=True))
    bad = [md5 for md5, one in hashed.items() if one.md5 != md5.removesuffix(".dir")]
    if not bad:
        return None
    damaged = tuple(places[md5] for md5 in bad if not hashed[md5].error)
    local = ((Path(path), places[md5]) for path, md5 in files.items() if places[md5] in damaged)
    damaged += tuple(path for path, place in local if path.is_file() and path.samefile(place))
    how = "damaged in" if bad[0] in hashed and not hashed[bad[0]].error else "missing from"
    return _Loss(
        out.path,
        f"{names[bad[0]]}{and_more(bad)}: {how} DVC's cache",
        len(bad) == len(names) and not damaged,
        damaged,
        remote_works and all(_has(repo, out, md5) for md5 in bad[:_ASKED]),
        all(Path(path).is_file() and file_md5(Path(path)) == md5 for path, md5 in files.items()),
    )


def _has(repo: Any, out: versions.Output, md5: str) -> bool:
    try:
        odb = versions.remote_store(repo, out)
        return bool(odb.fs.exists(odb.oid_to_path(md5)))
    except Exception:  # remotes raise nearly anything; remote_findings says what
        return False


def journal_findings() -> Iterator[Fault]:
    """A journal that a download left: of a killed run, or of one that DVC has not committed."""
    folder = WORK / "download"
    size = sum(path.stat().st_size for path in folder.glob("*.blob"))
    state = read_state(folder)
    words = f"an earlier download failed or was killed; its {size / 1e6:.1f} MB are kept"
    if state.get("complete"):
        words = f"a download wrote its output ({size / 1e6:.1f} MB), but DVC did not commit it"
    if size and not (state.get("complete") and state.get("pinned") != locked_output("download")):
        words += f" in {folder.as_posix()}; the next build takes them from there"
        yield Fault(words, "dvc repro")
