"""Test sets: tables of their fingerprints, and which photos are copies of their photos.

A table holds no photo, only grey thumbnails of 32 x 32. Thumbnails stay in the file until they are
compared, so a million fingerprints take 0.1 GB of memory.
"""

import csv
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allrounder.clean.alignment import THUMB
from allrounder.clean.close_hashes import close_pairs
from allrounder.clean.decode import normalize
from allrounder.clean.fingerprints import MIRRORED, Fingerprint
from allrounder.clean.neighbours import Pictures
from allrounder.clean.search import SEARCHES, FingerprintColumns
from allrounder.core.errors import UsageError
from allrounder.core.paths import is_clutter
from allrounder.core.text import one_line
from allrounder.core.workers import worker_pool
from allrounder.params.schema import Clean
from allrounder.params.sources import shown_location

HEADER = "fingerprint-1,name,views,aspect,trimmed_aspect,thumb,trimmed\n"
_AGAIN = "make the table again: python scripts/fingerprints.py DIR"
_SIDE = THUMB // 2  # pixels of a thumbnail in a table
_MOST = 20  # that a photo is compared with in a search
_CHUNK = 10_000  # photos that are compared at once


def table_lines(folder: Path) -> Iterator[str]:
    """The lines of a folder's table: photos in the order of their names. Others are left out."""
    paths = sorted(
        path for path in folder.rglob("*") if path.is_file() and not is_clutter(path.name)
    )
    return _lines(folder, paths)


def _lines(folder: Path, paths: Sequence[Path]) -> Iterator[str]:
    yield HEADER
    count = 0
    with worker_pool(len(paths)) as pool:
        for line in filter(None, pool.map(partial(_line, folder), paths, chunksize=50)):
            count += 1
            yield line
    if not count:
        raise UsageError(f"{folder}: no photo in it; name a folder of photos")


def _line(folder: Path, path: Path) -> str:
    photo = normalize(path.read_bytes(), Clean(min_side=1)).fingerprint
    if photo is None:
        return ""
    shown = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    return table_line(quote(shown, safe="/ ", errors="surrogatepass"), photo)


def table_line(name: str, photo: Fingerprint) -> str:
    """A photo's line in a table; `name` has no commas."""
    views = b"".join(view.to_bytes(8, "big") for view in photo.horizontal).hex()
    trimmed = "" if photo.trimmed == photo.thumb else _packed(photo.trimmed)
    aspects = ",".join(f"{aspect:.6f}" for aspect in photo.aspects)
    return f",{name},{views},{aspects},{_packed(photo.thumb)},{trimmed}\n"


def _packed(thumb: bytes) -> str:
    return b64encode(_resized(thumb, THUMB, _SIDE)).decode()


def _resized(grey: bytes, side: int, to: int) -> bytes:
    image = Image.frombytes("L", (side, side), grey)
    how = Image.Resampling.BOX if to < side else Image.Resampling.BILINEAR
    return image.resize((to, to), how).tobytes()


def _coarse(photo: Fingerprint) -> Fingerprint:
    """A fingerprint as it would come back from a table."""
    thumb, trimmed = (
        _resized(_resized(grey, THUMB, _SIDE), _SIDE, THUMB)
        for grey in (photo.thumb, photo.trimmed)
    )
    return replace(photo, thumb=thumb, trimmed=trimmed)


