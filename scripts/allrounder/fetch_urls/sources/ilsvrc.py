"""Source `ilsvrc`: a local copy of ILSVRC2012's training photos, in any of the usual forms.

The tar of tars (1,000 `<wnid>.tar` in one), a folder of those tars, or folders of photos. Only the
headers of a tar are read, which give each photo's place. Validation and test photos are not listed.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate
from allrounder.core.tarreader import BrokenTarError, TarEntry, open_tar, tar_entries
from allrounder.core.urls import ByteRange
from allrounder.fetch_urls.sources import folder
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import FolderSource, IlsvrcSource
from allrounder.web.lists import ListClient

OUTER = "ILSVRC2012_img_train.tar"
"""The tar of tars. Source: https://image-net.org/challenges/LSVRC/2012/2012-downloads.php"""
_BELOW = (
    "",
    "train",
    "ILSVRC/Data/CLS-LOC/train",  # Kaggle's imagenet-object-localization-challenge
    "Data/CLS-LOC/train",
    "CLS-LOC/train",
)
_WNID = re.compile(r"n[0-9]{8}(\.tar)?")


def candidates(
    source: IlsvrcSource, wnids: Sequence[str], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the photos of each class: from folders by file name, from tars in their order.

    A class with a tar and a folder is read from the tar: unpacking it may have been cut off.
    Raises DataError when there is no such copy at the location, or one of its tars is broken.
    """
    place = _found(source)
    if Path(place).is_file():
        yield from _outer(place, frozenset(wnids), tally)
        return
    for wnid in wnids:
        inner = f"{place}/{wnid}.tar"
        if Path(inner).is_file():
            for entry in _entries(inner):
                tally.read += 1
                yield wnid, _candidate(inner, entry.name, entry)
        elif Path(place, wnid).is_dir():
            inside = FolderSource(kind="folder", location=place)
            for candidate in folder.files(inside, [wnid], tally):
                yield wnid, candidate


def _found(source: IlsvrcSource) -> str:
    """The tar of tars, or the folder of the classes. Raises DataError."""
    if Path(source.location).is_file():
        return source.location
    for below in _BELOW:
        base = f"{source.location.rstrip('/')}/{below}".rstrip("/") or "/."  # the root folder
        if Path(base, OUTER).is_file():
            return f"{base}/{OUTER}"
        if Path(base).is_dir() and any(
            map(_WNID.fullmatch, (e.name for e in Path(base).iterdir()))
        ):
            return base
    raise DataError(
        f"{source.name}: no copy of ILSVRC2012; looked for {OUTER}, "
        "<wnid>.tar and <wnid>/, also below train/ and ILSVRC/Data/CLS-LOC/train/; "
        "correct its location"
    )


def _outer(path: str, wanted: frozenset[str], tally: Tally) -> Iterator[tuple[str, Candidate]]:
    """Yield the photos of the wanted classes from the tar of tars."""
    for member in _entries(path):
        wnid = member.name.rpartition("/")[2].removesuffix(".tar")
        if wnid in wanted:
            for entry in _entries(path, member):
                tally.read += 1
                yield wnid, _candidate(path, f"{wnid}.tar/{entry.name}", entry)


def _entries(path: str, inner: TarEntry | None = None) -> list[TarEntry]:
    """Return all files of a tar, or of a tar inside it. Raises DataError."""
    name = f"{path}, {inner.name}" if inner else path
    try:
        with open_tar(Path(path)) as (read, size):
            start, end = (inner.offset, inner.end) if inner else (0, size)
            found = list(tar_entries(read, start, end))
    except (OSError, BrokenTarError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"source ilsvrc: {name}: {words}; copy it anew") from None
    return [entry for entry in found if not entry.name.rpartition("/")[2].startswith(".")]


def _candidate(path: str, member: str, entry: TarEntry) -> Candidate:
    stem = entry.name.rpartition("/")[2].rpartition(".")[0]
    return Candidate(stem, ByteRange(path, member, entry.offset, entry.size).url)
