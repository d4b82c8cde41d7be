"""Writes all that describes a dataset beside it: ATTRIBUTION.csv, README.md, croissant.json.

Not for the photos and their tables, which must be there by then: that is layout.py.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from allrounder.params import Params
from allrounder.records import ManifestRow
from allrounder.split import attribution, card, croissant
from allrounder.split.facts import facts
from allrounder.split.layout import Stages


def describe(params: Params, stages: Stages, out: Path, manifest: Sequence[ManifestRow]) -> None:
    """Describe the dataset in `out`, with nothing but what is in it and in the stages' tables.

    A version is told by the first 12 hex digits of the SHA-256 of manifest.csv.
    """
    version = hashlib.sha256((out / "manifest.csv").read_bytes()).hexdigest()[:12]
    known = facts(params, stages, out, manifest)
    credited = attribution.write(out, manifest)
    card.write(out, params, known, version, credited)
    croissant.write(out, params, known, version)
