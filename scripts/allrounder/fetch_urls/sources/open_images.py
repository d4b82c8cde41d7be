"""Source `open-images`: Open Images V7, photos whose labels people have verified.

Two passes over the CSVs of a part (labels, then image metadata), both from the cache.
Boxes, masks and machine-made labels are not used.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from allrounder.catalogue.labels import ClassPart, open_images_mids
from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate
from allrounder.core.text import one_line, printable
from allrounder.core.urls import decode_url
from allrounder.fetch_urls.tally import Tally
from allrounder.params.classes import class_key
from allrounder.params.sources import OpenImagesSource
from allrounder.web.cache import cached_file
from allrounder.web.lists import ListClient

LABELS = {
    "validation": "v7/oidv7-val-annotations-human-imagelabels.csv",
    "test": "v7/oidv7-test-annotations-human-imagelabels.csv",
    "train": "v7/oidv7-train-annotations-human-imagelabels.csv",
}
"""Human-verified image-level labels, one a line: ImageID,Source,LabelName,Confidence.

Confidence is 1 (the class is there) or 0 (it is not); sorted by ImageID. Source:
https://storage.googleapis.com/openimages/web/download_v7.html
"""
IMAGES = {
    "validation": "2018_04/validation/validation-images-with-rotation.csv",
    "test": "2018_04/test/test-images-with-rotation.csv",
    "train": "2018_04/train/train-images-boxable-with-rotation.csv",
}
"""Image metadata, in no order: ImageID,Subset,OriginalURL,OriginalLandingURL,License, ...

The files that V7's download page links to. For train that is the boxable part (1,743,042 images):
the bucket has no other photos, https://github.com/cvdfoundation/open-images-dataset
"""
_IMAGE_COLUMNS = ("ImageID", "OriginalLandingURL", "License", "Author", "Title", "Rotation")
_THERE, _NOT_THERE = (b"1", b"1.0"), (b"0", b"0.0")
_UPRIGHT = ("", "0", "0.0")
_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_LONGEST = 2**16


def candidates(
    source: OpenImagesSource, parts: Sequence[ClassPart], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the photos verified to show each class: part by part, by ImageID within a part.

    A part is read only for the classes with fewer than `enough` photos in the parts before it.
    Photos that are not stored upright (`Rotation`) are left out: the stored picture does not say
    how to turn it.
    Raises DataError when a CSV cannot be read or its form has changed.
    """
    what, counts = source.name, Counter[str]()
    classes = _classes(source, parts, tally)
    for part in source.parts if classes else ():
        left = {
            mid: tuple(key for key in keys if counts[key] < (source.enough or counts[key] + 1))
            for mid, keys in classes.items()
        }
        if not any(left.values()):
            tally.note(f"{part} is not read: each class has {source.enough} photos")
            continue
        labels = _Table(f"{source.location}/{LABELS[part]}", web, what)
        shown = _shown(labels, left, tally)
        images = _Table(f"{source.location}/{IMAGES[part]}", web, what)
        found = _found(images, shown, f"{source.photos}/{part}", tally)
        for image_id in sorted(found):
            for wnid in shown[image_id]:
                counts[wnid] += 1
                yield wnid, found[image_id]


def _classes(
    source: OpenImagesSource, parts: Sequence[ClassPart], tally: Tally
) -> dict[bytes, tuple[str, ...]]:
    """Return the class keys of each MID, with a warning for classes without one."""
    given = {class_key(name): mid.removeprefix("mid:") for name, mid in source.classes.items()}
    known = open_images_mids() | given
    classes: dict[bytes, tuple[str, ...]] = {}
    for part in parts:
        if (mid := given.get(part.key) or known.get(part.wnid)) is None:
            name = part.labels[0] if part.labels else part.key
            tally.warn(
                f"Open Images has no known class for {name}, which is skipped; "
                f'if there is one, name it: classes: {{{name}: "mid:/m/..."}}'
            )
        else:
            classes[mid.encode()] = (*classes.get(mid.encode(), ()), part.key)
    return classes


