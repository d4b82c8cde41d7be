"""scripts/classes.py: finding synsets, looking at them, and editing params.yaml byte for byte."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from allrounder.catalogue.synsets import (
    VOC_LABELS,
    all_synsets,
    ancestors,
    find_synset,
    overlapping_classes,
    synsets_of,
)
from allrounder.classes import views as classviews
from allrounder.classes.change import Change, add, added, remove, removed
from allrounder.classes.search import Rank, resolve, search
from allrounder.classes.views import Screen, fitting, screen, table, walk_subtree
from allrounder.core.dvc_lock import read_yaml
from allrounder.core.errors import UsageError
from allrounder.params.classes import read_classes
from allrounder.params.loading import load_params, replace_params
from project import Project

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = (ROOT / "params.yaml").read_bytes().decode()
SHIPPED = [ROOT / "params.yaml", *sorted(ROOT.glob("presets/*.yaml"))]
GOLDEN, HUSKY, FOLDING = "n02099601", "n02109961", "n03376595"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the default params, where no stage was run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes(DEFAULT.encode())
    return tmp_path


def classes_script(*arguments: str, expect: int = 0, **environment: str) -> str:
    command = [sys.executable, str(ROOT / "scripts/classes.py"), *arguments]
    ended = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == expect, ended.stderr
    return ended.stdout + ended.stderr


# Search


@pytest.mark.parametrize(
    ("query", "wnid", "rank"),
    [
        ("folding chair", FOLDING, Rank.EXACT),
        ("Folding_Chairs", FOLDING, Rank.EXACT),
        ("n03376595", FOLDING, Rank.EXACT),
        ("559", FOLDING, Rank.EXACT),
        ("husky", HUSKY, Rank.EXACT),
        ("tea pot", "n04398044", Rank.EXACT),
        ("buses", "n02924116", Rank.EXACT),
        ("sleeping", "n04235860", Rank.START),
        ("chair, folding", FOLDING, Rank.WORDS),
        ("fold ch", FOLDING, Rank.WORD_STARTS),
        ("foldign chair", FOLDING, Rank.TYPO),
        ("golden retreiver", GOLDEN, Rank.TYPO),
        ("german sheperd", "n02106662", Rank.TYPO),
        ("dgo", "n02084071", Rank.TYPO),
        ("pâté", "n07857959", Rank.EXACT),
        ("crane\u2019s bill", "n12685831", Rank.EXACT),
    ],
)
def test_the_first_result_is_the_one_that_is_meant(query: str, wnid: str, rank: Rank) -> None:
    first = search(query)[0]
    assert (first.synset.wnid, first.rank) == (wnid, rank)


def test_results_stand_best_rank_first_then_ilsvrc_then_by_urls() -> None:
    found = search("terrier")
    assert [match.rank for match in found] == sorted(match.rank for match in found)
    words = [match.synset for match in found if match.rank is Rank.WORDS]
    known = [synset.ilsvrc_index is not None for synset in words]
    assert known == sorted(known, reverse=True)
    urls = [synset.listed_urls for synset in words if synset.ilsvrc_index is not None]
    assert len(urls) > 10
    assert urls == sorted(urls, reverse=True)


def test_misspellings_are_looked_for_only_where_nothing_else_matches() -> None:
    assert all(match.rank is not Rank.TYPO for match in search("dog"))
    assert search("xqzzkwv") == []
    assert search("  ?!") == []


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(all_synsets())), st.data())
def test_every_name_finds_its_synset(wnid: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(all_synsets()[wnid].names))
    asked = data.draw(st.sampled_from([name, name.upper(), name.replace(" ", "_")]))
    assert wnid in {m.synset.wnid for m in search(asked) if m.rank is Rank.EXACT}


@settings(max_examples=10, deadline=None)
@given(st.text(max_size=30))
def test_any_text_may_be_searched(text: str) -> None:
    for match in search(text)[:3]:
        assert find_synset(match.synset.wnid) == match.synset


def test_a_synset_without_an_ilsvrc_index_is_not_called_none() -> None:
    assert not any(match.rank is Rank.EXACT for match in search("None"))
    with pytest.raises(UsageError, match="no synset 'None'"):
        resolve("None")


def test_a_text_that_no_name_is_like_is_not_compared_with_all_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("allrounder.classes.search._misspelt")
    assert search("golden retreiver " * 100) == []


def test_a_voc_label_that_is_no_name_is_reported() -> None:
    on = Screen(80, 24, False)
    assert classviews.matches_table("potted plant", [], on) == [
        "no synset like 'potted plant'; it is a VOC label: classes.py voc pottedplant"
    ]
    assert classviews.matches_table("xqzzkwv", [], on) == ["no synset like 'xqzzkwv'"]


def test_a_name_resolves_to_one_class_key_or_says_the_choice() -> None:
    assert resolve("golden retriever") == GOLDEN
    assert resolve("dog") == "n02084071"  # andiron is a dog by its third name only
    assert resolve("dog+") == resolve("n02084071+") == "n02084071+"
    with pytest.raises(UsageError, match=r"'crane' means 2 synsets: .*n02012849 \(.*wading bird"):
        resolve("crane")
    with pytest.raises(UsageError, match=r"'golden retreiver'; did you mean n02099601"):
        resolve("golden retreiver")
    with pytest.raises(UsageError, match="no synset 'xqzzkwv'; try another name"):
        resolve("xqzzkwv")


# Trees and VOC labels


def test_a_tree_holds_each_descendant_once_below_a_parent() -> None:
    nodes = walk_subtree("n04490091")  # truck; a minivan is below both of its parents
    wnids = [node.synset.wnid for node in nodes]
    assert sorted(wnids) == sorted(w for w in all_synsets() if "n04490091" in ancestors(w))
    for place, node in enumerate(nodes[1:], 1):
        above = [n for n in nodes[:place] if n.depth == node.depth - 1][-1]
        assert above.synset.wnid in node.synset.hypernyms
    assert nodes[0].below == len(nodes) - 1
    assert nodes[0].ilsvrc_below == len(synsets_of("n04490091+"))


@pytest.mark.parametrize("lines", [1, 5, 21, 1000])
def test_a_tree_is_cut_at_a_depth_where_it_fits(lines: int) -> None:
    nodes = walk_subtree("n02084071")
    shown = fitting(nodes, lines)
    assert shown[0] == nodes[0]
    assert len(shown) <= lines
    assert (len(shown) == len(nodes)) == (lines == 1000)


def test_a_voc_labels_classes_are_ilsvrcs_first_then_by_urls() -> None:
    found = classviews.of_voc("cat")
    assert [synset.ilsvrc_index for synset in found[:5]] == [284, 283, 281, 282, 285]
    assert all(synset.voc == "cat" for synset in found)
    with pytest.raises(UsageError, match=r"'airplane' is not a VOC label\. Did you mean aeroplane"):
        classviews.of_voc("airplane")


def test_coverage_counts_classes_and_suggests_one_for_each_label_without() -> None:
    classes = read_classes({HUSKY: "dog", "n02099601": "dog", "n04398044": None})
    covered = {row["voc"]: row for row in classviews.coverage(classes)}
    assert tuple(covered) == VOC_LABELS
    assert [one["name"] for one in covered["dog"]["classes"]] == ["Eskimo dog", "golden retriever"]
    assert covered["dog"]["suggestion"] is None
    assert covered["diningtable"]["suggestion"]["wnid"] == "n03201208"
    for label, row in covered.items():
        assert label == "dog" or find_synset(row["suggestion"]["wnid"]).voc == label  # type: ignore[union-attr]


def test_the_voc_preset_has_one_class_for_every_label() -> None:
    classes = load_params(ROOT / "presets/voc20.yaml").classes
    assert tuple(one.voc for one in classes.values()) == VOC_LABELS
    assert overlapping_classes(classes) is None


# Screens


def test_a_screen_is_never_overfull(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    on = screen(sys.stdout, everything=False)
    classes = load_params(ROOT / "presets/voc20.yaml").classes
    for lines in (
        classviews.matches_table("dog", search("dog"), on),
        classviews.tree_table(walk_subtree("n00021939"), on),
        classviews.voc_table("bird", classes, on),
        classviews.coverage_table(classes, on),
    ):
        assert len(lines) < 24
        assert max(map(len, lines)) <= 80
    assert re.search(
        r"… \d+ more; --all shows them",
        "\n".join(classviews.matches_table("dog", search("dog"), on)),
    )


def test_columns_are_aligned_and_only_elastic_ones_cut() -> None:
    titles = ["class", "names", "x"]
    rows = [
        {"class": 1, "names": "a name that is long", "x": "yes"},
        {"class": 22, "names": "short", "x": None},
    ]
    assert table(titles, rows, Screen(24, 24, colour=False)) == [
        "class  names         x",
        "    1  a name that…  yes",
        "   22  short",
    ]
    wide = table(titles, rows, Screen(0, 1, colour=False), last="end")
    assert wide[1:] == ["    1  a name that is long  yes", "… 1 more; --all shows them  end"]


def test_colours_are_for_terminals_and_change_no_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    titles, rows = ["wnid", "n"], [{"wnid": "n02084071", "n": "n"}]
    plain = table(titles, rows, Screen(80, 24, colour=False))
    coloured = "\n".join(table(titles, rows, Screen(80, 24, colour=True)))
    assert "\x1b[36mn02084071\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured).split("\n") == plain


@pytest.mark.skipif(os.name == "nt", reason="no pty")
@pytest.mark.parametrize(
    ("no_color", "kind", "coloured"),
    [("", "xterm", True), ("1", "xterm", False), ("", "dumb", False)],
)
def test_a_terminal_gets_colours_unless_it_has_none(
    no_color: str, kind: str, coloured: bool
) -> None:
    import pty  # not on Windows

    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "scripts/classes.py"), "search", "folding chair"]
    given = os.environ | {"NO_COLOR": no_color, "TERM": kind}
    with subprocess.Popen(command, stdout=theirs, env=given):
        os.close(theirs)
        told = b""
        while chunk := _read(ours):
            told += chunk
    os.close(ours)
    assert b"n03376595" in told
    assert (b"\x1b[" in told) == coloured


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # what Linux says at the end of a terminal
        return b""


# The command


def test_json_has_every_field_of_every_match() -> None:
    found = json.loads(classes_script("search", "chair", "--json"))
    assert len(found) == len(search("chair"))
    one = next(row for row in found if row["wnid"] == FOLDING)
    assert one == {
        "wnid": FOLDING,
        "names": ["folding chair"],
        "ilsvrc_index": 559,
        "voc": "chair",
        "coco": "chair",
        "coco_index": 56,
        "listed_urls": 1537,
        "flickr_urls": 760,
        "parents": [{"wnid": "n03001627", "name": "chair"}],
        "match": "words",
    }


def test_output_through_a_pipe_is_plain_and_no_more_than_a_screen() -> None:
    told = classes_script("tree", "dog", LINES="24", COLUMNS="80")
    assert "\x1b" not in told
    assert told.count("\n") < 24
    assert "more; --all shows them" in told
    everything = classes_script("tree", "n02084071", "--all")
    assert everything.count("\n") == 1 + len(walk_subtree("n02084071"))


def test_the_makefile_searches_for_what_it_is_given_and_runs_none_of_it(clone: Project) -> None:
    make = ("make", "-s", "-o", ".venv/ready", "classes")
    assert FOLDING in clone.run(*make, "q=folding chair")
    assert "of 20 labels have a class" in clone.run(*make)
    clone.run(*make, "q=\"; touch caught; `touch caught` ' --params")
    assert clone.changes == ""


def test_a_mistake_is_one_line_and_exit_2(here: Path) -> None:
    for arguments in (("add", "crane"), ("voc", "dgo"), ("voc", "--params", "none.yaml")):
        told = classes_script(*arguments, expect=2)
        assert re.fullmatch(r"error: [^\n]+\n", told), told
    assert (here / "params.yaml").read_bytes() == DEFAULT.encode()


# Editing


def differing(old: str, new: str) -> tuple[list[str], list[str]]:
    """Lines that only the one or the other has, where the rest is the same."""
    before, after = old.split("\n"), new.split("\n")
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = max(len(before), len(after)) - start - 1
    longer, shorter = (before, after) if len(before) > len(after) else (after, before)
    assert longer[:start] + longer[start + 1 :] == shorter
    assert end >= 0
    return ([longer[start]], []) if longer is before else ([], [longer[start]])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_new_class_is_one_line_that_looks_like_its_neighbours(path: Path) -> None:
    text = path.read_bytes().decode()
    new = added(text, GOLDEN, "dog", "golden retriever")
    assert differing(text, new) == ([], ["  n02099601: dog            # golden retriever"])
    assert list(yaml.safe_load(new)["classes"])[-1] == GOLDEN
    assert removed(new, GOLDEN) == text


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_removing_takes_one_line(path: Path) -> None:
    text = path.read_bytes().decode()
    for key in yaml.safe_load(text)["classes"]:
        gone, come = differing(text, removed(text, key))
        assert not come
        assert gone[0].startswith(f"  {key}: ")


FORMS = [
    "classes:\n  n1: dog\n  n2: cat\nx: 1\n",
    "classes:\n    n1: dog  # one\n    # between\n    n2: cat # two\n\n# end\n",
    "classes:\r\n  n1: dog   # one\r\n  n2: cat\r\n\r\nx: 1\r\n",
    "x: ['a',  'b' ]\nclasses:\n  n1: dog\n  n2: cat",
    "classes:\r\n  n1: dog\r\n  n2: cat",
    "classes:\n  n1: ~\n  n2:\nx: 1\n",
    "classes:\n  'n1': dog\n  n2:\n    cat   # two\nx: {a:  1}\n",
]


@pytest.mark.parametrize("text", FORMS)
def test_other_ways_of_writing_are_kept(text: str) -> None:
    new = added(text, "n3", None, "three")
    assert yaml.safe_load(new) == {
        **yaml.safe_load(text),
        "classes": {**yaml.safe_load(text)["classes"], "n3": None},
    }
    assert removed(new, "n3") == text
    left = yaml.safe_load(removed(text, "n1"))["classes"]
    assert list(left) == ["n2"]


@pytest.mark.parametrize("classes", ["{n1: dog, n2: cat}", "&a\n  <<: {n1: dog}\n  n2: cat\n"])
def test_what_is_not_one_class_a_line_is_left_alone(classes: str) -> None:
    with pytest.raises(UsageError, match="classes: not written as one"):
        added(f"classes: {classes}\n", "n3", "dog", "")


def test_a_tab_that_yaml_1_2_does_not_have_is_named(here: Path) -> None:
    path = here / "params.yaml"
    tabbed = DEFAULT.replace("dog            #", "dog\t#")
    path.write_text(tabbed)
    with pytest.raises(UsageError, match=r"params\.yaml, line 9: not valid YAML: .*not tabs"):
        add(path, "golden retriever")
    assert path.read_text() == tabbed


def test_a_file_that_would_be_wrong_is_not_written(here: Path) -> None:
    path = here / "params.yaml"
    bad = DEFAULT.replace("per_class: 20", "per_class: lots")
    with pytest.raises(
        UsageError, match=r"is unchanged, because .*params\.yaml, line 20: per_class"
    ):
        replace_params(path, bad, load_params(path).classes)
    with pytest.raises(UsageError, match="is unchanged, because"):
        replace_params(path, DEFAULT, {})
    assert path.read_bytes() == DEFAULT.encode()
    assert [entry.name for entry in here.iterdir()] == ["params.yaml"]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SHIPPED), st.sampled_from(sorted(all_synsets())), st.booleans())
def test_adding_then_removing_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, shipped: Path, wnid: str, whole: bool
) -> None:
    path = tmp_path_factory.mktemp("params") / "other.yaml"
    path.write_bytes(shipped.read_bytes())
    key = wnid + "+" * whole
    nested = key in load_params(path).classes or overlapping_classes(
        [*load_params(path).classes, key]
    )
    labelless = find_synset(wnid).voc is None and load_params(path).split.folders == "voc"  # type: ignore[union-attr]
    if nested or labelless or not synsets_of(key):
        with pytest.raises(UsageError):
            add(path, key)
    else:
        change = add(path, key)
        assert list(load_params(path).classes)[change.class_index :] == [key]
        assert load_params(path).classes[key].voc == find_synset(wnid).voc  # type: ignore[union-attr]
        remove(path, key)
    assert path.read_bytes() == shipped.read_bytes()


def test_mistakes_of_adding_and_removing(here: Path) -> None:
    path = Path("params.yaml")
    for query, words in {
        HUSKY: r"n02109961 \(Eskimo dog\) is already in it, as class 0",
        "dog+": r"n02084071\+ \(dog\) shares photos with n02109961 \(Eskimo dog\)",
        "heterotroph+": "none of ILSVRC's classes is a heterotroph",
    }.items():
        with pytest.raises(UsageError, match=words):
            add(path, query)
    with pytest.raises(UsageError, match=r"is no 'cat'\. Did you mean dog"):
        add(path, GOLDEN, "cat")
    with pytest.raises(UsageError, match=r"'dgo' is not a VOC label\. Did you mean dog"):
        add(path, "teapot", "dgo")
    with pytest.raises(UsageError, match=r"params\.yaml: no class 'golden retriever'; .* lists"):
        remove(path, "golden retriever")
    for query in ("cat", "persian"):
        with pytest.raises(UsageError, match=r"no class .*mean n02123394 \(Persian cat\)"):
            remove(path, query)
    assert path.read_bytes() == DEFAULT.encode()
    add(path, "teapot", "bottle")
    assert load_params().classes["n04398044"].voc == "bottle"
    for key in list(load_params().classes)[1:]:
        remove(path, key)
    with pytest.raises(UsageError, match=r"n02109961 \(Eskimo dog\) is the only class"):
        remove(path, "husky")


def test_inside_a_listed_subtree_nothing_is_added(here: Path) -> None:
    path = Path("params.yaml")
    remove(path, "Eskimo dog")
    add(path, "dog+")
    assert "  n02084071+: dog           # dog (118 ILSVRC classes)\n" in path.read_text()
    with pytest.raises(UsageError, match=r"golden retriever\) shares photos with n02084071\+"):
        add(path, "golden retriever")
    assert remove(path, "n02084071").key == "n02084071+"


# What dvc repro will do


def locked(classes: Mapping[str, object], **changes: Any) -> None:
    """Write a dvc.lock as DVC does, of these classes and the params as they are but for changes."""
    params = yaml.safe_load(Path("params.yaml").read_text()) | changes | {"classes": classes}
    watched = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    stages = {
        name: {"params": {"params.yaml": {key: params[key] for key in stage["params"]}}}
        for name, stage in watched.items()
    }
    Path("dvc.lock").write_text(
        yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False)
    )


def from_the_web() -> None:
    text = (ROOT / "presets/imagenet.yaml").read_bytes()
    Path("params.yaml").write_bytes(text)


def written() -> dict[str, str | None]:
    classes: dict[str, str | None] = read_yaml(Path("params.yaml").read_text())["classes"]
    return classes


def told(change: Change) -> str:
    return "\n".join(change.lines)


def test_a_new_class_is_fetched_and_the_others_keep_their_photos(here: Path) -> None:
    from_the_web()
    locked(written())
    output = told(add(Path("params.yaml"), "golden retriever"))
    assert output.startswith("added n02099601 (golden retriever) as dog, class 10\n")
    assert "fetches up to 360 photos of it, keeps up to 300\n" in output
    assert "the other classes keep their photos" in output
    assert "evenly from 3 ILSVRC classes" in told(add(Path("params.yaml"), "person+"))


def test_a_class_that_is_pinned_is_not_fetched_again(here: Path) -> None:
    from_the_web()
    locked(written() | {GOLDEN: "dog", "n02099712": "dog"})
    output = told(add(Path("params.yaml"), GOLDEN))
    assert "still pins its photos: dvc repro fetches none of them again" in output
    output = told(add(Path("params.yaml"), "n02099712"))
    assert "the params are those of dvc.lock: dvc pull gets the dataset" in output
    remove(Path("params.yaml"), "n02099712")
    (here / "data/dataset").mkdir(parents=True)
    assert "nothing changes" in told(add(Path("params.yaml"), "n02099712"))
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("{wnid}", "v2/{wnid}"))
    remove(Path("params.yaml"), GOLDEN)
    assert "all classes follow the edits of sources" in told(add(Path("params.yaml"), GOLDEN))


def test_without_a_lock_everything_is_built(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_the_web()
    assert "dvc repro builds all 11 classes" in told(add(Path("params.yaml"), GOLDEN))
    locked(written())
    monkeypatch.setenv("ALLROUNDER_PINS", "ignore")
    assert "builds all 10 classes" in told(remove(Path("params.yaml"), GOLDEN))


def test_a_broken_lock_is_reported_before_anything_is_changed(here: Path) -> None:
    Path("dvc.lock").write_text("stages: [")
    for act, query in ((add, GOLDEN), (remove, HUSKY)):
        with pytest.raises(UsageError, match=r"dvc\.lock: not valid YAML"):
            act(Path("params.yaml"), query)
    assert Path("params.yaml").read_bytes() == DEFAULT.encode()


def test_what_is_scarce_and_what_has_no_label_is_reported(here: Path) -> None:
    from_the_web()
    locked({HUSKY: "dog"}, clean={"min_side": 1})
    output = told(add(Path("params.yaml"), "n00006024"))
    assert "follow the edits of clean" in output
    assert "ImageNet listed only 1 photos of it, min_per_class is 250" in output
    assert "no VOC label for a heterotroph; give one with --voc" in output


def test_removing_says_what_is_dropped_and_which_indices_move(here: Path) -> None:
    locked(written())
    output = told(remove(Path("params.yaml"), "Persian cat"))
    assert output.startswith("removed n02123394 (Persian cat) as cat, class 1\n")
    assert "dvc repro drops its photos" in output
    assert "the other classes keep their photos" in output
    assert "8 classes after it: index one lower" in output
    output = told(add(Path("params.yaml"), "Persian cat"))
    assert "only the order of the classes differs" in output
    add(Path("params.yaml"), GOLDEN)
    remove(Path("params.yaml"), HUSKY)
    assert "dvc.lock has no photos of it" in told(remove(Path("params.yaml"), GOLDEN))


def test_a_namesakes_folder_changes_its_name(here: Path) -> None:
    locked(written())
    add(Path("params.yaml"), "n02012849")
    output = told(add(Path("params.yaml"), "n03126707"))
    assert "folder changes from crane to crane_n02012849" in output


def test_other_files_are_built_only_once_they_are_the_params(here: Path) -> None:
    Path("other.yaml").write_bytes(DEFAULT.encode())
    assert "copy other.yaml there to build it" in told(add(Path("other.yaml"), GOLDEN))
    assert Path("params.yaml").read_bytes() == DEFAULT.encode()
