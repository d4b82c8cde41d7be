"""Downloads a version of a dataset without DVC. This file needs Python 3.9 or newer, nothing else.

The version is named by a dvc.lock: a file, its URL, a folder, or the URL of a git repository. The
photos come from the version's remote, an HTTP(S) address or a folder that has DVC's layout. Every
file is compared with the hash that dvc.lock records. Run it again to go on after an interruption.
"""

from __future__ import annotations

import argparse
import configparser
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

EPILOG = """examples:
  fetch_version.py https://git.example/cats.git --rev v1.2.0
  fetch_version.py dvc.lock --remote https://data.example/store --split val --class persian_cat
exit codes: 0 complete; 1 something is missing or damaged; 2 bad usage"""
TRIES, TIMEOUT, CHUNK = 4, 60, 2**20
WORK = ".fetch_version"
"""Folder for incomplete files, in the target folder."""
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\..*)?", re.IGNORECASE)
"""Names of devices on Windows, which cannot be files."""


class VersionError(Exception):
    """The version cannot be had. The message says what to do; `code` is the exit code."""

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class Output(NamedTuple):
    """An output of dvc.lock: a file, or a folder whose hash ends in .dir."""

    path: str
    md5: str
    size: int  # bytes in all


def locked_outputs(lock: str) -> dict[str, Output]:
    """The outputs in a dvc.lock, by path. Reads the YAML that DVC writes, no other."""
    entries: list[dict[str, str]] = []
    key = ""
    for line in lock.splitlines():
        if re.match(r" {0,4}[^\s-]", line):
            key = line.strip()
        elif key == "outs:" and (found := re.fullmatch(r" {4}(- |  )(\w+): (.+)", line)):
            if found[1] == "- ":
                entries.append({})
            if entries:
                entries[-1][found[2]] = _scalar(found[3].strip())
    outs = {}
    for one in entries:
        path, md5, size = (one.get(name, "") for name in ("path", "md5", "size"))
        if path and one.get("hash") == "md5" and re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5):
            outs[path] = Output(path, md5, int(size) if size.isdecimal() else 2**40)
    return outs


def _scalar(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return str(json.loads(text)) if text.startswith('"') else text


def safe_parts(relpath: object) -> tuple[str, ...]:
    """The parts of a relative path that stays in its folder on every system.

    Raises VersionError for any other.
    """
    parts = tuple(relpath.split("/")) if isinstance(relpath, str) else ("",)
    for part in parts:
        bad = part in ("", ".", "..") or part != part.rstrip(". ") or not part.isprintable()
        bad = bad or DEVICE.fullmatch(part) is not None
        if bad or set(part) & set('\\:*?"<>|') or part.lower() in (".git", ".dvc", WORK):
            raise VersionError(f"the version lists a file named {relpath!r}; do not trust it")
    return parts


def listed_files(raw: bytes) -> dict[tuple[str, ...], str]:
    """The files of a folder, parts of the path to MD5, from its list. Raises VersionError."""
    try:
        files = {safe_parts(one["relpath"]): str(one["md5"]) for one in json.loads(raw)}
    except (ValueError, LookupError, TypeError, RecursionError):
        raise VersionError("the list of files is not as DVC writes it; ask its owner") from None
    if not all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in files.values()):
        raise VersionError("the list of files has a hash that is not MD5; ask its owner")
    return files


