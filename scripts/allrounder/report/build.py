"""Builds the whole report from the stages' folders: pages, and the data of DVC's plots."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from allrounder.core.files import atomic_write, file_md5, folder_md5
from allrounder.core.funnel import STEPS, Funnel, funnels, stage_of, total_funnel
from allrounder.core.paths import Stages
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.params.dataset import dataset_classes, split_names
from allrounder.params.schema import Params
from allrounder.report import entries, pages, render, stats, thumbs
from allrounder.report.entries import KEPT, ClassEntries, Entry
from allrounder.report.pages import Page, Shown
from allrounder.report.render import Overview, Version

MAX_PAGE = 4_900_000
"""Bytes of a page, at most about."""
_SHELL = 100_000
"""Bytes of a further page without its photos, about; the first page's are measured."""


def build(params: Params, stages: Stages, dataset: Path, out: Path) -> None:
    """Write the pages and the plots into the empty folder `out`.

    Raises DataError for a damaged table, and when the tables are not from one build.
    """
    manifest = list(read_csv(dataset / "manifest.csv", ManifestRow))
    classes, splits = dataset_classes(params), split_names(params.split)
    names = {one["key"]: one["name"] for one in render.class_names(classes)}
    counted = funnels(names, stages.raw, stages.clean, manifest, splits)
    gathered = entries.read_all([*names], stages, manifest, entries.rows_each(counted.values()))
    everything = [entry for one in gathered.values() for entry in one.entries]
    failures = stats.failures_by_host(stages.raw, names)
    distributions = stats.distributions(everything, names, splits, failures)
    overview = Overview(
        params,
        dataset_version(params, [stages.urls, stages.raw, stages.clean, dataset]),
        classes,
        splits,
        counted,
        sum(entry.bytes or 0 for entry in everything if entry.reason == KEPT),
        distributions,
    )
    payloads = _Payloads(gathered, overview)
    room = MAX_PAGE - len(render.index(overview, (), payloads.of(Page([], []))).encode())
    shown = _with_thumbs(everything, room)
    for name, text in _pages(overview, shown, room, payloads):
        (out / name).write_text(text, encoding="utf-8", newline="\n")
    plots = out / "plots"
    (plots / "charts").mkdir(parents=True)
    _write_tables(plots, counted, splits)
    thumbs.write_sheets(plots / "sheets", names, _kept_thumbs(shown))
    for bars in distributions:
        if not bars.empty:
            with atomic_write(plots / "charts" / f"{bars.name}.svg") as file:
                file.write(render.chart(bars, standalone=True))


class _Payloads:
    """Makes the JSON of the pages of one dataset."""

    def __init__(self, gathered: Mapping[str, ClassEntries], overview: Overview):
        self._gathered, self._splits = gathered, overview.splits
        self._classes = render.class_names(overview.classes)
        self._reasons = pages.reasons_of(gathered)

    def of(self, page: Page) -> dict[str, Any]:
        return pages.payload(page, self._classes, self._splits, self._reasons, self._gathered)


def _with_thumbs(everything: Sequence[Entry], room: int) -> list[Shown]:
    """Return the entries with thumbnails, in all about `room` bytes of a page."""
    texts = sum(Shown(entry, b"").size for entry in everything)
    budget = int((room - texts) * 3 / 4)  # base64 makes four bytes of three
    photos = [entry.stored for entry in everything if entry.stored]
    made = iter(thumbs.thumbnails(photos, budget))
    return [Shown(entry, next(made) if entry.stored else b"") for entry in everything]


def _pages(
    overview: Overview, shown: Sequence[Shown], room: int, payloads: _Payloads
) -> Iterator[tuple[str, str]]:
    """Yield each page's file name and text."""
    further = pages.paginate(shown, room)
    if len(further) == 1:
        yield "index.html", render.index(overview, (), payloads.of(further[0]))
        return
    further = pages.paginate(shown, MAX_PAGE - _SHELL)
    yield "index.html", render.index(overview, further, None)
    for number, page in enumerate(further, start=1):
        text = render.further(number, further, overview.classes, payloads.of(page))
        yield render.page_name(number), text


def _kept_thumbs(shown: Iterable[Shown]) -> Iterator[tuple[str, bytes]]:
    """Yield class key and thumbnail of each photo in the dataset."""
    return ((s.entry.key, s.thumb) for s in shown if s.entry.reason == KEPT and s.thumb)


def _write_tables(out: Path, by_class: Mapping[str, Funnel], splits: Sequence[str]) -> None:
    """Write funnel.json, reasons.json and classes.json: one row for each count of the metrics."""
    total = total_funnel([*by_class.values()])
    lost = {
        f"{stage_of(step)}: {status}": count
        for step, reasons in total.lost.items()
        for status, count in reasons.items()
    }
    tables = {
        "step": ("funnel", {step: total.steps[step] for step in (*STEPS, *splits)}),
        "reason": ("reasons", lost),
        "class": ("classes", {key: funnel.steps[KEPT] for key, funnel in by_class.items()}),
    }
    for column, (name, counts) in tables.items():
        with atomic_write(out / f"{name}.json") as file:
            rows = [{column: label, "photos": count} for label, count in counts.items()]
            json.dump(rows, file, indent=1)
            file.write("\n")


def dataset_version(params: Params, folders: Sequence[Path]) -> Version:
    """Return the version of the dataset in these folders of the stages.

    The folders are hashed, because DVC rewrites dvc.lock while the stage runs.
    """
    hashes = {folder.as_posix(): dvc_hash(folder) for folder in folders}
    lines = "".join(f"{digest} {name}\n" for name, digest in hashes.items())
    return Version(params_digest(params), hashlib.sha256(lines.encode()).hexdigest(), hashes)


def params_digest(params: Params) -> str:
    """Return the SHA-256 of the params with all defaults, without `network` and comments.

    The order of the classes is included, since it is the class index.
    """
    values = params.model_dump(mode="json", exclude={"network"})
    values["classes"] = list(values["classes"].items())
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def dvc_hash(folder: Path) -> str:
    """Return the hash that DVC records for a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return folder_md5({path.relative_to(folder).as_posix(): file_md5(path) for path in files})
