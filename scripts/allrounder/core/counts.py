"""Base of the dataclasses that count photos or URLs, class by class."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Self, get_args, get_origin, get_type_hints


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
        for name, key_of in _key_makers(kind).items():
            values[name] = Counter({key_of(key): count for key, count in found[name]})
        return cls(**values)


@cache
def _key_makers(kind: Any) -> dict[str, Callable[[Any], Any]]:
    """What makes a key of each counter from its JSON, by the counter's name."""
    hints = get_type_hints(kind)
    return {
        name: _key_maker(get_args(hint)[0])
        for name, hint in hints.items()
        if get_origin(hint) is Counter
    }


def _key_maker(kind: Any) -> Callable[[Any], Any]:
    if get_origin(kind) is not tuple:
        return lambda key: kind(key)
    parts = get_args(kind)
    return lambda key: tuple(part(one) for part, one in zip(parts, key, strict=True))