class Remote:
    """Objects by their hash, from a folder or an HTTP(S) address with DVC's layout."""

    def __init__(self, where: str):
        self._base = f"{where.rstrip('/')}/files/md5"
        self._is_web = bool(re.match("https?://", where))
        if not self._is_web and not Path(where).is_dir():
            kind = "is no folder and no HTTP(S) address"
            raise VersionError(f"remote {where} {kind}; name one with --remote", 2)

    def fetch(self, md5: str, part: Path, limit: int) -> None:
        """Write an object to `part`, going on where it ends. Raises VersionError."""
        for left in reversed(range(TRIES)):
            try:
                with self._opened(md5, part) as (source, start, size):
                    _append(source, part, start, size, limit)
                if file_md5(part) == md5[:32]:
                    return
                problem = VersionError(
                    f"{self._base}: object {md5} is damaged there; name another --remote"
                )
                part.unlink()
            except urllib.error.HTTPError as error:
                problem = VersionError(f"{error.url}: HTTP {error.code}; is this the right remote?")
                if error.code == 416:
                    part.unlink()
                elif error.code < 500 and error.code not in (408, 429):
                    raise problem from None
            except FileNotFoundError:
                raise VersionError(
                    f"{self._base} has no object {md5}; name another --remote"
                ) from None
            except (OSError, http.client.HTTPException, ValueError) as error:  # no HTTP
                if getattr(error, "errno", 0) == errno.ENOSPC:  # here, not there
                    raise
                words = getattr(error, "reason", "") or error
                problem = VersionError(f"{self._base}: {words}; check the address and the network")
            if left and self._is_web:
                time.sleep(PAUSE * (TRIES - left))
        raise problem

    @contextmanager
    def _opened(self, md5: str, part: Path) -> Iterator[tuple[BinaryIO, int, int]]:
        """Open an object; yields its bytes, where in it they start, and how many (0: unknown)."""
        place, start = f"{self._base}/{md5[:2]}/{md5[2:]}", 0
        if not self._is_web:
            if Path(place).exists() and not Path(place).is_file():  # a pipe would never end
                raise OSError(f"{place} is no regular file")
            with open(place, "rb") as file:
                yield file, 0, 0
            return
        headers = {"User-Agent": "fetch_version.py"}
        if part.exists() and part.stat().st_size:
            start = part.stat().st_size
            headers["Range"] = f"bytes={start}-"
        request = urllib.request.Request(place, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            size = int(reply.headers.get("Content-Length") or 0)
            yield reply, start if reply.status == 206 else 0, size


PAUSE = 1.0
"""Seconds before the second try; each later one waits one such pause more."""


def _append(source: BinaryIO, part: Path, start: int, size: int, limit: int) -> None:
    """Write a stream of `size` bytes (0: unknown) from `start` on. Raises OSError, VersionError."""
    with part.open("r+b" if part.exists() else "wb") as file:
        file.truncate(start)
        file.seek(start)
        while chunk := source.read(CHUNK):
            file.write(chunk)
            if file.tell() > limit:
                raise VersionError(
                    "the remote sends more bytes than the version has; name another --remote"
                )
        if size and file.tell() != start + size:
            raise OSError(f"the reply for {part.stem} broke off")


def file_md5(path: Path) -> str:
    """The MD5 of a file; '' if there is no such regular file."""
    found = hashlib.md5()
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def fetch_files(
    remote: Remote, files: dict[Path, str], work: Path, limit: int, jobs: int, force: bool = False
) -> int:
    """Fetch files (path to MD5); returns how many were missing.

    Raises VersionError when some cannot be had, or when another file is in the way.
    """
    wanted = defaultdict(list)
    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(file_md5, files))
    for place, (path, md5) in enumerate(files.items()):
        if found[place] != md5:
            wanted[md5].append(path)
    other = [path for paths in wanted.values() for path in paths if os.path.lexists(path)]
    if other and not force:
        words = f" and {len(other) - 1} more differ" if other[1:] else " differs"
        raise VersionError(f"{other[0]}{words} from this version; take another --to, or --force")

    def fetch(md5: str) -> None:
        part = work / f"{md5}.part"
        remote.fetch(md5, part, limit)
        for number, path in enumerate(wanted[md5]):
            path.parent.mkdir(parents=True, exist_ok=True)
            copy = work / f"{md5}-{number}"
            shutil.copyfile(part, copy) if number + 1 < len(wanted[md5]) else part.replace(copy)
            copy.replace(path)

    with ThreadPoolExecutor(jobs) as pool:
        _await_all([pool.submit(fetch, md5) for md5 in wanted])
    return sum(map(len, wanted.values()))


def _await_all(tasks: list[Future[None]]) -> None:
    """Wait for tasks, and show how many are done. Raises VersionError when some failed."""
    errors = []
    try:
        for done, task in enumerate(as_completed(tasks), 1):
            errors += [error] if (error := task.exception()) else []
            if sys.stderr.isatty():
                print(f"\r{done}/{len(tasks)} objects", end="", file=sys.stderr)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    if errors:
        raise VersionError(f"{len(errors)} of {len(tasks)} objects failed; first: {errors[0]}")


class Version(NamedTuple):
    """A version's outputs, and its remote as .dvc/config names it ('' if it does not)."""

    outs: dict[str, Output]
    remote: str


@contextmanager
def opened_version(where: str, rev: str) -> Iterator[Version]:
    """Find a version. A git repository is cloned into a temporary folder until the block ends."""
    if re.match(r"https?://.*/[^/]*\.lock$", where):
        yield Version(_lock_from_web(where), "")
    elif Path(where).exists() and not rev and not Path(where, "HEAD").exists():
        yield _version_in(Path(where))
    else:
        with tempfile.TemporaryDirectory() as folder:
            _clone(where, rev or "HEAD", folder)
            yield _version_in(Path(folder), where)


def _lock_from_web(url: str) -> dict[str, Output]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as reply:
            return locked_outputs(reply.read(2**26).decode())
    except (http.client.HTTPException, ValueError, IndexError) as error:
        why = error or type(error).__name__
        raise VersionError(f"{url}: is no dvc.lock ({why}); name that of a dataset") from None


def _version_in(place: Path, origin: str = "") -> Version:
    """The version in a folder. A remote in a folder may be where the `origin` of a clone has it."""
    lock = place / "dvc.lock" if place.is_dir() else place
    if not lock.is_file():
        raise VersionError(f"{place} has no dvc.lock; name the repository of a dataset", 2)
    config, base = configparser.ConfigParser(interpolation=None, strict=False), lock.parent / ".dvc"
    try:
        config.read(base / "config", encoding="utf-8")
        name = config.get("core", "remote", fallback="")
        url = config.get(f"'remote \"{name}\"'", "url", fallback="")
        outs = locked_outputs(lock.read_text(encoding="utf-8"))
    except (configparser.Error, ValueError, IndexError):
        raise VersionError(
            f"{place}: its dvc.lock or .dvc/config is not as DVC writes it; ask its owner"
        ) from None
    if url and "://" not in url:
        is_beside = origin and Path(origin).is_dir() and not (base / url).is_dir()
        url = os.path.normpath(Path(origin, ".dvc", url)) if is_beside else str(base / url)
    return Version(outs, url)


