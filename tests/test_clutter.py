"""What file managers and editors leave in folders is no part of a dataset."""

from collections.abc import Callable
from pathlib import Path

import pytest

from allrounder.core.files import hash_folder, remove_other_classes
from allrounder.core.paths import CLUTTER, is_clutter
from allrounder.history.local_files import photo_files
from allrounder.verify.local import _files

ROOT = Path(__file__).resolve().parent.parent
LEFT = [
    *(".DS_Store", "._n1.jpg", "Thumbs.db", "desktop.ini", "n1.jpg~", ".n1.csv.swp", "#n1.csv#"),
    *("n1.csv.bak", ".ipynb_checkpoints/n1.csv"),
]
KEPT = ["n1.csv", "n1.jpg", "1/n2.jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in KEPT:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def litter(folder: Path) -> None:
    for name in LEFT:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("left")


def test_dvc_ignores_the_same_names() -> None:
    assert {*CLUTTER} <= {*(ROOT / ".dvcignore").read_text().splitlines()}
    assert all(is_clutter(name.partition("/")[0]) for name in LEFT)
    assert not any(is_clutter(name) for name in ("n1.csv", "n1.jpg", "n1.tar.part", "a b.jpg"))


@pytest.mark.parametrize(
    "look",
    [
        hash_folder,
        lambda folder: _files(str(folder)),
        lambda folder: [*photo_files(str(folder), recursive=True)],
    ],
)
def test_nothing_that_the_project_lists_changes(
    folder: Path, look: Callable[[Path], object]
) -> None:
    before = look(folder)
    litter(folder)
    assert look(folder) == before


def test_other_classes_are_removed_beside_it(folder: Path) -> None:
    litter(folder)
    (folder / "1/n2.jpg").unlink()
    (folder / "1").rmdir()
    (folder / "n2.csv").touch()
    remove_other_classes(folder, ["n1"])
    assert not (folder / "n2.csv").exists()
    assert (folder / "n1.csv").exists()
