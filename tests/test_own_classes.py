"""Classes of one's own: names, ids, labels and folders; where ImageNet has no part in them."""

import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from allrounder.catalogue.labels import (
    ClassPart,
    coco_labels,
    label_matcher,
    may_be_indices,
    meaning,
)
from allrounder.catalogue.synsets import VOC_LABELS, find_synset
from allrounder.core.errors import DataError, UsageError
from allrounder.core.funnel import class_funnel
from allrounder.core.rows import Candidate
from allrounder.fetch_urls import listing
from allrounder.history import local_files
from allrounder.history.local_files import (
    DOWNLOADED,
    LocalPlaces,
    changed_files,
    folder_url,
    is_interrupted,
    local_states,
    quoted_path,
)
from allrounder.params.classes import class_key, class_parts, read_classes
from allrounder.params.dataset import dataset_classes
from allrounder.params.loading import load_params
from allrounder.params.schema import Dataset, Network, Params
from allrounder.params.sources import Source
from allrounder.split import card, croissant
from allrounder.split.facts import DatasetFacts, Tally
from allrounder.start.proposal import find_classes, params_text
from allrounder.web.lists import ListClient
from hostile import picture
from project import Project
from webfaults.project import make_params

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = (ROOT / "params.yaml").read_text(encoding="utf-8")
HUSKY, DOG, FORKLIFT = "n02109961", "n02084071", "n03384352"
OWN = {
    "pallet truck": None,
    "scratch on metal": {"labels": ["scratch", "deep scratch"]},
    "fork lift": {"synset": FORKLIFT},
    HUSKY: "dog",
}


def listed(classes: dict[str, Any], *sources: dict[str, Any]) -> dict[str, list[Candidate]]:
    chosen = TypeAdapter[list[Source]](list[Source]).validate_python(list(sources))
    found = listing.list_classes(chosen, read_classes(classes), ListClient(Network(tries=1)))
    return {key: list(candidates) for key, candidates in found.items()}


def params_of(**values: Any) -> Params:
    return Params.model_validate(make_params() | values)


# Names and ids


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("pallet truck", "pallet_truck"),
        ("Größe L", "grosse_l"),
        ("  Naïve--Café ".strip(), "naive_cafe"),
        ("CON", "con_class"),
        ("none", "none_class"),
        ("7", "7"),
        ("n02109961+", "n02109961+"),
        ("a" * 60, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_11ee3912"),
        ("自転車", "class_32be7a7d"),
    ],
)
def test_the_id_of_a_class_is_its_wnid_or_a_slug(name: str, key: str) -> None:
    assert class_key(name) == key


