"""Corrections of photos by hand: reads and checks corrections.csv, and finds what its lines match.

The order of the lines never matters.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from allrounder.core.errors import UsageError
from allrounder.core.files import atomic_write, read_text
from allrounder.core.paths import CORRECTIONS, TAKEDOWNS, in_pipeline
from allrounder.core.rows import CleanRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.text import did_you_mean, one_line
from allrounder.core.urls import is_url, photo_key

HEADER = ("match", "action", "class", "reason", "by")

PhotoId = tuple[str, str]
"""The key of the class whose raw archive has a photo, and its image id there."""


class Action(StrEnum):
    """The action of a line on the photos that it matches."""

    EXCLUDE = "exclude"
    MOVE = "move"


@dataclass(frozen=True, slots=True, order=True)
class Correction:
    """A line of corrections.csv or takedowns.csv."""

    match: str  # SHA-256 of the raw or the cleaned photo, URL, or image id
    action: Action
    to: str = ""  # for a move: the class key
    reason: str = ""
    by: str = ""
    file: str = field(default=str(CORRECTIONS), compare=False)
    line: int = field(default=0, compare=False)

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}, line {self.line}"

    @property
    def name(self) -> str:
        """The normalized match: see `match_name`."""
        return match_name(self.match)

    @property
    def effect(self) -> tuple[Action, str]:
        """What it does. All lines of a photo must have the same effect."""
        return self.action, self.to

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's cells, in the order of HEADER."""
        return self.match, self.action, self.to, self.reason, self.by


def match_name(text: str) -> str:
    """A match in normal form: a hash in lower case, a URL as the key of its photo."""
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return text.lower()
    return photo_key(text) if is_url(text) else text


def load_corrections(classes: Collection[str], path: Path = CORRECTIONS) -> tuple[Correction, ...]:
    """Read and check a corrections file. Raises UsageError that names file, line and cell.

    Only a DVC pipeline requires the file.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        if not in_pipeline(path):
            return ()
        raise UsageError(
            f"{path}: no such file; git checkout {path}, or start one with the line "
            f"{','.join(HEADER)}"
        ) from None
    return parse_corrections(text, classes, str(path))


def load_takedowns() -> frozenset[str]:
    """The hashes and URLs in takedowns.csv, which the download never takes.

    It has the columns of corrections.csv, and its only action is exclude. Raises UsageError.
    """
    return frozenset(line.name for line in load_corrections((), TAKEDOWNS))


def parse_corrections(text: str, classes: Collection[str], where: str) -> tuple[Correction, ...]:
    """The lines of a corrections file, sorted. Raises UsageError as `load_corrections` does."""
    lines = read_lines(text, classes, where)
    check_agreement(lines)
    return tuple(sorted(set(lines)))


def read_lines(
    text: str, classes: Collection[str], where: str, needs_header: bool = True
) -> list[Correction]:
    """The lines in their order, each checked by itself. Raises UsageError."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[Correction] = []
    has_header = not needs_header
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if tuple(stripped) == HEADER:
                has_header = True
            elif not has_header:
                break
            elif any(stripped):
                lines.append(_parse_line(stripped, classes, where, reader.line_num))
    except csv.Error as error:
        raise UsageError(
            f"{where}, line {reader.line_num}: not CSV ({error}); correct that line"
        ) from None
    if not has_header:
        raise UsageError(f"{where}, line 1: must be the header {','.join(HEADER)}")
    return lines


def _parse_line(
    cells: Sequence[str], classes: Collection[str], file: str, number: int
) -> Correction:
    place = f"{file}, line {number}"
    if len(cells) != len(HEADER):
        raise UsageError(
            f"{place}: has {len(cells)} cells, and the header has {len(HEADER)}; quote a cell "
            "that holds a comma"
        )
    match, action, to, reason, by = cells
    if not match:
        raise UsageError(f"{place}: match: empty; write a SHA-256, a URL or an image id")
    if action not in list(Action):
        hint = did_you_mean(action, list(Action))
        raise UsageError(f"{place}: action: {action!r} is neither exclude nor move.{hint}")
    if action == Action.EXCLUDE and to:
        raise UsageError(f"{place}: class: {to!r}, but exclude has none; remove it, or write move")
    if action == Action.MOVE and to not in classes:
        hint = did_you_mean(to, classes)
        what = f"{to!r} is the id of no class" if to else "empty, and move needs one"
        raise UsageError(f"{place}: class: {what}.{hint}")
    return Correction(match, Action(action), to, reason, by, file, number)


def check_agreement(lines: Iterable[Correction]) -> None:
    """Raise UsageError if two lines with the same match have different effects."""
    first: dict[str, Correction] = {}
    for line in lines:
        _check_pair(first.setdefault(line.name, line), line, line.match)


def _check_pair(line: Correction, other: Correction, photo: str) -> None:
    """Raise UsageError if two lines for one photo have different effects."""
    if line.effect != other.effect:
        in_order = sorted((line, other), key=lambda one: (one.file != str(CORRECTIONS), one.line))
        first, second = (" ".join(filter(None, one.effect)) for one in in_order)
        raise UsageError(
            f"{in_order[1].place}: {second}, but {in_order[0].place} says {first} for the same "
            f"photo ({one_line(photo, 100)}); remove one of them"
        )


def new_lines(present: Sequence[Correction], added: Sequence[Correction]) -> list[Correction]:
    """The added lines with new matches, each once, in their order.

    Raises UsageError if one contradicts a line that is present.
    """
    check_agreement([*present, *added])
    names = {line.name for line in present}
    by_name: dict[str, Correction] = {}
    for line in added:
        by_name.setdefault(line.name, line)
    return [line for name, line in by_name.items() if name not in names]


