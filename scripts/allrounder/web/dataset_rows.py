"""Addresses of rows of a Hugging Face dataset, and how their photos are fetched."""

import json
import re
import sys
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pycurl

from allrounder.core.photos import Bounds
from allrounder.core.rows import Result, Status
from allrounder.core.urls import Cell, parse_cell
from allrounder.params.sources import HuggingfaceSource, Source
from allrounder.web.decisions import (
    Decision,
    decide,
    decide_redirect,
    http_error,
    transport_failure,
)
from allrounder.web.policy import access_advice, hub_address, hub_token, may_send_token
from allrounder.web.transfer import Reply, Request

MAX_PAGE = 2**22
"""Bytes: a row's other columns stand in its page too."""
NO_ACCESS_CODE = "ExternalAuthenticatedError"
"""X-Error-Code of a 404 that means: no access with this token.

Source: huggingface/dataset-viewer, libs/libapi/src/libapi/exceptions.py.
"""
_GONE = (403, 404, 410)
_ROW = re.compile(r"([0-9]{1,15})&length=1#([^@]+)(?:@(.+))?")
_FILE = re.compile(r"[0-9a-f]{40}(/(?!\.{1,2}(/|$))((?!%2e)[^/?#\\])+)+", re.IGNORECASE)
"""A file of a revision."""
_REVISION = re.compile(r"[0-9A-Za-z._-]{1,64}")


def api_url(source: HuggingfaceSource, call: str, **more: object) -> str:
    """The address of a call about a source's split.

    Source: https://huggingface.co/docs/dataset-viewer (pages quick_start, filter, rows).
    """
    query = {"dataset": source.dataset, "config": source.config, "split": source.split} | more
    given = {name: value for name, value in query.items() if value is not None}
    return f"{source.location}/{call}?{urlencode(given, quote_via=quote, safe='/')}"


def repository(source: HuggingfaceSource) -> str:
    """The address of a dataset's repository on the Hub."""
    return f"{hub_address()}/datasets/{source.dataset}"


def row_url(source: HuggingfaceSource, row: int, revision: str) -> str:
    """The address of a row's photo: `<page>#<column>@<revision of the dataset>`."""
    column = quote(source.image_column, safe="")
    page = api_url(source, "rows", offset=row, length=1)
    return f"{page}#{column}" + (f"@{revision}" if revision else "")


def checked_revision(value: str) -> str:
    """A revision as the X-Revision header gives it, or '' for what is none."""
    return value if _REVISION.fullmatch(value) else ""


class DatasetRows:
    """The rows of the params' sources. Only their URLs are requested as rows, with the token."""

    def __init__(self, sources: Sequence[Source], allow_private: Collection[str]):
        self._sources = [source for source in sources if isinstance(source, HuggingfaceSource)]
        self._heads = [api_url(source, "rows", offset="") for source in self._sources]
        self._token, self._allow = hub_token() if self._sources else "", allow_private
        self._said: set[str] = set()

    def job(self, url: str) -> "DatasetRowDownload | None":
        """The download of a row, or None for the URL of another photo."""
        for source, head in zip(self._sources, self._heads, strict=True):
            if url.startswith(head) and (found := _ROW.fullmatch(url[len(head) :])):
                row, column, revision = int(found[1]), unquote(found[2]), found[3] or ""
                return DatasetRowDownload(self, source, row, column, revision)
        return None

    def cell(self, url: str) -> Cell | None:
        """The cell that a URL names in a Parquet file of the sources' datasets, or None."""
        place, _, path = url.partition("#")[0].partition("/resolve/")
        is_listed = any(place == repository(source) for source in self._sources)
        # The URL has the user's token: no dot segment may lead to another dataset.
        return parse_cell(url) if is_listed and _FILE.fullmatch(path) else None

    def lists(self, url: str) -> bool:
        """Whether a URL is a row or a cell of the sources."""
        return bool(self.job(url) or self.cell(url))

    def hub_headers(self, url: str) -> tuple[str, ...]:
        """The header lines of a request for a file of the Hub, which may lie elsewhere."""
        return self.headers(hub_address(), url)

    def refused(self, name: str, code: int) -> Decision:
        """The result of what the Hub or its viewer refuses; the reason is printed once."""
        self.warn(f"dataset {name} answered {code}: {access_advice(name)}")
        detail = f"{code}; the dataset asks for a token"
        return Decision(Result(Status.NO_ACCESS, detail, http_status=code))

    def headers(self, location: str, url: str) -> tuple[str, ...]:
        """The header lines that a request may carry whose URL should lie at `location`."""
        if self._token and may_send_token(url, location, self._allow):
            return (f"Authorization: Bearer {self._token}",)
        return ()

    def warn(self, words: str) -> None:
        """Print a warning once, even if it holds for many rows."""
        if words not in self._said:
            self._said.add(words)
            print(f"warning: {words}", file=sys.stderr)


