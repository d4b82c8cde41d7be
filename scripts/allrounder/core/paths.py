"""The paths of the stages' outputs and of the project's files, relative to the project's folder."""

from dataclasses import dataclass
from pathlib import Path

PARAMS, LOCK = Path("params.yaml"), Path("dvc.lock")
URLS, RAW, CLEAN = Path("data/urls"), Path("data/raw"), Path("data/clean")
DATASET, METRICS, REPORTS = Path("data/dataset"), Path("data/metrics.json"), Path("reports")
MANIFEST = "manifest.csv"
"""In DATASET."""
WORK = Path(".allrounder")
"""Work folders, journal and cache. Ignored by git and DVC."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The outputs of the first three stages, each with files by class."""

    urls: Path = URLS
    raw: Path = RAW
    clean: Path = CLEAN
