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
    synset_labels,
    usual_labels,
)
from allrounder.catalogue.synsets import find_synset, ilsvrc_synsets
from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import Candidate
from allrounder.core.text import one_line, short_list
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
            "(https://huggingface.co/docs/dataset-viewer); correct its location, or run it later"
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
            raise DataError(
                f"{self.what}: {url} answered no JSON: {start!r}; run it again later"
            ) from None
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
    split = _Split(source, parts, web, tally)
    features, licence = split.check()
    values = split.values(features[source.label_column])
    texts = source.dataset.rpartition("/")[2], source.split
    dataset, name = (re.sub("[^A-Za-z0-9]+", "-", text) for text in texts)
    prefix = f"{dataset[:30].strip('-')}_{name[:12].strip('-')}"
    for key, row, url in split.rows(values):
        yield key, Candidate(f"{prefix}_{row}", url, licence, landing_url=split.landing_url(row))


class _Split:
    """A dataset's split: its labels, and its rows of the classes."""

    def __init__(
        self, source: HuggingfaceSource, parts: Sequence[ClassPart], web: ListClient, tally: Tally
    ):
        self._source, self._parts, self._web, self._tally = source, parts, web, tally
        self._viewer = DatasetViewer(source, web)

    def check(self) -> tuple[dict[str, Any], str]:
        """The columns' types by name, and the licence or ''.

        Raises UsageError for a split or column that the dataset does not have.
        """
        source, what = self._source, self._viewer.what
        splits = self._viewer.splits()
        if f"{source.config}/{source.split}" not in splits:
            raise UsageError(
                f"{what}: has no split {source.config}/{source.split}, but {short_list(splits)}; "
                "correct its config or split"
            )
        features, licence = self._viewer.info()
        for key in ("label_column", "image_column"):
            if (name := getattr(source, key)) not in features:
                has = short_list(list(features))
                raise UsageError(f"{what}: {key}: it has no column {name!r}, but {has}; correct it")
        if features[source.image_column].get("_type") != "Image":
            images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
            raise UsageError(
                f"{what}: image_column: {source.image_column!r} holds no photos; "
                f"those that do: {short_list(images)}"
            )
        return features, licence

    def values(self, feature: dict[str, Any]) -> dict[str, list[Value]]:
        """The values of the label column that mean each class; classes without one are left out.

        Raises UsageError for a column of another type than labels have.
        """
        source, matches = self._source, label_matcher(self._parts, self._source.given_labels)
        names, dtype = feature.get("names"), str(feature.get("dtype"))
        has = ""
        if feature.get("_type") == "ClassLabel" and isinstance(names, list):
            names = [str(name) for name in names]
            has = f"; it has {short_list(names)}"
            values = self._class_label_values(names, matches)
        elif dtype.startswith(("int", "uint")):
            values = self._integer_values()
        elif dtype in ("string", "large_string"):
            values = defaultdict(list)
            for part in self._parts:
                for text in self._spellings(part):
                    if matches.get(normalized_label(text)) == part.key:
                        values[part.key].append(text)
        else:
            raise UsageError(
                f"{source.name}: label_column: {source.label_column!r} holds neither class labels "
                "nor strings nor integers; name another"
            )
        if not values:
            self._tally.warn(f"its labels match no class{has}; map them in labels")
        return {part.key: values[part.key] for part in self._parts if part.key in values}

    def _class_label_values(
        self, names: Sequence[str], matches: Mapping[str, str]
    ) -> dict[str, list[Value]]:
        """The indices of the label names that mean each class."""
        values: dict[str, list[Value]] = defaultdict(list)
        indices = self._ilsvrc_indices(names)
        for index, name in enumerate(map(normalized_label, names)):
            key = matches.get(name)
            if key and key not in indices:
                values[key].append(index)
            elif not key and not indices:
                self._tally.check_ambiguous(name, self._parts)
        return values | {key: [index] for key, index in indices.items()}

    def _ilsvrc_indices(self, names: Sequence[str]) -> dict[str, int]:
        """The classes' ILSVRC indices, if the labels are ILSVRC's 1,000 in ILSVRC's order.

        Two of them are called crane, so the index says more than the name.
        """
        if len(names) != 1000:
            return {}
        pairs = zip(map(normalized_label, names), ilsvrc_synsets(), strict=True)
        if 2 * sum(name in usual_labels(synset.wnid) for name, synset in pairs) < len(names):
            return {}
        given = self._source.given_labels
        synsets = {
            part.key: find_synset(part.wnid) for part in self._parts if part.key not in given
        }
        indices = {key: synset.ilsvrc_index for key, synset in synsets.items() if synset}
        return {key: index for key, index in indices.items() if index is not None}

    def _integer_values(self) -> dict[str, list[Value]]:
        """The numbers that mean each class: ILSVRC's class indices, unless they do not fit."""
        matches, indices = label_meanings(self._parts, self._source.given_labels)
        if indices and (fault := no_indices(self._viewer.range_of(self._source.label_column))):
            self._tally.warn(fault)
        else:
            matches |= indices
        values: dict[str, list[Value]] = defaultdict(list)
        for label, key in matches.items():
            if label.isascii() and label.isdigit():
                values[key].append(int(label))
        return values

    def _spellings(self, part: ClassPart) -> list[str]:
        """How a column of strings may spell a class: /filter compares for equality only."""
        if label := self._source.given_labels.get(part.key):
            return [label]
        synset = find_synset(part.wnid)
        texts = [part.wnid or part.key, *part.labels, *(synset_labels(synset) if synset else ())]
        texts += [text.lower() for text in texts]
        return list(dict.fromkeys([*texts, *(text.replace(" ", "_") for text in texts)]))

    def rows(self, values: Mapping[str, list[Value]]) -> Iterator[tuple[str, int, str]]:
        """Yield class key, number and URL of each row with one of the values.

        From the Parquet files if possible, else from the viewer. Raises DataError as these do.
        """
        source = self._source
        if source.via == "parquet" and values:
            try:
                yield from self._parquet_rows(values)
                return
            except NoParquetError as error:
                self._tally.warn(f"{error}; the viewer's photos are taken, which are re-encoded")
        for key, wanted in values.items():
            for row in self._viewer_rows(key, wanted):
                yield key, row, row_url(source, row, self._viewer.revision or "")
        if self._viewer.partial:
            self._tally.warn(
                "the viewer has indexed only its first 5 GB; later rows are not listed"
            )

    def _parquet_rows(self, values: Mapping[str, list[Value]]) -> Iterator[tuple[str, int, str]]:
        """Up to `limit` rows of each class, in the dataset's order. Raises NoParquetError."""
        keys: dict[Value, list[str]] = defaultdict(list)  # by value
        for key, wanted in values.items():
            for value in wanted:
                keys[value].append(key)
        listed, limit = Counter[str](), self._source.limit
        for row, label, cell in HubParquet(self._source, self._web).rows(keys):
            if all(listed[key] >= limit for key in values):
                break
            self._tally.read += 1
            for key in keys.get(label, ()) if label is not None else ():
                if listed[key] < limit:
                    listed[key] += 1
                    yield key, row, cell.url
        for key in values:
            if listed[key] >= limit:
                self._tally.warn(f"class {key}: its first {limit:,} rows listed; raise its limit")

    def _viewer_rows(self, key: str, wanted: Sequence[Value]) -> list[int]:
        """Up to `limit` rows of a class from the viewer, page by page, in the dataset's order."""
        viewer, limit, column = self._viewer, self._source.limit, self._source.label_column
        quoted = column.replace('"', '""')
        where = " OR ".join(f'"{quoted}"={_sql_literal(value)}' for value in wanted)
        rows: list[int] = []
        total = 1
        while len(rows) < min(total, limit):
            length = min(PAGE, limit - len(rows))
            page, total = viewer.rows(where, len(rows), length)
            if not page and len(rows) < total:
                raise DataError(
                    f"{viewer.what}: class {key}: an empty page after {len(rows)} of {total} rows; "
                    "run it again later"
                )
            for index, cells in page[:length]:
                if not isinstance(cells, dict) or cells.get(column) not in wanted:
                    viewer.schema("/filter")
                rows.append(index)
        if total > len(rows):
            self._tally.warn(f"class {key}: {len(rows)} of {total} rows listed; raise its limit")
        self._tally.read += len(rows)
        return sorted(rows)

    def landing_url(self, row: int) -> str:
        """The page of a row on the Hub, or '' for another viewer."""
        source = self._source
        if source.location != _HUB:
            return ""
        place = quote(f"{source.dataset}/viewer/{source.config}/{source.split}")
        return f"https://huggingface.co/datasets/{place}?row={row}"


def _sql_literal(value: Value) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