@given(st.text(min_size=1, max_size=100).filter(lambda name: any(map(str.isalnum, name))))
def test_an_id_is_a_safe_name_of_a_file_on_all_systems(name: str) -> None:
    key = class_key(name)
    assert re.fullmatch(r"[a-z0-9_]{1,46}", key) or key == name  # a wnid
    assert key == class_key(name)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("{a b: null, A-B: null}", r"classes\.A-B: has the same id, a_b, as a b; rename one"),
        (
            "{train: null, trains: null}",
            r"classes\.trains: its folder .* as that of train",
        ),
        ("{x: {labels: [y]}, y: null}", r"classes\.y: 'y' means x too"),
        ("{x: {labels: [dog]}, n02084071: dog}", r"classes\.x: 'dog' means n02084071 too"),
        (
            "{x: {synset: n02109961}, n02084071+: dog}",
            r"classes\.x: shares photos with n02084071",
        ),
        ("{7: null}", r"classes\.7: .* name of a class of your own in quotes"),
    ],
)
def test_classes_that_do_not_fit_together_are_named(
    tmp_path: Path, classes: str, words: str
) -> None:
    text = re.sub(r"(?s)classes:.*?\n\n", f"classes: {classes}\n\n", DEFAULT, count=1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        load_params(tmp_path / "params.yaml")


def test_a_class_has_a_folder_an_index_and_perhaps_a_synset() -> None:
    params = params_of(classes=OWN | {"train": None})
    classes = {one.key: one for one in dataset_classes(params)}
    assert [*classes] == ["pallet_truck", "scratch_on_metal", "fork_lift", HUSKY, "train"]
    assert [one.is_own for one in classes.values()] == [True, True, True, False, True]
    assert classes["fork_lift"].synset == find_synset(FORKLIFT)
    assert (classes["train"].folder, classes["train"].label) == ("trains", "train")
    assert classes["pallet_truck"].synset is None


# Labels


def test_the_names_of_voc_coco_and_cifar_10_find_their_synsets() -> None:
    cifar = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    without = {"fire hydrant", "stop sign", "surfboard"}  # of which ImageNet has none
    birds = {"kite", "cup"}  # names of ILSVRC's own classes
    for label in {*VOC_LABELS, *cifar, *(one.label for one in coco_labels())} - without:
        wnid = meaning(label) or ""
        assert find_synset(wnid), label
        assert label_matcher([ClassPart(wnid, wnid)], {})[label] == wnid
    for one in coco_labels():
        if one.label not in without | birds and one.voc:
            synset = find_synset(meaning(one.label) or "")
            assert getattr(synset, "voc", "") in (one.voc, None), one.label
    assert meaning("dog") == DOG


def test_a_class_goes_by_its_name_id_labels_and_synset() -> None:
    found = label_matcher(class_parts(read_classes(OWN)), {})
    for label in ("pallet truck", "scratch", "deep scratch", "scratch on metal", "fork lift"):
        assert found[label] in {"pallet_truck", "scratch_on_metal", "fork_lift"}
    assert found[FORKLIFT] == found["forklift"] == found["561"] == "fork_lift"
    given = label_matcher(class_parts(read_classes(OWN)), {"pallet_truck": "Hubwagen"})
    assert given["hubwagen"] == "pallet_truck"
    assert "pallet truck" not in given


@pytest.mark.parametrize(
    ("numbers", "plausible"),
    [
        ({0, 1}, False), ({*range(10)}, False), ({*range(100)}, False), ({*range(1, 258)}, False),
        ({*range(1000)}, True), ({*range(1, 1001)}, False), ({248, 283}, True), ({5}, False),
        ({*range(151, 269)}, True), (set(), False),
    ],
)  # fmt: skip
def test_numbers_are_indices_of_ilsvrc_only_if_they_look_so(
    numbers: set[int], plausible: bool
) -> None:
    assert may_be_indices(numbers) == plausible


def test_class_numbers_are_no_indices_unless_asked_for(
    own_folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("l.csv").write_text("url,label\nhttp://h/1.jpg,0\nhttp://h/2.jpg,1\n")
    table = {"kind": "csv", "location": "l.csv"}
    with pytest.raises(DataError, match="lists no photo"):
        listed({"n01440764": None}, table)
    assert (
        "its labels are numbers from 0 to 1, which do not look like ILSVRC's"
        in capsys.readouterr().err
    )
    found = listed({"n01440764": None}, table | {"ilsvrc_indices": True})
    assert [one.url for one in found["n01440764"]] == ["http://h/1.jpg"]


def test_an_ambiguous_label_is_named_also_when_others_match(
    own_folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("l.csv").write_text("url,label\nhttp://h/1.jpg,crane\nhttp://h/2.jpg,husky\n")
    table = {"kind": "csv", "location": "l.csv"}
    words = r"label 'crane' is ambiguous: n\d+ \(crane\) or n\d+ \(crane\)"
    with pytest.raises(DataError, match=rf"class n03126707: no candidate .*{words}"):
        listed({HUSKY: None, "n03126707": None}, table)
    capsys.readouterr()
    listed({HUSKY: None}, table)
    assert "crane" not in capsys.readouterr().err  # no class of the params


# Sources


def test_a_source_that_knows_wnids_only_says_so_and_the_others_fill(
    own_folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("l.txt").write_text(f"{FORKLIFT}_1\thttp://h/1.jpg\n")
    Path("l.csv").write_text("url,label\nhttp://h/2.jpg,Pallet_Truck\n")
    found = listed(
        {"pallet truck": None, "fork lift": {"synset": FORKLIFT}},
        {"kind": "url-list", "location": "l.txt"}, {"kind": "csv", "location": "l.csv"},
    )  # fmt: skip
    assert [one.url for one in found["pallet_truck"]] == ["http://h/2.jpg"]
    assert [one.url for one in found["fork_lift"]] == ["http://h/1.jpg"]
    note = "note: source url-list l.txt: knows ImageNet's synsets only, so it has no photo of"
    assert capsys.readouterr().err.count(f"{note} 'pallet_truck'\n") == 1


ODD = ["a\nb.jpg", 'q"uo,te.jpg', "50%41.jpg", "x#1.jpg", "x#m,bytes=1-2", "café 1.jpg"]


def test_a_folder_goes_by_name_id_label_or_wnid_with_odd_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("pallet truck/deep", "scratch", HUSKY, "fork_lift", "other", "pallet truck/.git"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.jpg").touch()
    for name in ODD:
        (tmp_path / "scratch" / name).touch()
    (tmp_path / "scratch" / os.fsdecode(b"caf\xe9.jpg")).touch()
    source = {"kind": "folder", "location": str(tmp_path)}
    found = listed(OWN, source | {"recursive": True})
    assert {key: len(some) for key, some in found.items()} == {
        "pallet_truck": 1, "scratch_on_metal": 8, "fork_lift": 1, HUSKY: 1,
    }  # fmt: skip
    said = capsys.readouterr().err
    assert "1 passed over: hidden: its name starts with a dot (the first: " in said
    assert "1 folders mean no class: 'other'" in said
    places = LocalPlaces(TypeAdapter[list[Source]](list[Source]).validate_python([source]))
    for some in found.values():
        for one in some:
            assert one.url.startswith(f".../{tmp_path.name}/")
            assert one.url.isprintable()
            assert places.has(one.url)
            assert places.path(one.url).startswith(str(tmp_path))
    with pytest.raises(DataError, match="class pallet truck: no candidate"):
        listed({"pallet truck": None, HUSKY: None}, source)


@given(st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text))
def test_a_name_in_a_table_leads_back_to_the_file(name: str) -> None:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # no name of a file
        return
    assert LocalPlaces().path(quoted_path(name)) == name
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029#]", quoted_path(name))


def test_a_table_may_name_local_files_below_its_folder(
    own_folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Path.cwd()
    for name in ("t/p/1.jpg", "t/p/2 #.jpg", "secret.jpg", "more/3.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    rows = ["p/1.jpg", "p/2 #.jpg", f"{here}/t/p/1.jpg", f"{here}/secret.jpg", "http://h/4.jpg"]
    rows += ["../secret.jpg", "p/gone.jpg", "p"]
    Path("t/l.csv").write_text("path,label\n" + "".join(f"{row},pallet truck\n" for row in rows))
    table = {"kind": "csv", "location": "t/l.csv", "url": "path"}
    found = [one.url for one in listed({"pallet truck": None}, table)["pallet_truck"]]
    # What is no file stays as it is; the download says that it is no URL.
    assert found == ["t/p/1.jpg", "t/p/2 %23.jpg", "http://h/4.jpg", *rows[5:]]
    assert "1 passed over: a path of no file below t (the first: row 4)" in capsys.readouterr().err
    Path("u.csv").write_text("path,label\n3.jpg,x\n")
    based = table | {"location": str(here / "u.csv"), "base": str(here / "more"), "wnid": "x"}
    assert [one.url for one in listed({"x": None}, based)["x"]] == [".../more/3.jpg"]


def test_changes_of_local_photos_are_noticed(
    own_folder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "built_from", lambda stage, params: True)
    source = {"kind": "folder", "location": "photos"}
    params = params_of(sources=[source], classes={"pallet truck": None})
    photo = Path("photos/pallet truck/1.jpg")
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"one")

    def changed() -> list[str]:
        return changed_files(params, local_states(params.sources, class_parts(params.classes)))

    DOWNLOADED.remember(local_states(params.sources, class_parts(params.classes)))
    assert changed() == []
    photo.write_bytes(b"two")
    os.utime(photo, ns=(1, 1))
    assert changed() == ["photos: pallet_truck"]
    # A fresh clone has no record, but the tables of the last build.
    DOWNLOADED.path.unlink()
    Path("data/urls").mkdir(parents=True)
    Path("data/raw").mkdir()
    url = folder_url(params.sources[0], str(photo))  # type: ignore[arg-type]
    Path("data/urls/pallet_truck.csv").write_text(f"image_id,url,source\n1,{url},folder\n")
    row = "1,{},ok,3,{}\n"
    sums = {text: hashlib.sha256(text).hexdigest() for text in (b"one", b"two")}
    table = Path("data/raw/pallet_truck.csv")
    assert changed() == []  # no table: a build was interrupted
    assert is_interrupted(params)
    table.write_text("image_id,url,status,bytes,sha256\n" + row.format(url, sums[b"one"]))
    assert changed() == [url]
    table.write_text("image_id,url,status,bytes,sha256\n" + row.format(url, sums[b"two"]))
    photo.with_name("2.jpg").touch()
    assert changed() == [url.replace("1.jpg", "2.jpg")]
    photo.with_name("2.jpg").unlink()
    assert changed() == []
    assert DOWNLOADED.states()
    table.write_text("image_id,url,status,bytes,sha256\n" + row.format(url, sums[b"one"]))
    assert changed() == [url]  # another version, checked out: the record is not its own


# What the dataset says of itself


def facts_of(params: Params, source: str = "folder") -> DatasetFacts:
    funnels = dict.fromkeys(params.classes, class_funnel([], [], {"train": 3}))
    tally = Tally(hosts=Counter({(source, ""): 3}))
    return DatasetFacts(dataset_classes(params), funnels, tally, params.dataset)


def described(folder: Path, params: Params, source: str = "folder") -> tuple[str, str]:
    for name in ("manifest.csv", "classes.csv", "fingerprints.csv"):
        (folder / name).touch()
    facts = facts_of(params, source)
    card.write(folder, params, facts, "1", "")
    croissant.write(folder, params, facts, "1")
    return (folder / "README.md").read_text(), (folder / "croissant.json").read_text()


def test_nothing_speaks_of_imagenet_where_it_has_no_part(tmp_path: Path) -> None:
    params = params_of(classes={"pallet truck": None}, dataset={"name": "Trucks"})
    text = "".join(described(tmp_path, params))
    assert not re.search("(?i)imagenet|wordnet|shankar|everingham", text)
    assert "3 photos of 1 classes (3 train).\n" in text
    assert "ImageNet's terms" in described(tmp_path, params, "ilsvrc")[0]
    mixed = params_of(classes=OWN)
    for words in ("ImageNet's terms", "Shankar"):  # of its photos, not of its classes
        assert words not in described(tmp_path, mixed)[0]
        assert words in described(tmp_path, mixed, "csv")[0]
    assert "4 classes, 2 of them ImageNet's" in described(tmp_path, mixed)[0]


def test_the_card_offers_the_recipe_as_far_as_photos_have_a_url(tmp_path: Path) -> None:
    params = params_of()
    for hosts, words in (
        ({"": 3}, "\n\n`manifest.csv` has a row"),
        ({"h": 3}, "build this dataset from the web.\n`manifest.csv` has a row"),
        ({"h": 2, "": 1}, "from the web, as far as its photos have a URL\n(2 of 3).\n`manifest"),
    ):
        (tmp_path / "manifest.csv").touch()
        tally = Tally(hosts=Counter({("csv", host): photos for host, photos in hosts.items()}))
        facts = replace(facts_of(params, "csv"), tally=tally)
        card.write(tmp_path, params, facts, "1", "")
        text = (tmp_path / "README.md").read_text()
        assert words in text
        assert ("recipe.csv" in text) == ("h" in hosts)


def test_the_params_name_and_license_the_dataset(tmp_path: Path) -> None:
    about = {
        "name": "Trucks", "description": "Seen **indoors**.", "homepage": "https://h.example/t",
        "citation": "@misc{mine}", "license": "cc-by-4.0",
    }  # fmt: skip
    text, metadata = described(tmp_path, params_of(classes=OWN, dataset=about))
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["pretty_name"], front["license"]) == ("Trucks", "cc-by-4.0")
    for words in ("# Trucks\n", "Seen **indoors**.", "<https://h.example/t>", "@misc{mine}"):
        assert words in text
    assert "as a whole is under [CC BY 4.0](" in text
    document = json.loads(metadata)
    assert (document["name"], document["url"]) == ("Trucks", "https://h.example/t")
    assert "creativecommons.org/licenses/by/4.0" in document["license"][0]
    assert Dataset() == load_params(ROOT / "params.yaml").dataset


# start


def test_start_finds_classes_and_proposes_synsets(tmp_path: Path) -> None:
    for name in ("forklift/a.jpg", "pallet truck/x/b.HIF", "n02109961/c.jfif", "empty/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_classes(str(tmp_path))
    text = params_text(DEFAULT, found, "my photos")
    params = Params.model_validate(yaml.safe_load(text))
    assert [*params.classes] == ["forklift", HUSKY, "pallet_truck"]
    assert params.classes[HUSKY].voc == "dog"
    assert params.sources[0].location == str(tmp_path)
    assert getattr(params.sources[0], "recursive", False)
    assert (params.per_class, params.min_per_class, params.dataset.name) == (1, 1, "my photos")
    assert "forklift: {voc: null, synset: n03384352}" in text
    assert found.notes == ("folder 'empty' is left out: has no photo",)
    assert (
        text.partition("download:")[2].partition("dataset:")[0]
        == (DEFAULT.partition("download:")[2].partition("dataset:")[0])
    )
    lines = "Image, class\n1.jpg,dog\n2.jpg,dog\n3.jpg,pallet truck\n4.jpg,dögel\n"
    (tmp_path / "l.csv").write_text(lines, encoding="cp1252")
    table = params_text(DEFAULT, find_classes(str(tmp_path / "l.csv")), "l")
    assert "kind: csv" in table
    assert "url: Image, label: class" in table
    assert "dögel: null" in table
    assert yaml.safe_load(table)["classes"]["dog"] == {"voc": "dog", "synset": DOG}
    for place, words in (("gone", "no such folder"), ("empty", "no folders of photos")):
        with pytest.raises(UsageError, match=words):
            find_classes(str(tmp_path / place))


def test_start_writes_params_that_are_valid_for_any_names(tmp_path: Path) -> None:
    """Names that mean one synset, and names that no class can have."""
    names = [DOG, "dog", "Dog", "husky", "Eskimo dog", "n99999999", "2109961", "?", "CON", "7"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()
    found = find_classes(str(tmp_path))
    dumped = yaml.safe_dump(yaml.safe_load(DEFAULT))  # with lists that are not indented
    params = Params.model_validate(yaml.safe_load(params_text(dumped, found, "odd")))
    assert params == Params.model_validate(yaml.safe_load(params_text(DEFAULT, found, "odd")))
    assert {one.name: one.photos for one in found.classes} == {
        DOG: 3, "husky": 1, "Eskimo dog": 1, "CON": 1, "7": 1,
    }  # fmt: skip
    assert {key for key, one in params.classes.items() if one.synset} == {DOG}
    assert len(found.notes) == 3


def test_a_folder_of_ones_own_becomes_a_dataset(clone: Project, tmp_path: Path) -> None:
    for number, name in enumerate(["forklift/", "pallet truck/hall 2/", "scratch on metal/a\n"]):
        for seed in range(3):
            path = tmp_path / "home" / f"{name}{seed}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(10 * number + seed).save(path)
    said = clone.script("start", str(tmp_path / "home"))
    assert "params.yaml: 3 classes, 9 photos; check the synsets that it proposes: 1" in said
    said = clone.script("start", str(tmp_path / "home"), expect=2)
    assert "has edits that are not in git" in said
    assert "make start force=1" in said
    assert "no such folder or table" in clone.script("start", "gone", expect=2)
    assert "which photos? make start d=FOLDER" in clone.script("start", "", expect=2)
    clone.repro()
    files = clone.files("data/urls", "data/raw", "data/dataset", "reports")
    assert not [name for name, body in files.items() if str(tmp_path).encode() in body]
    assert (clone.folder / "data/dataset/train/pallet_truck").is_dir()
    rows = clone.read("data/dataset/classes.csv").splitlines()
    assert rows[0].endswith(",train,val,name,synset")
    assert rows[2].startswith("1,pallet_truck,pallet_truck,pallet_truck,,,")
    assert "Scratch on metal" not in clone.read("reports/index.html")
    assert "scratch on metal" in clone.read("reports/index.html")
    clone.script("check_params", "--relist")
    (tmp_path / "home/forklift/1.jpg").unlink()
    clone.script("check_params", "--relist", expect=1)
