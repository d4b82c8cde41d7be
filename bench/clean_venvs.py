"""Installs what we compare with, each in a virtual environment of its own, and remembers it."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from measure import BenchError

CLEANVISION = ("cleanvision==0.3.7", "ImageHash==4.3.2")
SEARCH = ("faiss-cpu==1.15.1", "usearch==2.26.6")
IMAGEDEDUP = ("--no-deps", "imagededup==0.3.3.post2")
"""Without what it depends on: only its search class is used, which needs nothing."""


def installed(cache: Path, name: str, *wanted: Sequence[str]) -> Path:
    """The Python of the environment `name` below `cache`, made at the first call."""
    venv = cache / name
    python, mark = venv / "bin" / "python", venv / "complete"
    if not mark.exists():
        print(f"installing {name}", flush=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
            for part in wanted:
                subprocess.run([*pip, *part], check=True)
        except subprocess.CalledProcessError as error:
            raise BenchError(f"{name} cannot be installed: {error}") from None
        mark.touch()
    return python
