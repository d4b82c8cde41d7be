"""Lists the candidates of every class from all sources, in rank order, each address once.

Temporary databases on disk hold them, so memory stays flat for lists of any length.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path

from allrounder.catalogue.labels import ClassPart
from allrounder.catalogue.synsets import is_subtree, wnid_of
from allrounder.core.candidates import IdMaker
from allrounder.core.errors import DataError
from allrounder.core.files import part_of
from allrounder.core.rows import Candidate
from allrounder.core.tables import write_csv
from allrounder.core.urls import MAX_URL_LENGTH, address_key, is_archive, parse_byte_range
from allrounder.fetch_urls import sources
from allrounder.fetch_urls.tally import Tally
from allrounder.history.local_files import LocalPlaces
from allrounder.params.classes import Classes, class_parts
from allrounder.params.sources import Source
from allrounder.web.lists import ListClient

REQUIRED = ("image_id", "url")
OPTIONAL = (
    "license", "author", "landing_url", "source", "synset", "title", "expected_sha256",
    "expected_hash", "split", "moved_from", "results",
)  # fmt: skip
MAX_LISTED = 20_000_000
"""Photos that one source may list."""
_MAX_RANGE_URL = 4 * MAX_URL_LENGTH  # a byte range also names a member, which is not sent
_FOUND = ("image_id", *(name for name in OPTIONAL if name not in ("synset", "source")))
_TEXTS = ("url", "source", *_FOUND)
_found = attrgetter(*_FOUND)


class Listed:
    """The candidates of one class. They can be read any number of times."""

    def __init__(
        self, key: str, parts: Sequence[ClassPart], sources: int, database: sqlite3.Connection
    ):
        self._key, self._sources, self._database = key, sources, database
        self._parts = [part.key for part in parts]

    def __iter__(self) -> Iterator[Candidate]:
        return unique(wnid_of(self._key), self._ranked())

    @property
    def columns(self) -> list[str]:
        """The columns that a source filled."""
        filled = {"synset"} if is_subtree(self._key) else set()
        for name in set(OPTIONAL) & set(_TEXTS):
            any_of = f"SELECT 1 FROM listed WHERE part = ? AND {name} != '' LIMIT 1"
            if any(self._database.execute(any_of, (part,)).fetchone() for part in self._parts):
                filled.add(name)
        return [*REQUIRED, *(name for name in OPTIONAL if name in filled)]

    @property
    def used_sources(self) -> list[int]:
        """The places of the sources that list a photo for the class."""
        query = "SELECT DISTINCT place FROM listed WHERE part = ?"
        found = (self._database.execute(query, (part,)) for part in self._parts)
        return sorted({place for rows in found for (place,) in rows})

    def _ranked(self) -> Iterator[Candidate]:
        """A class's candidates, source by source; a subtree's synsets take turns."""
        for number in range(self._sources):
            parts = [self._of_part(part, number) for part in self._parts]
            for turn in zip_longest(*parts):
                yield from filter(None, turn)

    def _of_part(self, part: str, number: int) -> Iterator[Candidate]:
        synset = part if is_subtree(self._key) else ""
        query = f"SELECT {', '.join(_TEXTS)} FROM listed WHERE part = ? AND place = ?"
        for texts in self._database.execute(f"{query} ORDER BY rowid", (part, number)):
            yield Candidate(synset=synset, **dict(zip(_TEXTS, texts, strict=True)))


def list_classes(
    selected: Sequence[Source],
    classes: Classes,
    web: ListClient,
    pinned: int = 0,
    unchanged: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Listed]:
    """Read the sources one after the other; a class's candidates follow the sources' order.

    `pinned` is the number of other classes, which are pinned. `unchanged` classes are not listed
    again; their values are the numbers of the sources that list a photo for them. Raises DataError
    when a source cannot be read or lists none of the classes, and when a class has no candidate.
    """
    database = _temporary(
        f"CREATE TABLE listed (part, place, {', '.join(_TEXTS)})",
        "CREATE INDEX of_class ON listed (part, place)",
    )
    unchanged = unchanged or {}
    places, hints, parts = LocalPlaces(selected), list[str](), class_parts(classes)
    new = {key: one for key, one in classes.items() if key not in unchanged}
    known = {part.key for part in parts} - {part.key for part in class_parts(new)}
    used = {number for numbers in unchanged.values() for number in numbers}
    for number, source in enumerate(selected):
        tally = Tally(source.name)
        found = sources.candidates(source, parts, web, tally, known)
        rows = _rows(source, number, found, tally, places)
        marks = ", ".join("?" * (2 + len(_TEXTS)))
        database.executemany(f"INSERT INTO listed VALUES ({marks})", rows)
        tally.print_counts()
        hints += tally.ambiguity_hints()
        can_have = any(part.wnid for part in parts) or not source.knows_wnids_only
        if not (tally.used or tally.absent or pinned or number in used) and can_have:
            raise DataError(
                f"{source.name}: lists no photo for any class of the params "
                f"({', '.join(list(classes)[:10])}{', ...' if len(classes) > 10 else ''}); "
                f"{'; '.join([*tally.ambiguity_hints(), 'correct its location or remove it'])}"
            )
    lists = {key: Listed(key, one.parts, len(selected), database) for key, one in new.items()}
    if missing := [key for key, listed in lists.items() if next(iter(listed), None) is None]:
        names = "; ".join(source.name for source in selected)
        advice = "; ".join([*hints, "add a source or remove the class"])
        name = classes[missing[0]].name
        raise DataError(f"class {name}: no candidate from {names}; {advice}")
    return lists


def _rows(
    source: Source,
    number: int,
    candidates: Iterable[tuple[str, Candidate]],
    tally: Tally,
    places: LocalPlaces,
) -> Iterator[tuple[object, ...]]:
    """The rows of a source's candidates for the database, each counted."""
    for part, candidate in candidates:
        url = places.shown(candidate.url)
        if is_archive(url) and not source.reads_archives:
            tally.pass_over("names a tar, and the source does not say archives: true", url)
            continue
        if len(url) > (_MAX_RANGE_URL if parse_byte_range(url) else MAX_URL_LENGTH):
            # Never requested: it stays too long, but fits into every table.
            url = url[: MAX_URL_LENGTH + 1]
        tally.used += 1
        if tally.used > MAX_LISTED:
            raise DataError(f"{source.name}: lists more than {MAX_LISTED:,} photos; shorten it")
        yield part, number, url, candidate.source or source.kind, *_found(candidate)


