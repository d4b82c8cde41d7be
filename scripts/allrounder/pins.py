"""What dvc.lock pins is not asked of the web again: lists by class, photos by URL.

The pinned files are read through DVC, from its cache or its remote, also while DVC has removed
the workspace's copy for the running stage. ALLROUNDER_PINS=ignore switches this off.
"""

import os
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from allrounder import tars
from allrounder.csvfiles import read_csv
from allrounder.download.outcomes import Outcome, may_pass
from allrounder.dvchash import file_md5
from allrounder.errors import DataError, UsageError
from allrounder.params import Params
from allrounder.paramsfile import read_yaml
from allrounder.records import Candidate, RawRow, Status
from allrounder.slices import parse
from allrounder.sourceparams import with_defaults
from allrounder.urltext import is_archive, is_web
from allrounder.workdir import WORK

LOCK = Path("dvc.lock")
SWITCH = "ALLROUNDER_PINS"


def ignored() -> bool:
    """Whether the pins are to be ignored. Raises UsageError for a value that says neither."""
    value = os.environ.get(SWITCH, "")
    if value not in ("", "use", "ignore"):
        raise UsageError(f"environment: {SWITCH}: {value!r} is neither use nor ignore; correct it")
    return value == "ignore"


def lock_params(stage: str) -> dict[str, Any]:
    """The params that dvc.lock holds for a stage that was built, or an empty mapping."""
    if ignored():
        return {}
    return _locked_params(stage)


def only_the_order_changed(classes: Iterable[str]) -> bool:
    """Whether the classes are those of dvc.lock, in another order: DVC compares them as a set."""
    built, asked = list(_locked_params("split").get("classes") or {}), list(classes)
    return built != asked and sorted(built) == sorted(asked)


def _locked_params(stage: str) -> dict[str, Any]:
    return dict((_locked(stage).get("params") or {}).get("params.yaml") or {})


