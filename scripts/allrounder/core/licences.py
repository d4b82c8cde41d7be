"""Gives licences one normal form, so that URLs and names of the same licence are the same text.

Not for what a licence allows, and not for whose licence a photo has: that is origins.py.
"""

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from allrounder.core.text import did_you_mean

UNKNOWN = "unknown"
"""The normal form of no licence: the source names none."""

OTHERS = (
    "apache-2.0", "bsd-2-clause", "bsd-3-clause", "c-uda", "cdla-permissive-1.0",
    "cdla-permissive-2.0", "cdla-sharing-1.0", "etalab-2.0", "gfdl", "mit", "odbl", "odc-by",
    "pddl", "unlicense", "wtfpl",
)  # fmt: skip
"""Names, other than Creative Commons', that may be listed: those of the Hugging Face hub.

Source: https://huggingface.co/docs/hub/repositories-licenses
"""

_TERMS = (
    "by",
    "by-sa",
    "by-nd",
    "by-nc",
    "by-nc-sa",
    "by-nc-nd",
    "sa",
    "nd",
    "nc",
    "nc-sa",
    "nd-nc",
)
_VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
_PUBLIC = {"zero": "cc0", "mark": "cc-pdm"}
_CC_URL = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)"
    r"(?:/(?!deed|rdf)([a-z]{2,8}))?(?:/(?:deed|legalcode|rdf)[^/]*)?/?(?:[?#].*)?"
)
_CC_NAME = re.compile(r"(cc-?0|(?:cc-)?pdm)(?:-1\.0)?|(?:cc-)?([a-z-]+)-(\d\.\d)(?:-([a-z]{2,8}))?")
_WORDS = (
    ("creative-commons", "cc"), ("cc-cc", "cc"), ("attribution", "by"),
    ("non-?commercial", "nc"), ("no-?deriv(?:ative)?s?(?:-works)?", "nd"), ("share-?alike", "sa"),
    ("public-domain-mark", "pdm"), ("(?:cc-)?(?:zero|public-domain-dedication)", "cc0"),
    ("-(?:unported|generic|international|universal|licen[cs]e)", ""),
)  # fmt: skip
"""Long words in Creative Commons' names, and what short names have for them."""


def normal(text: str) -> str:
    """The normal form of a licence's URL or name; `unknown` for none.

    A Creative Commons licence becomes its SPDX identifier in lower case (`cc-by-2.0`, `cc0-1.0`,
    `cc-by-sa-2.0-uk`), whatever its scheme, final slash, `deed` or `legalcode`, or spelling.
    Another URL loses its scheme, fragment and final slash; other text only its upper case and
    repeated spaces. Sources: https://creativecommons.org/licenses/list.en,
    https://spdx.org/licenses/
    """
    plain = " ".join(text.split()).casefold()
    return _cc_of_url(plain) or _cc_of_name(plain) or _other(plain)


def listed(name: str) -> str:
    """The normal form of a licence in params.yaml.

    Raises ValueError for what is neither a URL nor a known name, with what to do.
    """
    form = normal(name)
    if form == UNKNOWN and name.strip().lower() != UNKNOWN:
        raise ValueError("an empty licence; write unknown for photos whose source names none")
    if address(form) or form in OTHERS or form == UNKNOWN:
        return form
    if form.startswith("//") and not form.startswith("//creativecommons.org"):
        return form
    short = re.sub(r"[\s_-]+", "-", form)
    if short.removeprefix("cc-") in _TERMS:
        raise ValueError(f"{name!r} has no version; list each that you accept, e.g. {short}-4.0")
    known = [f"cc-{terms}-{version}" for terms in _TERMS for version in _VERSIONS]
    hint = did_you_mean(form, [*known, "cc0-1.0", "cc-pdm-1.0", *OTHERS, UNKNOWN])
    raise ValueError(
        f"{name!r} is not a known licence.{hint} Write a URL, or a name such as cc-by-2.0, cc0-1.0 "
        "or unknown"
    )


def accepted(names: Iterable[str] | None) -> frozenset[str] | None:
    """The normal forms of `clean.licenses`; None: all licences will do."""
    return None if names is None else frozenset(map(listed, names))


def refused(text: str, forms: Collection[str] | None) -> str:
    """The normal form of a source's licence if it is none of `accepted`'s forms, else ''."""
    if forms is None or (form := normal(text)) in forms:
        return ""
    return form


def address(form: str) -> str:
    """The URL of a Creative Commons licence in normal form, or ''."""
    if form in ("cc0-1.0", "cc-pdm-1.0"):
        kind = "zero" if form == "cc0-1.0" else "mark"
        return f"https://creativecommons.org/publicdomain/{kind}/1.0/"
    found = _CC_NAME.fullmatch(form)
    if not found or found[2] not in _TERMS or _cc(*found.groups()[1:]) != form:
        return ""
    terms = "by-nd-nc" if form == "cc-by-nc-nd-1.0" else found[2]
    port = f"{found[4]}/" if found[4] else ""
    return f"https://creativecommons.org/licenses/{terms}/{found[3]}/{port}"


def title(form: str) -> str:
    """A licence in normal form as people write it: `CC BY-SA 2.0 UK`; other text as it is."""
    if not address(form):
        return form
    head, rest = form.split("-", 1)
    *terms, version = re.split(r"-(?=\d)", rest, maxsplit=1)
    return " ".join([head, *terms, version.replace("-", " ")]).upper()


def _cc_of_url(plain: str) -> str:
    found = _CC_URL.fullmatch(plain)
    if not found:
        return ""
    kind, terms, version, port = found.groups()
    if kind == "publicdomain":
        return f"{_PUBLIC[terms]}-{version}" if terms in _PUBLIC and version == "1.0" else ""
    return _cc(terms, version, port)


def _cc_of_name(plain: str) -> str:
    short = re.sub(r"[\s_/-]+", "-", plain)
    for long, word in _WORDS:
        short = re.sub(long, word, short)
    found = _CC_NAME.fullmatch(short.strip("-"))
    if not found:
        return ""
    if found[1]:
        return "cc-pdm-1.0" if found[1].endswith("pdm") else "cc0-1.0"
    return _cc(*found.groups()[1:])


def _cc(terms: str, version: str, port: str | None = None) -> str:
    terms = "by-nc-nd" if terms == "by-nd-nc" else terms  # as version 1.0 had it
    if terms not in _TERMS or version not in _VERSIONS:
        return ""
    return f"cc-{terms}-{version}" + (f"-{port}" if port else "")


def _other(plain: str) -> str:
    if not plain.startswith(("http://", "https://", "//")):
        return plain or UNKNOWN
    try:
        parts = urlsplit(plain)
    except ValueError:
        return plain
    query = f"?{parts.query}" if parts.query else ""
    return f"//{parts.netloc}{parts.path.rstrip('/')}{query}" if parts.netloc else plain
