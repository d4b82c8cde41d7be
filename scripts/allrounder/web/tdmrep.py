"""The rules of a host's `/.well-known/tdmrep.json`: which paths are reserved from data mining.

Source: TDM Reservation Protocol, W3C Community Group's final report of 2024-05-10, section 5.1;
its patterns are those of robots.txt (RFC 9309, 2.2.3).
"""

import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from allrounder.core.opt_outs import Signal, opted_out
from allrounder.core.rows import Result

PATH = "/.well-known/tdmrep.json"
_MOST_RULES = 5_000
_UNRESERVED = re.compile(r"%([46][1-9A-F]|[57][0-9A]|3[0-9]|2[DE]|5F|7E)", re.IGNORECASE)
"""Escapes of letters, digits and -._~ (RFC 3986, 2.3), which mean the character."""


def tdm_result(body: bytes) -> Callable[[str], Result | None]:
    """What gives the result of a URL that is reserved, or None: the first rule that matches holds.

    A body of another form, and a rule of another form, say nothing.
    """
    try:
        given = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        given = None
    rules = [
        (_plain(pattern), rule.get("tdm-reservation") in (1, "1"))
        for rule in (given[:_MOST_RULES] if isinstance(given, list) else ())
        if isinstance(rule, dict) and isinstance(pattern := rule.get("location"), str)
    ]

    def result(url: str) -> Result | None:
        parts = urlsplit(url)
        path = _plain(parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        is_reserved = next(
            (reserved for pattern, reserved in rules if matches(pattern, path)), False
        )
        return opted_out(Signal.TDM_FILE, "tdm-reservation=1") if is_reserved else None

    return result


def matches(pattern: str, path: str) -> bool:
    """Whether a path begins as a pattern says: `*` is any text, a last `$` the end of the path."""
    pattern = pattern if pattern.startswith(("/", "*")) else f"/{pattern}"
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    end = len(first)
    is_exact = pattern.endswith("$")
    last = others.pop() if is_exact and others else None
    for part in others:
        if (place := path.find(part, end)) < 0:
            return False
        end = place + len(part)
    if last is not None:
        return path.endswith(last) and len(path) - len(last) >= end
    return not is_exact or end == len(path)


def _plain(path: str) -> str:
    return _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path)
