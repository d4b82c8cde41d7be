"""Writes recipe.csv: how to build this dataset from the web again, without a picture in it.

A dataset that was rebuilt from a recipe, with each photo identical, is the same version. So its
card describes how the original was made. The recipe carries the counts for that: a class's first
row has its funnel as JSON in the column `results`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from allrounder.core.funnel import Funnel
from allrounder.core.opt_outs import Signal
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, Match, RecipeRow, Status
from allrounder.core.tables import read_csv

FILE = "recipe.csv"


def class_rows(
    photos: Iterable[ManifestRow],
    clean: Mapping[str, CleanRow],
    sha256s: Mapping[tuple[str, str], str],
) -> list[RecipeRow]:
    """The rows of a class, by file name, without its results.

    `photos` are rows as the manifest has them. `clean` has the rows by file name, and `sha256s` the
    raw photos by their class and image id.
    """
    return [_row(row, clean[row.name], sha256s) for row in sorted(photos, key=attrgetter("name"))]


def _row(row: ManifestRow, cleaned: CleanRow, sha256s: Mapping[tuple[str, str], str]) -> RecipeRow:
    return RecipeRow(
        wnid=row.wnid,
        split=row.split,
        url=row.url,
        sha256=sha256s[cleaned.moved_from or row.wnid, row.image_id],
        perceptual_hash=cleaned.perceptual_hash,
        image_id=row.image_id,
        synset=row.synset if row.synset != row.wnid else "",
        source=row.source,
        rescued_from=row.rescued_from,
        moved_from=row.moved_from,
        license=row.license,
        author=row.author,
        landing_url=row.landing_url,
        title=row.title,
    )


def original_funnels(funnels: Mapping[str, Funnel], urls: Path) -> Mapping[str, Funnel]:
    """The funnels of the dataset that a recipe describes, if each photo of this one is identical.

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
    """The original funnel of a class; None if the recipe has none, or has other splits."""
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
    """The funnel in a text of `results_text`; None for any other text, which a recipe may have."""
    try:
        found = json.loads(text)
        counts: dict[str, Any] = {
            name: Counter({kind(one): int(count) for one, count in found.get(name, {}).items()})
            for name, kind in _COUNTS.items()
        }
        funnel = Funnel(splits=Counter(splits), **counts, rebuilt=int(found.get("rebuilt", 0)))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return funnel if min(funnel.steps.values(), default=0) >= 0 else None
