"""Dataset card, Croissant and attribution: read by the libraries they are for, hostile text in."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from allrounder.catalogue.synsets import all_synsets
from allrounder.clean.curate import SAME
from allrounder.clean.decode import normalize
from allrounder.clean.test_sets import ProtectedSet, copies_in_test_sets, table_lines
from allrounder.core.funnel import class_funnel
from allrounder.core.licences import normal
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.params.dataset import folder_name
from allrounder.params.schema import Clean, Dataset, Params
from allrounder.split.card import LONGEST, escaped, size_category, write
from allrounder.split.croissant import rai_properties
from allrounder.split.facts import REASONS, DatasetFacts, Tally
from project import Project
from webfaults.project import make_params

CLASSES = {"n02109961": "dog", "n02917067": "train", "n04273569": "boat"}
BY = "https://creativecommons.org/licenses/by/2.0/"
EVIL = [
    "</td><script>alert(1)</script>",
    "| a | b |\n---\nconfigs: []\n",
    "[x](javascript:alert(1)) ![y](http://evil.example/z.png) <http://evil.example>",
    '"; {{ 7 * 7 }} {% raw %} `code` **b** \\| \u202e\u0000\x1b[31m',
]
OWN = "http://h.example/terms/"
LICENCES = [BY, "CC BY-SA 2.0", "", *EVIL, OWN]


def built(clone: Project, **changes: Any) -> Project:
    """Run the stages on three classes, with licences and authors as a source might give them."""
    clone.edit(classes=CLASSES, per_class=20, min_per_class=10, **changes)
    clone.stage("fetch_urls")
    for path in sorted((clone.folder / "data/urls").glob("*.csv")):
        rows = list(read_csv(path, Candidate))
        write_csv(path, Candidate, [described(row, n) for n, row in enumerate(rows)])
    for stage in ("download", "clean", "split"):
        clone.stage(stage)
    return clone


def described(row: Candidate, number: int) -> Candidate:
    licence = LICENCES[number % len(LICENCES)].replace("\0", "")
    author = EVIL[number % 4].replace("\0", "") if licence else ""
    return replace(
        row, license=licence, author=author, title=f"=no {number}", landing_url="\uff1d<x>"
    )


@pytest.fixture(scope="module")
def dataset(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = Project.cloned(origin, tmp_path_factory.mktemp("describe") / "clone")
    return built(clone).folder / "data/dataset"


def manifest(dataset: Path) -> list[ManifestRow]:
    return list(read_csv(dataset / "manifest.csv", ManifestRow))


def card(dataset: Path) -> tuple[dict[str, Any], str]:
    """Front matter and body."""
    _, front, body = (dataset / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def tables(body: str) -> list[list[list[str]]]:
    """The cells of every table, as a reader of CommonMark sees them."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(body):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.map and token.level > 3:
            found[-1][-1].append("".join(part.content for part in token.children or ()))
    return found


HF = """
import json, sys
from collections import Counter
from datasets import load_dataset

def summary(loaded):
    return {
        name: [len(part), len(set(map(str, part.to_pandas()["image"].map(lambda i: i["bytes"]
            if i["bytes"] else i["path"])))), Counter(map(part.features["label"].int2str,
            part["label"])), part.features["label"].names]
        for name, part in loaded.items()
    }

print(json.dumps([summary(load_dataset(*args, **kw)) for args, kw in json.loads(sys.argv[1])]))
"""


