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
from allrounder.core.files import atomic_write
from allrounder.core.paths import CORRECTIONS, TAKEDOWNS, in_pipeline
from allrounder.core.rows import CleanRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.text import did_you_mean, one_line
from allrounder.core.urls import is_url, photo_key

HEADER = ("match", "action", "class", "reason", "by")

PhotoId = tuple[str, str]
"""The key of the class whose raw archive has a photo, and its image id there."""


class Action(StrEnum):
    """What a line does with the photos that it matches."""

    EXCLUDE = "exclude"
    MOVE = "move"


@dataclass(frozen=True, slots=True, order=True)
class Correction:
    """A line of corrections.csv."""

    match: str  # SHA-256 of the raw or the cleaned photo, URL, or image id
    action: Action
    to: str = ""  # the class key, of a move
    reason: str = ""
    by: str = ""
    file: str = field(default=str(CORRECTIONS), compare=False)
    line: int = field(default=0, compare=False)

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.file}, line {self.line}"

    @property
    def name(self) -> str:
        """What is compared: a hash in lower case, a URL by the photo that it names."""
        return match_name(self.match)

    @property
    def effect(self) -> tuple[Action, str]:
        """What it does: lines of one photo must agree in this."""
        return self.action, self.to

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's cells, in the order of HEADER."""
        return self.match, self.action, self.to, self.reason, self.by


def match_name(text: str) -> str:
    """The form in which matches are compared."""
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return text.lower()
    return photo_key(text) if is_url(text) else text


def load_corrections(classes: Collection[str], path: Path = CORRECTIONS) -> tuple[Correction, ...]:
    """Read and check a corrections file. Raises UsageError that names file, line and cell.

    Where no DVC demands the file, it may be missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if not in_pipeline(path):
            return ()
        raise UsageError(
            f"{path}: no such file; git checkout {path}, or start one with the line "
            f"{','.join(HEADER)}"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); correct that") from None
    return parse_corrections(text, classes, str(path))


def load_takedowns(path: Path = TAKEDOWNS) -> frozenset[str]:
    """What takedowns.csv names: the download takes no photo with these hashes or URLs.

    It has the columns of corrections.csv, and its only action is exclude. Raises UsageError.
    """
    return frozenset(one.name for one in load_corrections((), path))


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
    found: list[Correction] = []
    started = not needs_header
    try:
        for cells in reader:
            stripped, place = [cell.strip() for cell in cells], f"{where}, line {reader.line_num}"
            if tuple(stripped) == HEADER:
                started = True
            elif not started:
                break
            elif any(stripped):
                found.append(_parse_line(stripped, classes, place, (where, reader.line_num)))
    except csv.Error as error:
        raise UsageError(f"{where}, line {reader.line_num}: not CSV ({error})") from None
    if not started:
        raise UsageError(f"{where}, line 1: must be the header {','.join(HEADER)}")
    return found


def _parse_line(
    cells: Sequence[str], classes: Collection[str], place: str, at: tuple[str, int]
) -> Correction:
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
        what = f"{to!r} is no key of classes in params.yaml" if to else "empty, and move needs one"
        raise UsageError(f"{place}: class: {what}.{hint}")
    return Correction(match, Action(action), to, reason, by, *at)


def check_agreement(lines: Iterable[Correction]) -> None:
    """Raise UsageError if two lines want different things of one match."""
    first: dict[str, Correction] = {}
    for one in lines:
        _check_pair(first.setdefault(one.name, one), one, one.match)


def _check_pair(one: Correction, other: Correction, photo: str) -> None:
    if one.effect != other.effect:
        ours = str(CORRECTIONS)
        pair = sorted((one, other), key=lambda line: (line.file != ours, line.line))
        first, second = (" ".join(filter(None, line.effect)) for line in pair)
        raise UsageError(
            f"{pair[1].place}: {second}, but {pair[0].place} says {first} for the same photo "
            f"({one_line(photo, 100)}); remove one of them"
        )


def new_lines(present: Sequence[Correction], added: Sequence[Correction]) -> list[Correction]:
    """The added lines that say something new, each once, in their order.

    Raises UsageError if one does not agree with a line that is there already.
    """
    check_agreement([*present, *added])
    seen, found = {one.name for one in present}, []
    for one in added:
        if one.name not in seen:
            seen.add(one.name)
            found.append(one)
    return found


def append(path: Path, lines: Iterable[Correction]) -> None:
    """Append lines to a corrections file, which keeps the lines that it has. Atomic."""
    before = path.read_text(encoding="utf-8")
    with atomic_write(path) as file:
        file.write(before if before.endswith("\n") else f"{before}\n")
        csv.writer(file, lineterminator="\n").writerows(one.cells for one in lines)


@dataclass(frozen=True, slots=True)
class PhotoNames:
    """A photo in raw, and all that a line may call it by."""

    key: str
    image_id: str
    sha256s: Collection[str]  # of the raw and of the cleaned photo
    urls: Collection[str]  # that gave it, before and after redirects

    @property
    def photo_id(self) -> PhotoId:
        """The photo's id."""
        return self.key, self.image_id

    def names(self) -> Iterator[str]:
        """The forms in which it can be matched; `<class key>/<image id>` is unique."""
        yield from (self.image_id, f"{self.key}/{self.image_id}", *self.sha256s)
        yield from (match_name(url) for url in self.urls if url)


