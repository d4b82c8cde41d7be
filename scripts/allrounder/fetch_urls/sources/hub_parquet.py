"""A dataset's split as Parquet files on the Hub: which they are, and the labels of their rows.

Files are read by ranges: their footers, and of each row group the column of labels. What was read
stays in the cache, since the files of a revision never change. The requests are those of
huggingface_hub (`HfApi.dataset_info` with `files_metadata`, `hf_hub_url`), made by our own client,
which keeps to the network policy.
"""

import json
import re
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

from allrounder.core.errors import DataError
from allrounder.core.progress import progress
from allrounder.core.urls import Cell
from allrounder.params.sources import HuggingfaceSource
from allrounder.web.cache import CACHE, CachedFile
from allrounder.web.dataset_rows import repository
from allrounder.web.lists import ApiReply, ListClient, content_range
from allrounder.web.parquet_reader import (
    MAX_COLUMN,
    MAX_FOOTER,
    BrokenParquetError,
    Group,
    ParquetReader,
    Range,
    check_pyarrow,
)
from allrounder.web.policy import access_advice, hub_address, hub_token

Value = int | str
_FORM = 1  # raise it when files are read in another way
_TAIL = 2**16
"""Bytes at a file's end that pyarrow always reads, if the file has so many."""
_CONVERTED = "refs/convert/parquet"
"""The branch where the Hub keeps datasets of other forms as Parquet, whole if below 5 GB.

Its folders are `<config>/<split>`, and `partial-<split>` where that is cut:
https://huggingface.co/docs/dataset-viewer/parquet
"""


_PUSHED = r"(?:data/)?{}-([0-9]{{5}})-of-([0-9]{{5}})(?:-[0-9a-f]+)?\.parquet"
"""The paths of a split's files as `push_to_hub` of huggingface/datasets writes them."""


class NoParquetError(Exception):
    """Why a dataset is to be read through the viewer instead, in a few words."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a fixed revision."""

    url: str
    size: int


@dataclass(frozen=True, slots=True)
class _Table:
    """The content of a file's footer: where it starts, the photos' column, the row groups."""

    file: HubFile
    footer: int
    column: str
    groups: list[Group]


