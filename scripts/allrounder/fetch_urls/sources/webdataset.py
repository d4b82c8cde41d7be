"""Source `webdataset`: shards (.tar) of `<key>.jpg` beside `<key>.cls` or `<key>.json`.

Each shard is read once for its labels and the position of each photo. The download then takes
single photos as byte ranges.
"""

import contextlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from allrounder.catalogue.labels import ClassPart, label_meanings, no_indices, normalized_label
from allrounder.core.errors import DataError
from allrounder.core.progress import progress
from allrounder.core.rows import Candidate
from allrounder.core.tarreader import BLOCK, BrokenTarError, Reader, TarEntry, open_tar, tar_entries
from allrounder.core.text import decode_text, one_line
from allrounder.core.urls import ByteRange, is_url
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import WebdatasetSource
from allrounder.web.cache import CACHE, CachedFile, CacheEntry
from allrounder.web.lists import BrokenBodyError, ListClient, content_length, content_range
from allrounder.web.policy import Pace, is_offline

Photo = tuple[str | None, Candidate]
"""A photo in a shard, and its label if it has one."""
_FORM = 3  # raise it when samples are grouped or read in another way


class ShardCache:
    """Caches the photos of one shard with their labels under one key."""

    def __init__(self, shard: str, label_key: str):
        self._key = json.dumps([_FORM, shard, label_key])
        CACHE.mkdir(parents=True, exist_ok=True)
        self._file = CachedFile(CACHE, self._key)
        self._entry = self._file.whole()
        self.exists = self._entry is not None  # any version of the shard

    def photos(self, etag: str | None) -> Iterator[Photo] | None:
        """Return the photos of a version (None: of any), or None if that is not cached."""
        return self._read() if self._entry and etag in (None, self._entry.etag) else None

    def keep(self, photos: Iterable[Photo], etag: str) -> Iterator[Photo]:
        """Yield the same photos and cache them at the end, if the ETag identifies the version."""
        if not etag.startswith('"'):  # a weak one (RFC 9110, section 8.8.1)
            yield from photos
            return
        self._file.begin(CacheEntry(self._key, etag))
        with self._file.part.open("w", encoding="utf-8") as file:
            for label, one in photos:
                file.write(json.dumps([label, asdict(one)]) + "\n")
                yield label, one
        self._file.complete()

    def _read(self) -> Iterator[Photo]:
        with self._file.body.open(encoding="utf-8") as file:
            for line in file:
                label, one = json.loads(line)
                yield label, Candidate(**one)


IMAGES = (
    "jpg", "jpeg", "png", "webp", "avif", "gif", "bmp", "heic", "heif", "tif", "tiff", "jp2", "ico",
)  # fmt: skip
_TEXT_MAX = {"cls": 2**12, "json": 2**20}
"""Extensions of label files and their largest size in bytes: larger files are no labels."""
_META = re.compile(r"__[^/]*__($|/)")


@dataclass(slots=True)
class Sample:
    """Adjacent files of one key: the place of the first image, and the label files' bytes."""

    key: str
    image: TarEntry | None = None
    texts: dict[str, bytes] = field(default_factory=dict)


