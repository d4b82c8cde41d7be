"""Results of earlier runs for one class: those that dvc.lock pins, and those in the journal.

A photo of an earlier run is read, hashed and judged again before it counts.
"""

import csv
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from allrounder.core.errors import DataError
from allrounder.core.opt_outs import Signal
from allrounder.core.paths import CLEAN, LOCK, RAW
from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import RESULT_COLUMNS, Candidate, CleanRow, RawRow, Result, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes, tar_members
from allrounder.core.urls import is_archive, is_url, parse_byte_range, photo_key
from allrounder.history.journal import Journal
from allrounder.history.local_files import LocalPlaces
from allrounder.history.lock import ASK_AGAIN, PINS_SWITCH, built_from, pinned_file, pinned_params
from allrounder.params.classes import Classes, read_classes
from allrounder.params.schema import Download, Params
from allrounder.params.sources import KINDS, with_defaults

_OLD_CODE = re.compile(r"([0-9]{3})(; the dataset asks for a token)?")
"""The HTTP code in a detail of a table that has no column `http_status`."""


class PinnedResults:
    """The results of one class's URLs that dvc.lock pins. Its tables are read when needed.

    `uncommitted`: DVC may lack the pinned files; the journal then has what the last run fetched.
    """

    def __init__(self, key: str, params: Params, folder: Path, uncommitted: bool = False):
        pinned = pinned_params("download")
        self._pinned = key in _classes(json.dumps(pinned.get("classes"))) and _have_urls(pinned)
        then, now = _rules(pinned.get("download")), _rules(params.download.model_dump())
        self._same_rules, self._same_rescue = then == now, _of_rescue(then) == _of_rescue(now)
        self._key, self._folder, self._uncommitted = key, folder, uncommitted
        self._results: dict[str, Result] | None = None

    def get(self, url: str) -> Result | None:
        """The pinned result of a URL. Photos rejected under other rules have none."""
        return self._read().get(url) if self._pinned else None

    def members(self, archive: str) -> Iterator[tuple[str, Result]]:
        """The pinned members of an archive, in its order: (URL, result)."""
        if self._pinned and self._same_rules:
            for url, result in self._read().items():
                if url.startswith(f"{archive}#") and not parse_byte_range(url):
                    yield url, result

    def fills(self, candidates: Iterable[Candidate], quota: int) -> bool:
        """Whether the pinned photos fill the quota before any URL that is not pinned."""
        good, addresses = set[str](), set[str]()
        for candidate in candidates:
            if len(good) >= quota:
                return True
            if (photo := photo_key(candidate.url)) in addresses:
                continue
            if (result := self.get(candidate.url)) is None:
                return False
            if result.status is Status.OK:
                addresses.add(photo)
            members = self.members(candidate.url) if is_archive(candidate.url) else ()
            for one in (result, *(member for _, member in members)):
                if one.status is Status.OK:
                    good.add(one.sha256)
        return len(good) >= quota

    def _read(self) -> dict[str, Result]:
        if self._results is None:
            try:
                self._results = dict(self._pinned_results())
            except DataError:
                if not self._uncommitted:
                    raise
                _warn_of_lost_pins()
                self._results = {}
        return self._results

    def _pinned_results(self) -> Iterator[tuple[str, Result]]:
        name = f"data/raw/{self._key}"
        table = pinned_file(f"{name}.csv", self._folder)
        archive = pinned_file(f"{name}.tar", self._folder)
        photos = {member.rpartition(".")[0]: (member, at) for member, at in tar_members(archive)}
        first: dict[str, Result] = {}  # by SHA-256
        for row in _rows(table, f"{name}.csv"):
            if row.status is Status.UNUSED or (row.status is Status.DUPLICATE and not row.sha256):
                continue  # never requested
            if (row.status is Status.OK and row.image_id not in photos) or (
                row.status is Status.DUPLICATE and row.sha256 not in first
            ):
                raise DataError(
                    f"dvc.lock pins {name}.csv and {name}.tar, which do not belong together: no "
                    f"photo for {row.url}; git checkout {LOCK}, or {ASK_AGAIN}"
                )
            if row.status is Status.OK:
                first[row.sha256] = result = _result(row, *photos[row.image_id])
            elif row.status is Status.DUPLICATE:  # of bytes that a photo before it has
                photo = first[row.sha256]
                result = replace(_result(row), status=Status.OK, detail="")
                result = replace(result, suffix=photo.suffix, stored=photo.stored)
            elif self._same_rules or (row.http_status is not None and self._same_rescue):
                result = _result(row)  # an HTTP code does not depend on the other rules
            else:
                continue
            if self._same_rescue or not row.rescued_from:
                yield row.url, result


@cache
def _warn_of_lost_pins() -> None:
    """Print a warning, once a run."""
    print(
        "warning: DVC has not committed the last build, and its cache lacks what dvc.lock pins: "
        "photos that the journal does not have are requested again",
        file=sys.stderr,
    )


def incomplete_classes(params: Params) -> list[str]:
    """The classes of the last build that may get more photos from a retry.

    They have transient failures, and fewer photos than the quota or, after clean, than per_class.
    Empty if the params have changed since: DVC then runs the download anyway.
    """
    same_count = pinned_params("download").get("per_class") == params.per_class
    if not same_count or not built_from("download", params):
        return []
    return [key for key in params.classes if _is_incomplete(key, params)]


