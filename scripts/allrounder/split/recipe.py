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
from allrounder.core.tables import columns, read_csv

FILE = "recipe.csv"
_SHARED = [name for name in columns(RecipeRow) if name in columns(ManifestRow)]


def class_rows(
    photos: Iterable[ManifestRow], clean: Mapping[str, CleanRow], sha256s: Mapping[str, str]
) -> list[RecipeRow]:
    """The rows of a class, by file name, without its results.

    `photos` are rows as the manifest has them; `clean` has the rows of clean, and `sha256s` the
    hashes of the raw photos, by file name.
    """
    rows = []
    for row in sorted(photos, key=attrgetter("name")):
        shared: dict[str, Any] = {name: getattr(row, name) for name in _SHARED}
        shared |= {"sha256": sha256s[row.name], "synset": row.synset * (row.synset != row.wnid)}
        rows.append(RecipeRow(**shared, perceptual_hash=clean[row.name].perceptual_hash))
    return rows


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
