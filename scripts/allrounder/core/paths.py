"""The paths of the stages' outputs and of the project's files, relative to the project's folder."""

import re
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

PARAMS, LOCK = Path("params.yaml"), Path("dvc.lock")
CORRECTIONS, TAKEDOWNS = Path("corrections.csv"), Path("takedowns.csv")
URLS, RAW, CLEAN = Path("data/urls"), Path("data/raw"), Path("data/clean")
DATASET, METRICS, REPORTS = Path("data/dataset"), Path("data/metrics.json"), Path("reports")
MANIFEST, FINGERPRINTS, CLASSES = "manifest.csv", "fingerprints.csv", "classes.csv"
"""In DATASET. In CLEAN, `<class>.fingerprints.csv` has the fingerprints of a class."""
WORK = Path(".allrounder")
"""Work folders, journal and cache. Ignored by git and DVC."""
DECODED = WORK / "decoded"
"""Decoded photos' cache, by content. It may be deleted."""
THUMBNAILS = WORK / "thumbnails"
"""The report's thumbnails and contact sheets, by content. It may be deleted."""


def in_pipeline(path: Path) -> bool:
    """Whether a file is in a DVC project. Stages can also be run by hand, without one."""
    return path.with_name("dvc.yaml").exists()


@dataclass(frozen=True, slots=True)
class Stages:
    """The outputs of the first three stages, each with files by class."""

    urls: Path = URLS
    raw: Path = RAW
    clean: Path = CLEAN


CLUTTER = (
    ".DS_Store", "._*", ".AppleDouble", ".Spotlight-V100", ".Trashes", ".fseventsd", ".directory",
    ".nfs*", ".fuse_hidden*", "[Tt]humbs.db", "ehthumbs*.db", "[Dd]esktop.ini", "*~", "*.bak",
    "*.sw[op]", ".*.kate-swp", ".#*", "[#]*#", ".idea", ".vscode", ".ipynb_checkpoints",
)  # fmt: skip
"""What file managers and editors leave in folders. `.dvcignore` has the same patterns."""


def is_clutter(name: str) -> bool:
    """Whether a file or folder with this name is no part of the data."""
    return bool(_CLUTTER.match(name))


_CLUTTER = re.compile("|".join(map(translate, CLUTTER)))
