"""Renders the report's pages and charts with Jinja2: all text is escaped, nothing is loaded."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from allrounder.core.funnel import STEPS, Funnel, short_sentence, stage_of, total_funnel
from allrounder.core.rows import Match
from allrounder.params.dataset import DatasetClass
from allrounder.params.schema import Params
from allrounder.report.entries import words
from allrounder.report.pages import Page
from allrounder.report.stats import Bars, nice_ticks

TEMPLATES = Path(__file__).parent / "templates"
_COLOUR = re.compile(r"--(\w+): (#[0-9a-f]{6});")
_MAX_LABEL = 28  # characters of a label in a chart


@dataclass(frozen=True, slots=True)
class Version:
    """SHA-256 digests of a dataset's params and contents, and the hash of each stage's folder."""

    params: str
    lock: str
    folders: dict[str, str]


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows besides the photos."""

    params: Params
    version: Version
    classes: Sequence[Mapping[str, str]]  # see `class_names`
    splits: Sequence[str]
    funnels: Mapping[str, Funnel]
    bytes: int
    distributions: Sequence[Bars]
    strips: Mapping[str, Sequence[str]]  # by class key: small thumbnails, base64


def class_names(classes: Sequence[DatasetClass]) -> list[dict[str, str]]:
    """The classes as the pages show them."""
    names = [
        one.name if one.is_own else (one.label[:1].upper() + one.label[1:]).replace("_", " ")
        for one in classes
    ]
    return [
        {"key": one.key, "label": one.label, "name": name, "voc": one.voc}
        for one, name in zip(classes, names, strict=True)
    ]


def page_name(number: int) -> str:
    """The file name of a further page."""
    return f"page-{number:03}.html"


def index(overview: Overview, pages: Sequence[Page], data: Mapping[str, Any] | None) -> str:
    """The first page; it contains the photos if `data` is given, else links to `pages`."""
    whole = total_funnel(overview.funnels.values())
    by_class = {"": whole, **overview.funnels}
    links = _links(pages)
    return _render(
        "index.html",
        data,
        name=overview.params.dataset.name,
        overview=overview,
        classes=[{**one, "href": _href(one["key"], "", links)} for one in overview.classes],
        steps=STEPS,
        total=whole,
        matches=[match for match in Match if match],
        losses={key: _losses(key, funnel, links) for key, funnel in by_class.items()},
        charts=[
            {"bars": bars, "svg": Markup(chart(bars, standalone=False))}
            for bars in overview.distributions
            if len(bars.labels) > 1 and not bars.empty
        ],
        short=short_sentence(
            [one.steps["kept"] for one in overview.funnels.values()], overview.params.per_class
        ),
        pages=_listed(pages, overview.classes),
    )


def further(
    number: int,
    pages: Sequence[Page],
    classes: Sequence[Mapping[str, str]],
    data: Mapping[str, Any],
    name: str,
) -> str:
    """A further page, which contains photos only. Pages are numbered from 1."""
    return _render("page.html", data, name=name, number=number, pages=_listed(pages, classes))


def _listed(pages: Sequence[Page], classes: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    names = {one["key"]: one["name"] for one in classes}
    listed = []
    for number, page in enumerate(pages, start=1):
        own = list(dict.fromkeys(names[row.key] for row in page.rows))
        range_ = f"{own[0]} to {own[-1]}" if len(own) > 1 else own[0]
        listed.append({"href": page_name(number), "text": f"{range_}: {len(page.rows):,}"})
    return listed


Links = Mapping[tuple[str, str], str]
"""The first page with entries of a class and a reason; '' means all of them."""


def _links(pages: Sequence[Page]) -> Links:
    found: dict[tuple[str, str], str] = {}
    for number, page in enumerate(pages, start=1):
        for key, reason in page.reasons:
            for one in ((key, reason), (key, ""), ("", reason)):
                found.setdefault(one, page_name(number))
    return found


def _losses(key: str, funnel: Funnel, links: Links) -> list[dict[str, Any]]:
    found = []
    for step, reasons in funnel.lost.items():
        for status, count in reasons.items():
            reason = f"{stage_of(step)}.{status}"
            own = {"step": step, "words": words(status), "reason": reason, "count": count}
            found.append(own | {"href": _href(key, reason, links)})
    return found


def _href(key: str, reason: str, links: Links) -> str:
    """The link to the entries of a class and a reason ('' for all), as a filter.

    '' if there are further pages and none of them shows such an entry.
    """
    query = urlencode({n: value for n, value in (("class", key), ("reason", reason)) if value})
    page = links.get((key, reason), "")
    return f"{page}#{query}" if page or not links else ""


def chart(bars: Bars, *, standalone: bool) -> str:
    """Bars as an SVG document, or as an element whose colours follow the page's.

    The bars must not be empty. The same counts give the same bytes.
    """
    totals = [0] * len(bars.labels)
    series = []
    for name, counts in bars.series.items():
        pieces = [(at, totals[at], count) for at, count in enumerate(counts) if count]
        series.append({"name": _label(name), "pieces": pieces})
        totals = [before + count for before, count in zip(totals, counts, strict=True)]
    labels = [_label(label) for label in bars.labels]
    characters = max(map(len, labels)) + 2 * len(f"{max(totals):,}")  # beside the longest bar
    steps = min(5, max(2, (52 - characters) // len(f"{max(totals):,} "))) if bars.horizontal else 5
    colours = dict(reversed(_COLOUR.findall(_text("style.css"))))  # the first ones: the light ones
    template = _environment().get_template("bars.svg")
    return template.render(
        labels=labels,
        series=series,
        totals=totals,
        ticks=[tick for tick in nice_ticks(0, max(totals), steps) if tick <= max(totals)],
        horizontal=bars.horizontal,
        standalone=standalone,
        colours=colours if standalone else {name: f"var(--{name})" for name in colours},
    )


def _label(text: str) -> str:
    """Shorten a chart's label, and replace characters that XML or common fonts lack."""
    plain = "".join(
        c if c in "≥\u2013" or " " <= c <= "~" or "¡" <= c <= "ɏ" else "?" for c in text
    )
    return plain if len(plain) <= _MAX_LABEL else f"{plain[: _MAX_LABEL - 1]}…"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _render(template: str, data: Mapping[str, Any] | None, **context: Any) -> str:
    script = _text("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment().get_template(template).render(
        css=Markup(_text("style.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        data=_json(data) if data else "",
        **context,
    )  # fmt: skip


def _json(data: Mapping[str, Any]) -> Markup:
    """JSON that cannot end the script element around it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