def _shown(
    labels: "_Table", classes: Mapping[bytes, tuple[str, ...]], tally: Tally
) -> dict[bytes, list[str]]:
    """Return the classes that each image is verified to show."""
    image, label, confidence = labels.places("ImageID", "LabelName", "Confidence")
    shown: dict[bytes, list[str]] = {}
    for line in labels.lines():
        tally.read += 1
        cells = line.rstrip().split(b",")
        if len(cells) != labels.columns:
            raise labels.changed(f"a line {line[:60]!r}")
        if (wnids := classes.get(cells[label])) is None:
            continue
        if (sure := cells[confidence]) in _THERE:
            listed = shown.setdefault(cells[image], [])
            listed.extend(wnid for wnid in wnids if wnid not in listed)
        elif sure in _NOT_THERE:
            tally.pass_over("verified not to show the class", line)
        else:
            raise labels.changed(f"a line {line[:60]!r}")
    return shown


def _found(
    images: "_Table", shown: Mapping[bytes, object], folder: str, tally: Tally
) -> dict[bytes, Candidate]:
    """Return the wanted photos by ImageID."""
    image, landing, license, author, title, rotation = images.places(*_IMAGE_COLUMNS)
    if image:
        raise images.changed("ImageID not in the first column")
    found: dict[bytes, Candidate] = {}
    lines = images.lines()
    for line in lines:
        # Nearly every line belongs to another image: compare its first bytes only.
        image_id = line.partition(b",")[0]
        if image_id not in shown:
            continue
        while line.count(b'"') % 2 and len(line) < _LONGEST:  # a title of several lines
            line += next(lines, b'"')
        cells = _cells(line)
        if len(cells) != images.columns or not _ID.fullmatch(cells[image]):
            raise images.changed(f"a line {line[:60]!r}")
        if cells[rotation] in _UPRIGHT:
            url = f"{folder}/{cells[image]}.jpg"
            named = {"license": license, "author": author, "landing_url": landing, "title": title}
            texts = {name: one_line(cells[place]) for name, place in named.items()}
            found[image_id] = Candidate(cells[image], url, **texts)
        else:
            tally.pass_over("stored turned", cells[image])
    return found


def _cells(line: bytes) -> list[str]:
    """Return the cells of a line, [] for one that csv cannot read."""
    try:
        return next(csv.reader([_text(line)]))
    except csv.Error:
        return []


class _Table:
    """A CSV of Open Images, from the cache."""

    def __init__(self, url: str, web: ListClient, what: str):
        self._url, self._what = url, what
        self._path: Path = cached_file(web, url, what)
        with self._path.open("rb") as file:
            self._first = file.readline(2**16)
        self._header = _text(self._first).split(",")
        self.columns = len(self._header)

    def places(self, *names: str) -> list[int]:
        """Where the columns stand. Raises DataError when one is missing."""
        if not self._first:
            raise DataError(f"{self._what}: {self._url} is empty")
        if missing := [name for name in names if name not in self._header]:
            raise self.changed(f"no column {missing[0]} in its first line {self._first[:60]!r}")
        return [self._header.index(name) for name in names]

    def lines(self) -> Iterator[bytes]:
        """Yield the lines after the first; an overlong one comes in pieces."""
        with self._path.open("rb", buffering=2**20) as file:
            next(file, None)
            yield from iter(partial(file.readline, _LONGEST), b"")

    def changed(self, words: str) -> DataError:
        """The error for a file of another form than expected."""
        return DataError(
            f"{self._what}: {self._url} has {words}: its form has changed; see the download page "
            "of Open Images, and use another source"
        )


def _text(line: bytes) -> str:
    """A line as text without line breaks."""
    return printable(decode_url(line), " ")
