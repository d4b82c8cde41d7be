"""Source `huggingface`: the rows of the params' classes in an image dataset on the Hub.

They are cells of its Parquet files (see hub_parquet.py), or else rows of the dataset viewer, whose
/filter lists them, a hundred a request. The URL of such a row is its stable page address, not the
photo's signed URL.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import quote

from allrounder.catalogue.labels import (
    ClassPart,
    label_matcher,
    label_meanings,
    no_indices,
    normalized_label,
    usual_labels,
)
from allrounder.catalogue.synsets import find_synset, ilsvrc_synsets
from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import Candidate
from allrounder.core.text import one_line, short_list
from allrounder.core.urls import Cell
from allrounder.fetch_urls.sources.hub_parquet import HubParquet, NoParquetError, Value
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import HuggingfaceSource
from allrounder.web.dataset_rows import NO_ACCESS_CODE, api_url, checked_revision, row_url
from allrounder.web.lists import ApiReply, ListClient
from allrounder.web.policy import access_advice, hub_token

PAGE = 100
"""Rows of a /filter page at most: https://huggingface.co/docs/dataset-viewer/filter."""
_READY_WAIT, _READY_PAUSE = 120.0, 5.0
"""Seconds: for a reply that is not ready, and between the requests for it."""
_HINTS = {404: "correct its dataset, config or split", 422: "correct its columns and labels"}


class DatasetViewer:
    """The API calls for one dataset. Replies are checked as far as they are read."""

    def __init__(self, source: HuggingfaceSource, web: ListClient):
        self.what = source.name
        self.partial = False  # whether any reply says that only a part is indexed
        self.revision: str | None = None  # of the dataset, as the rows' pages give it
        self._source, self._web = source, web
        self._token = hub_token()

    def splits(self) -> list[str]:
        """`config/split` of every split. Raises DataError as `_get` does."""
        answer = self._get("splits", config=None, split=None)  # with a wrong one it answers 404
        try:
            return [f"{split['config']}/{split['split']}" for split in answer["splits"]]
        except (KeyError, TypeError):
            self.schema("/splits")

    def info(self) -> tuple[dict[str, Any], str]:
        """The columns' types by name, and the licence or ''. Raises DataError as `_get` does."""
        info: Any = self._get("info").get("dataset_info")
        features = info.get("features") if isinstance(info, dict) else None
        if not isinstance(features, dict) or not all(
            isinstance(f, dict) for f in features.values()
        ):
            self.schema("/info")
        licence = info.get("license")
        return features, self._plain(licence) if isinstance(licence, str) else ""

    def range_of(self, column: str) -> range:
        """The numbers that a column may have, the first 2,000. Raises DataError as `_get` does."""
        answer = self._get("statistics")
        try:
            found = {one["column_name"]: one["column_statistics"] for one in answer["statistics"]}
            return range(int(found[column]["min"]), int(found[column]["max"]) + 1)[:2000]
        except (KeyError, TypeError, ValueError, OverflowError):
            self.schema("/statistics")

    def rows(self, where: str, offset: int, length: int) -> tuple[list[tuple[int, Any]], int]:
        """A page of the rows that match: (index, cells) of each; and how many match in all.

        Raises DataError as `_get` does, and when the dataset has changed since the page before.
        """
        answer = self._get("filter", where=where, offset=offset, length=length)
        given, total = answer.get("rows"), answer.get("num_rows_total")
        if not isinstance(given, list) or not isinstance(total, int):
            self.schema("/filter")
        try:
            rows = [(row["row_idx"], row["row"]) for row in given]
        except (KeyError, TypeError):
            self.schema("/filter")
        numbers = [total, *(index for index, _ in rows)]
        if not all(type(number) is int and 0 <= number < 10**15 for number in numbers):
            self.schema("/filter")
        return rows, total

    def schema(self, call: str) -> NoReturn:
        """Raise DataError: an answer is not as documented."""
        raise DataError(
            f"{self.what}: {self._source.location}{call} answers in another form than documented "
            "(https://huggingface.co/docs/dataset-viewer); another API, or it has changed"
        )

    def _get(self, call: str, **more: object) -> dict[str, Any]:
        """Return the JSON object that a call answers.

        Raises DataError when it cannot be reached or answers anything else.
        """
        url = api_url(self._source, call, **more)
        answer = self._ready_reply(url)
        if self._token:  # no part of a reply may repeat it, not even a column's name
            answer = replace(answer, body=answer.body.replace(self._token.encode(), b"..."))
        if answer.code != 200:
            self._refused(url, answer)
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            start = self._plain(answer.body[:60].decode("utf-8", "replace"))
            raise DataError(f"{self.what}: {url} answered no JSON: {start!r}") from None
        if not isinstance(content, dict):
            self.schema(f"/{call}")
        self.partial |= content.get("partial") is True
        if call == "filter":
            revision = checked_revision(answer.headers.get("x-revision", ""))
            if self.revision not in (None, revision):
                raise DataError(f"{self.what}: it was changed while it was listed; run it again")
            self.revision = revision
        return content

    def _ready_reply(self, url: str) -> ApiReply:
        """Return the reply to a call; one that the API has still to compute is waited for."""
        ends, is_waiting = self._web.clock() + _READY_WAIT, False
        while True:
            answer = self._web.api_reply(url, self.what, self._token)
            is_ready = answer.headers.get("x-error-code") != "ResponseNotReady"
            if is_ready or self._web.clock() >= ends:
                return answer
            if not is_waiting:
                print(f"{self.what}: its reply is not ready yet; waiting", file=sys.stderr)
            is_waiting = True
            self._web.pause(1, _READY_PAUSE)  # always the first backoff: no failure

    def _refused(self, url: str, answer: ApiReply) -> NoReturn:
        """Raise DataError with what the API says, and what to do."""
        code = answer.headers.get("x-error-code", "")
        if answer.code in (401, 403) or code == NO_ACCESS_CODE:
            words = access_advice(self._source.dataset)
            raise DataError(f"{self.what}: {url} answered {answer.code}; {words}")
        try:
            said: Mapping[str, Any] = json.loads(answer.body)
            words = str(said["error"])
        except (ValueError, KeyError, TypeError, RecursionError):
            words = ""
        reason = self._plain(": ".join(filter(None, (code, words)))) or "no reason given"
        hint = _HINTS.get(answer.code, "run it again later")
        raise DataError(f"{self.what}: {url} answered {answer.code} ({reason}); {hint}")

    def _plain(self, text: str) -> str:
        """A text of the API for our messages: short, on one line, without our token."""
        text = text.replace(self._token, "...") if self._token else text
        return one_line(text)[:200]


