"""Converts the URLs and names of licences to one normal form, so that they can be compared."""

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from allrounder.core.text import did_you_mean

UNKNOWN = "unknown"
"""The normal form of a missing licence."""

OTHERS = (
    "apache-2.0", "bsd-2-clause", "bsd-3-clause", "c-uda", "cdla-permissive-1.0",
    "cdla-permissive-2.0", "cdla-sharing-1.0", "etalab-2.0", "gfdl", "mit", "odbl", "odc-by",
    "pddl", "unlicense", "wtfpl",
)  # fmt: skip
"""Names of other licences that params.yaml may list: those of the Hugging Face hub.

Source: https://huggingface.co/docs/hub/repositories-licenses
"""

_TERMS = (
    "by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "sa", "nd", "nc", "nc-sa", "nd-nc",
)  # fmt: skip
_VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
_PUBLIC = {"zero": "cc0", "mark": "cc-pdm"}
_CC_URL = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)"
    r"(?:/(?!deed|rdf)([a-z]{2,8}))?(?:/(?:deed|legalcode|rdf)[^/]*)?/?(?:[?#].*)?"
)
_CC_NAME = re.compile(r"(cc-?0|(?:cc-)?pdm)(?:-1\.0)?|(?:cc-)?([a-z-]+)-(\d\.\d)(?:-([a-z]{2,8}))?")
_ABBREVIATIONS = (
    ("creative-commons", "cc"), ("cc-cc", "cc"), ("attribution", "by"),
    ("non-?commercial", "nc"), ("no-?deriv(?:ative)?s?(?:-works)?", "nd"), ("share-?alike", "sa"),
    ("public-domain-mark", "pdm"), ("(?:cc-)?(?:zero|public-domain-dedication)", "cc0"),
    ("-(?:unported|generic|international|universal|(?:public-)?licen[cs]e|deed|legal-?code)", ""),
    (r"-(?:v|version-)?(\d)[.-](\d)(?![\d.])", r"-\1.\2"),
)  # fmt: skip
"""Patterns of words in long names of Creative Commons licences, and their abbreviations."""


def normal(text: str) -> str:
    """Return the normal form of a licence's URL or name; `unknown` for an empty text.

    A Creative Commons licence becomes its SPDX identifier in lower case (`cc-by-2.0`, `cc0-1.0`,
    `cc-by-sa-2.0-uk`), independent of spelling, scheme, final slash, `deed` and `legalcode`.
    Another URL loses its scheme, fragment and final slash; other text is only lower-cased and its
    spaces are collapsed. Sources: https://creativecommons.org/licenses/list.en,
    https://spdx.org/licenses/
    """
    plain = " ".join(text.split()).casefold()
    return _cc_of_url(plain) or _cc_of_name(plain) or _other(plain)


def listed(name: str) -> str:
    """Return the normal form of a licence in params.yaml.

    Raises ValueError, with advice, for a text that is neither a URL nor a known name.
    """
    form = normal(name)
    if form == UNKNOWN and name.strip().lower() != UNKNOWN:
        raise ValueError("an empty licence; write unknown for photos whose source states none")
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
    """Return the normal forms of `clean.licenses`; None accepts all licences."""
    return None if names is None else frozenset(map(listed, names))


def refused(text: str, forms: Collection[str] | None) -> str:
    """Return the normal form of a photo's licence if `forms` does not contain it, else ''."""
    if forms is None or (form := normal(text)) in forms:
        return ""
    return form


def address(form: str) -> str:
    """Return the URL of a Creative Commons licence in normal form, or ''."""
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
    """Return a Creative Commons licence as usually written, `CC BY-SA 2.0 UK`; others unchanged."""
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
    """The licence that a name states, also twice: `Attribution 4.0 International (CC BY 4.0)`."""
    parts = {part.strip() for part in re.split(r"[()|]", plain)} - {"", "creative commons", "deed"}
    forms = {_cc_of_part(part) for part in parts}
    return forms.pop() if len(forms) == 1 else ""


def _cc_of_part(plain: str) -> str:
    short = re.sub(r"[\s_/-]+", "-", plain)
    for long, abbreviation in _ABBREVIATIONS:
        short = re.sub(long, abbreviation, short)
    found = _CC_NAME.fullmatch(short.strip("-"))
    if not found:
        return ""
    if found[1]:
        return "cc-pdm-1.0" if found[1].endswith("pdm") else "cc0-1.0"
    return _cc(*found.groups()[1:])


def _cc(terms: str, version: str, port: str | None = None) -> str:
    terms = "by-nc-nd" if terms == "by-nd-nc" else terms  # the order in version 1.0
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
