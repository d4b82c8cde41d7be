"""Writes the files that describe the dataset: ATTRIBUTION.csv, README.md, croissant.json."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from allrounder.core.paths import Stages
from allrounder.core.rows import ManifestRow
from allrounder.params.schema import Params
from allrounder.split import attribution, card, croissant
from allrounder.split.facts import count_facts


def describe(params: Params, stages: Stages, out: Path, manifest: Sequence[ManifestRow]) -> None:
    """Describe the dataset in `out`, with nothing but what is in it and in the stages' tables.

    A version is told by the first 12 hex digits of the SHA-256 of manifest.csv.
    """
    version = hashlib.sha256((out / "manifest.csv").read_bytes()).hexdigest()[:12]
    known = count_facts(params, stages, out, manifest)
    credited = attribution.write(out, manifest)
    card.write(out, params, known, version, credited)
    croissant.write(out, params, known, version)