Matches = dict[Correction, list[PhotoId]]
"""The photos that each line matches."""


def match_photos(corrections: Sequence[Correction], photos: Iterable[PhotoNames]) -> Matches:
    """The photos of each line. Raises UsageError when an image id names photos of two classes."""
    by_name: dict[str, list[Correction]] = defaultdict(list)
    for one in corrections:
        by_name[one.name].append(one)
    found: Matches = {one: [] for one in corrections}
    named: dict[str, PhotoId] = {}  # by image ids that lines name
    for photo in photos:
        if photo.image_id in by_name:
            first = named.setdefault(photo.image_id, photo.photo_id)
            if first != photo.photo_id:
                raise UsageError(
                    f"{by_name[photo.image_id][0].place}: match: {photo.image_id!r} is an image "
                    "id in two classes; write "
                    f"{'/'.join(first)} or {'/'.join(photo.photo_id)}"
                )
        for one in {hit for name in photo.names() for hit in by_name.get(name, ())}:
            found[one].append(photo.photo_id)
    return found


def by_photo(matches: Matches) -> dict[PhotoId, Correction]:
    """The line of each photo, the first in sort order of several that agree.

    Raises UsageError for lines of one photo that do not agree.
    """
    lines: dict[PhotoId, Correction] = {}
    for one in sorted(matches):
        for photo in matches[one]:
            first = lines.setdefault(photo, one)
            _check_pair(first, one, "/".join(photo))
    return lines


def unmatched(matches: Matches, listed: Callable[[], Iterable[str]]) -> list[Correction]:
    """The lines that match no photo and none of the URLs that are listed."""
    names = {one.name for one, photos in matches.items() if not photos}
    seen = {name for url in (listed() if names else ()) if (name := match_name(url)) in names}
    return [one for one, photos in matches.items() if not photos and one.name not in seen]


def unmatched_warnings(lines: Sequence[Correction], most: int = 20) -> list[str]:
    """One warning a line, `most` at most."""
    warnings = [
        f"warning: {one.place}: matches no photo: {one_line(one.match, 100)}"
        for one in sorted(lines, key=lambda one: one.line)
    ]
    rest = len(warnings) - most
    return warnings[:most] + [f"warning: {CORRECTIONS}: and {rest} more"] * (rest > 0)


# Of the tables of a build


def photos_of_tables(key: str, raw: Path, cleaned: Mapping[PhotoId, str]) -> Iterator[PhotoNames]:
    """The photos of a class as a build's tables name them; `cleaned` has hashes of cleaned photos.

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
    """Raise UsageError for lines that name one photo in two ways and want different things.

    Only photos of the present build are known; without one nothing is checked.
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