def append(path: Path, lines: Iterable[Correction]) -> None:
    """Append lines to a corrections file atomically."""
    before = path.read_text(encoding="utf-8")
    with atomic_write(path) as file:
        file.write(before if before.endswith("\n") else f"{before}\n")
        csv.writer(file, lineterminator="\n").writerows(line.cells for line in lines)


@dataclass(frozen=True, slots=True)
class PhotoNames:
    """A photo in raw, and everything that a line can match it by."""

    key: str
    image_id: str
    sha256s: Collection[str]  # of the raw and of the cleaned photo
    urls: Collection[str]  # where it was downloaded from, before and after redirects

    @property
    def photo_id(self) -> PhotoId:
        """The photo's id."""
        return self.key, self.image_id

    def names(self) -> Iterator[str]:
        """The names that match it; `<class key>/<image id>` is unique."""
        yield from (self.image_id, f"{self.key}/{self.image_id}", *self.sha256s)
        yield from (match_name(url) for url in self.urls if url)


Matches = dict[Correction, list[PhotoId]]
"""The photos that each line matches."""


def match_photos(corrections: Sequence[Correction], photos: Iterable[PhotoNames]) -> Matches:
    """The photos of each line. Raises UsageError when an image id names photos of two classes."""
    by_name: dict[str, list[Correction]] = defaultdict(list)
    for line in corrections:
        by_name[line.name].append(line)
    matches: Matches = {line: [] for line in corrections}
    photo_ids: dict[str, PhotoId] = {}  # by image ids that lines name
    for photo in photos:
        if photo.image_id in by_name:
            first = photo_ids.setdefault(photo.image_id, photo.photo_id)
            if first != photo.photo_id:
                raise UsageError(
                    f"{by_name[photo.image_id][0].place}: match: {photo.image_id!r} is an image "
                    f"id in two classes; write {'/'.join(first)} or {'/'.join(photo.photo_id)}"
                )
        for line in {line for name in photo.names() for line in by_name.get(name, ())}:
            matches[line].append(photo.photo_id)
    return matches


def by_photo(matches: Matches) -> dict[PhotoId, Correction]:
    """The line of each photo; of several that agree, the first in sort order.

    Raises UsageError for lines of one photo that do not agree.
    """
    lines: dict[PhotoId, Correction] = {}
    for line in sorted(matches):
        for photo in matches[line]:
            _check_pair(lines.setdefault(photo, line), line, "/".join(photo))
    return lines


def unmatched(matches: Matches, listed: Callable[[], Iterable[str]]) -> list[Correction]:
    """The lines that match no photo and no listed URL."""
    without_photo = [line for line, photos in matches.items() if not photos]
    names = {line.name for line in without_photo}
    urls = listed() if names else ()
    seen = {name for url in urls if (name := match_name(url)) in names}
    return [line for line in without_photo if line.name not in seen]


_MOST_WARNINGS = 20


def unmatched_warnings(lines: Sequence[Correction]) -> list[str]:
    """One warning for each line, up to _MOST_WARNINGS."""
    warnings = [
        f"warning: {line.place}: matches no photo: {one_line(line.match, 100)}"
        for line in sorted(lines, key=lambda line: line.line)
    ]
    rest = [f"warning: {CORRECTIONS}: and {len(warnings) - _MOST_WARNINGS} more"]
    return warnings[:_MOST_WARNINGS] + rest * (len(warnings) > _MOST_WARNINGS)


# In a build's tables


def photos_of_tables(key: str, raw: Path, cleaned: Mapping[PhotoId, str]) -> Iterator[PhotoNames]:
    """The photos of a class in a build's tables; `cleaned` has the cleaned photos' SHA-256.

    Raises DataError as `read_csv` does.
    """
    urls: dict[str, list[str]] = defaultdict(list)
    rows = list(read_csv(raw / f"{key}.csv", RawRow))
    for row in rows:
        if row.sha256:
            urls[row.sha256] += (row.url, row.final_url)
    for row in rows:
        if row.status is Status.OK:
            sha256s = {row.sha256, cleaned.get((key, row.image_id), "")} - {""}
            yield PhotoNames(key, row.image_id, sha256s, urls[row.sha256])


def matched_in_tables(
    corrections: Sequence[Correction], keys: Collection[str], raw: Path, clean: Path
) -> Matches:
    """The photos of each line in a build's tables. Raises DataError, and UsageError as above."""
    cleaned = {photo: row.sha256 for photo, (_, row) in clean_rows(keys, clean).items()}
    return match_photos(
        corrections, (photo for key in keys for photo in photos_of_tables(key, raw, cleaned))
    )


def check_conflicts(
    corrections: Sequence[Correction], keys: Collection[str], raw: Path, clean: Path
) -> None:
    """Raise UsageError for lines that match one photo by two names and have different effects.

    Only the photos of the last build are checked; without a build nothing is.
    """
    tables = (folder / f"{key}.csv" for key in keys for folder in (raw, clean))
    if corrections and all(table.exists() for table in tables):
        by_photo(matched_in_tables(corrections, keys, raw, clean))


def clean_rows(keys: Iterable[str], clean: Path) -> dict[PhotoId, tuple[str, CleanRow]]:
    """The class and the row of every photo in the tables of clean, by its id in raw."""
    return {
        (row.moved_from or key, row.image_id): (key, row)
        for key in keys
        for row in read_csv(clean / f"{key}.csv", CleanRow)
    }
