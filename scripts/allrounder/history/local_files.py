"""Local files that sources list: their names in tables, the folders of classes, their states.

Tables name files without the folders above an absolute location (`.../photos/dog/1.jpg`), so they
do not depend on the machine. Recorded states show changes before the next build.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from allrounder.catalogue.labels import ClassPart, label_matcher, normalized_label
from allrounder.core.class_cache import inputs_digest, read_json, write_json
from allrounder.core.files import hash_file
from allrounder.core.paths import CLEAN, RAW, URLS, WORK, is_clutter
from allrounder.core.rows import Candidate, RawRow
from allrounder.core.tables import read_csv
from allrounder.core.urls import container_of, is_archive, is_url, parse_byte_range
from allrounder.core.workers import map_classes
from allrounder.history.lock import built_from
from allrounder.params.classes import class_key
from allrounder.params.schema import Params
from allrounder.params.sources import FolderSource, Source, shown_location

_WATCHED_BY_DVC = Path("data/sample")
_ESCAPED = re.compile(r"%(?=[0-9A-Fa-f]{2})|#")
"""A percent sign that looks like the start of an escape, and the sign before a tar's member."""


def quoted_path(path: str) -> str:
    """A path as tables have it: on one line and in UTF-8. `LocalPlaces.path` turns it back."""
    if path.isascii() and path.isprintable() and not {"%", "#"} & {*path}:
        return path  # most are
    plain = _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", path)
    return "".join(
        quote_from_bytes(os.fsencode(c), safe="") if _breaks_text(c) else c for c in plain
    )


def _breaks_text(letter: str) -> bool:
    """Whether a letter is a control character, a line break or a byte that is not UTF-8.

    Spaces of any kind are fine: macOS puts one before "PM" in the names of screenshots.
    """
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


class LocalPlaces:
    """The names that tables give to the files below the sources' local folders, and back."""

    def __init__(self, sources: Iterable[Source] = ()):
        listed = (root for source in sources for root in source.local_roots())
        roots = {
            str(Path(root).parent) if is_archive(root) else root.rstrip("/") for root in listed
        }
        self._shown: dict[str, str] = {}  # by root, the longest first
        for root in sorted(roots, key=lambda root: (-len(root), root)):
            shown = shown_location(root or "/").rstrip("/")
            while shown in self._shown.values():
                shown += "_"  # two folders of one name
            self._shown[root] = shown

    def shown(self, url: str) -> str:
        """A listed URL without the folders above an absolute location."""
        for root, shown in self._shown.items():
            if shown != root and _is_in(url, root):
                return shown + url[len(root) :]
        return url

    def path(self, url: str) -> str:
        """The path of a local file that a table names."""
        for root, shown in self._shown.items():
            if _is_in(url, shown):
                return root + _unquoted(url[len(shown) :])
        return _unquoted(url)

    def has(self, url: str) -> bool:
        """Whether this names an existing local file, or a byte range of one."""
        try:
            return not is_url(url) and Path(self.path(container_of(url))).is_file()
        except (OSError, ValueError):
            return False


def _is_in(url: str, root: str) -> bool:
    return url.startswith(root) and (len(url) == len(root) or url[len(root)] in "/#")


def _unquoted(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text)) if "%" in text else text


def class_folders(source: FolderSource, parts: Sequence[ClassPart]) -> dict[str, list[str]]:
    """The folders of each class, by wnid, name, id or label; under '' those of no class.

    Raises OSError.
    """
    with os.scandir(source.location) as entries:
        names = sorted(entry.name for entry in entries if _is_folder(entry))
    names = [name for name in names if not (name.startswith(".") or is_clutter(name))]
    given = source.given_labels
    ungiven = [part for part in parts if not {part.wnid, part.key} & given.keys()]
    direct = {name: part.key for part in ungiven for name in (part.wnid, part.key)}
    by_label: dict[str, str] | None = None
    folders: dict[str, list[str]] = {}
    for name in names:
        key = direct.get(name)
        if key is None and not re.fullmatch("n[0-9]{8}", name):
            if by_label is None:  # slow, since it reads all synsets
                by_label = label_matcher(parts, given, indices=False)
            key = by_label.get(normalized_label(name))
            if not key and not any(map(_breaks_text, name)):
                key = direct.get(class_key(name))
        folders.setdefault(key or "", []).append(name)
    return folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def photo_files(folder: str, recursive: bool) -> Iterator[tuple[str, str]]:
    """The files of a class's folder: (path in it, '' or why it is passed over), by name.

    Files that file managers and editors leave are left out. Links to folders are not followed.
    """
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if is_clutter(entry.name):
            continue
        if entry.name.startswith("."):
            yield entry.name, "hidden: its name starts with a dot"
        elif not _is_folder(entry):  # a broken link is listed: the download reports it in its row
            yield entry.name, ""
        elif not recursive:
            yield entry.name, "a folder in a class's folder; recursive: true reads it"
        elif entry.is_symlink():
            yield entry.name, "a link to a folder in a class's folder"
        else:
            for below, reason in photo_files(entry.path, recursive):
                yield f"{entry.name}/{below}", reason