def unique(prefix: str, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Yield each address once, at its best rank, with ids that are safe and unique in the class.

    Other addresses of a listed photo stay: the download requests them when the first one fails.
    """
    ids, photos = IdMaker(prefix, _DiskSet().add), _DiskSet()
    for candidate in candidates:
        if photos.add(address_key(candidate.url)):
            yield replace(candidate, image_id=ids.make(candidate.image_id, candidate.url))


class _DiskSet:
    """A set of texts of any size, by their hashes."""

    def __init__(self) -> None:
        self._database = _temporary("CREATE TABLE texts (hash BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, text: str) -> bool:
        """Add a text; returns whether it is new."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        done = self._database.execute("INSERT OR IGNORE INTO texts VALUES (?)", (digest,))
        return done.rowcount > 0


def _temporary(*tables: str) -> sqlite3.Connection:
    """A temporary database: in memory while it is small, then in an unnamed file."""
    database = sqlite3.connect("", isolation_level=None)
    for statement in ("PRAGMA cache_size = -32000", "BEGIN", *tables):
        database.execute(statement)
    return database


def write_classes(folder: Path, classes: Mapping[str, Listed | Path]) -> None:
    """Write `<key>.csv` for each class; a path is a pinned list, which is copied.

    Optional columns are there only where a source filled one.
    """
    for key, listed in classes.items():
        path = folder / f"{key}.csv"
        if isinstance(listed, Path):
            shutil.copyfile(listed, part_of(path))
            part_of(path).replace(path)
        else:
            write_csv(path, Candidate, listed, listed.columns)
