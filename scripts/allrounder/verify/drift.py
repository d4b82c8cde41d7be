"""The photos of a version, how their URLs are requested again, and what a reply means."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, groupby, zip_longest
from operator import attrgetter
from pathlib import Path

from allrounder.core.errors import DataError
from allrounder.core.files import hash_file
from allrounder.core.paths import RAW
from allrounder.core.rows import RawRow, Result, Status
from allrounder.core.tables import read_csv
from allrounder.core.urls import is_archive, is_url, parse_byte_range
from allrounder.history.local_files import LocalPlaces
from allrounder.history.versions import VersionFiles, repository


class Form(StrEnum):
    """How a photo's URL is requested."""

    PAGE = "page"  # one request
    FILE = "file"  # a local file, or a byte range of one
    ARCHIVE = "archive"  # a member `<tar>#<name>`: the tar is read once for all of them
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TakenPhoto:
    """A photo that the download took."""

    key: str  # of its class
    image_id: str
    url: str  # of a rescued photo: the archive's
    sha256: str  # of the bytes as served
    size: int  # bytes
    rescued: bool = False

    @property
    def form(self) -> Form:
        """How its URL is requested. UNKNOWN ones are only counted."""
        if parse_byte_range(self.url):
            return Form.PAGE if is_url(self.url) else Form.FILE
        base, mark, member = self.url.partition("#")
        if mark and is_archive(base):
            return Form.ARCHIVE if member and "#" not in member else Form.UNKNOWN
        if is_url(self.url):
            return Form.UNKNOWN if mark else Form.PAGE
        return Form.FILE if not mark or LocalPlaces().has(self.url) else Form.UNKNOWN

    @property
    def archive(self) -> str:
        """The URL of its tar."""
        return self.url.partition("#")[0]


def taken_photos(folder: Path) -> list[TakenPhoto]:
    """Every photo that is `ok` in this version's data/raw: by class key, in rank order.

    The tables come from the work tree, or else through DVC into `folder`. The photos are not
    needed. Raises DataError when a table cannot be read.
    """
    found = []
    for key, table in _tables(folder).items():
        for row in read_csv(table, RawRow):
            if row.status is Status.OK:
                size = row.bytes or 0
                url, rescued = row.rescued_from or row.url, bool(row.rescued_from)
                found.append(TakenPhoto(key, row.image_id, url, row.sha256, size, rescued))
    return found


def _tables(folder: Path) -> dict[str, Path]:
    """The tables of data/raw, by class key."""
    tables = {}
    with repository() as repo:
        files = VersionFiles(repo)
        for path, md5 in sorted(files.listed(RAW.as_posix()).items()):
            if path.endswith(".csv"):
                table = Path(path)
                is_whole = hash_file(table).md5 == md5
                tables[table.stem] = table if is_whole else files.located(path, folder)
    if not tables:
        raise DataError(f"dvc.lock names no {RAW}; run dvc repro, which builds it")
    return tables


def sample_photos(found: Sequence[TakenPhoto], count: int) -> list[TakenPhoto]:
    """`count` photos, the same ones in every run: each class's smallest by SHA-256 of the URL.

    The classes take turns, so they have equally many photos as far as possible.
    """

    def rank(photo: TakenPhoto) -> tuple[str, bytes]:
        return photo.key, hashlib.sha256(photo.url.encode("utf-8", "surrogatepass")).digest()

    ranked = [list(of_class) for _, of_class in groupby(sorted(found, key=rank), attrgetter("key"))]
    turns: Iterable[TakenPhoto | None] = chain.from_iterable(zip_longest(*ranked))
    return [photo for photo in turns if photo][:count]


FEW, MANY = 3, 5
"""URLs that must have changed to one picture before it counts as a placeholder, as in cleaning: FEW
that lead to one address or are in different classes, or MANY others. Two may be a coincidence."""


class Drift(StrEnum):
    """How a URL's reply differs from the photo that was downloaded."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    PLACEHOLDER = "placeholder"
    OPTED_OUT = "opted_out"
    UNREACHABLE = "unreachable"  # a transient failure: it may be the same later
    NOT_ASKED = "not_asked"  # the form of its URL is unknown


@dataclass(frozen=True, slots=True)
class DriftResult:
    """The drift of one photo."""

    photo: TakenPhoto
    drift: Drift
    detail: str = ""
    final_url: str = ""  # if it is not the photo's own
    sha256: str = ""  # of the reply, if it is a picture
    unmodified: bool = False  # the host replied 304

    @property
    def drifted(self) -> bool:
        """Whether its URL was requested and does not give the same bytes."""
        return self.drift not in (Drift.SAME, Drift.NOT_ASKED)


def drift_of(photo: TakenPhoto, result: Result) -> DriftResult:
    """Classify the result of requesting a photo again."""
    elsewhere = "" if result.final_url == photo.url else result.final_url
    if result.status is not Status.OK:
        words = f"{result.status} {result.detail}".strip()
        return DriftResult(photo, _drift(result), words, elsewhere)
    if result.sha256 == photo.sha256:
        return DriftResult(photo, Drift.SAME, "", elsewhere, result.sha256)
    return DriftResult(photo, Drift.CHANGED, "other bytes", elsewhere, result.sha256)


def _drift(result: Result) -> Drift:
    if result.status is Status.PLACEHOLDER:
        return Drift.PLACEHOLDER
    if result.status is Status.OPTED_OUT:
        return Drift.OPTED_OUT
    if result.transient:
        return Drift.UNREACHABLE
    if result.status in (Status.HTTP_ERROR, Status.REDIRECT_ERROR, Status.BAD_URL):
        return Drift.GONE
    return Drift.CHANGED  # a complete body that is not a good photo


def find_placeholders(answers: Sequence[DriftResult]) -> list[DriftResult]:
    """The same answers, but a picture that many URLs changed to is a placeholder."""
    same = defaultdict[str, list[DriftResult]](list)
    for answer in answers:
        if answer.drift is Drift.CHANGED and answer.sha256:
            same[answer.sha256].append(answer)
    found = list(answers)
    for at, answer in enumerate(answers):
        if _is_placeholder(alike := same.get(answer.sha256, [])) and answer.drift is Drift.CHANGED:
            words = f"the same behind {len(alike)} URLs"
            found[at] = replace(answer, drift=Drift.PLACEHOLDER, detail=words)
    return found


def _is_placeholder(alike: Sequence[DriftResult]) -> bool:
    """Whether the picture that these URLs changed to is a placeholder."""
    led = Counter(answer.final_url for answer in alike if answer.final_url)
    classes = {answer.photo.key for answer in alike}
    return len(alike) >= MANY or max([*led.values(), len(classes)], default=0) >= FEW