def candidates(
    source: WebdatasetSource, parts: Sequence[ClassPart], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the photos whose label means one of the classes, in the order of the shards.

    Raises DataError that names a shard which cannot be read, is no tar, is cut off or has no
    photo with a label, or whose server supports no ranges.
    """
    what, classes = source.name, _LabelClasses(source, parts)
    advice = "correct the location or leave the shard out of it"
    if source.is_remote:
        advice += ", or download the shards and give their path"
    try:
        for number, shard in enumerate(progress(iterable=source.places, unit=" shards")):
            photos = _photos(shard, source.label_key, web, what, first=number == 0)
            yield from _listed(photos, source.label_key, classes, shard, tally)
    except DataError as error:
        raise DataError(f"{error}; {advice}") from None
    if classes.numbered.tell() and (fault := no_indices(classes.numbers)):
        tally.warn(fault)
    else:
        classes.numbered.seek(0)
        for key, found in map(json.loads, classes.numbered):
            yield key, Candidate(**found)


class _LabelClasses:
    """The classes that labels mean. Only all numbers together show if they are ILSVRC's indices."""

    def __init__(self, source: WebdatasetSource, parts: Sequence[ClassPart]):
        self.parts = parts
        self.named, self.indices = label_meanings(parts, source.given_labels)
        self.numbers = set[int]()
        self.numbered = tempfile.TemporaryFile("w+")  # noqa: SIM115 (photos with such numbers)


def _listed(
    photos: Iterable[Photo], label_key: str, classes: _LabelClasses, shard: str, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    number = labelled = 0
    for label, candidate in photos:
        number, labelled = number + 1, labelled + (label is not None)
        tally.read += 1
        if label is None:
            tally.pass_over("no label", candidate.url)
            continue
        plain = normalized_label(label)
        if re.fullmatch("[0-9]{1,9}", plain):
            classes.numbers.add(int(plain))
        if key := classes.named.get(plain):
            yield key, candidate
        elif key := classes.indices.get(plain):
            classes.numbered.write(json.dumps([key, asdict(candidate)]) + "\n")
        else:
            tally.check_ambiguous(plain, classes.parts)
    if not labelled:
        raise DataError(
            f"{tally.what}: {shard}: {number} photos, none with a label (<key>.cls, "
            f"or {label_key!r} in <key>.json: see label_key)"
        )


def _photos(shard: str, label_key: str, web: ListClient, what: str, first: bool) -> Iterator[Photo]:
    """Yield the photos of a shard: from the cache for the same version, else read now."""
    cache = ShardCache(shard, label_key)
    if is_url(shard) and (first or cache.exists):
        etag = None if is_offline() and cache.exists else _shard_etag(shard, web, what)
        if (cached := cache.photos(etag)) is not None:
            yield from cached
            return
    with _open_shard(shard, web, what) as (read, size, etag):
        try:
            yield from cache.keep(_read_photos(shard, label_key, read, size), etag)
        except BrokenTarError as error:
            raise DataError(f"{what}: {shard}: {error}") from None


def _read_photos(shard: str, label_key: str, read: Reader, size: int | None) -> Iterator[Photo]:
    for sample in samples(read, size):
        if sample.image:
            about = _about(sample.texts.get("json", b""))
            label = _label(sample.texts.get("cls"), about.get(label_key))
            yield label, _candidate(shard, sample.key, sample.image, about)


def samples(read: Reader, size: int | None) -> Iterator[Sample]:
    """Group a shard's files: adjacent files with one key are a sample.

    The key is the name up to the first dot after the last slash, the extension is the rest, in
    lower case; files without a dot and `__meta__` are ignored. Source: `base_plus_ext` and
    `group_by_keys` of https://github.com/webdataset/webdataset, src/webdataset/tariterators.py;
    https://huggingface.co/docs/hub/datasets-webdataset
    Many shards have keys with dots nevertheless: there the extension starts at the last dot, unless
    the sample before has the key up to the first one (`1.seg.png` after `1.jpg`).
    """
    sample = None
    for entry in tar_entries(read, 0, size):
        folder, slash, name = entry.name.rpartition("/")
        stem, dot, extension = name.partition(".")
        if not stem or not dot or _META.match(entry.name):
            continue
        key, extension = folder + slash + stem, extension.lower()
        if "." in extension and not (sample and sample.key == key):
            longer, _, extension = extension.rpartition(".")
            key = entry.name[: len(key) + 1 + len(longer)]
        if sample is None or sample.key != key:
            if sample:
                yield sample
            sample = Sample(key)
        if extension in IMAGES:
            sample.image = sample.image or entry
        elif entry.size <= _TEXT_MAX.get(extension, -1):
            sample.texts[extension] = read(entry.offset, entry.size)
    if sample:
        yield sample


def _candidate(shard: str, key: str, image: TarEntry, about: dict[str, Any]) -> Candidate:
    landing = _words(about.get("landing_url"))
    return Candidate(
        key.rpartition("/")[2],
        ByteRange(shard, image.name, image.offset, image.size).url,
        _words(about.get("license")),
        _words(about.get("author")),
        landing if is_url(landing) else "",
        title=_words(about.get("title")),
    )


def _about(body: bytes) -> dict[str, Any]:
    """The content of a .json; {} when it is no JSON object."""
    try:
        found = json.loads(decode_text(body))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _label(cls: bytes | None, given: object) -> str | None:
    """A sample's label: the .cls, or the text or number that the .json gives, or None."""
    if cls is not None:
        return decode_text(cls).strip()
    if isinstance(given, str) or type(given) is int:
        return str(given)
    return None


def _words(value: object) -> str:
    return one_line(value) if isinstance(value, str) else ""


# Reading shards forwards, with flat memory


@contextmanager
def _open_shard(shard: str, web: ListClient, what: str) -> Iterator[tuple[Reader, int | None, str]]:
    """Yield a reader of a shard, its size in bytes or None, and its ETag or ''.

    Raises DataError that starts with `what` when it cannot be opened or read.
    """
    if is_url(shard):
        with ExitStack() as stack:
            reader = _RemoteReader(shard, web, what, stack)
            yield reader.read, reader.size, reader.etag
        return
    try:
        with open_tar(Path(shard)) as (read, size):
            yield read, size, ""
    except OSError as error:
        raise DataError(f"{what}: {shard}: {error.strerror}") from None


def _shard_etag(shard: str, web: ListClient, what: str) -> str:
    """A shard's ETag or ''. Raises DataError when its server supports no ranges."""
    ranges = {"Range": f"bytes=0-{BLOCK - 1}", "Accept-Encoding": "identity"}
    with web.stream(shard, what, ranges, expect=(200, 206)) as reply:
        if reply.code != 206:
            raise DataError(f"{what}: {shard}: its server gives whole files only (no ranges)")
        return reply.headers.get("etag", "")


class _RemoteReader:
    """Reads one remote file forwards and resumes it after breaks."""

    def __init__(self, url: str, web: ListClient, what: str, stack: ExitStack):
        self._url, self._web, self._what, self._stack = url, web, what, stack
        self._position, self._rest = 0, b""  # `_rest` was received and not yet read
        self._breaks, self._pace = 0, Pace(web.clock)
        self.size: int | None = None
        self.etag = ""
        self._chunks = self._open()

    def read(self, position: int, size: int) -> bytes:
        """Return `size` bytes from `position` on, fewer at the end; bytes before are skipped."""
        taken = bytearray()
        while len(taken) < size:
            skipped = min(position + len(taken) - self._position, len(self._rest))
            piece = self._rest[skipped : skipped + size - len(taken)]
            taken += piece
            self._position += skipped + len(piece)
            self._rest = self._rest[skipped + len(piece) :]
            if not self._rest and len(taken) < size and not self._receive():
                break
        return bytes(taken)

    def _receive(self) -> bool:
        """Wait for the next chunk; False at the end. Raises DataError after too many breaks."""
        self._pace.check(self._position, f"{self._what}: {self._url}")
        while True:
            with contextlib.suppress(BrokenBodyError):
                self._rest = next(self._chunks, b"")
                self._breaks *= not self._rest  # progress sets the count back
                # A server may give less than requested (RFC 9110, section 15.3.7).
                if self._rest or self.size in (None, self._position):
                    return bool(self._rest)
            self._breaks += 1
            if self._web.policy.is_last_try(self._breaks):
                words = f"breaks off at byte {self._position} again and again"
                raise DataError(f"{self._what}: {self._url}: {words}")
            self._web.pause(self._breaks)
            self._chunks = self._open()

    def _open(self) -> Iterator[bytes]:
        """Ask for the file from the present position on."""
        self._stack.close()
        headers = {"Accept-Encoding": "identity"}
        if self._position:
            headers["Range"] = f"bytes={self._position}-"
        stream = self._web.stream(self._url, self._what, headers, expect=(200, 206))
        reply = self._stack.enter_context(stream)
        encoding = reply.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise DataError(f"{self._what}: {self._url}: comes compressed ({encoding})")
        if not self._position:
            self.size = content_length(reply.headers)
            self.etag = reply.headers.get("etag", "")
        else:
            start, size = content_range(reply.headers) or (0, None)
            same_size = self.size is None or size in (None, self.size)
            same_etag = reply.headers.get("etag", self.etag) == self.etag
            if start != self._position or not (same_size and same_etag):
                words = "another file after a break than before"
                raise DataError(f"{self._what}: {self._url}: {words}")
        return reply.chunks
