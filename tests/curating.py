"""Decisions on a few photos that tests make up, without archives and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from allrounder.clean import columns
from allrounder.clean.columns import Photos, codes
from allrounder.clean.curate import judge
from allrounder.clean.fingerprints import Fingerprint
from allrounder.clean.neighbours import Pictures
from allrounder.clean.search import FingerprintColumns
from allrounder.core.corrections import Correction, PhotoId
from allrounder.params.schema import Clean


@dataclass(frozen=True, slots=True)
class Item(columns.Item):
    """A photo with what else is known of it; the stage has columns of these."""

    fingerprint: Fingerprint | None = None
    upload: str = ""
    in_test_set: str = ""
    synset: str = ""


def curate(
    items: Sequence[Item],
    per_class: int,
    rules: Clean,
    corrections: Mapping[PhotoId, Correction] | None = None,
    keys: Sequence[str] = (),
) -> list[Item]:
    """`judge` for a few photos: the same ones with their decisions."""
    prints = FingerprintColumns.of([one.fingerprint for one in items if one.fingerprint])
    named = {one.photo_id: row for row, one in enumerate(items)}
    lines = {named[photo]: line for photo, line in (corrections or {}).items() if photo in named}
    judged = judge(_photos(items, keys), Pictures(prints), per_class, rules, lines)
    return cast(list[Item], list(judged))


def _photos(items: Sequence[Item], keys: Sequence[str]) -> Photos:
    keys = [*dict.fromkeys([*keys, *(one.key for one in items)])]
    places = {key: place for place, key in enumerate(keys)}
    prints = [one.fingerprint for one in items if one.fingerprint]
    return Photos(
        np.arange(len(items)),
        keys,
        np.array([places[one.key] for one in items], np.int64),
        codes(one.upload for one in items),
        codes(one.synset for one in items),
        np.array([bool(one.refused) for one in items], bool),
        np.array([len(one.origins) for one in items], np.int64),
        np.array([one.flat for one in prints], np.float64),
        np.array([one.levels for one in prints], np.int64),
        np.array([one.sha256 for one in items], str),
        {at: one.in_test_set for at, one in enumerate(items) if one.in_test_set},
        items.__getitem__,
    )
