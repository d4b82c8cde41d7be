"""Writes out braces in a location, as webdataset does: `shard-{000..099}.tar`, `{train,val}.tar`.

The rules are the shell's (Bash reference manual, section 3.5.1), for numbers that count up or down
and for lists; not for braces in braces, nor for steps and letters.
"""

import itertools
import re

MAX = 100_000
"""Locations at most."""
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")


def expand(text: str) -> list[str]:
    """All that a text stands for, in order: the first braces change last.

    Raises ValueError, in words, for braces that hold neither a range nor a list.
    """
    parts = re.split(r"\{([^{}]*)\}", text)
    if any("{" in plain or "}" in plain for plain in parts[::2]):
        raise ValueError("a brace has no partner, or braces stand in braces; correct it")
    choices = [[part] if n % 2 == 0 else _choices(part) for n, part in enumerate(parts)]
    total = 1
    for some in choices:
        total *= len(some)
        if total > MAX:
            raise ValueError(f"stands for more than {MAX:,} files; correct it")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _choices(inner: str) -> list[str]:
    if found := _RANGE.fullmatch(inner):
        first, last = int(found[1]), int(found[2])
        if abs(last - first) >= MAX:
            raise ValueError(f"{{{inner}}} stands for more than {MAX:,} files; correct it")
        padded = any(len(end) > 1 and end.startswith("0") for end in found.groups())
        width = max(map(len, found.groups())) if padded else 0
        step = 1 if first <= last else -1
        return [f"{number:0{width}}" for number in range(first, last + step, step)]
    if "," in inner:
        return inner.split(",")
    raise ValueError(f"{{{inner}}} is neither a range like {{000..099}} nor a list like {{a,b}}")