def _is_incomplete(key: str, params: Params) -> bool:
    table, cleaned = (folder / f"{key}.csv" for folder in (RAW, CLEAN))
    if not table.is_file():
        return False
    taken, failures = 0, 0
    for row in read_csv(table, RawRow):
        taken += row.status is Status.OK
        failures += _result(row).transient
    kept = params.per_class
    if cleaned.is_file():
        kept = sum(row.status is Status.KEPT for row in read_csv(cleaned, CleanRow))
    return failures > 0 and (taken < params.quota or kept < params.per_class)


class PriorResults:
    """The prior results of one class, from the pins first, then from the journal.

    `retry`: pinned transient failures do not count, because more photos are needed.
    """

    def __init__(
        self,
        pins: PinnedResults,
        journal: Journal,
        bounds: Bounds,
        retry: bool,
        local: LocalPlaces | None = None,
    ):
        self._pins, self._journal, self._bounds, self._retry = pins, journal, bounds, retry
        self._local = local or LocalPlaces()

    def get(self, url: str) -> Result | None:
        """The prior result of a URL, if it is still valid under today's bounds."""
        if self._local.has(url):
            return None  # the file may have changed, and reading it is cheap
        found = self.checked(self._pinned(url) or self._journal.get(url))
        if found and found.status is Status.TAKEN_DOWN:
            return found if found.sha256 in self._bounds.taken_down else None
        return found

    def is_new(self, url: str) -> bool:
        """Whether dvc.lock pins no result of a URL, not even a failure."""
        return self._pins.get(url) is None

    def members(self, archive: str) -> list[tuple[str, Result]]:
        """The members of an archive that earlier runs read, in its order: (URL, result)."""
        pinned = dict(self._pins.members(archive))
        journaled = dict(self._journal.members(archive))
        return [*pinned.items(), *((u, one) for u, one in journaled.items() if u not in pinned)]

    def of_archive(self, archive: str) -> Result | None:
        """The pinned result of an archive itself, unless its rest is to be read now."""
        pinned, members = self._pinned(archive), dict(self._pins.members(archive))
        if pinned is None or any(url not in members for url, _ in self._journal.members(archive)):
            return None
        rest_unread = pinned.status is Status.ARCHIVE and pinned.resume_at is not None
        return None if rest_unread else pinned

    def checked(self, result: Result | None) -> Result | None:
        """A prior result, its photo judged again; None when the photo's bytes are damaged."""
        if result is None or result.stored is None:
            return result
        body = result.stored.read()
        judged = judge(body, self._bounds)
        if (judged.sha256 or hashlib.sha256(body).hexdigest()) != result.sha256:
            print(f"warning: damaged, requested again: {result.final_url}", file=sys.stderr)
            return None
        result = replace(result, status=judged.status, detail=judged.detail, opt_out=judged.opt_out)
        return result if judged.status is Status.OK else replace(result, suffix="", stored=None)

    def _pinned(self, url: str) -> Result | None:
        result = self._pins.get(url)
        return None if result and result.transient and self._retry else result


def _result(row: RawRow, member: str = "", stored: StoredBytes | None = None) -> Result:
    shared = {name: getattr(row, name) for name in RESULT_COLUMNS}
    return Result(**shared, suffix=member.rpartition(".")[2], stored=stored)


def _rows(table: Path, name: str) -> Iterator[RawRow]:
    """The rows of a pinned table, also of an old one without the column `http_status`.

    Raises DataError for such an old table of an archive: it lacks the members' positions.
    """
    with table.open(encoding="utf-8", newline="") as file:
        old = "http_status" not in next(csv.reader(file), [])
    for row in read_csv(table, RawRow):
        if old and is_archive(row.url):
            raise DataError(
                f"dvc.lock pins {name} as an older version of this project wrote it, without the "
                f"positions in {row.url}; download again: {PINS_SWITCH}=ignore dvc repro --force"
            )
        if row.status is Status.OPTED_OUT and not row.opt_out:  # from before the other signals
            evidence = f"{Signal.X_ROBOTS_TAG}: {row.detail}"
            row = replace(row, detail=evidence, opt_out=evidence)
        yield _upgraded(row) if old else row


def _upgraded(row: RawRow) -> RawRow:
    """A row of an old table with the HTTP code that is in its detail."""
    found = _OLD_CODE.fullmatch(row.detail)
    if row.status is not Status.HTTP_ERROR or not found:
        return row
    no_access = found[1] == "401" or found[2]
    status = Status.NO_ACCESS if no_access else Status.HTTP_ERROR
    return replace(row, status=status, http_status=int(found[1]))


def _have_urls(pinned: dict[str, Any]) -> bool:
    """Whether the pinned sources may list URLs. If not, all photos are local and are read again."""
    sources = [with_defaults(source) for source in pinned.get("sources") or ()]
    lists = {kind for kind, model in KINDS.items() if model.may_list_urls}
    return any(is_url(str(s.get("location"))) or s.get("kind") in lists for s in sources)


def _of_rescue(rules: dict[str, Any]) -> list[Any]:
    """The params that decide about photos that are gone."""
    names = ("rescue", "rescue_date", "rescue_api") if rules.get("rescue") else ()
    return [rules[name] for name in names]


@lru_cache(2)  # every class asks for the same ones
def _classes(written: str) -> Classes:
    return read_classes(json.loads(written))


def _rules(download: dict[str, Any] | None) -> dict[str, Any]:
    """The params that decide whether a photo is good."""
    try:
        return Download.model_validate(download or {}).model_dump(exclude={"reserve"})
    except ValueError:
        return {}
