"""Appends lines to corrections.csv, and lists what each line did in the last build."""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from allrounder.core.corrections import (
    HEADER,
    Action,
    Correction,
    Matches,
    PhotoId,
    clean_rows,
    match_name,
    matched_in_tables,
)
from allrounder.core.files import atomic_write
from allrounder.core.paths import Stages
from allrounder.core.rows import CleanRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.text import one_line, printable

Cleaned = dict[PhotoId, tuple[str, CleanRow]]


def write_lines(path: Path, lines: Iterable[Correction]) -> None:
    """Write a corrections file of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *(one.cells for one in lines)])


def raw_hashes(keys: Iterable[str], stages: Stages) -> dict[str, str]:
    """The SHA-256 of a downloaded photo by the cleaned one's, which other params change."""
    folders = (stages.raw, stages.clean)
    keys = [key for key in keys if all((path / f"{key}.csv").exists() for path in folders)]
    cleaned = {photo: row.sha256 for photo, (_, row) in clean_rows(keys, stages.clean).items()}
    photos = [(key, row) for key in keys for row in read_csv(stages.raw / f"{key}.csv", RawRow)]
    raw = {cleaned.get((key, row.image_id), ""): row.sha256 for key, row in photos if row.sha256}
    return raw | {sha256: sha256 for sha256 in raw.values()}


def listed(
    corrections: Sequence[Correction], keys: Collection[str], stages: Stages
) -> Iterator[str]:
    """A line for each correction: what it did. Raises DataError when nothing was built."""
    matches = matched_in_tables(corrections, keys, stages.raw, stages.clean)
    cleaned = clean_rows(keys, stages.clean)
    copies = Counter(
        row.duplicate_of for _, row in cleaned.values() if row.status is Status.EXCLUDED
    )
    untaken = _untaken(matches, keys, stages.raw)
    for one in sorted(corrections, key=lambda one: one.line):
        done = [_done(one, photo, cleaned, copies["/".join(photo)]) for photo in matches[one]]
        words = "; ".join(done) or untaken.get(one.name) or "matches no photo"
        effect = " ".join(filter(None, one.effect))
        reason = f" ({one.reason})" if one.reason else ""
        match = one_line(one.match, 100)
        yield printable(f"line {one.line}: {effect} {match}: {words}{reason}")


def _done(one: Correction, photo: PhotoId, cleaned: Cleaned, copies: int) -> str:
    key, row = cleaned[photo]
    name = "/".join(photo)
    if one.action is Action.EXCLUDE:
        if row.status is Status.EXCLUDED:
            return f"excluded {name}" + (f" (copies: {copies})" if copies else "")
        applied = row.status not in (Status.KEPT, Status.SURPLUS)
    else:
        if key == one.to:
            return f"{name} is {row.status} in {key}"
        applied = row.status in (Status.CORRUPT, Status.TOO_SMALL, Status.TOO_MANY_PIXELS)
        applied |= row.status in (Status.PLACEHOLDER, Status.EXCLUDED)
    return f"{name} is {row.status}" + ("" if applied else ": not built yet, run dvc repro")


def _untaken(matches: Matches, keys: Iterable[str], raw: Path) -> dict[str, str]:
    """The status of the candidate that a line names, for lines that match no photo."""
    names = {one.name for one, photos in matches.items() if not photos}
    return {
        name: f"no photo: the download has {row.status} for it in {key}"
        for key in (keys if names else ())
        for row in read_csv(raw / f"{key}.csv", RawRow)
        if (name := match_name(row.url)) in names
    }
