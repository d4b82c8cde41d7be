"""What dvc.lock records of the stages, and YAML as DVC reads it."""

import re
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from allrounder.core.errors import UsageError, first_line
from allrounder.core.paths import LOCK


class _Stage(BaseModel):
    params: dict[str, dict[str, Any]] = {}
    outs: list[dict[str, Any]] = []


class _Lock(BaseModel):
    stages: dict[str, _Stage] = {}


def locked_params(stage: str) -> dict[str, Any]:
    """A stage's values of params.yaml in dvc.lock; none if it is not there.

    Raises UsageError if dvc.lock is broken.
    """
    return _locked(stage, "params").params.get("params.yaml", {})


def locked_outs(stage: str) -> list[dict[str, Any]]:
    """A stage's outputs in dvc.lock with their hashes; none if it is not there.

    Raises UsageError if dvc.lock is broken.
    """
    return _locked(stage, "outs").outs


def _locked(stage: str, section: str) -> _Stage:
    if not LOCK.exists():
        return _Stage()
    try:
        return _parsed(_part(LOCK.read_text(encoding="utf-8"), stage, section)).get(stage, _Stage())
    except ValidationError:
        raise UsageError(f"{LOCK}: not as DVC writes it; git checkout {LOCK}") from None
    except OSError as error:
        raise UsageError(f"{LOCK}: {error.strerror}; git checkout {LOCK}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        words = first_line(error)
        raise UsageError(f"{LOCK}: not valid YAML ({words}); git checkout {LOCK}") from None


def _part(lock: str, stage: str, section: str) -> str:
    """The lines of a section of a stage, as a lock file of its own; else the whole file.

    DVC indents the stages by two and their sections by four spaces. To parse all lines of a
    thousand classes takes half a second.
    """
    own = re.search(rf"^  {stage}:\n(?:    .*\n)*?    {section}:\n((?:    [ -].*\n)*)", lock, re.M)
    ends = own and re.match(r" {0,4}\w|\Z", lock[own.end() :])  # and not in a conflict of git's
    if not own or not ends or re.search(r"[:-] \*", own[1]):  # an alias of another section's value
        return lock
    return f"stages:\n  {stage}:\n    {section}:\n{own[1]}"


@lru_cache(8)
def _parsed(lock: str) -> dict[str, _Stage]:
    """The stages in the text of a lock file. Cached, since every class asks for them."""
    return _Lock.model_validate(read_yaml(lock) or {}).stages


def read_yaml(text: str) -> Any:
    """The values of a YAML text, read as DVC does (dvc.utils.serialize.parse_yaml).

    So `024` is 24, and `yes` and `1:30` are texts. Raises YAMLError, RecursionError and ValueError.
    """
    return YAML(typ="safe").load(text)