def _locked(stage: str) -> dict[str, Any]:
    if not LOCK.exists():
        return {}
    try:
        stages = _stages(LOCK.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        words = str(error).splitlines()[0]
        raise UsageError(f"{LOCK}: not valid YAML ({words}); git checkout {LOCK}") from None
    return stages.get(stage) or {}


@lru_cache(1)
def _stages(lock: bytes) -> dict[str, Any]:
    """The stages of a lock file, parsed once and not for each class."""
    text = lock.decode("utf-8")
    return dict((read_yaml(text) or {}).get("stages") or {})


def locked_output(stage: str) -> str:
    """The hash that dvc.lock holds for a stage's output, or ''."""
    return str((_locked(stage).get("outs") or [{}])[0].get("md5") or "")


def pinned_candidates(params: Params) -> dict[str, list[Candidate]]:
    """The candidates of the classes whose list is pinned, from the very same sources.

    Sources that are all on this machine are not pinned: asking them again costs nothing.
    """
    pinned = lock_params("fetch_urls")
    asked = [source.model_dump() for source in params.sources]
    if pinned.get("sources") is None or not _are_pinned(params):
        return {}
    if [with_defaults(source) for source in pinned["sources"]] != asked:
        return {}
    classes = [wnid for wnid in params.classes if wnid in (pinned.get("classes") or {})]
    folder = WORK / "fetch_urls"
    return {
        wnid: list(read_csv(pinned_file(f"data/urls/{wnid}.csv", folder), Candidate))
        for wnid in classes
    }


def relisting(params: Params) -> str:
    """The command that asks the sources again, with all that they pin."""
    return f"{SWITCH}=ignore dvc repro --force" if _are_pinned(params) else "dvc repro --force"


def _are_pinned(params: Params) -> bool:
    """Whether these sources' lists are pinned at all: one of them is of the web."""
    return any(is_web(source.location) for source in params.sources)


class RawPins:
    """The pinned fates of one class's URLs, read when first needed."""

    def __init__(self, wnid: str, params: Params, folder: Path):
        pinned = lock_params("download")
        self._pinned = wnid in (pinned.get("classes") or {}) and _may_share(pinned, params)
        self._same_rules = _rules(pinned.get("download")) == _rules(params.download.model_dump())
        self._wnid, self._folder = wnid, folder
        self._rows: dict[str, Outcome] | None = None

    def get(self, url: str) -> Outcome | None:
        """The pinned outcome of a URL; reasons against it only while the rules are the same."""
        return self._read().get(url) if self._pinned else None

    def members(self, archive: str) -> Iterator[tuple[str, Outcome]]:
        """The pinned members of an archive, in order: (URL, outcome)."""
        if self._pinned and self._same_rules:
            head = archive + "#"
            yield from (
                (url, row)
                for url, row in self._read().items()
                if url.startswith(head) and not parse(url)
            )

    def _read(self) -> dict[str, Outcome]:
        if self._rows is None:
            self._rows = dict(self._outcomes())
        return self._rows

    def _outcomes(self) -> Iterator[tuple[str, Outcome]]:
        table = pinned_file(f"data/raw/{self._wnid}.csv", self._folder)
        archive = pinned_file(f"data/raw/{self._wnid}.tar", self._folder)
        photos = {name.rpartition(".")[0]: (name, place) for name, place in tars.members(archive)}
        good: dict[str, Outcome] = {}
        for row in read_csv(table, RawRow):
            outcome = Outcome(row.status, row.detail, row.final_url, row.bytes, row.sha256)
            if row.status is Status.OK:
                name, place = photos[row.image_id]
                suffix = name.rpartition(".")[2]
                outcome = Outcome(
                    Status.OK, row.detail, row.final_url, row.bytes, row.sha256, suffix, place
                )
                good[row.sha256] = outcome
            elif row.status is Status.DUPLICATE:
                first = good[row.sha256]
                outcome = Outcome(
                    Status.OK, "", row.final_url, row.bytes, row.sha256, first.suffix, first.stored
                )
            elif row.status is Status.UNUSED and not row.detail:
                continue
            elif not (self._same_rules or row.detail.isdigit()):
                continue  # a reason against a photo, under other rules; an HTTP code stays
            yield row.url, outcome


def fills(candidates: Iterator[Candidate], pins: RawPins, quota: int) -> bool:
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


def retried(outcome: Outcome) -> bool:
    """Whether a pinned fate is asked again when more photos are needed."""
    return may_pass(outcome.status, outcome.detail)


def pinned_file(path: str, folder: Path) -> Path:
    """A copy, in `folder`, of a file that dvc.lock pins.

    Raises DataError when it is neither in DVC's cache nor on its remote, or damaged there.
    """
    copy = folder / "pinned" / Path(path).name
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        _dvc().get_file(path, str(copy))
        pinned = (_dvc().info(path).get("dvc_info") or {}).get("md5")
    except Exception as error:  # DVC and its remotes raise nearly anything
        raise DataError(
            f"dvc.lock pins {path}, but neither DVC's cache nor its remote gives it "
            f"({type(error).__name__}); run dvc pull, or ask the web again with {SWITCH}=ignore"
        ) from None
    if pinned and pinned != file_md5(copy):
        raise DataError(
            f"{path}: DVC's copy ({pinned}) is damaged; remove it from .dvc/cache and run "
            f"dvc pull, or ask the web again with {SWITCH}=ignore"
        )
    return copy


@cache
def _dvc() -> Any:
    from dvc.api import DVCFileSystem  # costs 0.3 s: only where pins are needed

    return DVCFileSystem(".")


def _may_share(pinned: dict[str, Any], params: Params) -> bool:
    """Whether the pinned sources may have listed a URL of today's: files here have no others."""
    today = [source.location for source in params.sources]
    sources = [with_defaults(source) for source in pinned.get("sources") or ()]
    locations = [str(source.get("location")) for source in sources]
    return any(is_web(location) or location in today for location in locations)


def _rules(download: dict[str, Any] | None) -> dict[str, Any]:
    from allrounder.params import Download

    try:
        return Download.model_validate(download or {}).model_dump(exclude={"reserve"})
    except ValueError:
        return {}