def _clone(where: str, rev: str, folder: str) -> None:
    """Check a revision out. A repository here may name it in any way that git understands."""
    if Path(where).exists():
        where = str(Path(where).resolve())
        rev = _git("-C", where, "rev-parse", "--verify", "--end-of-options", f"{rev}^{{commit}}")
    _git("init", "-q", folder)
    try:
        _git("-C", folder, "fetch", "-q", "--depth=1", "--", where, rev)
    except VersionError:  # a plain web server cannot send a part of the history
        _git("-C", folder, "fetch", "-q", "--", where, rev)
    _git("-C", folder, "-c", "core.symlinks=false", "checkout", "-q", "FETCH_HEAD")


def _git(*arguments: str) -> str:
    try:
        ended = subprocess.run(
            ["git", *arguments], check=True, capture_output=True, text=True, encoding="utf-8"
        )
    except FileNotFoundError:
        raise VersionError("this needs git: install it, or name a dvc.lock", 2) from None
    except subprocess.CalledProcessError as error:
        raise VersionError(
            f"git: {(error.stderr.strip().splitlines() or ['failed'])[0]}", 2
        ) from None
    return ended.stdout.strip()


def chosen_files(
    files: dict[tuple[str, ...], str], splits: list[str], classes: list[str]
) -> dict[tuple[str, ...], str]:
    """The files of some splits and classes (folder or wnid), and the tables beside them.

    Raises VersionError for a split or class that is not there.
    """
    for name, known in (("split", splits), ("class", classes)):
        for one in known:
            if not any(_matches(parts, name, one) for parts in files):
                there = sorted(
                    {parts[-2 if name == "class" else 0] for parts in files if parts[2:]}
                )
                raise VersionError(f"no {name} {one}; this version has {', '.join(there)}", 2)

    def is_chosen(parts: tuple[str, ...]) -> bool:
        return all(
            not names or any(_matches(parts, what, name) for name in names)
            for what, names in (("split", splits), ("class", classes))
        )

    return {parts: md5 for parts, md5 in files.items() if not parts[1:] or is_chosen(parts)}


def _matches(parts: tuple[str, ...], what: str, name: str) -> bool:
    if what == "split":
        return name in parts[:-2]
    return bool(parts[1:]) and (parts[-2] == name or parts[-1].startswith(f"{name}_"))


def fetch(args: argparse.Namespace) -> str:
    """Fetch what the arguments say; returns a summary. Raises VersionError."""
    with opened_version(args.version, args.rev) as version:
        if (out := version.outs.get(args.output)) is None:
            there = ", ".join(version.outs) or "no outputs"
            raise VersionError(f"dvc.lock has no {args.output}, but {there}", 2)
        if not (where := args.remote or version.remote):
            raise VersionError("the version names no remote; name one with --remote", 2)
        remote, name = Remote(where), safe_parts(Path(out.path).name)[0]
        to = Path(args.to or name)
        work = to / WORK if out.md5.endswith(".dir") else to.parent / WORK
        work.mkdir(parents=True, exist_ok=True)
        files = {to: out.md5}
        if out.md5.endswith(".dir"):
            listing = work / out.md5
            if file_md5(listing) != out.md5[:32]:
                remote.fetch(out.md5, listing, 2**30)
            listed = chosen_files(listed_files(listing.read_bytes()), args.split, args.classes)
            files = {to.joinpath(*parts): md5 for parts, md5 in listed.items()}
        new = fetch_files(remote, files, work, out.size, args.jobs, args.force)
    shutil.rmtree(work)
    return f"{to}: {len(files)} files as dvc.lock says, {new} of them fetched"


def main() -> int:
    """Parse, fetch, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", help="a dvc.lock, its URL, a folder, or a git repository's URL")
    parser.add_argument("--rev", default="", help="a tag, branch or commit of the git repository")
    parser.add_argument("--remote", default="", help="where the objects are: https://..., a folder")
    parser.add_argument("--output", default="data/dataset", help="default: %(default)s")
    parser.add_argument("--split", action="append", default=[], help="only this one (repeatable)")
    parser.add_argument(
        "--class", action="append", default=[], dest="classes", metavar="FOLDER_OR_WNID",
        help="only this one (repeatable)",
    )  # fmt: skip
    parser.add_argument("--to", default="", help="the folder to write; default: the output's name")
    parser.add_argument("--jobs", type=int, default=16, help="parallel downloads")
    parser.add_argument("--force", action="store_true", help="replace files that differ")
    args = parser.parse_args()
    if not 1 <= args.jobs <= 256:
        parser.error("--jobs: 1 to 256")
    try:
        print(fetch(args))
    except VersionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except OSError as error:  # a full disk, no access, a dvc.lock that is not there
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
