"""Builds the whole report from the stages' folders."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from allrounder.core.funnel import funnels
from allrounder.core.paths import Stages
from allrounder.params.dataset import dataset_classes, split_names
from allrounder.params.schema import Params
from allrounder.report import charts, entries, pages, plots, render, stats, thumbs
from allrounder.report.entries import ClassEntries, Entry
from allrounder.report.pages import Page, Shown
from allrounder.report.render import Overview
from allrounder.report.stats import Bars
from allrounder.report.version import version

MAX_PAGE = 4_900_000
"""Bytes of a page at most, about."""
_SHELL = 100_000
"""Bytes, about, of a page without its photos; of the first page it is measured."""


def build(params: Params, stages: Stages, dataset: Path, out: Path) -> None:
    """Write the pages and the plots into the empty folder `out`.

    Raises DataError for a broken table, and when the tables are not of one build.
    """
    manifest = entries.read_manifest(dataset)
    classes, sides = dataset_classes(params), split_names(params.split)
    names = {one["wnid"]: one["name"] for one in render.class_names(classes)}
    counted = funnels(names, stages.raw, stages.clean, manifest, sides)
    shown_rows = entries.rows_each(counted.values())
    gathered = entries.read_all([*names], stages, manifest, shown_rows)
    everything = [entry for one in gathered.values() for entry in one.entries]
    failures = stats.failures_by_host(stages.raw, names)
    drawn = [
        (bars, "" if bars.empty else charts.draw(bars))
        for bars in stats.distributions(everything, names, sides, failures)
    ]
    folders = [stages.urls, stages.raw, stages.clean, dataset]
    overview = Overview(
        params,
        version(params, folders),
        classes,
        sides,
        counted,
        sum(entry.bytes or 0 for entry in everything if entry.reason == entries.KEPT),
        [(bars, svg and charts.inline(svg, bars.name)) for bars, svg in drawn],
    )
    with_rows = _Payloads(gathered, overview)
    room = MAX_PAGE - len(render.index(overview, (), with_rows.of(Page([], []))).encode())
    shown = _with_thumbs(everything, room)
    for name, text in _pages(overview, shown, room, with_rows):
        (out / name).write_text(text, encoding="utf-8", newline="\n")
    _write_plots(out / "plots", overview, drawn, shown)


class _Payloads:
    """Makes the JSON of pages of one dataset."""

    def __init__(self, gathered: Mapping[str, ClassEntries], overview: Overview):
        self._gathered, self._sides = gathered, overview.sides
        self._classes = render.class_names(overview.classes)
        self._reasons = pages.reasons_of(gathered)

    def of(self, page: Page) -> dict[str, Any]:
        return pages.payload(page, self._classes, self._sides, self._reasons, self._gathered)


def _with_thumbs(everything: Sequence[Entry], room: int) -> list[Shown]:
    """The entries with thumbnails that fill, with the rest, `room` bytes of a page."""
    texts = sum(Shown(entry, b"").size for entry in everything)
    budget = int((room - texts) * 3 / 4)  # base64 makes four bytes of three
    places = [entry.stored for entry in everything if entry.stored]
    made = iter(thumbs.thumbnails(places, budget))
    return [Shown(entry, next(made) if entry.stored else b"") for entry in everything]


def _pages(
    overview: Overview, shown: Sequence[Shown], room: int, with_rows: _Payloads
) -> Iterator[tuple[str, str]]:
    """Yield each page's file name and text."""
    parts = pages.part(shown, room)
    if len(parts) == 1:
        yield "index.html", render.index(overview, (), with_rows.of(parts[0]))
        return
    parts = pages.part(shown, MAX_PAGE - _SHELL)
    yield "index.html", render.index(overview, parts, None)
    for number, page in enumerate(parts, start=1):
        text = render.further(number, parts, overview.classes, with_rows.of(page))
        yield render.page_name(number), text


def _write_plots(
    out: Path, overview: Overview, drawn: Sequence[tuple[Bars, str]], shown: Sequence[Shown]
) -> None:
    (out / "charts").mkdir(parents=True)
    (out / "sheets").mkdir()
    plots.write_tables(out, overview.funnels, overview.sides)
    plots.write_sheets(out / "sheets", overview.classes, shown)
    for bars, svg in drawn:
        if svg:
            path = out / "charts" / f"{bars.name}.svg"
            path.write_text(svg, encoding="utf-8", newline="\n")
