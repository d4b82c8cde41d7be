"""Reads every object of cache, remotes and work tree, and finds those that hold a photo.

A place that cannot be read is an error, since it may hold the photo.
"""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from allrounder.clean.curate import SAME, components, same_value
from allrounder.clean.neighbours import near_pairs
from allrounder.core.corrections import match_name
from allrounder.core.errors import DataError, UsageError, first_line
from allrounder.core.files import hash_files
from allrounder.core.paths import CLEAN, DATASET, RAW, REPORTS, WORK
from allrounder.history.remotes import remote_of
from allrounder.history.versions import pinned_outputs
from allrounder.takedown.content import Content, Reader, Source

WORK_TREE, CACHE = "work tree", "cache"
LISTS = WORK / "cache"
"""Lists from the web: they name URLs and hold no photos."""
_SHEETS = "plots/sheets/"
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """An object in a store, or a file of the work tree."""

    where: str  # CACHE, `remote <name>` or WORK_TREE
    name: str  # the object's MD5, or the file's path


@dataclass
class Survey:
    """What all places hold. `contents` is by MD5; files outside of DVC have their path instead."""

    contents: dict[str, Content] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))
    paths: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The paths that folders' lists give an object."""

    def sources(self) -> Iterator[Source]:
        """The rows of all tables of the download."""
        for content in self.contents.values():
            yield from content.sources

    @property
    def count(self) -> int:
        """The places that were read."""
        return sum(map(len, self.places.values()))


def stores(repo: Any) -> dict[str, Any]:
    """The object stores by name: the cache, the default remote and those that outputs name.

    Raises UsageError for a remote that is not configured.
    """
    from dvc.exceptions import DvcException

    names = dict.fromkeys([remote_of(repo, None)[0], *(out.remote for out in repo.index.outs)])
    found = {CACHE: repo.cache.local}
    try:
        for name in filter(None, names):
            found[f"remote {name}"] = repo.cloud.get_remote_odb(name, "push")
    except DvcException as error:
        raise UsageError(first_line(error)) from None
    return found


def survey(repo: Any, reader: Reader, temporary: Path, show: Callable[[], object]) -> Survey:
    """Read all places, but no content twice. Raises DataError when a store cannot be read."""
    found = Survey()
    for where, store in stores(repo).items():
        try:
            for oid in sorted(store.all()):
                if oid not in reader.known:
                    reader.known[oid] = _read_object(reader, store, oid, temporary)
                found.contents[oid] = reader.known[oid]
                found.places[oid].append(Place(where, oid))
                show()
        except DataError:
            raise
        except Exception as error:  # remotes raise nearly anything
            words = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(f"{where} cannot be read: {words}; check your access to it") from None
    _read_work_tree(found, reader)
    for content in found.contents.values():
        for path, oid in content.files.items():
            found.paths[oid].add(path)
    return found


