"""Builds the whole report from the stages' folders: pages, and the data of DVC's plots."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from allrounder.core.files import atomic_write, file_md5, folder_md5
from allrounder.core.funnel import STEPS, Funnel, funnels, stage_of, total_funnel
from allrounder.core.paths import Stages, is_clutter
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.params.dataset import dataset_classes, split_names
from allrounder.params.schema import Params
from allrounder.report import entries, pages, render, stats, thumbs
from allrounder.report.entries import KEPT, Entry
from allrounder.report.pages import Page
from allrounder.report.render import Overview, Version

MAX_PAGE = 4_900_000
"""About the most bytes of a page."""
_STRIPS, _IN_STRIP = 40, 8
"""Classes with a strip of photos at the top, and the most photos of each."""
_SHELL = 100_000
"""About the bytes of a further page without its photos; those of the first page are measured."""


def build(params: Params, stages: Stages, dataset: Path, out: Path) -> dict[str, Funnel]:
    """Write the pages and the plots into the empty folder `out`; returns the funnel of each class.

    Raises DataError for a damaged table, and when the tables are not from one build.
    """
    manifest = list(read_csv(dataset / "manifest.csv", ManifestRow))
    splits = split_names(params.split)
    classes = render.class_names(dataset_classes(params))
    names = {one["key"]: one["name"] for one in classes}
    counted = funnels(names, stages.raw, stages.clean, manifest, splits)
    gathered = entries.read_all(names, stages, manifest, entries.rows_each(counted.values()))
    version = dataset_version(params, [stages.urls, stages.raw, stages.clean, dataset])
    overview = Overview(
        params,
        version,
        classes,
        splits,
        counted,
        sum(entry.bytes for entry in gathered.entries if entry.reason == KEPT),
        stats.distributions(gathered.entries, names, splits, gathered.failures),
        _strips(gathered.entries, [*names]),
    )
    data = partial(
        pages.payload, classes=classes, splits=splits, gathered=gathered, version=version.lock
    )
    room = MAX_PAGE - len(render.index(overview, (), data(Page((), ()))).encode())
    _add_thumbs(gathered.entries, room)
    further = pages.paginate(gathered.entries, room)
    if len(further) == 1:
        _write(out / "index.html", render.index(overview, (), data(further[0])))
    else:
        further = pages.paginate(gathered.entries, MAX_PAGE - _SHELL)
        _write(out / "index.html", render.index(overview, further, None))
        for number, page in enumerate(further, start=1):
            text = render.further(number, further, classes, data(page), params.dataset.name)
            _write(out / render.page_name(number), text)
    plots = out / "plots"
    (plots / "charts").mkdir(parents=True)
    _write_tables(plots, counted, splits)
    kept = [entry for entry in gathered.entries if entry.reason == KEPT and entry.thumb]
    thumbs.write_sheets(plots / "sheets", names, ((one.key, one.thumb) for one in kept))
    for bars in overview.distributions:
        if not bars.empty:
            _write(plots / "charts" / f"{bars.name}.svg", render.chart(bars, standalone=True))
    return counted


def _strips(found: Sequence[Entry], keys: Sequence[str]) -> dict[str, list[str]]:
    """Small thumbnails of some photos of the first classes, evenly spread over each class."""
    photos: dict[str, list[Entry]] = {key: [] for key in keys[:_STRIPS]}
    for one in found:
        if one.reason == KEPT and one.key in photos:
            photos[one.key].append(one)
    strips = {}
    for key, own in photos.items():
        count = min(_IN_STRIP, len(own))
        chosen = [own[len(own) * at // count] for at in range(count)]
        bodies = [thumbs.thumbnail(one.stored.read(), thumbs.STRIP) for one in chosen if one.stored]
        strips[key] = [base64.b64encode(body).decode("ascii") for body in bodies if body]
    return strips


def _add_thumbs(found: list[Entry], room: int) -> None:
    """Give the photos among the entries thumbnails, in all about `room` bytes of a page."""
    budget = int((room - sum(map(pages.size, found))) * 3 / 4)  # base64 makes four bytes of three
    photos = [at for at, entry in enumerate(found) if entry.stored]
    made = thumbs.thumbnails([stored for one in found if (stored := one.stored)], budget)
    for at, thumb in zip(photos, made, strict=True):
        found[at] = replace(found[at], thumb=thumb)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text)


def _write_tables(out: Path, by_class: Mapping[str, Funnel], splits: Sequence[str]) -> None:
    """Write funnel.json, reasons.json and classes.json: one row for each count of the metrics."""
    total = total_funnel(by_class.values())
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
        rows = [{column: label, "photos": count} for label, count in counts.items()]
        _write(out / f"{name}.json", json.dumps(rows, indent=1) + "\n")


def dataset_version(params: Params, folders: Sequence[Path]) -> Version:
    """The version of the dataset in these folders of the stages.

    The folders are hashed, because DVC rewrites dvc.lock while the stage runs.
    """
    hashes = {folder.as_posix(): dvc_hash(folder) for folder in folders}
    lines = "".join(f"{digest} {name}\n" for name, digest in hashes.items())
    return Version(params_digest(params), hashlib.sha256(lines.encode()).hexdigest(), hashes)


def params_digest(params: Params) -> str:
    """The SHA-256 of the params with all defaults, without `network` and comments.

    The order of the classes is included, since it is the class index.
    """
    values = params.model_dump(mode="json", exclude={"network"})
    values["classes"] = list(values["classes"].items())
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def dvc_hash(folder: Path) -> str:
    """The hash that DVC records for a folder."""
    files = {
        path.relative_to(folder).as_posix(): file_md5(path)
        for path in folder.rglob("*")
        if path.is_file() and not any(map(is_clutter, path.relative_to(folder).parts))
    }
    return folder_md5(files)
