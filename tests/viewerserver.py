"""Two servers on loopback: one speaks the Hugging Face dataset viewer's API, one has its photos.

Protocol: https://huggingface.co/docs/dataset-viewer (splits, info, filter, rows; signed URLs that
expire), and for its errors and headers huggingface/dataset-viewer, libs/libapi.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loopback import Handler, Loopback

DATASET, REVISION = "owner/photos", "49e2ee26f3810fb5a7536bbf732a7b07389a47b5"
Label = int | str
Reply = tuple[int, dict[str, str], bytes]


class ApiError(Exception):
    """An error as the API words it."""

    def __init__(self, status: int, code: str, words: str):
        self.reply = status, {"X-Error-Code": code}, json.dumps({"error": words}).encode()


class ViewerServer(Loopback):
    """Serves `rows`, pairs of a label and a photo; `faults` answer in place of a call by its path.

    Photos are signed anew for each /rows page; `expired` says of a row's n-th signature whether it
    no longer holds. `headers` has those of every request, by server (`api`, `photos`).
    """

    def __init__(self, rows: Sequence[tuple[Label, bytes]], feature: dict[str, Any]):
        self.rows, self.feature = list(rows), feature
        self.revision, self.partial, self.token = REVISION, False, ""
        self.config, self.split, self.license = "default", "train", ""
        self.faults: dict[str, Callable[[str], Reply | None]] = {}
        self.expired: Callable[[int, int], bool] = lambda row, nth: False
        self.asked: Counter[str] = Counter()  # by call
        self.statistics = {"min": 0, "max": 999}
        self.filters: list[dict[str, str]] = []
        self.headers: dict[str, list[tuple[str, dict[str, str]]]] = {"api": [], "photos": []}
        self._signed: Counter[int] = Counter()
        self._lock = threading.Lock()
        super().__init__(_handler(self, "api"), _handler(self, "photos"))
        self.photos = self.bases[1]

    def source(self, **more: Any) -> dict[str, Any]:
        """The source of params.yaml that means this dataset."""
        source = {"kind": "huggingface", "dataset": DATASET, "location": self.base}
        return source | {"via": "viewer"} | more

    def answer(self, server: str, path: str, headers: dict[str, str]) -> Reply:
        """The answer to a request."""
        call = urlsplit(path).path
        with self._lock:
            self.asked[call if server == "api" else "photo"] += 1
            self.headers[server].append((path, headers))
        fault = self.faults.get(call if server == "api" else "photo")
        if fault and (reply := fault(path)):
            return reply
        if server == "photos":
            return self._photo(path)
        try:
            content = self._call(call, _query(path), headers)
        except ApiError as error:
            return error.reply
        return 200, {"X-Revision": self.revision}, json.dumps(content).encode()

    def _call(self, call: str, query: dict[str, str], headers: dict[str, str]) -> dict[str, Any]:
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            if "authorization" in headers:
                raise ApiError(404, "ExternalAuthenticatedError", "not with these credentials")
            raise ApiError(401, "ExternalUnauthenticatedError", "not without authentication")
        if query.get("dataset") != DATASET or query.get("config", self.config) != self.config:
            raise ApiError(404, "ResponseNotFound", "Not found.")
        if call == "/splits":
            split = {"dataset": DATASET, "config": self.config, "split": self.split}
            return {"splits": [split], "pending": [], "failed": []}
        features = {"image": {"_type": "Image"}, "label": self.feature}
        if call == "/info":
            info = {"features": features, "license": self.license, "config_name": self.config}
            return {"dataset_info": info, "partial": self.partial}
        if call == "/statistics":
            numbers = {"column_name": "label", "column_type": "int"}
            return {"statistics": [numbers | {"column_statistics": self.statistics}]}
        offset, length = int(query["offset"]), int(query["length"])
        if not 0 <= length <= 100:
            raise ApiError(422, "InvalidParameter", "length must not be above 100")
        indices: Sequence[int] = range(len(self.rows))
        if call == "/filter":
            self.filters.append(query)
            indices = self._matching(query["where"])
        elif call != "/rows":
            raise ApiError(404, "ResponseNotFound", "Not found.")
        return {
            "features": [
                {"feature_idx": n, "name": name, "type": kind}
                for n, (name, kind) in enumerate(features.items())
            ],
            "rows": [self._row(index) for index in indices[offset : offset + length]],
            "num_rows_total": len(indices),
            "num_rows_per_page": 100,
            "partial": self.partial,
        }

    def _matching(self, where: str) -> list[int]:
        terms = where.split(" OR ")
        wanted: set[Label] = set()
        for term in terms:
            found = re.fullmatch(r"\"label\"=(?:(\d+)|'((?:[^']|'')*)')", term)
            if not found:
                raise ApiError(422, "InvalidParameter", "Parameter 'where' is invalid")
            wanted.add(int(found[1]) if found[1] else found[2].replace("''", "'"))
        return [index for index, (label, _) in enumerate(self.rows) if label in wanted]

    def _row(self, index: int) -> dict[str, Any]:
        with self._lock:
            self._signed[index] += 1
            nth = self._signed[index]
        src = f"{self.photos}/cached-assets/{index}/image.jpg?Signature=s{nth}&Key-Pair-Id=K"
        image = {"src": src, "height": 64, "width": 64}
        cells = {"image": image, "label": self.rows[index][0]}
        return {"row_idx": index, "row": cells, "truncated_cells": []}

    def _photo(self, path: str) -> Reply:
        index = int(path.split("/")[2])
        if self.expired(index, int(_query(path)["Signature"][1:])):
            return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
        return 200, {}, self.rows[index][1]


def _handler(viewer: ViewerServer, name: str) -> type[Handler]:
    class ViewerHandler(Handler):
        def get(self) -> None:
            given = {key.lower(): value for key, value in self.headers.items()}
            status, headers, body = viewer.answer(name, self.path, given)
            self.send_response(status)
            for key, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = len(body) < int(headers.get("Content-Length", 0))

    return ViewerHandler


def _query(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