class HubParquet:
    """The Parquet files of a source's split, in the split's order.

    Raises NoParquetError if there are none of the whole split, DataError when the Hub cannot be
    reached or refuses the dataset, UsageError without pyarrow.
    """

    def __init__(self, source: HuggingfaceSource, web: ListClient):
        self._source, self._web, self._what = source, web, source.name
        self._token, self._reader = hub_token(), ParquetReader()
        check_pyarrow(self._what)
        self.files = self._own_files() or self._converted_files()
        if not self.files:
            raise NoParquetError("it has no Parquet files of the whole split")

    def rows(self, wanted: Collection[Value]) -> Iterator[tuple[int, Value | None, Cell]]:
        """Yield number, label and cell of each row, in order.

        Row groups that have none of the `wanted` labels, as their footers say, are passed over.
        Raises DataError for a broken file, and NoParquetError before the first row where the
        photos cannot be read by row groups.
        """
        try:
            tables = [self._table(file) for file in progress(iterable=self.files, unit=" footers")]
            yield from self._rows(tables, wanted)
        finally:
            self._reader.close()

    def _rows(
        self, tables: Sequence[_Table], wanted: Collection[Value]
    ) -> Iterator[tuple[int, Value | None, Cell]]:
        first = 0
        for table in progress(iterable=tables, unit=" files"):
            labels = _Labels(table.file, self._source)
            try:
                for number, group in enumerate(table.groups):
                    if group.may_have(wanted):
                        if number not in labels.known:
                            labels.known[number] = self._labels(table, number)
                        yield from _cells(table, number, first, labels.known[number])
                    first += group.rows
            except NoParquetError as error:  # too late for the viewer
                raise DataError(f"{self._what}: {error}; run it again later") from None
            finally:
                labels.keep()

    def _table(self, file: HubFile) -> _Table:
        offset, body = self._tail(file)
        try:
            column, groups = self._reader.layout(
                (offset, body), self._source.label_column, self._source.image_column
            )
        except BrokenParquetError as error:
            raise self._broken(file, str(error)) from None
        if any(group.photos.size > MAX_COLUMN for group in groups):
            raise NoParquetError(f"its row groups have more than {MAX_COLUMN >> 20} MiB of photos")
        return _Table(file, offset, column, groups)

    def _labels(self, table: _Table, number: int) -> list[Value | None]:
        group, file = table.groups[number], table.file
        if group.labels.size > MAX_COLUMN:
            raise self._broken(file, f"more than {MAX_COLUMN >> 20} MiB of labels in a row group")
        pieces = [(group.labels.offset, self._read(file, group.labels)), self._tail(file)]
        try:
            found = self._reader.labels(pieces, number, self._source.label_column)
        except BrokenParquetError as error:
            raise self._broken(file, str(error)) from None
        if len(found) != group.rows:
            raise self._broken(file, "a row group has fewer labels than rows")
        return found

    def _tail(self, file: HubFile) -> tuple[int, bytes]:
        """The end of a file with all of its footer, and where it starts; from the cache if there.

        Source: https://parquet.apache.org/docs/file-format/ (its last 8 bytes: size and PAR1).
        """
        cached = CachedFile(CACHE, json.dumps([_FORM, file.url, "footer"]))
        if cached.whole():
            body = cached.body.read_bytes()
            return file.size - len(body), body
        size = min(_TAIL, file.size)
        body = self._read(file, Range(file.size - size, size)) if size > 12 else bytes(8)
        length, magic = struct.unpack("<I4s", body[-8:])
        if magic != b"PAR1" or not 0 < length <= min(file.size - 12, MAX_FOOTER):
            raise self._broken(file, f"no footer of at most {MAX_FOOTER:,} bytes")
        if length + 8 > size:
            body = self._read(file, Range(file.size - length - 8, length + 8))
        cached.store(body)
        return file.size - len(body), body

    def _read(self, file: HubFile, place: Range) -> bytes:
        """Some bytes of a file. Raises NoParquetError where the server gives whole files only."""
        last = sum(place) - 1
        headers = {"Range": f"bytes={place.offset}-{last}", "Accept-Encoding": "identity"}
        reply = self._web.api_reply(file.url, self._what, self._token, headers)
        if reply.code == 200:
            raise NoParquetError("the server gives whole files only (no ranges)")
        if reply.code != 206:
            self._refused(file.url, reply)
        start = content_range(reply.headers)
        if start is None or start[0] != place.offset or len(reply.body) != place.size:
            raise DataError(
                f"{self._what}: {file.url}: another range than requested; run it again later"
            )
        return reply.body

    def _own_files(self) -> list[HubFile]:
        """The dataset's own Parquet files of the split, or none if it does not clearly say so."""
        about = self._repository("main")
        card = about.get("cardData")
        configs = card.get("configs") if isinstance(card, dict) else None
        split = re.escape(self._source.split)
        patterns = _patterns(configs, self._source) if configs else [_PUSHED.format(split)]
        files = self._matching(about, patterns)
        if not configs and not _is_complete(files):
            return []
        return files if all(file.url.endswith(".parquet") for file in files) else []

    def _converted_files(self) -> list[HubFile]:
        folder = re.escape(f"{self._source.config}/{self._source.split}")
        return self._matching(self._repository(_CONVERTED), [rf"{folder}/[0-9]+\.parquet"])

    def _repository(self, revision: str) -> dict[str, Any]:
        """The Hub's description of a revision; {} if there is no such one."""
        call = f"api/datasets/{self._source.dataset}/revision/{quote(revision, safe='')}?blobs=true"
        url = f"{hub_address()}/{call}"
        reply = self._web.api_reply(url, self._what, self._token)
        if reply.code == 404 and reply.headers.get("x-error-code") == "RevisionNotFound":
            return {}
        if reply.code != 200:
            self._refused(url, reply)
        try:
            about = json.loads(reply.body)
        except (ValueError, RecursionError):
            about = None
        is_known = isinstance(about, dict) and isinstance(about.get("siblings"), list)
        if not is_known or not re.fullmatch(r"[0-9a-f]{40}", str(about.get("sha"))):
            raise DataError(f"{self._what}: {url} answers in another form than documented")
        assert isinstance(about, dict)
        return about

    def _matching(self, about: dict[str, Any], patterns: Sequence[str]) -> list[HubFile]:
        """The files of a revision whose paths match: pattern by pattern, then by path."""
        sizes = {}
        for file in about.get("siblings", ()):
            path = file.get("rfilename") if isinstance(file, dict) else None
            if isinstance(path, str) and not {"", ".", ".."} & set(path.split("/")):
                size = file.get("size")
                sizes[path] = size if type(size) is int and 0 <= size < 2**50 else 0
        paths = dict.fromkeys(
            path for pattern in patterns for path in sorted(sizes) if re.fullmatch(pattern, path)
        )
        folder = f"{repository(self._source)}/resolve/{about.get('sha')}"
        return [HubFile(f"{folder}/{quote(path)}", sizes[path]) for path in paths]

    def _refused(self, url: str, reply: ApiReply) -> NoReturn:
        words = "run it again later"
        if reply.code in (401, 403, 404):  # of a private dataset, too
            words = access_advice(self._source.dataset)
        raise DataError(f"{self._what}: {url} answered {reply.code}; {words}")

    def _broken(self, file: HubFile, words: str) -> DataError:
        return DataError(
            f"{self._what}: {file.url}: broken Parquet: {words}; say via: viewer in the source to "
            "take the dataset viewer's photos"
        )


