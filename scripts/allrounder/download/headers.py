"""Reads the two headers by which hosts ask for manners: Retry-After and X-Robots-Tag."""

import time
from collections.abc import Iterable

OPT_OUT = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
"""Directives that keep a photo out of a training set.

noindex, noimageindex and none (noindex, nofollow): Google's robots meta tag specification;
noai and noimageai: DeviantArt, 2022; noml: Mojeek, 2023.
"""
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)


def opted_out(values: Iterable[bytes], agent: str) -> str:
    """The directive in X-Robots-Tag headers that asks `agent` (or all) to keep out, or ''.

    A directive may be scoped, `agent: noindex, noai`; a scope holds to the end of its header.
    """
    for value in values:
        scope = ""
        for part in value.decode("latin-1").lower().split(","):
            name, colon, rest = part.partition(":")
            name = name.strip()
            if colon and name not in _WITH_VALUE and " " not in name:  # a date has spaces
                scope, part = name, rest
            if part.strip() in OPT_OUT and scope in ("", "*", agent):
                return part.strip()
    return ""


def retry_after(values: Iterable[bytes]) -> float | None:
    """Seconds that a Retry-After header asks to wait, given as seconds or as a date, or None.

    Source: RFC 9110, section 10.2.3. What cannot be read counts as absent.
    """
    for value in values:
        text = value.decode("latin-1").strip()
        if text.isascii() and text.isdigit():
            return float(text[:12])
        from email.utils import parsedate_to_datetime  # slow to import, and dates are rare

        try:
            when = parsedate_to_datetime(text).timestamp()
        except (ValueError, TypeError, OverflowError):
            continue
        return max(0.0, when - time.time())
    return None
