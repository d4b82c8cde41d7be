"""Many photos as columns, so that a million fit into memory; a photo is an object while it is used.

`Photos` are the valid ones that clean judges, `Decisions` what it has decided on them so far.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from allrounder.catalogue.synsets import wnid_of
from allrounder.clean.fingerprints import MIRRORED
from allrounder.clean.slices import RECORD
from allrounder.core.corrections import PhotoId
from allrounder.core.rows import Status

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
IN_MEMORY = np.dtype([
    (name, RECORD[name]) for name in RECORD.names or ()
    if name not in ("horizontal", "vertical", "offset", "size")
])  # fmt: skip
"""What memory holds of the records of all photos at once; the rest stays in files."""


class Texts(Sequence[str]):
    """Texts, one after the other in a single one, which may be in a file."""

    def __init__(self, texts: Iterable[str]):
        encoded = [text.encode() for text in texts]
        self._all = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.uint32)
        self._file: BinaryIO | None = None
        self._start = 0

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, at: Any) -> Any:
        if not 0 <= at < len(self):
            raise IndexError(at)
        first, end = self._ends[at : at + 2].tolist()
        if self._file:
            return _read_at(self._file, self._start + first, end - first).decode()
        return self._all[first:end].decode()

    def encoded(self) -> bytes:
        """Bytes that only the same texts have."""
        return self._ends.tobytes() + self._all

    def move_to(self, file: BinaryIO) -> None:
        """Keep the texts at the end of an open file instead of in memory."""
        self._start = file.seek(0, os.SEEK_END)
        file.write(self._all)
        file.flush()
        self._file, self._all = file, b""


def _read_at(file: BinaryIO, start: int, size: int) -> bytes:
    """Bytes of a file that only one thread reads. Windows has no os.pread."""
    file.seek(start)
    return file.read(size)


class HashColumns:
    """Both hashes of all views of pictures in an open file: a view is read when it is needed."""

    def __init__(self, file: BinaryIO, count: int):
        self._file, self._count = file, count

    def put(self, start: int, *hashes: NDArray[np.uint64]) -> None:
        """Write the hashes of the pictures from `start` on, a column a view."""
        for number, column in enumerate(np.concatenate(hashes, axis=1).T):
            self._file.seek(8 * (number * self._count + start))
            self._file.write(column.tobytes())  # raises on a full disk, as os.pwrite does not
        self._file.flush()

    def of(self, rows: Ints, view: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Both hashes of a view of some pictures. Only the part of a column with these is read."""
        low, end = (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)
        starts = (self._count * number + low for number in (view, view + MIRRORED.stop))
        first, second = (_read_at(self._file, 8 * start, 8 * (end - low)) for start in starts)
        rows = rows - low
        return np.frombuffer(first, "<u8")[rows], np.frombuffer(second, "<u8")[rows]


class Origin(NamedTuple):
    """A URL or path that gave a photo, and the URL of the answer if there was a redirect."""

    url: str
    final_url: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A decoded photo and the decision so far."""

    key: str  # of its class
    image_id: str
    sha256: str  # of the normalized photo
    pixels: int
    origins: Sequence[Origin]  # in its class, of exactly these bytes
    refused: str = ""  # its licence, if clean.licenses does not list it
    status: Status = Status.KEPT
    detail: str = ""
    duplicate_of: str = ""  # as in CleanRow
    group: str = ""
    moved_from: str = ""

    @property
    def photo_id(self) -> PhotoId:
        """The photo's id in raw."""
        return self.moved_from or self.key, self.image_id

    @property
    def name(self) -> str:
        """The file's name without suffix: unique in the dataset, and never from the web."""
        return f"{wnid_of(self.key)}_{self.sha256[:16]}"


def codes(texts: Iterable[str]) -> Ints:
    """A number for each text, the same for the same one; 0 for ''."""
    digests = (blake2b(text.encode(), digest_size=7).digest() if text else b"" for text in texts)
    hashes = np.fromiter(map(int.from_bytes, digests), np.int64)  # a dict would take more memory
    return np.unique(np.r_[0, hashes], return_inverse=True)[1][1:]


def first_bytes(hashes: NDArray[Any]) -> NDArray[np.uint64]:
    """The first 8 bytes of hashes, as in names of photos: numbers are sorted in less memory."""
    return hashes.copy().view(np.uint64)[:: hashes.itemsize // 8].copy()


@dataclass(frozen=True, slots=True)
class Photos:
    """Photos in class order, then in rank order. Equal numbers stand for equal texts."""

    rows: Ints  # of the photos that can be kept
    keys: Sequence[str]  # of all classes
    classes: Ints  # as places in `keys`
    uploads: Ints  # 0: none
    synsets: Ints
    refused: Bools
    origins: Ints  # how many
    flat: NDArray[np.float64]
    levels: NDArray[Any]  # see Fingerprint
    sha256s: NDArray[Any]
    in_test_sets: Mapping[int, str]  # by row: the test set, and its name there
    item: Callable[[int], Item]  # by row


class Decisions(Sequence[Item]):
    """Photos with the decisions so far, in their order: a place stands for a row of `photos`."""

    def __init__(self, photos: Photos):
        self.photos = photos
        self.rows = photos.rows
        self.classes = photos.classes.copy()  # by row, as is the rest
        self.kept = np.zeros(len(self.classes), bool)
        self.kept[self.rows] = True
        self.surplus = np.zeros(len(self.classes), bool)
        self.changed: dict[int, Item] = {}  # others are kept or surplus

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return self.of_row(int(self.rows[at]))

    def of_row(self, row: int) -> Item:
        """The decision on a photo."""
        item = self.changed.get(row) or self.photos.item(row)
        return replace(item, status=Status.SURPLUS) if self.surplus[row] else item

    def change(self, at: int, **fields: Any) -> None:
        """Decide on the photo at a place."""
        row = int(self.rows[at])
        item = self.changed[row] = replace(self.of_row(row), **fields)
        self.kept[row] = item.status is Status.KEPT

    def is_kept(self, at: int) -> bool:
        """Whether the photo at a place is still kept."""
        return bool(self.kept[self.rows[at]])

    def kept_places(self) -> Ints:
        """The places of the photos that are kept so far."""
        return np.flatnonzero(self.kept[self.rows])

    def drop_surplus(self, places: Ints) -> None:
        """Decide that these photos are not needed."""
        self.surplus[self.rows[places]] = True
        self.kept[self.rows[places]] = False

    def kept_by_class(self) -> Counter[str]:
        """How many photos are kept, by class."""
        counts = np.bincount(self.classes[self.kept], minlength=len(self.photos.keys)).tolist()
        return Counter(dict(zip(self.photos.keys, counts, strict=True)))

    def moved(self) -> Iterator[tuple[int, Item]]:
        """The rows of photos that have another class now, in their order in raw."""
        return ((row, one) for row, one in sorted(self.changed.items()) if one.moved_from)
