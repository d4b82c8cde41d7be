"""Draws bars as SVG with matplotlib: for the page, and as files for DVC's plots.

Not for counting (stats.py). The same counts give the same bytes.
"""

import io
import re
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from allrounder.report.stats import Bars

INK, MUTED, GRID = "#1d2733", "#5a6573", "#dfe3e8"
COLOURS = (
    "#2a7f86", "#d99a2b", "#7a6bb5", "#c45d4a", "#5b8c3e", "#3f78b8", "#a85a93", "#8c7a4f",
    "#4f6d7a", "#b7791f", "#7a3b5d", "#2f855a", "#9c4221",
)  # fmt: skip
_LONGEST, _SHORT = 30, 3  # letters of a label; of one that need not be slanted
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "allrounder",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.edgecolor": GRID,
    "axes.axisbelow": True,
}
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)"} | {
    colour: f"var(--bar{number})" for number, colour in enumerate(COLOURS)
}


def draw(bars: Bars) -> str:
    """A whole SVG document."""
    with matplotlib.rc_context(_STYLE):
        height = 0.9 + 0.27 * len(bars.labels) if bars.lying else 2.6
        legend = len(bars.series) > 1
        figure = Figure(
            figsize=(4.3, height + 0.2 * legend * (1 + len(bars.series) // 3)), layout="constrained"
        )
        canvas: Any = FigureCanvasSVG(figure)
        _bars(figure.add_subplot(), bars)
        if legend:
            figure.legend(loc="outside lower center", ncols=min(len(bars.series), 3), frameon=False)
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.print_svg(out, metadata=nothing)  # savefig would draw it twice
    return out.getvalue()


def _bars(axes: Any, bars: Bars) -> None:
    places = list(range(len(bars.labels)))
    before = [0] * len(places)
    for number, (name, counts) in enumerate(bars.series.items()):
        look = {"color": COLOURS[number % len(COLOURS)], "label": _plain(name)}
        if bars.lying:
            axes.barh(places, counts, left=before, height=0.62, **look)
        else:
            axes.bar(places, counts, bottom=before, width=0.86, **look)
        before = [low + count for low, count in zip(before, counts, strict=True)]
    value, named = (axes.xaxis, axes.yaxis) if bars.lying else (axes.yaxis, axes.xaxis)
    named.set_ticks(places, labels=[_plain(label) for label in bars.labels])
    if not bars.lying and max(map(len, bars.labels)) > _SHORT:
        axes.tick_params(axis="x", rotation=40)
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    value.set_major_locator(MaxNLocator(integer=True, nbins=5))
    value.grid(True, color=GRID, linewidth=0.8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.margins(x=0.02 if not bars.lying else 0.06, y=0.06 if not bars.lying else 0.02)
    if bars.lying:
        axes.invert_yaxis()
    for place, total in zip(places, before, strict=True):
        at = (total, place) if bars.lying else (place, total)
        shift, align = ((3, 0), "left") if bars.lying else ((0, 2), "center")
        axes.annotate(
            f"{total:,}", at, shift, textcoords="offset points", color=MUTED, fontsize=8,
            ha=align, va="center" if bars.lying else "bottom",
        )  # fmt: skip


def _plain(label: str) -> str:
    """A label in letters that the font has; names from the web may hold anything."""
    known = "".join(c if " " <= c <= "\u024f" or c in "≥\u2013" else "?" for c in label)
    return known if len(known) <= _LONGEST else f"{known[:_LONGEST]}..."


def inline(svg: str, name: str) -> str:
    """The SVG as part of a page: ids of its own, colours that follow the page's, no prolog."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"|(<svg )', _scaled, svg, count=1)
    svg = re.sub(r'(<g id="[^"]*patch_1">\s*<path [^>]*?)fill: #ffffff', r"\1fill: none", svg)
    svg = re.sub(r'(<g id="[^"]*patch_2">\s*<path [^>]*?)fill: #ffffff', r"\1fill: none", svg)
    svg = svg.replace("'DejaVu Sans'", "inherit").replace("\n", " ")
    return re.sub(
        "|".join(_VARIABLES), lambda found: _VARIABLES[found[0]], re.sub(r"\s{2,}", " ", svg)
    )


def _scaled(found: re.Match[str]) -> str:
    return f'{found[1] or found[2]}role="presentation" aria-hidden="true" focusable="false"'
