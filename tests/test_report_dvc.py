"""What DVC shows of a build: metrics and plots, of one version and of two; in a clone."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from PIL import Image

import tiny
from allrounder.core.errors import UsageError
from allrounder.core.files import hash_folder
from allrounder.core.photos import DECODERS
from allrounder.params.loading import load_params
from allrounder.report.build import dataset_version
from allrounder.report.thumbs import LEVELS, thumbnail
from project import Project


@pytest.fixture(scope="module")
def two_versions(pulled_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone with two committed versions: v1 is the embedded default, v2 has a class less."""
    clone = Project.copied(pulled_once, tmp_path_factory.mktemp("plots") / "clone")
    clone.repro()
    clone.git("add", "-A")
    clone.git("commit", "-qm", "v1", "--allow-empty")
    clone.git("tag", "v1")
    classes = yaml.safe_load(clone.read("params.yaml"))["classes"]
    clone.edit(classes={w: voc for w, voc in classes.items() if w != "n02123394"}, per_class=18)
    clone.repro()
    clone.commit("v2")
    clone.git("tag", "v2")
    return clone


def parsed(printed: str) -> Any:
    return json.loads(printed[printed.index("{") :])


def test_metrics_diff_shows_the_changes_between_versions(two_versions: Project) -> None:
    diff = parsed(two_versions.dvc("metrics", "diff", "v1", "v2", "--json"))
    changed = diff["data/metrics.json"]
    assert changed["all.kept"] == {"old": 200, "new": 162, "diff": -38}
    assert changed["classes.n02123394.kept"] == {"old": 20, "new": None}
    assert changed["all.lost.unique.near_duplicate"] == {"old": 1, "new": None}
    shown = two_versions.dvc("metrics", "show", "--json")
    metrics = next(iter(parsed(shown)[""]["data"].values()))["data"]
    assert metrics == json.loads(two_versions.read("data/metrics.json"))


@pytest.mark.parametrize("kind", DECODERS)
def test_every_format_that_the_download_takes_has_a_thumbnail(kind: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (90, 60), "red").save(out, kind)
    assert thumbnail(out.getvalue(), LEVELS[0])


def test_plots_show_the_funnel_of_the_metrics(two_versions: Project) -> None:
    metrics = json.loads(two_versions.read("data/metrics.json"))["all"]
    plots = parsed(two_versions.dvc("plots", "show", "--json"))["data"]
    steps = {row["step"]: row["photos"] for row in values(plots["funnel"])}
    assert steps == {name: count for name, count in metrics.items() if name != "lost"}
    lost = {row["reason"].split(": ")[1]: row["photos"] for row in values(plots["reasons"])}
    assert lost == {s: n for reasons in metrics["lost"].values() for s, n in reasons.items()}
    assert sum(row["photos"] for row in values(plots["classes"])) == metrics["kept"]
    assert plots["funnel"][0]["content"]["encoding"]["x"]["scale"] == {"zero": True}


def values(plot: Any) -> list[dict[str, Any]]:
    return [row for one in plot for row in one["content"]["data"]["values"]]


def test_plots_diff_shows_charts_and_contact_sheets_of_both(two_versions: Project) -> None:
    two_versions.dvc("plots", "diff", "v1", "v2")
    pictures = {path.name for path in (two_versions.folder / "dvc_plots/static").iterdir()}
    for version, sheets in (("v1", 10), ("v2", 9)):
        mine = [name for name in pictures if name.startswith(f"{version}_")]
        assert sum(name.endswith(".jpg") for name in mine) == sheets
        assert any(name.endswith("charts_classes.svg") for name in mine)
    for path in (two_versions.folder / "reports/plots/sheets").iterdir():
        with Image.open(path) as sheet:
            assert sheet.width == 768
    assert len([*(two_versions.folder / "reports/plots/sheets").iterdir()]) == 9


def test_a_folder_is_hashed_as_dvc_does_also_where_a_name_starts_like_another(
    tmp_path: Path,
) -> None:
    tree: Any = Tree()  # type: ignore[no-untyped-call]
    for name in ("a/x", "a-b/x", "a.csv", "a+.csv", "a0"):
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        tree.add(
            tuple(name.split("/")), Meta(), HashInfo("md5", hashlib.md5(name.encode()).hexdigest())
        )
    tree.digest()
    assert hash_folder(tmp_path / "out") == tree.hash_info.value


def test_dvcs_own_hash_is_taken_while_it_runs_the_stage_if_the_folder_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.make()
    params = load_params()
    folder = Path("data/raw")

    def found() -> str:
        return dataset_version(params, [folder]).folders["data/raw"]

    text = Path("dvc.lock").read_text(encoding="utf-8")
    size = sum(len(body) for body in tiny.RAW.values())
    text = text.replace(hash_folder(folder), f"{'1' * 32}.dir")
    text = text.replace("size: 600", f"size: {size}").replace("nfiles: 3", "nfiles: 2")
    Path("dvc.lock").write_text(text, encoding="utf-8")
    assert found() == hash_folder(folder)  # by hand: dvc.lock may be another build's
    monkeypatch.setenv("DVC_STAGE", "report")
    assert found() == f"{'1' * 32}.dir"
    (folder / "more.csv").write_bytes(b"x")
    assert found() == hash_folder(folder)
    Path("dvc.lock").write_text("stages: [", encoding="utf-8")
    with pytest.raises(UsageError, match="not valid YAML"):
        found()