class _Labels:
    """The labels of a file's row groups that were read so far, in the cache."""

    def __init__(self, file: HubFile, source: HuggingfaceSource):
        self._cached = CachedFile(CACHE, json.dumps([_FORM, file.url, source.label_column]))
        self.known: dict[int, list[Value | None]] = {}
        if self._cached.whole():
            found = json.loads(self._cached.body.read_bytes())
            self.known = {int(number): labels for number, labels in found.items()}
        self._kept = len(self.known)

    def keep(self) -> None:
        """Write them if there are more than before."""
        if len(self.known) > self._kept:
            self._cached.store(json.dumps(self.known).encode())


def _cells(
    table: _Table, number: int, first: int, labels: Sequence[Value | None]
) -> Iterator[tuple[int, Value | None, Cell]]:
    file, photos = table.file, table.groups[number].photos
    footer, chunk = (table.footer, file.size - 1), (photos.offset, sum(photos) - 1)
    for row, label in enumerate(labels):
        yield first + row, label, Cell(file.url, table.column, number, row, footer, chunk)


def _is_complete(files: Sequence[HubFile]) -> bool:
    """Whether these are all files that their names count."""
    counts = [re.findall(r"-([0-9]{5})-of-([0-9]{5})", file.url)[-1] for file in files]
    return [(int(n), int(of)) for n, of in counts] == [(n, len(files)) for n in range(len(files))]


def _patterns(configs: object, source: HuggingfaceSource) -> list[str]:
    """The forms of the paths of a split's files, by the `configs` of a dataset's card.

    Source: https://huggingface.co/docs/hub/datasets-manual-configuration
    """
    for config in configs if isinstance(configs, list) else ():
        if not isinstance(config, dict) or config.get("config_name") != source.config:
            continue
        given = config.get("data_files")
        folder = str(config.get("data_dir") or "").strip("/")
        paths: list[object] = []
        for entry in given if isinstance(given, list) else [given]:
            if isinstance(entry, dict) and entry.get("split") == source.split:
                path = entry.get("path")
                paths += path if isinstance(path, list) else [path]
            elif isinstance(entry, str) and source.split == "train":
                paths.append(entry)
        texts = [f"{folder}/{path}".lstrip("/") for path in paths if isinstance(path, str)]
        is_known = not {"[", "{"} & set("".join(texts))  # or a part of the split would be missed
        return list(map(_glob, texts)) if is_known else []
    return []


def _glob(pattern: str) -> str:
    """A pattern of paths as a regular expression: `*` stays within a folder, `**` does not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(part) or re.escape(part) for part in parts)
