"""Base of the dataclasses that count photos or URLs, class by class."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Self, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter


class Addable:
    """A dataclass of counters and numbers, which are added up class by class."""

    def add(self, other: Any) -> None:
        """Add the counts of another class."""
        for name in (one.name for one in fields(other)):
            mine, more = getattr(self, name), getattr(other, name)
            mine.update(more) if isinstance(mine, Counter) else setattr(self, name, mine + more)

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON can hold them."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]
        counters = {
            name: [*one.items()] for name, one in values.items() if isinstance(one, Counter)
        }
        return values | counters

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The counts that `as_json` gave. Raises ValueError, KeyError and TypeError."""
        kind: Any = cls
        values = dict(found)
        for name, adapter in _counters(kind).items():
            values[name] = Counter(dict(adapter.validate_python(found[name])))
        return cls(**values)


@cache
def _counters(kind: Any) -> dict[str, TypeAdapter[list[tuple[Any, int]]]]:
    """What makes the items of each counter from their JSON, by the counter's name."""
    hints = get_type_hints(kind)
    return {
        name: TypeAdapter(list[tuple[get_args(hint)[0], int]])  # type: ignore[arg-type, misc]
        for name, hint in hints.items()
        if get_origin(hint) is Counter
    }