_HUB = "https://datasets-server.huggingface.co"


def candidates(
    source: HuggingfaceSource, parts: Sequence[ClassPart], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the rows of each class, in the dataset's order.

    Raises DataError when the API cannot be read, refuses the dataset or answers in another form;
    UsageError for a config, split or column that the dataset does not have.
    """
    viewer = DatasetViewer(source, web)
    _check_split(source, viewer)
    features, licence = viewer.info()
    _check_columns(source, features, viewer.what)
    values = _values(source, parts, features[source.label_column], tally, viewer)
    if source.via == "parquet" and values:
        try:
            for key, row, cell in _cells(source, HubParquet(source, web), values, tally):
                page = _landing_url(source, row)
                yield key, Candidate(_image_id(source, row), cell.url, licence, landing_url=page)
            return
        except NoParquetError as error:
            tally.warn(f"{error}; the viewer's photos are taken, which are re-encoded")
    for key, wanted in values.items():
        for row in _rows(source, viewer, key, wanted, tally):
            url, page = row_url(source, row, viewer.revision or ""), _landing_url(source, row)
            yield key, Candidate(_image_id(source, row), url, licence, landing_url=page)
    if viewer.partial:
        tally.warn("the viewer has indexed only its first 5 GB; later rows are not listed")


def _image_id(source: HuggingfaceSource, row: int) -> str:
    short = re.sub(r"[^A-Za-z0-9]+", "-", source.dataset.rpartition("/")[2])[:30].strip("-")
    split = re.sub(r"[^A-Za-z0-9]+", "-", source.split)[:12].strip("-")
    return f"{short}_{split}_{row}"


def _cells(
    source: HuggingfaceSource, files: HubParquet, values: Mapping[str, list[Value]], tally: Tally
) -> Iterator[tuple[str, int, Cell]]:
    """The class, number and cell of each row, at most `limit` a class, in the dataset's order."""
    classes: dict[Value, list[str]] = defaultdict(list)
    for wnid, wanted in values.items():
        for value in wanted:
            classes[value].append(wnid)
    listed = Counter[str]()
    for row, label, cell in files.rows(classes):
        if all(listed[wnid] >= source.limit for wnid in values):
            break
        tally.read += 1
        for wnid in classes.get(label, ()) if label is not None else ():
            if listed[wnid] < source.limit:
                listed[wnid] += 1
                yield wnid, row, cell
    for wnid in values:
        if listed[wnid] >= source.limit:
            tally.warn(f"class {wnid}: its first {source.limit:,} rows listed; raise its limit")


def _check_split(source: HuggingfaceSource, viewer: DatasetViewer) -> None:
    there = viewer.splits()
    if f"{source.config}/{source.split}" not in there:
        raise UsageError(
            f"{viewer.what}: has no split {source.config}/{source.split}, but "
            f"{short_list(there)}; correct its config or split"
        )


def _check_columns(source: HuggingfaceSource, features: dict[str, Any], what: str) -> None:
    for key, name in (("label_column", source.label_column), ("image_column", source.image_column)):
        if name not in features:
            there = short_list(list(features))
            raise UsageError(f"{what}: {key}: it has no column {name!r}, but {there}; correct it")
    if features[source.image_column].get("_type") != "Image":
        images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
        raise UsageError(
            f"{what}: image_column: {source.image_column!r} holds no photos; "
            f"those that do: {short_list(images)}"
        )


def _values(
    source: HuggingfaceSource,
    parts: Sequence[ClassPart],
    feature: dict[str, Any],
    tally: Tally,
    viewer: DatasetViewer,
) -> dict[str, list[Value]]:
    """The values of the label column that mean each class; classes without one are left out."""
    meant = label_matcher(parts, source.given_labels)
    names, dtype = feature.get("names"), str(feature.get("dtype"))
    if feature.get("_type") == "ClassLabel" and isinstance(names, list):
        found = _class_label_values(source, parts, names, meant, tally)
    elif dtype.startswith(("int", "uint")):
        named, indices = label_meanings(parts, source.given_labels)
        if indices and (fault := no_indices(viewer.range_of(source.label_column))):
            tally.warn(fault)
            meant = named
        found = defaultdict(list)
        for label, key in meant.items():
            if label.isascii() and label.isdigit():
                found[key].append(int(label))
    elif dtype in ("string", "large_string"):
        found = _string_values(source, parts, meant)
    else:
        raise UsageError(
            f"{tally.what}: label_column: {source.label_column!r} holds neither class labels nor "
            "strings nor integers; name another"
        )
    if not found:
        has = (
            f"; it has {short_list([str(name) for name in names])}"
            if isinstance(names, list)
            else ""
        )
        tally.warn(f"its labels match no class{has}; map them in labels")
    return {part.key: found[part.key] for part in parts if part.key in found}


def _class_label_values(
    source: HuggingfaceSource,
    parts: Sequence[ClassPart],
    names: Sequence[object],
    meant: dict[str, str],
    tally: Tally,
) -> dict[str, list[Value]]:
    """The indices of the label names that mean each class."""
    found: dict[str, list[Value]] = defaultdict(list)
    indices = _ilsvrc_indices(source, parts, names)
    for index, name in enumerate(names):
        key = meant.get(normalized_label(str(name)))
        if key and key not in indices:
            found[key].append(index)
        elif not key and not indices:
            tally.check_ambiguous(normalized_label(str(name)), parts)
    return found | {key: [index] for key, index in indices.items()}


def _string_values(
    source: HuggingfaceSource, parts: Sequence[ClassPart], meant: dict[str, str]
) -> dict[str, list[Value]]:
    """The spellings of each class that mean no other class."""
    found: dict[str, list[Value]] = defaultdict(list)
    for part in parts:
        for text in _spellings(source, part):
            if meant.get(normalized_label(text)) == part.key:
                found[part.key].append(text)
    return found


def _ilsvrc_indices(
    source: HuggingfaceSource, parts: Sequence[ClassPart], names: Sequence[object]
) -> dict[str, int]:
    """The classes' ILSVRC indices, if the labels are ILSVRC's 1,000 in ILSVRC's order.

    Two of them are called crane, so the index says more than the name.
    """
    if len(names) != 1000:
        return {}
    labels = map(normalized_label, map(str, names))
    pairs = zip(labels, ilsvrc_synsets(), strict=True)
    if 2 * sum(label in usual_labels(synset.wnid) for label, synset in pairs) < len(names):
        return {}
    given = source.given_labels
    own = {p.key: synset.ilsvrc_index for p in parts if (synset := find_synset(p.wnid))}
    return {key: index for key, index in own.items() if index is not None and key not in given}


def _spellings(source: HuggingfaceSource, part: ClassPart) -> list[str]:
    """How a column of strings may spell a class: /filter compares for equality only."""
    if label := source.given_labels.get(part.key):
        return [label]
    synset = find_synset(part.wnid)
    texts = [
        part.wnid or part.key,
        *part.labels,
        *([*synset.names, ", ".join(synset.names)] if synset else []),
    ]
    texts += [str(synset.ilsvrc_index)] if synset and synset.ilsvrc_index is not None else []
    texts += [text.lower() for text in texts]
    return list(dict.fromkeys([*texts, *(text.replace(" ", "_") for text in texts)]))


def _rows(
    source: HuggingfaceSource, viewer: DatasetViewer, wnid: str, wanted: list[Value], tally: Tally
) -> list[int]:
    """The indices of a class's rows, page by page and at most `limit`, in the dataset's order."""
    column = source.label_column.replace('"', '""')
    where = " OR ".join(f'"{column}"={_literal(value)}' for value in wanted)
    found: list[int] = []
    total = 1
    while len(found) < min(total, source.limit):
        length = min(PAGE, source.limit - len(found))
        page, total = viewer.rows(where, len(found), length)
        if not page and len(found) < total:
            raise DataError(
                f"{viewer.what}: class {wnid}: an empty page after {len(found)} of {total} rows; "
                "run it again later"
            )
        for index, cells in page[:length]:
            if not isinstance(cells, dict) or cells.get(source.label_column) not in wanted:
                viewer.schema("/filter")
            found.append(index)
    if total > len(found):
        tally.warn(f"class {wnid}: {len(found)} of {total} rows listed; raise its limit")
    tally.read += len(found)
    return sorted(found)


def _literal(value: Value) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _landing_url(source: HuggingfaceSource, row: int) -> str:
    if source.location != _HUB:
        return ""
    place = quote(f"{source.dataset}/viewer/{source.config}/{source.split}")
    return f"https://huggingface.co/datasets/{place}?row={row}"
