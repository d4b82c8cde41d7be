"""Writes the data of DVC's plots: tables of the funnel, and pictures of charts and classes.

Not for the page. dvc.yaml's `plots` says how DVC shows them.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from allrounder.core.files import atomic_write
from allrounder.core.funnel import STEPS, Funnel, stage_of, total_funnel
from allrounder.params.dataset import DatasetClass
from allrounder.report.entries import KEPT
from allrounder.report.pages import Shown

_COLUMNS, _ROWS, _TILE = 8, 4, 96


def write_tables(out: Path, funnels: Mapping[str, Funnel], sides: Sequence[str]) -> None:
    """funnel.json, reasons.json and classes.json: counts as in data/metrics.json, a row each."""
    whole = total_funnel([*funnels.values()])
    steps = [*STEPS, *sides]
    _write(out / "funnel.json", "step", ((s, whole.steps[s]) for s in steps))
    lost = (
        (f"{stage_of(step)}: {status}", count)
        for step, reasons in whole.lost.items()
        for status, count in reasons.items()
    )
    _write(out / "reasons.json", "reason", lost)
    kept = ((wnid, funnel.steps[KEPT]) for wnid, funnel in funnels.items())
    _write(out / "classes.json", "class", kept)


def write_sheets(out: Path, classes: Sequence[DatasetClass], shown: Iterable[Shown]) -> None:
    """A contact sheet of each class's first photos, as `<wnid>.jpg`."""
    tiles: dict[str, list[bytes]] = {one.wnid: [] for one in classes}
    for one in shown:
        room = tiles[one.entry.wnid]
        if one.entry.reason == KEPT and one.thumb and len(room) < _COLUMNS * _ROWS:
            room.append(one.thumb)
    for wnid, thumbs in tiles.items():
        _sheet(thumbs).save(out / f"{wnid}.jpg", "JPEG", quality=72, optimize=True)


def _sheet(thumbs: Sequence[bytes]) -> Image.Image:
    rows = max(-(-len(thumbs) // _COLUMNS), 1)
    sheet = Image.new("RGB", (_COLUMNS * _TILE, rows * _TILE), (255, 255, 255))
    for at, thumb in enumerate(thumbs):
        with Image.open(io.BytesIO(thumb)) as image:
            image.thumbnail((_TILE - 4, _TILE - 4))
            left = at % _COLUMNS * _TILE + (_TILE - image.width) // 2
            top = at // _COLUMNS * _TILE + (_TILE - image.height) // 2
            sheet.paste(image, (left, top))
    return sheet


def _write(path: Path, named: str, rows: Iterable[tuple[str, int]]) -> None:
    with atomic_write(path) as file:
        json.dump([{named: name, "photos": count} for name, count in rows], file, indent=1)
        file.write("\n")
