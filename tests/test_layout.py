"""The dataset as other libraries read it, by their rules: torchvision and Ultralytics are too big.

Hugging Face's imagefolder and mlcroissant themselves read it in test_describe.py.
"""

import csv
import errno
import hashlib
import json
import os
import runpy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from allrounder.catalogue.synsets import VOC_LABELS
from allrounder.core.errors import DataError
from allrounder.core.files import stage_lock
from allrounder.core.paths import Stages
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes
from allrounder.params.loading import load_params
from allrounder.split import one_class
from allrounder.split.layout import build_dataset, summary_line
from hostile import files_of_at_most
from project import Project


@pytest.fixture
def built(pulled_once: Path) -> Project:
    """The embedded default, only to be read."""
    return Project(pulled_once)


def manifest(clone: Project) -> list[ManifestRow]:
    return list(read_csv(clone.folder / "data/dataset/manifest.csv", ManifestRow))


def table(clone: Project) -> list[dict[str, str]]:
    with (clone.folder / "data/dataset/classes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def image_folder(root: Path) -> tuple[list[str], list[tuple[Path, int]]]:
    """torchvision.datasets.ImageFolder's rule: sorted folders are classes, sorted files samples."""
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    samples = [
        (path, index)
        for index, name in enumerate(classes)
        for path in sorted((root / name).iterdir())
    ]
    return classes, samples


def test_the_manifest_and_the_folders_agree(built: Project) -> None:
    rows = manifest(built)
    root = built.folder / "data/dataset"
    assert {row.file for row in rows} == {
        path.relative_to(root).as_posix() for path in root.glob("*/*/*.jpg")
    }
    for row in rows:
        body = (root / row.file).read_bytes()
        assert hashlib.sha256(body).hexdigest() == row.sha256
        assert Path(row.file).name == f"{row.wnid}_{row.sha256[:16]}.jpg"
        with Image.open(root / row.file) as image:
            image.load()
            assert (image.format, image.mode in ("RGB", "L")) == ("JPEG", True)
            assert image.size == (row.width, row.height)
            assert not image.getexif()


def test_it_reads_as_an_image_folder_with_the_same_classes_in_every_split(built: Project) -> None:
    root = built.folder / "data/dataset"
    train, val = image_folder(root / "train"), image_folder(root / "val")
    assert train[0] == val[0] == sorted(row["folder"] for row in table(built))
    assert (len(train[1]), len(val[1])) == (160, 40)
    # Ultralytics takes the split from the first folder's name, and the class from the last one's.
    # Hugging Face's imagefolder would read a metadata.csv in place of the labels if it stood in
    # train or val, and passes over one beside them: so there is none.
    assert {entry.name for entry in root.iterdir()} == {
        *("train", "val", "manifest.csv", "classes.csv", "README.md", "croissant.json"),
        *("recipe.csv", "fingerprints.csv"),
    }


def test_the_class_table_joins_detectors_labels(built: Project) -> None:
    rows = {row["folder"]: row for row in table(built)}
    husky = rows["eskimo_dog"]
    assert husky["wnid"] == "n02109961"
    assert husky["ilsvrc_index"] == "248"
    assert VOC_LABELS[int(husky["voc_index"])] == husky["voc"] == "dog"
    assert (husky["coco"], husky["coco_index"]) == ("dog", "16")
    assert (rows["monitor"]["coco"], rows["monitor"]["coco_index"]) == ("tv", "62")
    assert [row["class_index"] for row in table(built)] == [str(n) for n in range(10)]
    assert sum(int(row["train"]) + int(row["val"]) for row in rows.values()) == 200


def test_the_metrics_add_up(built: Project) -> None:
    metrics = json.loads(built.read("data/metrics.json"))
    lost = [counts.pop("lost") for counts in (metrics["all"], *metrics["classes"].values())]
    for step, count in metrics["all"].items():
        assert count == sum(counts[step] for counts in metrics["classes"].values())
    for counts, reasons in zip((metrics["all"], *metrics["classes"].values()), lost, strict=True):
        steps = ("listed", "tried", "taken", "valid", "unique", "kept")
        for before, after in pairwise(steps):
            gone = sum(reasons.get(after, {}).values())
            assert counts[before] - gone == counts[after]
        assert counts["kept"] == counts["train"] + counts["val"]
    assert lost[0]["unique"] == {"near_duplicate": 1, "cross_class": 2}


def test_classes_of_one_voc_label_share_a_folder_and_are_split_each_by_itself(
    clone: Project,
) -> None:
    (clone.folder / "more").mkdir()
    for source, wnid in (("n02109961", "n02109961"), ("n01833805", "n02099601")):
        (clone.folder / "data/sample" / source).rename(clone.folder / "more" / wnid)
    clone.edit(
        sources=[{"kind": "folder", "location": "more"}],
        classes={"n02109961": "dog", "n02099601": "dog"},
        split={"folders": "voc", "ratio": [0.6, 0.2, 0.2]},
    )
    clone.rebuild("fetch_urls", "download", "clean", "split")
    counts = {(row.wnid, row.split) for row in manifest(clone)}
    assert counts == {(w, s) for w in ("n02109961", "n02099601") for s in ("train", "val", "test")}
    assert all(row.file.startswith(f"{row.split}/dog/{row.wnid}_") for row in manifest(clone))
    per = [sum(r.wnid == w and r.split == s for r in manifest(clone)) for w, s in sorted(counts)]
    assert sorted(per) == [4, 4, 4, 4, 12, 12]


def test_folds_are_laid_out_with_each_photo_once_in_the_manifest(pulled: Project) -> None:
    clone = pulled
    clone.edit(split={"kfold": 4})
    clone.rebuild("split")
    rows = manifest(clone)
    assert {row.split for row in rows} == {f"fold_{n}" for n in range(1, 5)}
    assert len({row.sha256 for row in rows}) == len(rows) == 200
    assert (
        summary_line(Counter((row.wnid, row.split) for row in rows))
        == "200 photos of 10 classes: 50 fold_1, 50 fold_2, 50 fold_3, 50 fold_4"
    )
    root = clone.folder / "data/dataset"
    for fold in range(1, 5):
        train = {path.name for path in root.glob(f"fold_{fold}/train/*/*")}
        val = {path.name for path in root.glob(f"fold_{fold}/val/*/*")}
        assert len(train | val) == 200
        assert not train & val


def test_a_second_run_leaves_the_dataset_of_the_first_alone(
    pulled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pulled.files("data/dataset")
    monkeypatch.chdir(pulled.folder)
    monkeypatch.setattr("sys.argv", ["split.py"])
    with stage_lock("split"), pytest.raises(DataError, match="another split is running"):
        runpy.run_path("scripts/split.py")["main"]()
    assert pulled.files("data/dataset") == before


def test_the_dataset_may_be_on_another_disk_than_the_work_folders(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = built.folder / "data", tmp_path / "dataset"
    out.mkdir()

    def on_one_disk(move: Callable[..., None]) -> Callable[..., None]:
        def moved(one: Path, two: Path, **options: object) -> None:
            if (out in Path(one).parents) != (out in Path(two).parents):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            move(one, two, **options)

        return moved

    for name in ("rename", "replace", "link"):
        monkeypatch.setattr(os, name, on_one_disk(getattr(os, name)))
    stages = Stages(data / "urls", data / "raw", data / "clean")
    params = load_params(built.folder / "params.yaml")
    build_dataset(params, stages, out, tmp_path / "work")
    for row in manifest(built):
        assert (out / row.file).read_bytes() == (data / "dataset" / row.file).read_bytes()


def test_a_photo_that_the_disk_has_no_room_for_is_an_error(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "photos"
    archive.write_bytes(bytes(5000))
    photos = {"1.jpg": StoredBytes(archive, 0, 5000)}
    with pytest.raises(OSError, match="too large"), files_of_at_most(4096):
        one_class._write_photos(tmp_path / "train", archive, photos)