def _read_object(reader: Reader, store: Any, oid: str, temporary: Path) -> Content:
    """Read an object; one of another machine is copied first."""
    place = store.oid_to_path(oid)
    if store.fs.protocol == "local":
        return reader.read(Path(place))
    try:
        with store.fs.open(place, "rb") as source, temporary.open("wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
        return reader.read(temporary)
    finally:
        temporary.unlink(missing_ok=True)


def _read_work_tree(found: Survey, reader: Reader) -> None:
    folders = (RAW, CLEAN, DATASET, REPORTS, *(path for path in WORK.glob("*") if path != LISTS))
    every = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    files = [path for path in every if path.suffix != ".blob"]  # read by way of the journal
    for path, hashes in zip(files, hash_files(files), strict=True):
        name = path.as_posix()
        if hashes.error:
            raise DataError(f"{name}: {hashes.error}; give yourself access")
        if hashes.md5 not in reader.known:
            content = _journal(path) if path.suffix == ".jsonl" else reader.read(path)
            reader.known[hashes.md5] = content
        found.contents[hashes.md5] = reader.known[hashes.md5]
        found.places[hashes.md5].append(Place(WORK_TREE, name))


def _journal(path: Path) -> Content:
    """The photos of a journal. Their bytes are in the blob beside it."""
    photos, sources = set(), []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            sources.append(Source(entry["sha256"], (entry["url"],)))
        except (ValueError, KeyError, TypeError):
            continue
        photos.add(sources[-1].sha256)
    return Content(photos=frozenset(photos - {""}), sources=tuple(sources))


@dataclass(frozen=True, slots=True)
class Target:
    """A photo and its copies: hashes as served and as cleaned, the URLs listed, all URLs."""

    sha256s: frozenset[str] = frozenset()
    listed: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()


def find_target(found: Survey, reader: Reader, name: str, radius: int) -> Target:
    """The photo with this SHA-256 or URL (as `match_name`), and its copies by picture."""
    sources = list(found.sources())
    start = {one.sha256 for one in sources if any(match_name(url) == name for url in one.urls)}
    if _HASH.fullmatch(name):
        start.add(name)
    photos = list(reader.decoded)
    cleaned = [reader.decoded[sha256].cleaned for sha256 in photos]
    prints = [
        (at, one) for at, sha in enumerate(photos) if (one := reader.decoded[sha].fingerprint)
    ]
    near = near_pairs([one for _, one in prints], radius, SAME)
    links = [(prints[one][0], prints[two][0]) for one, two in near]
    sha256s = set(start)
    for part in components(len(photos), [*links, *same_value(np.array(cleaned, str))]):
        own = {text for at in part for text in (photos[at], cleaned[at]) if text}
        sha256s |= own if own & start else set()
    hit = [one.urls for one in sources if one.sha256 in sha256s]
    listed, urls = {urls[0] for urls in hit}, {url for urls in hit for url in urls}
    return Target(frozenset(sha256s), tuple(sorted(listed)), tuple(sorted(urls)))


def holders(found: Survey, target: Target) -> set[str]:
    """The contents (by MD5) that hold the photo: its bytes, a cleaned form or a thumbnail."""
    names = {*target.sha256s, *target.urls, *(sha256[:16] for sha256 in target.sha256s)}
    hit = {
        md5
        for md5, one in found.contents.items()
        if one.photos & target.sha256s or one.shown & names
    }
    keys = {PurePosixPath(path).stem for md5 in hit for path in found.paths[md5]}
    for content in found.contents.values():  # a report's contact sheets have no text to find
        if any(oid in hit and path.endswith(".html") for path, oid in content.files.items()):
            hit |= {
                oid
                for path, oid in content.files.items()
                if path.startswith(_SHEETS) and PurePosixPath(path).stem in keys
            }
    return hit


def naming_lists(urls: Iterable[str]) -> list[str]:
    """The cached lists that name one of these URLs."""
    found, names = [], [url.encode() for url in urls]
    for path in sorted(LISTS.glob("*.body")) if names else ():
        if path.stat().st_size:
            with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as body:
                if any(body.find(name) >= 0 for name in names):
                    found.append(path.as_posix())
    return found


def versions(repo: Any, found: Survey) -> dict[str, frozenset[str]]:
    """The objects of each version: the work tree, HEAD, branches, tags, then other commits."""
    names = ["HEAD", *repo.scm.list_branches(), *repo.scm.list_tags()]
    named = {repo.scm.resolve_rev(name) for name in names}
    commits = repo.scm.list_all_commits()
    revs = {name: name for name in names} | {one[:12]: one for one in commits if one not in named}
    objects: dict[str, frozenset[str]] = {}
    for name, rev in [(WORK_TREE, None), *revs.items()]:
        try:
            own = set(pinned_outputs(repo, rev).values())
        except UsageError:  # a broken dvc.lock in git's history: that version cannot be had
            if rev is None:
                raise
            continue
        lists = [found.contents[md5].files for md5 in own if md5 in found.contents]
        if own := own.union(*(files.values() for files in lists)):
            objects[name] = frozenset(own)
    return objects