class ProtectedSet:
    """The fingerprints of a test set: a table, a folder of photos, or a manifest beside them.

    Raises UsageError for what is none of them.
    """

    def __init__(self, path: str):
        self.shown = shown_location(path)
        self._path, self._lines = Path(path), list[bytes]()
        if self._path.is_dir():
            self._lines = [line.encode() for line in table_lines(self._path)]
        elif not self._path.is_file():
            raise UsageError(f"clean.not_like: {path}: no such file or folder; correct the path")
        elif not self._is_table():
            self._lines = [line.encode() for line in self._of_manifest()]
        views, starts, at = bytearray(), [], 0
        for line in self._lines or self._path.open("rb"):
            if at:
                views += self._views(line)
            starts.append(at)
            at += len(line)
        self._starts = np.array(starts[1:], np.int64)
        if not len(self._starts):
            raise UsageError(f"clean.not_like: {path}: no fingerprint in it; {_AGAIN}")
        columns = np.frombuffer(bytes(views), ">u8").astype(np.uint64)
        self.views = columns.reshape(-1, MIRRORED.stop)

    def _is_table(self) -> bool:
        with self._path.open("rb") as file:
            return file.readline(len(HEADER)) == HEADER.encode()

    def _of_manifest(self) -> Iterator[str]:
        with self._path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            if "file" not in (reader.fieldnames or ()):
                raise UsageError(
                    f"clean.not_like: {self._path}: neither a table of fingerprints (python "
                    "scripts/fingerprints.py DIR > table.csv) nor a manifest with a column `file`"
                )
            paths = [self._path.parent / (row["file"] or "") for row in reader]
        if missing := next((path for path in paths if not path.is_file()), None):
            raise UsageError(f"clean.not_like: {self._path}: {missing} is missing; put it there")
        return _lines(self._path.parent, paths)

    def _views(self, line: bytes) -> bytes:
        try:
            found = bytes.fromhex(line.split(b",", 3)[2].decode("ascii"))
            if len(found) != 8 * MIRRORED.stop:
                raise ValueError
        except (ValueError, IndexError):
            words = one_line(line[:60].decode("utf-8", "replace"), 60)
            words = f"clean.not_like: {self._path}: no fingerprint: {words}; {_AGAIN}"
            raise UsageError(words) from None
        return found

    def photo(self, row: int) -> tuple[str, Fingerprint]:
        """The name and the fingerprint of a photo. Raises UsageError for a damaged row."""
        if self._lines:
            line = self._lines[row + 1]
        else:
            with self._path.open("rb") as file:
                file.seek(int(self._starts[row]))
                line = file.readline()
        try:
            _, name, _, aspect, trimmed_aspect, thumb, trimmed = line.decode("ascii").split(",")
            grey = [
                _resized(b64decode(one), _SIDE, THUMB) for one in (thumb, trimmed.strip() or thumb)
            ]
            aspects = float(aspect), float(trimmed_aspect)
            if not min(aspects) > 0:
                raise ValueError
        except ValueError:
            words = f"clean.not_like: {self._path}: row {row + 2} is damaged; {_AGAIN}"
            raise UsageError(words) from None
        views = tuple(self.views[row].tolist())  # also as `vertical`: tables have none
        return name, Fingerprint(views[0], views, views, grey[0], grey[1], aspects, 0, 0)


@cache
def protected_set(path: str) -> ProtectedSet:
    """The test set at a path. Rounds of the download use it again: decoding a folder takes long."""
    return ProtectedSet(path)


def copies_in_test_sets(
    rows: Sequence[int] | NDArray[np.int64],
    fingerprint: Callable[[int], Fingerprint],
    sets: Iterable[ProtectedSet],
    radius: int,
    similarity: float,
) -> dict[int, str]:
    """The rows whose photos are copies of a set's photos, and of which: `<set>: <name>`."""
    found: dict[int, str] = {}
    for each in sets:
        for start in range(0, len(rows), _CHUNK):
            left = [int(row) for row in rows[start : start + _CHUNK] if int(row) not in found]
            photos = [_coarse(fingerprint(row)) for row in left]
            for place, name in _copies(photos, each, radius, similarity).items():
                found[left[place]] = f"{each.shown}: {one_line(name, 100)}"
    return found


def _copies(
    photos: Sequence[Fingerprint], test_set: ProtectedSet, radius: int, similarity: float
) -> dict[int, str]:
    views = np.array([photo.horizontal for photo in photos], np.uint64).reshape(-1, MIRRORED.stop)
    found: dict[int, str] = {}
    for one, two in dict.fromkeys(chain(SEARCHES, ((two, one) for one, two in SEARCHES))):
        close = close_pairs(views[:, one].copy(), test_set.views[:, two].copy(), radius)
        rows: dict[int, list[int]] = defaultdict(list)
        for place, row in close.tolist():
            if place not in found and len(rows[place]) < _MOST:
                rows[place].append(row)
        for place, matching in rows.items():
            others = [test_set.photo(row) for row in matching]
            compared = [photos[place], *(photo for _, photo in others)]
            pictures = Pictures(FingerprintColumns.of(compared))
            places, views_of_pair = np.arange(len(others)), np.tile((one, two), (len(others), 1))
            near = pictures.similarity(0 * places, places + 1, views_of_pair) >= similarity
            if near.any():
                found[place] = others[int(near.argmax())][0]
    return found
