"""Asks the Hugging Face dataset viewer's API about one dataset; says clearly what it refuses.

Not for what the answers mean for our classes (sources/huggingface.py) or for photos (rowpages.py).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from allrounder.download.rowpages import NO_ACCESS_CODE, api_url, known_revision
from allrounder.errors import DataError
from allrounder.fetch_urls.hubtoken import access_words, may_carry, token
from allrounder.fetch_urls.web import Answer, Web
from allrounder.sourceparams import HuggingfaceSource
from allrounder.urltext import one_line

PAGE = 100
"""Rows of a /filter page at most: https://huggingface.co/docs/dataset-viewer/filter."""
_HINTS = {404: "correct its dataset, config or split", 422: "correct its columns and labels"}


class Viewer:
    """One source's dataset. Answers are checked as far as they are read, else `schema` is said."""

    def __init__(self, source: HuggingfaceSource, web: Web):
        self.what = f"source huggingface {source.dataset}"
        self.partial = False  # whether any answer said so
        self.revision: str | None = None  # of the dataset, as the rows' pages give it
        self._source, self._web = source, web
        self._token = token()
        may = may_carry(source.location, source.location, web.allow_private)
        self._sent = self._token if may else ""

    def splits(self) -> list[str]:
        """`config/split` of every split. Raises DataError as `_get` does."""
        answer = self._get("splits")
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
            "(https://huggingface.co/docs/dataset-viewer); its API has changed, or it is another"
        )

    def _get(self, call: str, **more: object) -> dict[str, Any]:
        """The JSON object that a call answers.

        Raises DataError when it cannot be reached, answers no 200 or something else.
        """
        url = api_url(self._source, call, **more)
        answer = self._web.answer(url, self.what, self._sent)
        if self._token:  # nothing of an answer may say it, be it a split's or a column's name
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
            revision = known_revision(answer.headers.get("X-Revision", ""))
            if self.revision not in (None, revision):
                raise DataError(f"{self.what}: it was changed while it was listed; run it again")
            self.revision = revision
        return content

    def _refused(self, url: str, answer: Answer) -> NoReturn:
        """Raise DataError with what the API says, and what to do."""
        code = answer.headers.get("X-Error-Code", "")
        if answer.code in (401, 403) or code == NO_ACCESS_CODE:
            words = access_words(self._source.dataset)
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
        """A stranger's words, for our own messages: short, in one line, without our token."""
        text = text.replace(self._token, "...") if self._token else text
        return one_line(text)[:200]