def hugging_face(home: Path, *calls: tuple[list[str], dict[str, str]]) -> list[Any]:
    """For each call of load_dataset, by split: photos, different photos, labels, label names."""
    ended = subprocess.run(
        [sys.executable, "-c", HF, json.dumps(calls)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "malformed" not in ended.stderr
    return list(json.loads(ended.stdout))


def test_the_fingerprints_are_those_of_the_photos(dataset: Path, tmp_path: Path) -> None:
    table = dataset / "fingerprints.csv"
    assert sorted(table.read_text().splitlines(True)) == sorted(table_lines(dataset))
    # Another project names the table: each photo is found by its name.
    some = sorted(dataset.glob("*/*/*.jpg"))[::9]
    prints = [one for path in some if (one := normalize(path.read_bytes(), Clean()).fingerprint)]
    sets, rows = [ProtectedSet(str(table))], range(len(prints))
    found = copies_in_test_sets(rows, prints.__getitem__, sets, Clean().near_radius, SAME)
    names = [path.relative_to(dataset).as_posix() for path in some]
    assert {at: name.rpartition(": ")[2] for at, name in found.items()} == dict(enumerate(names))


def test_hugging_face_loads_the_folders_and_the_card_alike(dataset: Path, tmp_path: Path) -> None:
    by_folders, by_card = hugging_face(
        tmp_path, (["imagefolder"], {"data_dir": str(dataset)}), ([str(dataset)], {})
    )
    rows = manifest(dataset)
    names = sorted({Path(row.file).parts[1] for row in rows})
    assert by_folders == by_card
    for split, side in (("train", "train"), ("validation", "val")):
        photos = [row for row in rows if row.split == side]
        labels = Counter(Path(row.file).parts[1] for row in photos)
        assert by_card[split] == [len(photos), len(photos), labels, names]


def test_the_front_matter_says_what_is_there(dataset: Path) -> None:
    front, _ = card(dataset)
    rows = manifest(dataset)
    counts = Counter(row.split for row in rows)
    (config,), (info,) = front["configs"], front["dataset_info"]
    assert [part["path"] for part in config["data_files"]] == ["train/**", "val/**"]
    assert {part["name"]: part["num_examples"] for part in info["splits"]} == {
        **{"train": counts["train"], "validation": counts["val"]}
    }
    assert sum(part["num_bytes"] for part in info["splits"]) == sum(
        (dataset / row.file).stat().st_size for row in rows
    )
    assert set(front["license"]) == {"cc-by-2.0", "other", "unknown"}
    assert front["task_categories"] == ["image-classification"]
    assert front["size_categories"] == ["n<1K"]


def test_the_cards_figures_are_the_tables_own(dataset: Path) -> None:
    _, body = card(dataset)
    rows = manifest(dataset)
    classes, origins, raw, clean, licences = tables(body)
    assert [line[1:3] for line in classes[1:-1]] == [
        [next(Path(r.file).parts[1] for r in rows if r.wnid == wnid), wnid] for wnid in CLASSES
    ]
    assert sum(int(cell) for cell in classes[-1][4:]) == len(rows)
    assert origins[1:] == [["folder", "local files", str(len(rows))]]
    data = dataset.parent
    for table, folder, kind in ((raw, "raw", RawRow), (clean, "clean", CleanRow)):
        counts = Counter(status(data / folder, kind))
        assert {line[0]: int(line[1]) for line in table[1:]} == counts
    found_texts = Counter({line[0]: int(line[1]) for line in licences[1:]})
    assert found_texts == Counter(cell(normal(row.license)) for row in rows)
    assert {"CC BY 2.0", "CC BY-SA 2.0", "unknown"} < set(found_texts)


def test_the_card_counts_opt_outs_by_signal(tmp_path: Path) -> None:
    evidence = ["robots.txt: GPTBot", "X-Robots-Tag: noai", "robots.txt: train-ai=n", ""]
    rows = [RawRow("1", "u", Status.OPTED_OUT, opt_out=one) for one in evidence]
    facts = DatasetFacts([], {"n1": class_funnel(rows, [], {"train": 0})}, Tally(), Dataset())
    write(tmp_path, Params.model_validate(make_params()), facts, "1", "")
    _, body = card(tmp_path)
    assert [["signal", "candidates"], ["robots.txt", "2"], ["X-Robots-Tag", "1"]] in tables(body)


def test_croissant_states_what_was_counted() -> None:
    funnel = class_funnel(
        [RawRow("1", "u", Status.OK), RawRow("2", "v", Status.HTTP_ERROR)],
        [CleanRow("1", Status.KEPT), CleanRow("3", Status.EXCLUDED)],
        {"train": 1},
    )
    tally = Tally(credited=1, rescued=1)
    tally.hosts["csv", "a\u202e.example"] = 1
    tally.moved["n1", "n2"] = 4
    facts = DatasetFacts([], {"n1": funnel}, tally, Dataset())
    clean = Clean(max_side=64, licenses=["cc0-1.0"])
    found = {name: json.dumps(words) for name, words in rai_properties(clean, facts).items()}
    assert "a .example: 1" in found["rai:dataCollection"]
    assert "web archive" in found["rai:dataCollection"]
    assert found["rai:dataCollectionType"] == '["Web Scraping", "Manual Human Curator"]'
    assert "1 of 2 candidates" in found["rai:dataCollectionMissingData"]
    assert "1 http_error (the server answered" in found["rai:dataCollectionMissingData"]
    assert "64 pixels" in found["rai:dataPreprocessingProtocol"]
    assert "CC0 1.0" in found["rai:dataPreprocessingProtocol"]
    assert "4 photos were moved to another class and 1 taken" in found["rai:dataAnnotationProtocol"]
    assert "1 of 1 photos are from a .example" in found["rai:dataBiases"]
    assert "1 photos are listed with the name" in found["rai:personalSensitiveInformation"]


def status(folder: Path, kind: type[RawRow] | type[CleanRow]) -> Iterator[Status]:
    for wnid in CLASSES:
        yield from (row.status for row in read_csv(folder / f"{wnid}.csv", kind))


def cell(form: str) -> str:
    """How a text from the web, e.g. a licence's normal form, reads in the card."""
    known = {"cc-by-2.0": "CC BY 2.0", "cc-by-sa-2.0": "CC BY-SA 2.0"}
    plain = " ".join("".join(c if c.isprintable() else " " for c in form).split())
    return known.get(form, plain if len(plain) <= LONGEST else plain[: LONGEST - 3] + "...")


def test_nothing_from_the_web_becomes_markup(dataset: Path) -> None:
    _, body = card(dataset)
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    parts = [part for token in tokens for part in token.children or ()]
    assert not [token for token in [*tokens, *parts] if token.type.startswith(("html", "image"))]
    links = {str(part.attrs["href"]) for part in parts if part.type == "link_open"}
    assert links == {BY, "https://creativecommons.org/licenses/by-sa/2.0/"}
    assert "49" not in " ".join(cell for table in tables(body) for row in table for cell in row)


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
def test_escaped_text_reads_as_it_was(text: str) -> None:
    body = f"| a |\n|---|\n| x{escaped(text)}x |\n"
    ((_, (found,)),) = tables(body)
    assert found == f"x{cell(text)}x"


def test_the_attribution_names_title_author_source_and_licence(dataset: Path) -> None:
    with (dataset / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as file:
        credits = {row["file"]: row for row in csv.DictReader(file)}
    rows = {row.file: row for row in manifest(dataset)}
    assert set(credits) == {row.file for row in rows.values() if row.author or row.license}
    assert 0 < len(credits) < len(rows)
    for name, credit in credits.items():
        row = rows[name]
        assert row.title.startswith("'=no ")  # no spreadsheet runs it
        assert row.landing_url.startswith("'\uff1d")  # nor the full-width form
        for column in ("title", "landing_url", "author"):
            assert credit[column] == getattr(row, column)
        assert not [cell for cell in credit.values() if cell[:1] in ("=", "+", "-", "@")]
        assert credit["url"] == row.url
        if row.license in (BY, "CC BY-SA 2.0"):
            words = "CC BY 2.0" if row.license == BY else "CC BY-SA 2.0"
            sa = BY.replace("by/", "by-sa/")
            assert credit["license"] == words
            assert credit["license_url"] == (BY if row.license == BY else sa)
        else:
            stated = row.license if row.license == OWN else ""
            assert (credit["license"], credit["license_url"]) == (row.license, stated)


@pytest.fixture(scope="module")
def mlcroissant() -> Any:
    """The library; it takes a second to import, so not while tests are collected."""
    return import_module("mlcroissant")


def test_mlcroissant_finds_no_fault_but_the_missing_date(mlcroissant: Any, dataset: Path) -> None:
    found = mlcroissant.Dataset(jsonld=str(dataset / "croissant.json"))
    issues = found.metadata.ctx.issues
    assert not issues.errors
    assert [words for words in issues.warnings if "datePublished" not in words] == []
    assert found.metadata.ctx.is_v1_1()
    assert "Web" not in str(found.metadata.data_collection_type)  # local files
    facts = found.metadata
    assert "local files" in str(facts.data_collection)
    for stated in (
        facts.data_collection_missing_data, facts.data_collection_raw_data, facts.data_biases,
        facts.data_preprocessing_protocol, facts.data_annotation_protocol, facts.data_limitations,
        facts.data_use_cases, facts.data_social_impact, facts.personal_sensitive_information,
        facts.data_release_maintenance_plan, facts.annotations_per_item,
    ):  # fmt: skip
        assert stated
    licence = json.loads((dataset / "croissant.json").read_text(encoding="utf-8"))["license"]
    assert {BY, "https://h.example/terms"} < {*licence}
    assert not [one for one in licence if one.startswith("//")]


def test_mlcroissant_reads_every_photo_with_its_row(mlcroissant: Any, dataset: Path) -> None:
    found = mlcroissant.Dataset(jsonld=str(dataset / "croissant.json"))
    rows = {row.file: row for row in manifest(dataset)}
    records = list(found.records("photos"))
    assert len(records) == len(rows)
    for record in records:
        row = rows.pop(text(record["photos/file"]))
        for name in ("sha256", "label", "voc", "split", "url", "license", "author", "title"):
            assert text(record[f"photos/{name}"]) == getattr(row, name), name
        assert record["photos/class_index"] == row.class_index
        body = (dataset / row.file).read_bytes()
        assert hashlib.sha256(body).hexdigest() == row.sha256
        with Image.open(dataset / row.file) as image:  # mlcroissant decodes, always to RGB
            assert record["photos/image"].tobytes() == image.convert("RGB").tobytes()
    splits = {text(r["splits/name"]): r["splits/photos"] for r in found.records("splits")}
    assert splits == Counter(row.split for row in manifest(dataset))
    assert [text(r["classes/wnid"]) for r in found.records("classes")] == list(CLASSES)


def text(value: Any) -> str:
    """mlcroissant's text is bytes, or None for an empty cell."""
    return value.decode() if isinstance(value, bytes) else value or ""


def test_mlcroissant_notices_another_manifest(
    mlcroissant: Any, dataset: Path, tmp_path: Path
) -> None:
    for name in ("croissant.json", "manifest.csv", "classes.csv"):
        (tmp_path / name).write_bytes((dataset / name).read_bytes())
    with (tmp_path / "manifest.csv").open("a") as file:
        file.write("\n")
    found = mlcroissant.Dataset(jsonld=str(tmp_path / "croissant.json"))
    with pytest.raises(mlcroissant.GenerationError) as caught:
        list(found.records("photos"))
    assert "is not identical with the reference" in str(caught.value.__cause__)


def test_the_same_stages_give_the_same_texts(dataset: Path, tmp_path: Path) -> None:
    project = Project(dataset.parent.parent)
    before = project.files("data/dataset")
    project.stage("split")
    assert project.files("data/dataset") == before
    for name in ("README.md", "croissant.json"):
        found_texts = before[f"data/dataset/{name}"].decode()
        assert str(project.folder) not in found_texts
        assert os.uname().nodename not in found_texts


@pytest.fixture(scope="module")
def folds(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = Project.cloned(origin, tmp_path_factory.mktemp("folds") / "clone")
    return built(clone, split={"kfold": 3, "folders": "voc"}).folder / "data/dataset"


def test_folds_load_one_by_one_also_with_a_class_called_train(folds: Path, tmp_path: Path) -> None:
    total = len(manifest(folds))
    counts = Counter(row.split for row in manifest(folds))
    calls: list[tuple[list[str], dict[str, str]]] = []
    for fold in counts:
        calls += [([str(folds), fold], {}), (["imagefolder"], {"data_dir": f"{folds}/{fold}"})]
    loaded = hugging_face(tmp_path, ([str(folds)], {}), *calls)
    assert loaded[0] == loaded[1]
    for fold, by_card, by_folders in zip(counts, loaded[1::2], loaded[2::2], strict=True):
        assert by_card == by_folders
        assert by_card["train"][:2] == [total - counts[fold]] * 2
        assert by_card["validation"][:2] == [counts[fold]] * 2
        assert by_card["train"][3] == ["boat", "dog", "trains"]


def test_the_front_matter_of_folds_needs_no_aliases(folds: Path) -> None:
    _, front, _ = (folds / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert not [event for event in yaml.parse(front) if isinstance(event, yaml.AliasEvent)]
    assert len({str(info["features"]) for info in yaml.safe_load(front)["dataset_info"]}) == 1


def test_croissant_has_each_photo_of_folds_once(mlcroissant: Any, folds: Path) -> None:
    found = mlcroissant.Dataset(jsonld=str(folds / "croissant.json"))
    files = Counter(text(record["photos/file"]) for record in found.records("photos"))
    assert files == Counter(row.file for row in manifest(folds))


def test_one_class_without_licences_has_labels_but_no_attribution(
    clone: Project, tmp_path: Path
) -> None:
    clone.edit(classes={"n02109961": "dog"}, split={"ratio": [0.6, 0.2, 0.2]})
    for stage in ("fetch_urls", "download", "clean", "split"):
        clone.stage(stage)
    root = clone.folder / "data/dataset"
    assert not (root / "ATTRIBUTION.csv").exists()
    assert "No source named an author or a licence" in card(root)[1]
    assert card(root)[0]["license"] == "unknown"
    (loaded,) = hugging_face(tmp_path, ([str(root)], {}))
    assert set(loaded) == {"train", "validation", "test"}
    assert all(part[3] == ["eskimo_dog"] for part in loaded.values())


def test_no_class_folder_is_taken_for_a_split(tmp_path: Path) -> None:
    """By Hugging Face's own patterns, with every label of ImageNet that holds a split's name."""
    labels = {synset.label for synset in all_synsets().values()}
    folders = {folder_name(label) for label in labels}
    assert len(folders) == len(labels)
    words = ("train", "test", "val", "dev", "eval")
    for name in (name for name in folders if any(word in name for word in words)):
        for side in ("train", "val"):
            (tmp_path / side / name).mkdir(parents=True)
            (tmp_path / side / name / "a.jpg").touch()
    script = (
        "import json, sys; from datasets.data_files import *; root = sys.argv[1];"
        "found = DataFilesDict.from_patterns(get_data_patterns(root), base_path=root);"
        "print(json.dumps({str(name): list(files) for name, files in found.items()}))"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
    ).stdout  # fmt: skip
    found = json.loads(output)
    for split, side in (("train", "train"), ("validation", "val")):
        own = sorted(str(path) for path in (tmp_path / side).glob("*/*"))
        assert sorted(found[split]) == own


def test_every_status_has_a_text() -> None:
    assert set(REASONS) == set(Status)


@pytest.mark.parametrize(
    ("photos", "words"), [(1, "n<1K"), (1000, "1K<n<10K"), (3000, "1K<n<10K"), (10**6, "1M<n<10M")]
)
def test_sizes_have_the_hubs_names(photos: int, words: str) -> None:
    assert size_category(photos) == words