class DatasetRowDownload:
    """The state of one row: first its page, then its photo. An expired URL is renewed once."""

    def __init__(
        self, pages: DatasetRows, source: HuggingfaceSource, row: int, column: str, revision: str
    ):
        self._pages, self._source = pages, source
        self._row, self._column, self._revision = row, column, revision
        self._at_page, self._renewed = True, False

    def request(self, url: str, bounds: Bounds) -> Request:
        """The request to make now. The photo's has the token only if it is a file on the Hub."""
        if self._at_page:
            return Request(url, MAX_PAGE, headers=self._pages.headers(self._source.location, url))
        return Request(url, bounds.max_bytes, headers=self._pages.hub_headers(url))

    def decide(self, reply: Reply, requested: list[str], bounds: Bounds) -> Decision:
        """Decide on a reply, as `decisions.decide` does."""
        if self._at_page:
            return self._decide_page(reply, requested, bounds)
        if reply.code in _GONE and not self._renewed:
            # Signatures last an hour (huggingface/dataset-viewer, pull request 2315), and the
            # viewer empties its cache of photos at times (its documentation, page rows).
            self._renewed = self._at_page = True
            page = requested[0]
            requested.clear()
            return Decision(Result(Status.OK), redirect=page)
        return decide(reply, requested, bounds)

    def _decide_page(self, reply: Reply, requested: list[str], bounds: Bounds) -> Decision:
        if reply.code == 200 and (reply.over or reply.error == pycurl.E_FILESIZE_EXCEEDED):
            return _bad_page(f"has more than {MAX_PAGE} bytes")
        if failed := transport_failure(reply, bounds):
            return failed
        if reply.redirect is not None:
            return decide_redirect(reply.redirect, requested)
        if self._is_refusal(reply):
            return self._pages.refused(self._source.dataset, reply.code)
        if reply.code != 200:
            return http_error(reply.code)
        if self._revision and self._revision != _header(reply, b"x-revision"):
            self._pages.warn(
                f"dataset {self._source.dataset} has changed since it was listed; list it again: "
                "ALLROUNDER_PINS=ignore dvc repro --force"
            )
            return Decision(Result(Status.REDIRECT_ERROR, "the dataset has changed since listed"))
        src = self._src(reply.body)
        if src is None:
            return _bad_page("names no photo")
        self._at_page = False
        return decide_redirect(src, requested)

    def _is_refusal(self, reply: Reply) -> bool:
        if reply.code == 404:
            return _header(reply, b"x-error-code") == NO_ACCESS_CODE
        return reply.code in (401, 403)

    def _src(self, body: bytes) -> str | None:
        """The photo's URL in a page; None when it is not there, or the page is of another row."""
        try:
            (row,) = json.loads(body)["rows"]
            src: Any = row["row"][self._column]["src"]
            return src if row["row_idx"] == self._row and isinstance(src, str) else None
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def _bad_page(words: str) -> Decision:
    return Decision(Result(Status.REDIRECT_ERROR, f"the row's page {words}"))


def _header(reply: Reply, name: bytes) -> str:
    return reply.headers.get(name, [b""])[-1].decode("latin-1")
