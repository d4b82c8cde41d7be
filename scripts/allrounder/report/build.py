"""Builds the whole report from the stages' folders: pages, and the data of DVC's plots."""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from allrounder.core.class_cache import ClassCache
from allrounder.core.dvc_lock import locked_outs
from allrounder.core.files import folder_size, hash_folder, replace_text
from allrounder.core.funnel import STEPS, Funnel, funnels, stage_of, total_funnel
from allrounder.core.paths import MANIFEST, Stages
from allrounder.core.tables import table_parts
from allrounder.core.workers import worker_pool
from allrounder.params.dataset import dataset_classes, split_names
from allrounder.params.schema import Params
from allrounder.report import pages, render, stats, thumbs
from allrounder.report.entries import KEPT, Entry
from allrounder.report.gather import CODE, Gathered, read_all
from allrounder.report.pages import Page
from allrounder.report.render import Overview, Version

MAX_PAGE = 4_900_000
"""Bytes of a page at most, about."""
_PHOTOS = 5_000
"""Photos of all classes together at most, about, unless `report.photos_per_class` is given."""
_STRIPS = 40
"""Classes with a strip of photos at the top, at most."""
_SHELL = 100_000
"""Bytes of a further page without its photos, about. The first page is measured."""


def build(
    params: Params, stages: Stages, dataset: Path, out: Path, store: Path, work: Path
) -> dict[str, Funnel]:
    """Write the pages and the plots into the empty folder `out`; returns the funnel of each class.

    The folder `store` keeps the pictures that were made, by content; `work` what was read of each
    class.

    Raises DataError for a damaged table, and when the tables are not from one build.
    """
    splits = split_names(params.split)
    classes = render.class_names(dataset_classes(params))
    names = {one["key"]: one["name"] for one in classes}
    with worker_pool(8, thumbs.allow_truncated) as pool, thumbs.Maker.using(pool, store) as maker:
        folders = [stages.urls, stages.raw, stages.clean, dataset]
        version = pool.submit(dataset_version, params, folders)  # lists all photos
        parts, counts = table_parts(dataset / MANIFEST, "wnid", "split")
        caches = [ClassCache.of_stage(work / name, names, CODE) for name in ("funnels", "entries")]
        counted = funnels(names, stages.raw, stages.clean, counts, splits, pool.map, caches[0])
        most = params.report.photos_per_class or max(_PHOTOS // len(names), 1)
        tables = dataset / MANIFEST, parts
        gathered = read_all(stages, *tables, counted, most, pool.map, caches[1])
        strips = maker.strips({key: gathered.strips[key] for key in [*names][:_STRIPS]})
        overview = Overview(
            params,
            version.result(),
            classes,
            splits,
            counted,
            gathered.counts.bytes,
            stats.distributions(gathered.counts, names, splits),
            strips,
        )
        _write_pages(out, overview, gathered, maker)
        kept = [entry for entry in gathered.entries if entry.reason == KEPT and entry.thumb]
        plots = out / "plots"
        (plots / "charts").mkdir(parents=True)
        maker.write_sheets(plots / "sheets", names, ((one.key, one.thumb) for one in kept))
    _write_tables(plots, counted, splits)
    for bars in overview.distributions:
        if not bars.empty:
            replace_text(plots / "charts" / f"{bars.name}.svg", render.chart(bars, standalone=True))
    return counted


def _write_pages(out: Path, overview: Overview, gathered: Gathered, maker: thumbs.Maker) -> None:
    """Write one page, or a first page without photos and further ones with them."""
    data = partial(
        pages.payload,
        classes=overview.classes,
        splits=overview.splits,
        gathered=gathered,
        version=overview.version.lock,
    )
    room = MAX_PAGE - len(render.index(overview, (), data(Page((), ()))).encode())
    _add_thumbs(gathered.entries, room, maker)
    further = pages.paginate(gathered.entries, room)
    if len(further) == 1:
        replace_text(out / "index.html", render.index(overview, (), data(further[0])))
        return
    further = pages.paginate(gathered.entries, MAX_PAGE - _SHELL)
    replace_text(out / "index.html", render.index(overview, further, None))
    name = overview.params.dataset.name
    for number, page in enumerate(further, start=1):
        text = render.further(number, further, overview.classes, data(page), name)
        replace_text(out / render.page_name(number), text)


def _add_thumbs(found: list[Entry], room: int, maker: thumbs.Maker) -> None:
    """Give the photos among the entries thumbnails, in all about `room` bytes of a page."""
    budget = int((room - sum(map(pages.size, found))) * 3 / 4)  # base64 makes four bytes of three
    photos = [at for at, entry in enumerate(found) if entry.stored]
    made = maker.thumbnails([stored for one in found if (stored := one.stored)], budget)
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
        replace_text(out / f"{name}.json", json.dumps(rows, indent=1) + "\n")


def dataset_version(params: Params, folders: Sequence[Path]) -> Version:
    """The version of the dataset in these folders of the stages.

    While `dvc repro` runs this stage, dvc.lock has the folders' present hashes. A folder is hashed
    again if it does not agree with dvc.lock, and in every other case.
    """
    by_dvc = os.environ.get("DVC_STAGE") == "report"
    hashes = {
        one.as_posix(): (by_dvc and _recorded_hash(one)) or hash_folder(one) for one in folders
    }
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


def _recorded_hash(folder: Path) -> str:
    """The hash of a folder in dvc.lock; '' if the folder has other numbers of files or bytes."""
    outs = [locked_outs(stage) for stage in ("fetch_urls", "download", "clean", "split")]
    for out in itertools.chain.from_iterable(outs):
        if out["path"] == folder.as_posix():
            return out["md5"] if folder_size(folder) == (out["nfiles"], out["size"]) else ""
    return ""
