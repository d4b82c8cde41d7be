"""Reads what dvc.lock pins, through DVC's cache or remote.

ALLROUNDER_PINS=ignore switches the pins off.
"""

import os
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from allrounder.core.errors import DataError, UsageError
from allrounder.core.files import file_md5
from allrounder.core.paths import LOCK, WORK
from allrounder.params.loading import read_yaml
from allrounder.params.schema import Params
from allrounder.params.sources import with_defaults

PINS_SWITCH = "ALLROUNDER_PINS"


def pins_ignored() -> bool:
    """Whether ALLROUNDER_PINS=ignore. Raises UsageError for an unknown value."""
    value = os.environ.get(PINS_SWITCH, "")
    if value not in ("", "use", "ignore"):
        raise UsageError(
            f"environment: {PINS_SWITCH}: {value!r} is neither use nor ignore; correct it"
        )
    return value == "ignore"


def pinned_params(stage: str) -> dict[str, Any]:
    """The params in dvc.lock for a stage; empty when it was not built or pins are ignored."""
    if pins_ignored():
        return {}
    return _locked_params(stage)


def only_the_order_changed(classes: Iterable[str]) -> bool:
    """Whether the classes differ from dvc.lock in their order only, which DVC does not notice."""
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
    """The stages of a lock file. Cached, since every class asks for them."""
    text = lock.decode("utf-8")
    return dict((read_yaml(text) or {}).get("stages") or {})


def locked_output(stage: str) -> str:
    """The hash in dvc.lock of a stage's output, or ''."""
    return str((_locked(stage).get("outs") or [{}])[0].get("md5") or "")


def pinned_lists(params: Params) -> dict[str, Path]:
    """A copy of the list of each class whose list is pinned, by class key.

    None if the sources have changed, or are all on this machine: reading them again is cheap.
    """
    pinned = pinned_params("fetch_urls")
    asked = [source.model_dump() for source in params.sources]
    if pinned.get("sources") is None or not _are_pinned(params):
        return {}
    if [with_defaults(source) for source in pinned["sources"]] != asked:
        return {}
    folder, built = WORK / "fetch_urls", pinned.get("classes") or {}
    return {
        key: pinned_file(f"data/urls/{key}.csv", folder) for key in params.classes if key in built
    }


def relist_command(params: Params) -> str:
    """The command that lists all sources again."""
    return f"{PINS_SWITCH}=ignore dvc repro --force" if _are_pinned(params) else "dvc repro --force"


def _are_pinned(params: Params) -> bool:
    """Whether lists are pinned: at least one source is on the web."""
    return any(source.is_remote for source in params.sources)


def pinned_file(path: str, folder: Path) -> Path:
    """A copy in `folder` of a file that dvc.lock pins.

    Raises DataError when DVC's cache and remote do not have it, or have it damaged.
    """
    copy = folder / "pinned" / Path(path).name
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        _dvc().get_file(path, str(copy))
        pinned = (_dvc().info(path).get("dvc_info") or {}).get("md5")
    except Exception as error:  # DVC and its remotes raise nearly anything
        raise DataError(
            f"dvc.lock pins {path}, but neither DVC's cache nor its remote gives it "
            f"({type(error).__name__}); run dvc pull, or ask the web again "
            f"with {PINS_SWITCH}=ignore"
        ) from None
    if pinned and pinned != file_md5(copy):
        raise DataError(
            f"{path}: DVC's copy ({pinned}) is damaged; remove it from .dvc/cache and run "
            f"dvc pull, or ask the web again with {PINS_SWITCH}=ignore"
        )
    return copy


@cache
def _dvc() -> Any:
    from dvc.api import DVCFileSystem  # costs 0.3 s: only where pins are needed

    return DVCFileSystem(".")
