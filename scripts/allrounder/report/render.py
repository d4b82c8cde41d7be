"""Renders the report's pages with Jinja2: everything escaped, nothing loaded from elsewhere.

Not for what stands on which page: that is pages.py.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from allrounder.core.funnel import STEPS, Funnel, stage_of, total_funnel
from allrounder.core.text import PROJECT
from allrounder.params.dataset import DatasetClass
from allrounder.params.schema import Params
from allrounder.report.pages import Page
from allrounder.report.stats import Bars
from allrounder.report.version import Version

TEMPLATES = Path(__file__).parent / "templates"
_MEANING = {
    "listed": "candidates of all sources",
    "tried": "asked for until the class was full",
    "taken": "good photos, by their headers",
    "valid": "whole, and no placeholders",
    "unique": "no copies, not in two classes, under your licences",
    "kept": "in the dataset",
}


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page says, but for the photos."""

    params: Params
    version: Version
    classes: Sequence[DatasetClass]
    sides: Sequence[str]
    funnels: Mapping[str, Funnel]
    bytes: int
    charts: Sequence[tuple[Bars, str]]  # with the SVG to stand in the page


def class_names(classes: Sequence[DatasetClass]) -> list[dict[str, str]]:
    """The classes as the pages show them."""
    return [
        {"wnid": one.wnid, "label": one.label, "name": _name(one.label), "voc": one.voc}
        for one in classes
    ]


def _name(label: str) -> str:
    return (label[:1].upper() + label[1:]).replace("_", " ")


def page_name(number: int) -> str:
    """The file of a page beyond the first."""
    return f"page-{number:03}.html"


def index(overview: Overview, pages: Sequence[Page], data: Mapping[str, Any] | None) -> str:
    """The first page; with `data` the photos stand on it, else on `pages`."""
    whole = total_funnel([*overview.funnels.values()])
    names = class_names(overview.classes)
    losses = {"": _losses("", whole, pages)}
    losses |= {wnid: _losses(wnid, funnel, pages) for wnid, funnel in overview.funnels.items()}
    return _render(
        "index.html",
        data,
        version=overview.version,
        sources=overview.params.sources,
        classes=[one | {"href": _href(one["wnid"], "", pages)} for one in names],
        sides=list(overview.sides),
        steps=list(STEPS),
        meaning=_MEANING,
        total=whole,
        funnels=overview.funnels,
        losses=losses,
        bytes=overview.bytes,
        megabytes=f"{overview.bytes / 1e6:,.1f} MB",
        charts=[{"bars": bars, "svg": Markup(svg)} for bars, svg in overview.charts],
        pages=_listed(pages, overview.classes),
    )


def further(
    number: int, pages: Sequence[Page], classes: Sequence[DatasetClass], data: Mapping[str, Any]
) -> str:
    """A page beyond the first: photos only. Pages are numbered from 1."""
    return _render("page.html", data, number=number, pages=_listed(pages, classes))


def _listed(pages: Sequence[Page], classes: Sequence[DatasetClass]) -> list[dict[str, str]]:
    names = {one["wnid"]: one["name"] for one in class_names(classes)}
    listed = []
    for number, page in enumerate(pages, start=1):
        here = list(dict.fromkeys(names[row.entry.wnid] for row in page.rows))
        words = f"{here[0]} to {here[-1]}" if len(here) > 1 else here[0]
        listed.append({"href": page_name(number), "words": f"{words}: {len(page.rows):,}"})
    return listed


def _losses(wnid: str, funnel: Funnel, pages: Sequence[Page]) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "status": str(status),
            "reason": f"{stage_of(step)}.{status}",
            "count": count,
            "href": _href(wnid, f"{stage_of(step)}.{status}", pages),
        }
        for step, reasons in funnel.lost.items()
        for status, count in reasons.items()
    ]


def _href(wnid: str, reason: str, pages: Sequence[Page]) -> str:
    """The filters that show a loss, as a fragment; on the first page that has some of it."""
    asked = urlencode({key: value for key, value in (("class", wnid), ("reason", reason)) if value})
    for number, page in enumerate(pages, start=1):
        if any(wnid in ("", w) and reason in ("", r) for w, r in page.reasons):
            return f"{page_name(number)}#{asked}"
    return f"#{asked}"


def _render(template: str, data: Mapping[str, Any] | None, **context: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        name=PROJECT,
        css=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        data=_json(data) if data else "",
        **context,
    )


def _json(data: Mapping[str, Any]) -> Markup:
    """JSON in which nothing can end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
