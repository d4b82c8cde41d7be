"""scripts/publish.py: what reaches the Hub and what does not, against a Hub on loopback."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest
import yaml
from pyarrow.parquet import read_table

import publish
from allrounder.core.errors import DataError, run
from allrounder.core.files import file_md5, folder_md5
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import write_csv
from allrounder.publish import files
from allrounder.publish.files import MAX_FILES, Publication, may_share
from allrounder.split.facts import TEMPLATES
from hubserver import TOKEN, HubServer
from project import GIT

NAME = "me/husky"
ROW = ManifestRow(
    "train/husky/a.jpg", "train", 0, "n02109961", "husky", "dog", "n02109961", "1", "http://h/1",
    "csv", "0" * 64, 9, 9, "cc-by-2.0", "A", "",
)  # fmt: skip
CARD = """---
license: cc-by-2.0
configs:
- {config_name: default, drop_labels: false, data_files: [{split: train, path: train/**}]}
dataset_info: []
---
# husky
  note = {Version abc (SHA-256 of manifest.csv)}
}
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.base)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        yield running


@pytest.fixture(autouse=True)
def dataset(own_folder: None) -> Path:
    folder = Path("data/dataset")
    photos = {ROW.file: b"one", "val/husky/b.jpg": b"two"}
    for name, body in photos.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(body)
    rows = [ROW, replace(ROW, file="val/husky/b.jpg", split="val")]
    write_csv(folder / "manifest.csv", ManifestRow, rows)
    (folder / "recipe.csv").write_text("wnid,split,url,sha256\n")
    (folder / "classes.csv").write_text("class_index,folder\n0,husky\n")
    (folder / "README.md").write_text(CARD)
    document = json.loads((TEMPLATES / "croissant.json").read_text(encoding="utf-8"))
    (folder / "croissant.json").write_text(json.dumps(document | {"citeAs": CARD[-60:]}))
    lock(folder)
    return folder


def lock(folder: Path) -> None:
    """Write a dvc.lock that records the folder as it is."""
    found = {
        path.relative_to(folder).as_posix(): file_md5(path)
        for path in folder.rglob("*")
        if path.is_file()
    }
    outs = [{"path": "data/dataset", "md5": folder_md5(found)}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"split": {"outs": outs}}}))


def script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["publish.py", "hf", *arguments])
    return run(publish.main)


def version(dataset: Path) -> str:
    return files.version_of(dataset)


def test_a_version_is_one_commit_and_only_the_difference_follows(
    hub: HubServer,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    assert script(monkeypatch, NAME, "--dry-run") == 0
    assert not hub.commits
    assert "7 files to add" in capsys.readouterr().out
    assert script(monkeypatch, NAME) == 0
    first = version(dataset)
    assert hub.tags[NAME] == {first: hub.commits[NAME][-1].oid}
    assert [commit.message for commit in hub.commits[NAME]] == [
        "initial commit",
        f"Version {first}",
    ]
    published = hub.files(NAME)
    assert set(published) == {
        path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()
    }
    assert published["train/husky/a.jpg"] == b"one"
    assert f"url = {{{hub.base}/datasets/{NAME}}}" in published["README.md"].decode()
    creator = json.loads(published["croissant.json"])["creator"]
    assert creator == {"@type": "sc:Person", "name": "me"}

    assert script(monkeypatch, NAME) == 0  # nothing to do
    assert "is published already" in capsys.readouterr().out
    assert len(hub.commits[NAME]) == 2

    (dataset / "val/husky/b.jpg").rename(dataset / "val/husky/c.jpg")
    (dataset / "train/husky/d.jpg").write_bytes(b"four")
    rows = [ROW, replace(ROW, file="val/husky/c.jpg"), replace(ROW, file="train/husky/d.jpg")]
    write_csv(dataset / "manifest.csv", ManifestRow, rows)
    lock(dataset)
    hub.asked.clear()
    assert script(monkeypatch, NAME, "--tag", "v2") == 0
    assert "2 files to add, 1 to change, 1 to delete, 5 unchanged" in capsys.readouterr().out
    assert hub.asked["PUT store"] == 1  # the renamed photo is there already
    assert "val/husky/b.jpg" not in hub.files(NAME)
    assert hub.tags[NAME]["v2"] == hub.commits[NAME][-1].oid
    assert len(hub.commits[NAME]) == 3

    assert hub.authorizations == {"hub": {f"Bearer {TOKEN}"}, "store": {""}}
    said = capsys.readouterr()
    assert TOKEN not in caplog.text + said.out + said.err


def test_a_killed_publication_goes_on_and_other_files_stay(
    hub: HubServer, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.refuse["/tag/"] = (500, "down")
    assert script(monkeypatch, NAME) == 1
    (commit,) = hub.commits[NAME][1:]
    commit.files["banner.png"] = (False, b"the owner's own")
    hub.refuse.clear()
    assert script(monkeypatch, NAME) == 0
    assert hub.commits[NAME][1:] == [commit]
    assert hub.tags[NAME] == {version(dataset): commit.oid}
    assert hub.files(NAME)["banner.png"]


def test_a_tag_is_never_moved(
    hub: HubServer,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert script(monkeypatch, NAME, "--tag", "v1") == 0
    (dataset / "classes.csv").write_text("other\n")
    lock(dataset)
    assert script(monkeypatch, NAME, "--tag", "v1") == 1
    assert "has another version under the tag v1; choose a --tag" in capsys.readouterr().err
    assert len(hub.commits[NAME]) == 2


def test_photos_without_such_a_licence_stay_at_home(
    hub: HubServer,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_csv(dataset / "manifest.csv", ManifestRow, [ROW, replace(ROW, license="")])
    lock(dataset)
    assert script(monkeypatch, NAME) == 1
    said = capsys.readouterr().err
    assert "1 of 2 photos have licences that do not let you publish them: unknown (1)" in said
    assert not hub.asked
    assert script(monkeypatch, NAME, "--recipe-only") == 0
    assert set(hub.files(NAME)) == {"README.md", "classes.csv", "recipe.csv"}
    assert "configs" not in hub.files(NAME)["README.md"].decode()
    assert script(monkeypatch, NAME, "--tag", "v2", "--allow-licenses", "unknown") == 0
    assert "train/husky/a.jpg" in hub.files(NAME)


def test_a_large_set_goes_as_parquet_of_each_class(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert script(monkeypatch, NAME) == 0
    assert script(monkeypatch, NAME, "--parquet", "--tag", "packed") == 0
    published = hub.files(NAME)
    packed = {name for name in published if name.endswith(".parquet")}
    assert packed == {"data/train/husky-00000.parquet", "data/val/husky-00000.parquet"}
    assert not [name for name in published if name.endswith(".jpg")]
    table = read_table(io.BytesIO(published["data/train/husky-00000.parquet"]))
    assert table.to_pylist() == [{"image": {"bytes": b"one", "path": "a.jpg"}, "label": 0}]
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"]["names"] == ["husky"]
    front = yaml.safe_load(published["README.md"].decode().split("---\n")[1])
    assert front["configs"][0]["data_files"][0]["path"] == "data/train/*.parquet"
    assert not Path(".allrounder/publish/packed").exists()


@pytest.mark.parametrize(
    ("form", "may"),
    [
        ("cc0-1.0", True), ("cc-by-sa-2.0", True), ("cc-by-nc-4.0", True), ("mit", True),
        ("cc-by-nd-2.0", False), ("cc-by-nc-nd-4.0", False), ("unknown", False),
        ("//h.example/terms", False), ("all rights reserved", False),
    ],
)  # fmt: skip
def test_licences_that_let_everybody_pass_photos_on(form: str, may: bool) -> None:
    assert may_share(form) is may


@pytest.mark.parametrize(
    ("part", "status", "words"),
    [
        ("whoami", 401, "does not accept the token (401); run hf auth login"),
        ("repos/create", 403, "the token may not write to me/husky (403: no)"),
        ("commit/main", 412, "has changed meanwhile (412: no); run it again"),
        ("preupload", 400, "answered 400: no"),
        ("whoami", 200, "does not answer as the Hub does (KeyError: 'name'); check the network"),
        ("refs", 200, "does not answer as the Hub does (KeyError"),
    ],
)
def test_a_refusal_is_one_line(
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: str,
    status: int,
    words: str,
) -> None:
    hub.refuse[part] = (status, "no")
    assert script(monkeypatch, NAME) == 1
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error:")]
    assert words in line


def test_a_redirect_to_another_host_gets_no_token(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.refuse["whoami"] = (307, f"{hub.bases[1]}/whoami")
    script(monkeypatch, NAME)
    assert hub.authorizations["store"] == {""}


@pytest.mark.parametrize(
    ("environment", "code", "words"),
    [
        ({"HF_TOKEN": ""}, 2, "no token of the Hub: run hf auth login"),
        ({"HF_ENDPOINT": "http://hub.example"}, 2, "is not https"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, 1, "cannot be reached"),
    ],
)
def test_what_is_missing_is_one_line(
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    code: int,
    words: str,
) -> None:
    for name, value in ({"HF_HOME": str(tmp_path)} | environment).items():
        monkeypatch.setenv(name, value)
    assert script(monkeypatch, NAME) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert TOKEN not in line


def test_only_the_locked_version_is_published(dataset: Path) -> None:
    (dataset / "train/husky/a.jpg").write_bytes(b"edited")
    with pytest.raises(DataError, match=r"is not what dvc.lock records; run dvc repro"):
        files.local_files(dataset)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((f"train/{n // 5000}/{n}.jpg" for n in range(MAX_FILES + 1)), "the Hub takes 100,000"),
        ((f"train/x/{n}.jpg" for n in range(10_000)), "train/x has 10,000 files"),
    ],
)
def test_what_the_hub_cannot_hold_is_refused_with_the_way_out(
    names: Iterator[str], words: str
) -> None:
    with pytest.raises(DataError, match=f"{words}.*--recipe-only"):
        files.check_limits(list(names))


def test_a_git_tag_counts_with_its_lock_only(dataset: Path) -> None:
    assert files.commit_facts() == ("", "")
    for command in (
        ["init", "-q"],
        ["add", "dvc.lock"],
        ["commit", "-qm", "x"],
        ["tag", "dataset@v3"],
        ["tag", "v3"],
    ):
        date = {"GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"}
        subprocess.run([*GIT, *command], check=True, env=date)
    assert files.commit_facts() == ("v3", "2026-01-02")
    Path("dvc.lock").write_text("stages: {}")
    assert files.commit_facts() == ("", "")


def test_the_doi_stands_in_card_and_croissant(dataset: Path, tmp_path: Path) -> None:
    Path("CITATION.cff").write_text("doi: 10.5281/zenodo.1\n")
    doi = files.stated_doi(Path("CITATION.cff"))
    facts = Publication("https://huggingface.co/datasets/me/husky", "me", True, "2026-01-02", doi)
    local = {name: dataset / name for name in ("README.md", "croissant.json")}
    texts = files.published_texts(local, facts)
    assert b"doi = {10.5281/zenodo.1}" in texts["README.md"]
    document = json.loads(texts["croissant.json"])
    assert document["identifier"] == "https://doi.org/10.5281/zenodo.1"
    assert document["datePublished"] == "2026-01-02"
    Path("CITATION.cff").write_text("doi: [}")
    assert files.stated_doi(Path("CITATION.cff")) == ""
