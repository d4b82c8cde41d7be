"""Writes recipe.csv: how to build this dataset from the web again, without a picture in it.

A dataset that was rebuilt from a recipe, with each photo identical, is the same version. So its
card describes how the original was made. The recipe carries the counts for that: a class's first
row has its funnel as JSON in the column `results`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from allrounder.core.funnel import Funnel
from allrounder.core.opt_outs import Signal
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, Match, RawRow, RecipeRow, Status
from allrounder.core.tables import no_formula, read_csv, write_csv

FILE = "recipe.csv"


def write(
    out: Path, stages: Stages, funnels: Mapping[str, Funnel], manifest: Iterable[ManifestRow]
) -> None:
    """Write a row for each photo, by class and file name."""
    photos: dict[str, list[ManifestRow]] = {key: [] for key in funnels}
    for row in manifest:
        photos[row.wnid].append(row)
    rows = (
        row for key, part in photos.items() for row in _class_rows(stages, key, funnels[key], part)
    )
    write_csv(out / FILE, RecipeRow, rows)


def _class_rows(
    stages: Stages, key: str, funnel: Funnel, photos: list[ManifestRow]
) -> Iterator[RecipeRow]:
    clean = {row.file: row for row in read_csv(stages.clean / f"{key}.csv", CleanRow) if row.file}
    sha256s = {
        (place, row.image_id): row.sha256
        for place in {row.moved_from or key for row in clean.values()}
        for row in read_csv(stages.raw / f"{place}.csv", RawRow)
        if row.status is Status.OK
    }
    results = results_text(funnel)
    for row in sorted(photos, key=lambda row: Path(row.file).name):
        cleaned = clean[Path(row.file).name]
        texts = {
            name: no_formula(getattr(row, name))
            for name in ("license", "author", "landing_url", "title")
        }
        yield RecipeRow(
            wnid=key,
            split=row.split,
            url=row.url,
            sha256=sha256s[cleaned.moved_from or key, row.image_id],
            perceptual_hash=cleaned.perceptual_hash,
            image_id=row.image_id,
            synset=row.synset if row.synset != key else "",
            source=row.source,
            rescued_from=row.rescued_from,
            moved_from=row.moved_from,
            results=results,
            **texts,
        )
        results = ""


def original_funnels(funnels: Mapping[str, Funnel], urls: Path) -> Mapping[str, Funnel]:
    """The funnels of the dataset that a recipe describes, if this one is wholly identical to it.

    Otherwise, and without a recipe, those of this build.
    """
    originals = {}
    for key, funnel in funnels.items():
        kept = sum(funnel.splits.values())
        whole = funnel.matches.total() == funnel.matches[Match.IDENTICAL] == funnel.rebuilt == kept
        found = _of_recipe(urls / f"{key}.csv", funnel) if whole and funnel.matches else None
        if found is None:
            return funnels
        originals[key] = found
    return originals


def _of_recipe(table: Path, funnel: Funnel) -> Funnel | None:
    """What the recipe says about a class; None if it says nothing, or names other splits."""
    rows = list(read_csv(table, Candidate))
    split = Counter(row.split for row in rows)
    text = next((row.results for row in rows if row.results), "")
    return _from_text(text, funnel.splits) if split == Counter(funnel.splits) else None


_COUNTS: dict[str, type] = {"raw": Status, "clean": Status, "opt_outs": Signal, "matches": Match}


def results_text(funnel: Funnel) -> str:
    """A class's counts, without its splits."""
    counts: dict[str, Any] = {name: dict(getattr(funnel, name)) for name in _COUNTS}
    found = {name: part for name, part in counts.items() if part}
    found |= {"rebuilt": funnel.rebuilt} if funnel.rebuilt else {}
    return json.dumps(found, separators=(",", ":"), sort_keys=True)


def _from_text(text: str, splits: Mapping[str, int]) -> Funnel | None:
    """The funnel that a text stands for, or None: recipes may come from anybody."""
    try:
        found = json.loads(text)
        counts: dict[str, Any] = {
            name: Counter({kind(one): int(count) for one, count in found.get(name, {}).items()})
            for name, kind in _COUNTS.items()
        }
        funnel = Funnel(splits=dict(splits), **counts, rebuilt=int(found.get("rebuilt", 0)))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return funnel if min(funnel.steps.values(), default=0) >= 0 else None
