"""Builds the whole report from the stages' folders: pages, and the data of DVC's plots."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

from allrounder.core.files import file_md5, folder_md5, in_threads, write_text
from allrounder.core.funnel import STEPS, Funnel, funnels, stage_of, total_funnel
from allrounder.core.paths import LOCK, MANIFEST, Stages, is_clutter
from allrounder.core.tables import table_parts
from allrounder.core.workers import cores, worker_pool
from allrounder.params.dataset import dataset_classes, split_names
from allrounder.params.schema import Params
from allrounder.report import gather, pages, render, stats, thumbs
from allrounder.report.entries import KEPT, Entry
from allrounder.report.gather import Gathered
from allrounder.report.pages import Page
from allrounder.report.render import Overview, Version

MAX_PAGE = 4_900_000
"""About the most bytes of a page."""
_PHOTOS = 5_000
"""About the most photos of all classes together, unless `report.photos_per_class` is given."""
_STRIPS, _IN_STRIP = 40, 8
"""Classes with a strip of photos at the top, and the most photos of each."""
_SHELL = 100_000
"""About the bytes of a further page without its photos; those of the first page are measured."""


def build(params: Params, stages: Stages, dataset: Path, out: Path) -> dict[str, Funnel]:
    """Write the pages and the plots into the empty folder `out`; returns the funnel of each class.

    Raises DataError for a damaged table, and when the tables are not from one build.
    """
    with worker_pool(8, thumbs.allow_truncated) as pool:
        return _build(params, stages, dataset, out, pool)


def _build(
    params: Params, stages: Stages, dataset: Path, out: Path, pool: Executor
) -> dict[str, Funnel]:
    splits = split_names(params.split)
    classes = render.class_names(dataset_classes(params))
    names = {one["key"]: one["name"] for one in classes}
    parts, counts = table_parts(dataset / MANIFEST, "wnid", "split")
    counted = funnels(names, stages.raw, stages.clean, counts, splits, pool.map)
    moved = gather.moved_photos(stages.clean, [key for key in names if counted[key].moved_in])
    places = {key: place for place, key in enumerate(names)}
    tables = gather.Tables(stages, dataset / MANIFEST, parts, places, moved)
    most = params.report.photos_per_class or max(_PHOTOS // len(names), 1)
    bounds = gather.Bounds(gather.rows_each(counted.values(), most), most, _IN_STRIP)
    gathered = gather.read_all(tables, bounds, pool.map)
    version = dataset_version(params, [stages.urls, stages.raw, stages.clean, dataset])
    strips = thumbs.strips({key: gathered.strips[key] for key in [*names][:_STRIPS]}, pool)
    overview = Overview(
        params,
        version,
        classes,
        splits,
        counted,
        gathered.counts.bytes,
        stats.distributions(gathered.counts, names, splits),
        {
            key: [base64.b64encode(one).decode("ascii") for one in own]
            for key, own in strips.items()
        },
    )
    _write_pages(out, overview, gathered, pool)
    plots = out / "plots"
    (plots / "charts").mkdir(parents=True)
    _write_tables(plots, counted, splits)
    kept = [entry for entry in gathered.entries if entry.reason == KEPT and entry.thumb]
    thumbs.write_sheets(plots / "sheets", names, ((one.key, one.thumb) for one in kept), pool)
    for bars in overview.distributions:
        if not bars.empty:
            write_text(plots / "charts" / f"{bars.name}.svg", render.chart(bars, standalone=True))
    return counted


def _write_pages(out: Path, overview: Overview, gathered: Gathered, pool: Executor) -> None:
    """Write one page, or a first page without photos and further ones with them."""
    data = partial(
        pages.payload,
        classes=overview.classes,
        splits=overview.splits,
        gathered=gathered,
        version=overview.version.lock,
    )
    room = MAX_PAGE - len(render.index(overview, (), data(Page((), ()))).encode())
    _add_thumbs(gathered.entries, room, pool)
    further = pages.paginate(gathered.entries, room)
    if len(further) == 1:
        write_text(out / "index.html", render.index(overview, (), data(further[0])))
        return
    further = pages.paginate(gathered.entries, MAX_PAGE - _SHELL)
    write_text(out / "index.html", render.index(overview, further, None))
    name = overview.params.dataset.name
    for number, page in enumerate(further, start=1):
        text = render.further(number, further, overview.classes, data(page), name)
        write_text(out / render.page_name(number), text)


def _add_thumbs(found: list[Entry], room: int, pool: Executor) -> None:
    """Give the photos among the entries thumbnails, in all about `room` bytes of a page."""
    budget = int((room - sum(map(pages.size, found))) * 3 / 4)  # base64 makes four bytes of three
    photos = [at for at, entry in enumerate(found) if entry.stored]
    made = thumbs.thumbnails([stored for one in found if (stored := one.stored)], budget, pool)
    for at, thumb in zip(photos, made, strict=True):
        found[at] = replace(found[at], thumb=thumb)


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
        write_text(out / f"{name}.json", json.dumps(rows, indent=1) + "\n")


def dataset_version(params: Params, folders: Sequence[Path]) -> Version:
    """The version of the dataset in these folders of the stages.

    While `dvc repro` runs this stage, dvc.lock has what DVC found in the folders just now. They are
    hashed if it has not, or if a folder has another number of files or bytes.
    """
    locked = _locked() if os.environ.get("DVC_STAGE") == "report" else {}
    hashes = {one.as_posix(): locked.get(_facts(one, locked)) or dvc_hash(one) for one in folders}
    lines = "".join(f"{digest} {name}\n" for name, digest in hashes.items())
    return Version(params_digest(params), hashlib.sha256(lines.encode()).hexdigest(), hashes)


def params_digest(params: Params) -> str:
    """The SHA-256 of the params with all defaults, without `network`, `report` and comments.

    The order of the classes is included, since it is the class index.
    """
    values = params.model_dump(mode="json", exclude={"network", "report"})
    values["classes"] = list(values["classes"].items())
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


Facts = tuple[str, int, int]
"""Path, files and bytes of a folder."""


def _locked() -> dict[Facts, str]:
    """The hash of each folder that dvc.lock records; none if it cannot be read."""
    try:
        stages = yaml.load(LOCK.read_bytes(), yaml.CSafeLoader)["stages"].values()
        outs = [out for stage in stages for out in stage.get("outs", ()) if "nfiles" in out]
        return {(out["path"], out["nfiles"], out["size"]): out["md5"] for out in outs}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}


def _facts(folder: Path, locked: Mapping[Facts, str]) -> Facts:
    """The facts of a folder that may be among the locked ones."""
    if not any(path == folder.as_posix() for path, *_ in locked):
        return folder.as_posix(), 0, 0
    files = size = 0
    for one in _files(folder.as_posix()):
        files, size = files + 1, size + one.stat().st_size
    return folder.as_posix(), files, size


def dvc_hash(folder: Path) -> str:
    """The hash that DVC records for a folder."""
    paths = [Path(one.path) for one in _files(folder.as_posix())]
    hashes = zip(paths, in_threads(file_md5, paths, cores()), strict=True)
    return folder_md5({path.relative_to(folder).as_posix(): md5 for path, md5 in hashes})


def _files(folder: str) -> Iterator["os.DirEntry[str]"]:
    """All files in a folder and below, without clutter."""
    with os.scandir(folder) as entries:
        for one in entries:
            if is_clutter(one.name):
                continue
            if one.is_dir():
                yield from _files(one.path)
            elif one.is_file():
                yield one
