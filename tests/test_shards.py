"""The dataset in shards: the same photos as in folders, and few shards change with the dataset."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import webdataset
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from allrounder.core.errors import UsageError
from allrounder.core.parquet import read_photos
from allrounder.core.paths import Stages
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes
from allrounder.params.loading import load_params
from allrounder.params.schema import Clean, Split
from allrounder.publish.parquet import pack
from allrounder.split.layout import build_dataset, describe
from allrounder.split.shards import Sample, cut, runs, write_shards
from allrounder.takedown.content import Reader
from allrounder.verify.local import in_shards
from project import Project


def laid_out(project: Project, out: Path, **rules: Any) -> list[ManifestRow]:
    """Lay the project's photos out by other rules; returns the manifest."""
    data = project.folder / "data"
    stages = Stages(data / "urls", data / "raw", data / "clean")
    params = load_params(project.folder / "params.yaml")
    params = params.model_copy(update={"split": Split(**rules)})
    out.mkdir()
    tally, funnels = build_dataset(params, stages, out, out.with_name("work"))
    write_shards(params, stages, out)
    describe(params, funnels, out, tally)
    assert not (out / "croissant.json").exists()
    (front,) = yaml.safe_load((out / "README.md").read_text(encoding="utf-8").split("---")[1])[
        "configs"
    ]
    for files in front["data_files"]:
        assert [*out.glob(files["path"])]
    return list(read_csv(out / "manifest.csv", ManifestRow))


def test_tars_have_the_photos_and_their_rows(pulled_once: Path, tmp_path: Path) -> None:
    project, out = Project(pulled_once), tmp_path / "out"
    rows = laid_out(project, out, layout="webdataset", shard_photos=40)
    assert (out / "manifest.csv").read_bytes() == (
        pulled_once / "data/dataset/manifest.csv"
    ).read_bytes()
    found: dict[str, ManifestRow] = {}
    for path in sorted(out.glob("*/*")):
        samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
        assert len(samples) <= 40
        for one in samples:
            cells = json.loads(one["json"])
            row = ManifestRow(**cells | {"suspect": cells["suspect"] or None})
            assert Path(row.file).stem == one["__key__"]
            assert hashlib.sha256(one["jpg"]).hexdigest() == row.sha256
            assert row.split == path.parent.name
            found[row.file] = row
    assert found == {row.file: row for row in rows}
    train = sorted(path.name for path in (out / "train").iterdir())
    assert train == [f"{number:05}.tar" for number in range(len(train))]
    again = tmp_path / "again" / "out"
    again.parent.mkdir()
    laid_out(project, again, layout="webdataset", shard_photos=40)
    for path in out.glob("*/*"):
        assert (again / path.relative_to(out)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_hugging_face_reads_each_layout(pulled_once: Path, tmp_path: Path, layout: str) -> None:
    from datasets import Image as Stored  # takes half a second
    from datasets import load_dataset

    out = tmp_path / "out"
    rows = laid_out(Project(pulled_once), out, layout=layout, shard_photos=40)
    loaded = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    cell = "image" if layout == "parquet" else "jpg"
    for split, name in (("train", "train"), ("val", "validation")):
        part = loaded[name].cast_column(cell, Stored(decode=False))
        read = sorted(hashlib.sha256(one["bytes"]).hexdigest() for one in part[cell])
        assert read == sorted(row.sha256 for row in rows if row.split == split)


def test_parquet_is_as_the_hub_reads_it(pulled_once: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = laid_out(Project(pulled_once), out, layout="parquet")
    by_name = {Path(row.file).name: row for row in rows}
    paths = sorted(out.glob("*/*.parquet"))
    for path in paths:
        table = parquet.read_table(path)
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert features["image"] == {"_type": "Image"}
        for image, label in zip(*map(list, table.to_pydict().values()), strict=True):
            row = by_name.pop(image["path"])
            assert hashlib.sha256(image["bytes"]).hexdigest() == row.sha256
            assert features["label"]["names"][label] == Path(row.file).parent.name
            assert row.split == path.parent.name
    assert not by_name
    with pytest.raises(UsageError, match="in shards already"):
        pack(out, tmp_path / "packed")
    name, body = next(read_photos(paths[-1]))
    assert Image.open(io.BytesIO(body)).size
    photos = Reader(Clean()).read(paths[-1]).photos  # what a takedown searches
    assert hashlib.sha256(body).hexdigest() in photos, name


def sample(number: int, size: int) -> Sample:
    digest = hashlib.sha256(f"{number}".encode()).hexdigest()
    texts = ("l", "", "s", "i", "u", "f")
    row = ManifestRow(f"train/a/{number}.jpg", "train", 0, "n1", *texts, digest, 1, 1, "", "", "")
    return row, StoredBytes(Path("x"), 0, size)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=300),
    st.integers(300, 3000),
    st.integers(2, 60),
    st.integers(0, 299),
)
@example([1, 300, 1], 300, 5, 1)  # the shard before takes what fits now
def test_shards_keep_their_bounds_and_a_removed_photo_changes_no_earlier_one(
    sizes: list[int], most_bytes: int, most: int, at: int
) -> None:
    samples = [sample(number, size) for number, size in enumerate(sizes)]
    shards = list(cut(samples, most_bytes, most))
    assert [one for shard in shards for one in shard] == samples
    for shard in shards:
        assert len(shard) <= most
        assert sum(stored.size for _, stored in shard) <= most_bytes
    gone = at % len(samples)
    after = list(cut([*samples[:gone], *samples[gone + 1 :]], most_bytes, most))
    first = next(number for number, shard in enumerate(shards) if samples[gone] in shard)
    if first and shards[first][0] == samples[gone]:
        first -= 1  # a full shard ends before the photo that does not fit
    assert after[:first] == shards[:first]


def test_few_shards_change_with_a_photo_or_a_class() -> None:
    samples = [sample(number, 1000) for number in range(4000)]
    shards = list(cut(samples, 256_000, 10_000))
    assert 20 < len(shards) < 50
    changed = [
        sum(one not in shards for one in cut(samples[:at] + samples[at + 1 :], 256_000, 10_000))
        for at in range(0, 4000, 500)
    ]
    assert sum(changed) / len(changed) < 3
    keys = [f"n{number:08}" for number in range(1000)]
    before = list(runs(keys))
    assert sorted(key for run in before for key in run) == keys
    assert 90 < len(before) < 170
    for number in range(0, 1000, 99):
        after = list(runs([*keys, f"n{number:08}5"]))
        assert sum(run not in before for run in after) <= 2


def test_a_tar_beside_folders_makes_no_shards() -> None:
    assert in_shards(["d/manifest.csv", "d/train/00000.tar"])
    assert not in_shards(["d/manifest.csv", "d/train/00000.tar", "d/train/cat/1.jpg"])
    assert not in_shards(["d/manifest.csv"])


def test_folds_need_folders() -> None:
    with pytest.raises(ValueError, match=r"kfold: .* need layout: folders, not parquet"):
        Split(kfold=3, layout="parquet")
