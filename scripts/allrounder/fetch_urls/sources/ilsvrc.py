"""Source `ilsvrc`: a copy of ILSVRC2012's training photos on this machine, as people have it.

The tar of tars (1,000 `<wnid>.tar` in one), a folder of those tars, or of folders of photos. A tar
is never read through or unpacked: its headers say where the photos lie. Not for val or test.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate
from allrounder.core.tarreader import BrokenTarError, TarEntry, open_tar, tar_entries
from allrounder.core.urls import Slice
from allrounder.fetch_urls.sources import folder
from allrounder.params.sources import IlsvrcSource
from allrounder.web.lists import ListClient

OUTER = "ILSVRC2012_img_train.tar"
"""Its name and what is in it: https://image-net.org/challenges/LSVRC/2012/2012-downloads.php"""
_BELOW = (
    "",
    "train",
    "ILSVRC/Data/CLS-LOC/train",  # Kaggle's imagenet-object-localization-challenge
    "Data/CLS-LOC/train",
    "CLS-LOC/train",
)
_WNID = re.compile(r"n[0-9]{8}(\.tar)?")


def candidates(
    source: IlsvrcSource, wnids: Sequence[str], web: ListClient
) -> Iterator[tuple[str, Candidate]]:
    """Yield the photos of each class: of folders by file name, of tars in their order.

    Where a class has a tar and a folder, the tar counts: unpacking it may have been cut off.
    Raises DataError when there is no such copy at the location, or a tar of it is broken.
    """
    place = _found(source)
    if Path(place).is_file():
        yield from _outer(place, frozenset(wnids))
        return
    for wnid in wnids:
        inner = f"{place}/{wnid}.tar"
        if Path(inner).is_file():
            for entry in _entries(inner):
                yield wnid, _candidate(inner, entry.name, entry)
        elif Path(place, wnid).is_dir():
            for candidate in folder.files(f"{place}/{wnid}", "ilsvrc"):
                yield wnid, candidate


def _found(source: IlsvrcSource) -> str:
    """The tar of tars, or the folder of the classes. Raises DataError."""
    if Path(source.location).is_file():
        return source.location
    for below in _BELOW:
        base = f"{source.location}/{below}".rstrip("/")
        if Path(base, OUTER).is_file():
            return f"{base}/{OUTER}"
        if Path(base).is_dir() and any(
            map(_WNID.fullmatch, (e.name for e in Path(base).iterdir()))
        ):
            return base
    raise DataError(
        f"{source.name}: nothing of ILSVRC2012 there; looked for {OUTER}, "
        "<wnid>.tar and <wnid>/, also below train/ and ILSVRC/Data/CLS-LOC/train/; "
        "correct its location"
    )


def _outer(path: str, wanted: frozenset[str]) -> Iterator[tuple[str, Candidate]]:
    """Yield what is in the wanted members of the tar of tars."""
    for member in _entries(path):
        wnid = member.name.rpartition("/")[2].removesuffix(".tar")
        if wnid in wanted:
            for entry in _entries(path, member):
                yield wnid, _candidate(path, f"{wnid}.tar/{entry.name}", entry)


def _entries(path: str, inner: TarEntry | None = None) -> list[TarEntry]:
    """The files of a tar, or of the tar that lies in it; all of them or DataError."""
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
    return Candidate(stem, Slice(path, member, entry.offset, entry.size).url)
