"""Results of earlier runs: those that dvc.lock pins, and those in the journal of a killed run."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from allrounder.core.photos import Bounds, judge
from allrounder.core.results import Result, is_transient
from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import tar_members
from allrounder.core.urls import is_archive, is_local_file, is_url, parse_slice
from allrounder.history.journal import Journal
from allrounder.history.lock import pinned_file, pinned_params
from allrounder.params.schema import Params
from allrounder.params.sources import with_defaults


class PinnedResults:
    """The pinned fates of one class's URLs, read when first needed."""

    def __init__(self, wnid: str, params: Params, folder: Path):
        pinned = pinned_params("download")
        self._pinned = wnid in (pinned.get("classes") or {}) and _may_share(pinned, params)
        self._same_rules = _rules(pinned.get("download")) == _rules(params.download.model_dump())
        self._wnid, self._folder = wnid, folder
        self._rows: dict[str, Result] | None = None

    def get(self, url: str) -> Result | None:
        """The pinned outcome of a URL; reasons against it only while the rules are the same."""
        return self._read().get(url) if self._pinned else None

    def members(self, archive: str) -> Iterator[tuple[str, Result]]:
        """The pinned members of an archive, in order: (URL, outcome)."""
        if self._pinned and self._same_rules:
            head = archive + "#"
            yield from (
                (url, row)
                for url, row in self._read().items()
                if url.startswith(head) and not parse_slice(url)
            )

    def _read(self) -> dict[str, Result]:
        if self._rows is None:
            self._rows = dict(self._outcomes())
        return self._rows

    def _outcomes(self) -> Iterator[tuple[str, Result]]:
        table = pinned_file(f"data/raw/{self._wnid}.csv", self._folder)
        archive = pinned_file(f"data/raw/{self._wnid}.tar", self._folder)
        photos = {name.rpartition(".")[0]: (name, place) for name, place in tar_members(archive)}
        good: dict[str, Result] = {}
        for row in read_csv(table, RawRow):
            outcome = Result(row.status, row.detail, row.final_url, row.bytes, row.sha256)
            if row.status is Status.OK:
                name, place = photos[row.image_id]
                suffix = name.rpartition(".")[2]
                outcome = Result(
                    Status.OK, row.detail, row.final_url, row.bytes, row.sha256, suffix, place
                )
                good[row.sha256] = outcome
            elif row.status is Status.DUPLICATE:
                first = good[row.sha256]
                outcome = Result(
                    Status.OK, "", row.final_url, row.bytes, row.sha256, first.suffix, first.stored
                )
            elif row.status is Status.UNUSED and not row.detail:
                continue
            elif not (self._same_rules or row.detail.isdigit()):
                continue  # a reason against a photo, under other rules; an HTTP code stays
            yield row.url, outcome


def pins_fill_quota(candidates: Iterator[Candidate], pins: PinnedResults, quota: int) -> bool:
    """Whether the pinned photos alone fill the quota before any URL that is not pinned.

    Then failures that might pass are left as they are pinned; else they are tried again.
    """
    good: set[str] = set()
    for candidate in candidates:
        if len(good) >= quota:
            return True
        known = pins.get(candidate.url)
        if known is None:
            return False
        members = pins.members(candidate.url) if is_archive(candidate.url) else ()
        for outcome in (known, *(outcome for _, outcome in members)):
            if outcome.status is Status.OK:
                good.add(outcome.sha256)
    return len(good) >= quota


def is_retried(outcome: Result) -> bool:
    """Whether a pinned fate is asked again when more photos are needed."""
    return is_transient(outcome.status, outcome.detail)


def _may_share(pinned: dict[str, Any], params: Params) -> bool:
    """Whether the pinned sources may have listed a URL of today's: files here have no others."""
    today = [source.location for source in params.sources]
    sources = [with_defaults(source) for source in pinned.get("sources") or ()]
    locations = [str(source.get("location")) for source in sources]
    return any(is_url(location) or location in today for location in locations)


def _rules(download: dict[str, Any] | None) -> dict[str, Any]:
    from allrounder.params.schema import Download

    try:
        return Download.model_validate(download or {}).model_dump(exclude={"reserve"})
    except ValueError:
        return {}


class PriorResults:
    """Looks an outcome up in the pins of a class first, then in the spool."""

    def __init__(self, spool: Journal, bounds: Bounds):
        self._spool, self._bounds = spool, bounds

    def get(self, pins: PinnedResults, retry: bool, url: str) -> Result | None:
        """The prior result of a URL, if it still holds under today's bounds.

        `retry`: pinned failures that may pass do not count.
        """
        if is_local_file(url):
            return None  # files here may have changed; reading them costs nothing
        known = pins.get(url)
        if known is not None and retry and is_retried(known):
            known = None
        return self.rechecked(known or self._spool.get(url))

    def rechecked(self, known: Result | None) -> Result | None:
        """A remembered outcome, its photo judged again; None when its bytes are damaged."""
        if known is None or known.stored is None:
            return known
        body = known.stored.read()
        if hashlib.sha256(body).hexdigest() != known.sha256:
            print(f"warning: damaged, asked again: {known.final_url}", file=sys.stderr)
            return None
        verdict = judge(body, self._bounds)
        if verdict.status is Status.OK:
            return known
        return replace(known, status=verdict.status, detail=verdict.detail, suffix="", stored=None)
