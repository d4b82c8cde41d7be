"""Bad params: one line with file, line, key and what to do; exit 2; nothing built."""

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter

from allrounder.catalogue.labels import ClassPart
from allrounder.core.errors import UsageError
from allrounder.history.local_files import DOWNLOADED, changed_files, local_states
from allrounder.history.lock import only_the_order_changed, pinned_params
from allrounder.params.loading import json_schema, load_params
from allrounder.params.schema import Params
from allrounder.params.sources import Source
from project import Project
from webfaults.project import make_params

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = (ROOT / "params.yaml").read_text(encoding="utf-8")

FAULTS = {
    "unknown key": ("seed: null", "sead: null", "split.sead: .*Did you mean seed.*Remove it"),
    "misspelt key": ("per_class: 20", "per_clas: 20", "line 20: per_clas: .*mean per_class"),
    "misspelt section": ("sources:", "saurces:", "saurces: unknown key. Did you mean sources"),
    "misspelt source key": ("location: data", "locatoin: data", "0.locatoin: .*mean location"),
    "wrong type": ("per_class: 20", "per_class: lots", "per_class: must be .*integer.*'lots'"),
    "class twice": ("n02123394", "n02109961", "n02109961 is given twice .*line 9.*remove one"),
    "unknown wnid": ("n02109961", "n02109962", "n02109962.*Did you mean n0"),
    "capital wnid": ("n02109961", "N02109961", r"N02109961: is no wnid.*mean n02109961 \(Eskimo"),
    "number for wnid": ("n02109961", "2109961", "classes.2109961: is no wnid; write"),
    "name twice": ("n02109961: dog", "airliner: null", "'airliner' means n02690373 too"),
    "no letter": ("n02109961", '"+"', "must have a letter or a digit"),
    "class key": (": dog", ": {vov: dog}", r"line 9: classes.n02109961.vov: .*Did you mean voc"),
    "synset of another": (": dog", ": {synset: n02123394}", "synset: is n02109961 itself"),
    "synset twice": (
        "n02109961: dog",
        "x: {synset: n02123394}",
        "n02123394 is class n02123394 too",
    ),
    "wrong voc of synset": (
        "n02109961: dog",
        "x: {voc: cat, synset: n02109961}",
        "is no 'cat'",
    ),
    "class of a source": (
        "data/sample",
        "data/sample, labels: {husk: x}",
        "labels.husk: .husk. is",
    ),
    "licence": ("name: imagenet", "licence: imagenet", "dataset.licence: .*mean license"),
    "unknown label": (": dog", ": dgo", "classes.n02109961: 'dgo'.*Did you mean dog"),
    "everyday label": (": aeroplane", ": airplane", "Did you mean aeroplane"),
    "wrong label": (": dog", ": cat", "Eskimo dog is no 'cat'. Did you mean dog"),
    "ratio": ("[0.8, 0.2]", "[0.8, 0.3]", r"split.ratio: \[0.8, 0.3\].*sum to 1"),
    "ratio of one": ("[0.8, 0.2]", "[1.0]", "split.ratio: .*at least 2"),
    "ratio of four": ("[0.8, 0.2]", "[0.7, 0.1, 0.1, 0.1]", "split.ratio: must have at most 3"),
    "negative ratio": ("[0.8, 0.2]", "[1.2, -0.2]", "split.ratio: .*positive"),
    "kfold and ratio": ("seed: null", "kfold: 5", "split.kfold: .*remove one"),
    "too many folds": ("ratio: [0.8, 0.2]", "kfold: 21", "kfold: 21 is above per_class .20"),
    "min above": ("min_per_class: 15", "min_per_class: 25", "min_per_class: 25 is above per_class"),
    "source kind": ("kind: folder", "kind: fodler", "'fodler' is no kind.*Did you mean folder"),
    "no source kind": ("kind: folder, ", "", "sources.0: has no kind; write"),
    "no list": ("licenses: null", "licenses: cc-by-2.0", "licenses: must be a list"),
    "nothing": ("ratio: [0.8, 0.2]", "ratio: null", "split.ratio: must be a list.*it is null"),
    "no keys": ("  - {kind: folder, location: data/sample}", "  - data", "sources.0: must be keys"),
    "address of a dataset": (
        "{kind: folder, location: data/sample}",
        "{kind: huggingface, dataset: 'https://huggingface.co/datasets/a/b'}",
        "sources.0.dataset: must be owner/name",
    ),
    "source scheme": (
        "kind: folder, location: data/sample",
        "kind: url-list, location: ftp://x",
        "location: .*http://",
    ),
    "folder of the web": ("location: data/sample", "location: https://x", "must be a local path"),
    "home": ("location: data/sample", "location: ~/photos", "location: .*write the full path"),
    "contact": ('contact: ""', "contact: Jürgen", "network.contact: must be plain ASCII.*Jürgen"),
    "contact of two lines": ('contact: ""', r'contact: "a\nb"', "network.contact: must be plain"),
    "source without host": (
        "kind: folder, location: data/sample",
        "kind: url-list, location: 'http://'",
        "sources.0.location: .*host or port is missing",
    ),
    "source's port": (
        "kind: folder, location: data/sample",
        "kind: url-list, location: 'http://h:99999/'",
        "location: .*port is missing or invalid",
    ),
    "half an address": (
        "kind: folder, location: data/sample",
        "kind: url-list, location: 'http://[::1'",
        "location: is no URL",
    ),
    "unknown wnid of a source": (
        "{kind: folder, location: data/sample}",
        "{kind: csv, location: l.csv, labels: {n02109962: dog}}",
        "sources.0.labels.n02109962: ImageNet has no such synset. Did you mean n0",
    ),
    "no wnid of a source": (
        "{kind: folder, location: data/sample}",
        "{kind: csv, location: l.csv, labels: {dog: dog}}",
        "sources.0.labels.dog: 'dog' is no class of the params and no wnid",
    ),
    "never full": (
        "{kind: folder, location: data/sample}",
        "{kind: open-images, enough: 23}",
        "sources.0.enough: 23 photos cannot fill a class of 24 .per_class and the reserve.",
    ),
    "no name of a column": (
        "{kind: folder, location: data/sample}",
        "{kind: csv, location: l.csv, url: ''}",
        r"sources.0.url: must be one line of 1 to 200 characters \(it is ''\)",
    ),
    "quoted number": ("per_class: 20", 'per_class: "20"', "must be an integer; write 20 without q"),
    "thousands": ("per_class: 20", "per_class: 20,000", "per_class: .*write 20000 without quotes"),
    "whole float": ("per_class: 20", "per_class: 20.0", r"integer; write 20 \(it is 20.0\)"),
    "quoted float": ("reserve: 0.2", "reserve: '0.2'", "must be a number; write 0.2 without"),
    "None": ("seed: null", "seed: None", "split.seed: must be an integer; write null"),
    "no None": ("per_class: 20", "per_class: None", r"per_class: must be an integer \(it is 'None"),
    "on": ("honour_opt_out: true", "honour_opt_out: on", "opt_out: .*true or false; write true"),
    "percent": ("[0.8, 0.2]", "80/20", r"split.ratio: must be a list, e.g. \[0.8, 0.2\] .*80/20"),
    "label no": (": dog", ": no", "n02109961: 'no' is not a VOC label. Write null for none"),
    "label false": (": dog", ": false", "n02109961: must be a text, or null for no VOC label"),
    "label of a number": (": dog", ": 12", "n02109961: must be a text, or null for no VOC label"),
    "huge bytes": (
        "max_bytes: 20000000",
        f"max_bytes: {2**63}",
        "max_bytes: .*equal to 10{9} ",
    ),
    "huge seed": ("seed: null", f"seed: {2**64}", "split.seed: must be less than or equal to"),
    "huge count": ("per_class: 20", f"per_class: {2**63}", "per_class: must be less than or equ"),
    "not a number": ("[0.8, 0.2]", "[.nan, 0.2]", "split.ratio: .*positive"),
    "no YAML": ("classes:", "classes: [", "not valid YAML.*above.*bracket"),
    "no colon": ("per_class: 20", "per_class 20", "not valid YAML.*above.*colon"),
    "tab": ("  n02109961", "\tn02109961", "not valid YAML.*spaces, not tabs"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_in_one_line_with_its_place(tmp_path: Path, name: str) -> None:
    old, new, words = FAULTS[name]
    file = tmp_path / "params.yaml"
    file.write_text(DEFAULT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_params(file)
    output = str(caught.value)
    assert "\n" not in output
    assert re.search(words, output), output
    line = int(re.search(r"params.yaml, line (\d+): ", output)[1])  # type: ignore[index]
    assert 1 <= line <= len(DEFAULT.splitlines())
    if "not valid YAML" not in words:
        changed = DEFAULT[: DEFAULT.index(old)].count("\n") + 1
        key_above = name == "ratio of one"
        assert line == changed or key_above


@pytest.mark.parametrize("text", ["[n02109961, n02123394]", "\n- n02109961: dog\n", "n02109961"])
def test_classes_that_are_no_mapping_are_shown_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "params.yaml"
    start, end = DEFAULT.index("classes:"), DEFAULT.index("per_class:")
    file.write_text(f"{DEFAULT[:start]}classes: {text}\n{DEFAULT[end:]}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"classes: must be keys .*One class a line: `n02109961: "):
        load_params(file)


def test_every_integer_has_an_upper_bound() -> None:
    def nodes(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            yield node
        for value in node.values() if isinstance(node, dict) else node:
            if isinstance(value, dict | list):
                yield from nodes(value)

    integers = [n for n in nodes(json_schema()) if n.get("type") == "integer"]
    assert len(integers) > 10
    assert all("maximum" in node for node in integers)


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [(LFS, "a Git LFS pointer"), ("\n<!DOCTYPE html><p>", "a web page")],
)
def test_what_is_given_in_place_of_the_params_is_named(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UsageError, match=f"params.yaml: is {words}"):
        load_params(tmp_path / "params.yaml")


def test_a_local_location_is_looked_at_before_anything_is_removed(clone: Project) -> None:
    folder = clone.folder

    def output(source: dict[str, str], expect: int = 2) -> str:
        clone.edit(sources=[source])
        return clone.script("check_params", expect=expect)

    gone = output({"kind": "folder", "location": "data/gone"})
    assert "error: params.yaml: sources.0.location: data/gone: no such file or folder" in gone
    assert "no such file" in output({"kind": "webdataset", "location": "{a,b}.tar"})
    (folder / "list.csv").write_text(LFS)
    assert "is a Git LFS pointer" in output({"kind": "csv", "location": "list.csv"})
    (folder / "list.txt").write_text("<html>")
    assert "is a web page" in output({"kind": "url-list", "location": "list.txt"})
    with tarfile.open(folder / "a.tar", "w") as tar:
        tar.add(folder / "list.txt", "list.txt")
    assert "is not a folder but a tar" in output({"kind": "folder", "location": "a.tar"})
    assert "is a tar" in output({"kind": "url-list", "location": "a.tar"})
    assert output({"kind": "synset-tar", "location": "{wnid}.tar"}, expect=0) == ""
    assert output({"kind": "folder", "location": "data/sample"}, expect=0) == ""
    shutil.rmtree(folder / "data/sample")  # the same lists as in dvc.lock: only a warning
    warning = output({"kind": "folder", "location": "data/sample"}, expect=0)
    assert warning.startswith("warning: params.yaml: sources.0.location: data/sample: no such")


def test_a_missing_key_is_named_without_a_line(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(DEFAULT.replace("per_class: 20\n", "", 1), encoding="utf-8")
    with pytest.raises(UsageError, match=r"params\.yaml: per_class: missing; add it"):
        load_params(file)


def test_voc_folders_need_labels(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    text = DEFAULT.replace(": dog ", ": null ").replace("folders: label", "folders: voc")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"split\.folders: voc needs a VOC label.*n02109961"):
        load_params(file)


def test_a_section_that_dvc_watches_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("\n".join(part for part in DEFAULT.split("\n\n") if "clean:  " not in part))
    assert load_params(file).clean.near_radius == 10  # no DVC here
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(UsageError, match=r"clean: missing, and dvc\.yaml watches it; add it"):
        load_params(file)


def test_a_missing_file_is_reported_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file; .*presets/imagenet\.yaml"):
        load_params(tmp_path / "params.yaml")


def test_what_cannot_be_read_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\); correct that"):
        load_params(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sources: &a [*a]\n", r"sources\.0: must be keys with values"),
        ("a: " + "[" * 3000 + "]" * 3000, "not valid YAML: nested too deeply"),
    ],
)
def test_params_without_end_are_reported_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UsageError, match=f"params.yaml, line 1: {words}"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("stage", ["fetch_urls", "download", "clean", "split"])
def test_every_stage_checks_all_params_and_exits_2(clone: Project, stage: str) -> None:
    clone.edit(min_per_class=99)
    output = clone.stage(stage, expect=2)
    assert output.startswith("error: params.yaml, line ")
    assert output.count("\n") == 1
    assert not (clone.folder / "data/dataset").exists()


@pytest.mark.parametrize("stage", ["clean", "split", "report"])
def test_asking_a_stage_for_help_builds_nothing(clone: Project, stage: str) -> None:
    output = clone.script(stage, "--help")
    assert f"Stage {stage}: " in output
    clone.script(stage, "--ofline", expect=2)
    assert clone.changes == ""
    assert not (clone.folder / "data/dataset").exists()
    assert not (clone.folder / "reports").exists()


@pytest.mark.parametrize("file", ["params.yaml", *sorted(p.name for p in ROOT.glob("presets/*"))])
def test_shipped_params_are_valid_also_by_the_schema(file: str) -> None:
    path = ROOT / file if file == "params.yaml" else ROOT / "presets" / file
    load_params(path)
    published = json.loads((ROOT / "params.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), published)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("check_params --schema", 0),
        ("check_params 中文.yaml", 2),
        ("classes search Pelé", 0),
        ("classes add 犬", 2),
        ("classes tree dog --json", 0),
        ("diff 犬", 2),
    ],
)
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_cannot_show_all_letters(
    clone: Project, encoding: str, command: str, code: int
) -> None:
    script, *arguments = command.split()
    printed = clone.script(script, *arguments, expect=code, PYTHONIOENCODING=encoding)
    assert "Traceback" not in printed
    if command == "check_params --schema":
        assert printed == (ROOT / "params.schema.json").read_text(encoding="utf-8")


def test_the_published_schema_is_the_models() -> None:
    assert json.loads((ROOT / "params.schema.json").read_text(encoding="utf-8")) == json_schema()


def test_dvc_yaml_watches_every_section_but_network() -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    stages, optional = pipeline["stages"], {*pipeline["vars"][0]}
    watched = {key for stage in stages.values() for key in stage["params"]}
    assert watched | optional == set(Params.model_fields) - {"network"}
    assert "${dataset}" in stages["split"]["cmd"][0]
    assert "${dataset} ${report}" in stages["report"]["cmd"][0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("n02084071+: dog", r"n02109961: shares photos with n02084071\+.*remove one"),
        ("n02084071+: cat", r"n02084071\+: Chihuahua is no 'cat'\. Did you mean dog"),
        ("n02075296+: dog", r"n02075296\+: tabby is no 'dog'\. Did you mean cat"),
        ("n00006024+: null", r"n00006024\+: none of ILSVRC's classes is a heterotroph"),
        ("n02084072+: dog", r"n02084072\+: ImageNet has no such synset\. Did you mean n"),
        ("n02084071++: dog", r"n02084071\+\+: is no wnid"),
    ],
)
def test_a_faulty_subtree_is_reported_in_one_line(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(DEFAULT.replace("\n\nper_class", f"\n  {line}\n\nper_class"), encoding="utf-8")
    with pytest.raises(UsageError, match=words) as caught:
        load_params(file)
    assert "\n" not in str(caught.value)


def test_two_subtrees_may_not_share_a_class(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    both = "\n  n02958343+: car\n  n04490091+: null\n\nper_class"
    file.write_text(DEFAULT.replace("\n\nper_class", both), encoding="utf-8")
    with pytest.raises(UsageError, match=r"n04490091\+: shares photos with n02958343\+"):
        load_params(file)  # a minivan is a car and a van
    file.write_text(DEFAULT.replace("  n02109961: dog ", "  n02084071+: dog "), encoding="utf-8")
    assert next(iter(load_params(file).classes)) == "n02084071+"


def test_a_mere_change_of_order_is_reported_since_dvc_does_not_notice_it(clone: Project) -> None:
    assert clone.script("check_params") == ""
    classes = yaml.safe_load(clone.read("params.yaml"))["classes"]
    clone.edit(classes=dict(reversed(classes.items())))
    assert "order of the classes differs from dvc.lock" in clone.script("check_params")
    clone.script("check_params", "--order", expect=1)
    clone.edit(classes=dict(reversed([*classes.items(), ("n02099601", "dog")])))
    assert clone.script("check_params") == ""  # DVC notices that


def test_a_dataset_in_another_order_is_noticed_also_where_dvc_lock_has_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not only_the_order_changed(["a", "b"])
    (tmp_path / "data/dataset").mkdir(parents=True)
    table = tmp_path / "data/dataset/classes.csv"
    for rows, changed in (("0,a\n1,b", False), ("0,b\n1,a", True), ("0,b", False), ("\xff", False)):
        table.write_bytes(f"class_index,wnid\n{rows}\n".encode("latin-1"))
        assert only_the_order_changed(["a", "b"]) is changed


@pytest.mark.parametrize(
    "lock",
    ["- a", "stages: [a]", "stages: {split: [a]}", "stages: {split: {params: [a]}}", "a: \t1", "1"],
)
def test_a_lock_that_dvc_did_not_write_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(lock)
    with pytest.raises(UsageError, match=r"dvc\.lock: not .*; git checkout dvc\.lock"):
        pinned_params("split")


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(DEFAULT.replace("per_class: 20", "per_class: 024"), encoding="utf-8")
    assert load_params(file).per_class == 24  # 20 in YAML 1.1
    for old, new, words in (
        ("seed: null", "seed: 1:30", r"seed: must be .*integer.*'1:30'"),  # 90 in YAML 1.1
        ("per_class: 20", "per_class:\t20", r"line 20: not valid YAML: .*not tabs"),
        ("per_class: 20", "per_class: 20\t# photos", r"line 20: not valid YAML: .*not tabs"),
        ("honour_opt_out: true", "honour_opt_out: yes", r"must be true or false.*'yes'"),
    ):
        assert old in DEFAULT
        file.write_text(DEFAULT.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(UsageError, match=words):
            load_params(file)


def test_a_local_file_that_changes_while_it_is_read_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("l.csv").write_text("url,label\n")
    params = Params.model_validate(make_params(sources=[{"kind": "csv", "location": "l.csv"}]))
    files = local_states(params.sources, [])
    Path("l.csv").write_text("url,label\nhttp://h/1.jpg,248\n")
    DOWNLOADED.remember(files)
    assert changed_files(params, local_states(params.sources, [])) == ["l.csv"]


WNID = "n02109961"


@pytest.mark.parametrize(
    ("source", "roots", "watched"),
    [
        ({"kind": "folder", "location": "p"}, ["p"], ["p"]),
        ({"kind": "folder", "location": "/"}, ["/"], ["/"]),
        ({"kind": "synset-tar", "location": "p/x-{wnid}.tar"}, ["p"], [f"p/x-{WNID}.tar"]),
        ({"kind": "synset-tar", "location": "{wnid}/{wnid}.tar"}, ["."], [f"{WNID}/{WNID}.tar"]),
        ({"kind": "synset-tar", "location": "https://h/{wnid}.tar"}, [], []),
        ({"kind": "webdataset", "location": "{a,b}.tar"}, ["a.tar", "b.tar"], ["a.tar", "b.tar"]),
        ({"kind": "ilsvrc", "location": "train"}, ["train"], ["train"]),
        ({"kind": "csv", "location": "t/l.csv"}, ["t/l.csv", "t"], ["t/l.csv"]),
        ({"kind": "csv", "location": "https://h/l.csv"}, [], []),
        ({"kind": "huggingface", "dataset": "a/b"}, [], []),
    ],
)
def test_a_source_says_which_local_files_it_lists_and_watches(
    source: dict[str, str], roots: list[str], watched: list[str]
) -> None:
    model = TypeAdapter[Source](Source).validate_python(source)
    assert (model.local_roots(), model.watched_paths([ClassPart(WNID, WNID)])) == (roots, watched)


def test_a_local_file_that_changed_is_reported_since_dvc_does_not_notice_it(clone: Project) -> None:
    table, photos = clone.folder / "l.csv", clone.folder / "photos/n02109961"
    photos.mkdir(parents=True)
    (photos / "0.jpg").write_bytes(b"")
    table.write_text("url,label\ndata/sample/n02109961/n02109961_001.jpg,248\n")
    sources = [{"kind": "csv", "location": "l.csv"}, {"kind": "folder", "location": "photos"}]
    clone.edit(sources=sources, classes={"n02109961": "dog"}, min_per_class=1)
    assert clone.script("check_params") == ""  # nothing is known yet
    for stage in ("fetch_urls", "download"):
        clone.stage(stage)
    assert clone.script("check_params") == ""
    (photos / "1.jpg").write_bytes(b"")
    output = clone.script("check_params")
    assert output.startswith("warning: photos: n02109961 changed since it was listed")
    assert output.endswith("run make repro, or dvc repro --force\n")
    table.write_text("url,label\n")
    assert "warning: l.csv (and 1 more) changed" in clone.script("check_params")
    web = {"kind": "url-list", "location": "http://h.example/l.txt"}
    clone.edit(sources=[*sources, web])
    assert clone.script("check_params").endswith("run ALLROUNDER_PINS=ignore dvc repro --force\n")