def part_files(source: FolderSource, folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The files of a class: (path, '' or why it is passed over), folder by folder."""
    for name in folders:
        folder = f"{source.location.rstrip('/')}/{name}"
        for below, reason in photo_files(folder, source.recursive):
            yield f"{folder}/{below}", reason


def folder_url(source: FolderSource, path: str) -> str:
    """The URL of a file of a folder source: its path, with odd characters encoded."""
    start = len(source.location.rstrip("/")) + 1
    return path[:start] + quoted_path(path[start:])


States = dict[str, str]
"""The state of each watched file, and of each class's photos in a folder source."""


@dataclass(frozen=True, slots=True)
class StateRecord:
    """The states of the files that a stage has read, for the tables that it wrote from them.

    Tables of another version, as after `git checkout`, were written from other files.
    """

    path: Path
    tables: Path  # the stage's folder

    def states(self) -> States:
        """The states; none if the tables are there and are others."""
        found = read_json(self.path)
        if found is None or (self.tables.is_dir() and found["tables"] != self._digest()):
            return {}
        return dict(found["states"])

    def remember(self, states: States) -> None:
        """Replace the states. Call it when the stage has succeeded."""
        if states or self.path.exists():
            self.path.parent.mkdir(exist_ok=True)
            write_json(self.path, {"tables": self._digest(), "states": states})

    def _digest(self) -> str:
        tables = sorted(self.tables.glob("*.csv"))
        own = [path for path in tables if path.name.count(".") == 1]  # no fingerprints
        return inputs_digest(*(part for path in own for part in (path.name, path)))


LISTED = StateRecord(WORK / "listed.json", URLS)
"""What fetch_urls has listed: the download reads the files."""
DOWNLOADED = StateRecord(WORK / "localfiles.json", RAW)
COMPARED = StateRecord(WORK / "testsets.json", CLEAN)
"""The test sets with which clean has compared the photos."""


def local_states(sources: Iterable[Source], parts: Sequence[ClassPart]) -> States:
    """The states of the files that these sources read. Call it before reading them."""
    found: States = {}
    for source in sources:
        if isinstance(source, FolderSource):
            if not Path(source.location).is_relative_to(_WATCHED_BY_DVC):
                found |= _folder_states(source, parts)
            continue
        for path in source.watched_paths(parts):
            if not Path(path).is_relative_to(_WATCHED_BY_DVC):
                found[path] = _state(path)
    return found


def test_set_states(params: Params) -> States:
    """The states of the folders and tables in `clean.not_like`. Call it before reading them."""
    return {f"not_like {path}": _tree_state(path) for path in params.clean.not_like}


def test_sets_changed(params: Params) -> bool:
    """Whether a test set on this machine has changed since photos were last compared with it."""
    recorded, present = COMPARED.states(), filter(os.path.exists, params.clean.not_like)
    return any(recorded.get(f"not_like {path}") != _tree_state(path) for path in present)


def _tree_state(path: str) -> str:
    below = sorted(Path(path).rglob("*")) if Path(path).is_dir() else []
    return _digest([path, *map(os.fspath, below)])


def changed_files(params: Params, now: States) -> list[str]:
    """The files and the classes' folders that have changed since they were read.

    `now` are their present states. They are compared with the record. Where it has no entry, as in
    a fresh clone, the photos are compared with the tables of the last build, if all of these exist:
    by names and hashes.
    """
    recorded = DOWNLOADED.states()
    unknown = {name: state for name, state in now.items() if name not in recorded}
    changed = [name for name, state in now.items() if recorded.get(name, state) != state]
    if unknown and _has_tables(params) and built_from("download", params):
        changed += (different := _differs_from_tables(params))
        if not different:
            DOWNLOADED.remember(recorded | unknown)
    return changed


def is_interrupted(params: Params) -> bool:
    """Whether a download has begun and tables of it are missing."""
    return RAW.is_dir() and not _has_tables(params)


def _has_tables(params: Params) -> bool:
    tables = (folder / f"{key}.csv" for folder in (URLS, RAW) for key in params.classes)
    return all(map(Path.is_file, tables))


def _differs_from_tables(params: Params) -> list[str]:
    """The local files that differ from the tables of the last build."""
    places, changed = LocalPlaces(params.sources), list[str]()
    folders = [source for source in params.sources if isinstance(source, FolderSource)]
    for key, one in params.classes.items():
        present = {
            places.shown(folder_url(source, path))
            for source in folders
            for part_key, names in _folders_of(source, one.parts).items()
            if part_key
            for path, reason in part_files(source, names)
            if not reason
        }
        candidates = read_csv(URLS / f"{key}.csv", Candidate)
        changed += sorted(present ^ {row.url for row in candidates if row.source == "folder"})
        for row in read_csv(RAW / f"{key}.csv", RawRow):
            is_file = places.has(row.url) and not parse_byte_range(row.url)
            sha256 = hash_file(Path(places.path(row.url))).sha256 if row.sha256 and is_file else ""
            if is_file and sha256 != row.sha256:
                changed.append(row.url)
    return changed


def _folders_of(source: FolderSource, parts: Sequence[ClassPart]) -> dict[str, list[str]]:
    try:
        return class_folders(source, parts)
    except OSError:
        return {}


def _folder_states(source: FolderSource, parts: Sequence[ClassPart]) -> States:
    """The state of each class's photos in a folder."""
    folders = _folders_of(source, parts)
    names = [folder_state_name(source, part.key) for part in parts]
    own = [folders.get(part.key, ()) for part in parts]
    return dict(zip(names, map_classes(partial(_part_state, source), own), strict=True))


def _part_state(source: FolderSource, folders: Sequence[str]) -> str:
    return _digest(path for path, why in part_files(source, folders) if not why)


def folder_state_name(source: FolderSource, part: str) -> str:
    """The name of the state of a class part's photos in a folder."""
    return f"{source.location}: {part}"


def _digest(paths: Iterable[str]) -> str:
    """A hash of the names, sizes and times of some files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path}\0{_state(path)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _state(path: str) -> str:
    """A file's size and modification time in nanoseconds; '' if it is missing.

    Inodes are left out: network file systems may give a file another one.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 (a folder may have a million photos)
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
