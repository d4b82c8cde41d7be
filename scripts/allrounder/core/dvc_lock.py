"""What dvc.lock records of the stages, and YAML as DVC reads it."""

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from allrounder.core.errors import UsageError, first_line
from allrounder.core.paths import LOCK


class LockedStage(BaseModel):
    """A stage: its params by file, and its outputs with their hashes."""

    params: dict[str, dict[str, Any]] = {}
    outs: list[dict[str, Any]] = []


class _Lock(BaseModel):
    stages: dict[str, LockedStage] = {}


def locked_stages() -> dict[str, LockedStage]:
    """The stages in dvc.lock; none without the file. Raises UsageError if it is broken."""
    if not LOCK.exists():
        return {}
    try:
        return _parsed(LOCK.read_bytes())
    except ValidationError:
        raise UsageError(f"{LOCK}: not as DVC writes it; git checkout {LOCK}") from None
    except OSError as error:
        raise UsageError(f"{LOCK}: {error.strerror}; git checkout {LOCK}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        words = first_line(error)
        raise UsageError(f"{LOCK}: not valid YAML ({words}); git checkout {LOCK}") from None


@lru_cache(1)
def _parsed(lock: bytes) -> dict[str, LockedStage]:
    """The stages of a lock file. Cached, since every class asks for them."""
    return _Lock.model_validate(read_yaml(lock.decode("utf-8")) or {}).stages


def read_yaml(text: str) -> Any:
    """The values of a YAML text, read as DVC does (dvc.utils.serialize.parse_yaml).

    So `024` is 24, and `yes` and `1:30` are texts. Raises YAMLError, RecursionError and ValueError.
    """
    return YAML(typ="safe").load(text)
