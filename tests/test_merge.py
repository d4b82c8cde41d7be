"""Two branches that each add a class: one command merges them, and the web is asked for nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import merge as merge_script
from allrounder.core.dvc_lock import read_yaml
from allrounder.core.errors import UsageError
from allrounder.versions.merging import Pins, merged_pins
from allrounder.versions.merging_params import Union, merged_text
from photoserver import PhotoServer
from project import GIT, Project, of_class
from test_pins import CAT, HUSKY, PLANE, use

ONE = {HUSKY: "dog"}


def test_a_merge_of_two_branches_asks_the_web_for_nothing(
    clone: Project, server: PhotoServer
) -> None:
    use(clone, server, "imagenet-api", classes=ONE, per_class=6)
    clone.commit("one class")
    clone.git("branch", "planes")
    for branch, key, voc in (("planes", PLANE, "aeroplane"), ("main", CAT, "cat")):
        clone.git("checkout", "-q", branch)
        use(clone, server, "imagenet-api", classes=ONE | {key: voc}, per_class=6)
        clone.repro("download")
        (clone.folder / "data/metrics.json").write_text(branch)  # as split would have written it
        clone.commit(branch)
        if branch == "planes":
            planes = of_class(clone.files("data/urls", "data/raw"), PLANE)
    wanted = clone.files("data/urls", "data/raw") | planes

    clone.run(*GIT, "merge", "planes", expect=1)
    assert "<<<<<<<" not in clone.read("dvc.lock")
    server.asked.clear()
    output = clone.script("merge")
    assert "dvc.lock pins the photos of 3 classes, of HEAD and of the other branch" in output
    assert clone.read("data/metrics.json") == "main"
    clone.repro("download")
    assert not server.asked
    assert clone.files("data/urls", "data/raw") == wanted
    clone.commit("both")
    assert clone.git("log", "--merges", "--format=%s") == "both\n"
    assert clone.locked("download")["params"]["params.yaml"]["classes"].keys() == {
        HUSKY, CAT, PLANE,
    }  # fmt: skip


def test_without_a_merge_and_with_a_real_conflict_nothing_is_changed(clone: Project) -> None:
    output = clone.script("merge", expect=2)
    assert "no merge is under way; run git merge first, or name a revision" in output
    built = clone.read("dvc.lock") + "# a build that is not committed\n"
    (clone.folder / "dvc.lock").write_text(built)
    output = clone.script("merge", "HEAD", expect=2)
    assert output.startswith("error: dvc.lock has changes that are not committed: git commit -m ")
    assert clone.read("dvc.lock") == built
    clone.git("checkout", "dvc.lock")
    before = clone.read("dvc.lock")
    assert "nowhere: no such git revision" in clone.script("merge", "nowhere", expect=2)
    assert clone.read("dvc.lock") == before
    clone.git("checkout", "-qb", "more")
    clone.edit(per_class=21)
    clone.commit("more")
    clone.git("checkout", "-q", "main")
    clone.edit(per_class=22)
    clone.commit("still more")
    clone.run(*GIT, "merge", "more", expect=1)
    before = clone.read("params.yaml")
    output = clone.script("merge", expect=2)
    assert output.startswith("error: both branches changed the same key: per_class; edit params")
    assert clone.read("params.yaml") == before
    longer = before.replace("<<<<<<<", "<<<<<<<<").replace(">>>>>>>", ">>>>>>>>")
    (clone.folder / "params.yaml").write_text(longer)
    assert "error: both branches changed the same key" in clone.script("merge", expect=2)
    clone.git("add", "params.yaml")
    assert "git knows of no conflict; git checkout --merge" in clone.script("merge", expect=2)
    (clone.folder / "params.yaml").unlink()
    assert "error: params.yaml: no such file; git che" in clone.script("merge", expect=2)


BASE = """sources:  # in this order
  - {kind: csv, location: a.csv}
classes:
  a: null  # the first
  b: cat

per_class: 20
"""
ADDED = BASE.replace("a.csv}", "a.csv}\n  - {kind: csv, location: c.csv}").replace(
    "cat\n", "cat\n  c: null\n"
)
A_SIDE = {
    "added": (BASE.replace("a.csv}", "a.csv}\n  - {kind: csv, location: d.csv}").replace(
        "cat\n", "cat\n  d: dog  # it barks\n"
    ), "sources: [a, d, c]; classes: {a: null, b: cat, d: dog, c: null}; per_class: 20"),
    "removed": (BASE.replace("  b: cat\n", ""),
        "sources: [a, c]; classes: {a: null, c: null}; per_class: 20"),
    "changed": (BASE.replace("b: cat", "b: dog"),
        "sources: [a, c]; classes: {a: null, b: dog, c: null}; per_class: 20"),
    "one line": (BASE.replace("\n  a: null  # the first\n  b: cat\n", " {a: null, b: cat, e: x}\n"),
        "sources: [a, c]; classes: {a: null, b: cat, e: x, c: null}; per_class: 20"),
}  # fmt: skip


def by_lines(base: str, ours: str, theirs: str) -> str:
    """A union that conflicts wherever both differ."""
    return ours if base == theirs or ours == theirs else theirs if base == ours else ours + theirs


@pytest.mark.parametrize("change", A_SIDE)
@pytest.mark.parametrize("union", [by_lines, merge_script._union], ids=["lines", "git"])
def test_params_are_merged_by_their_keys(change: str, union: Union) -> None:
    """What one branch removed or changed stays so, beside what the other added there."""
    ours, wanted = A_SIDE[change]
    text = merged_text(BASE, ours, ADDED, union)
    found = read_yaml(text)
    sources = ", ".join(source["location"][0] for source in found["sources"])
    classes = ", ".join(f"{key}: {value or 'null'}" for key, value in found["classes"].items())
    assert f"sources: [{sources}]; classes: {{{classes}}}; per_class: 20" == wanted
    assert "# in this order" in text
    assert ("# it barks" in text) == ("# it barks" in ours)


KEYS = st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, "x", "y"]))


@given(KEYS, KEYS, KEYS)
def test_each_key_is_of_the_side_that_changed_it(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
) -> None:
    one, two, three = (json.dumps({"classes": side}) for side in (base, ours, theirs))
    both = [
        key
        for key in "abc"
        if len({json.dumps(side.get(key, "-")) for side in (base, ours, theirs)}) == 3
        or (key not in base and key in ours and key in theirs and ours[key] != theirs[key])
    ]
    if both:
        with pytest.raises(UsageError, match=f"classes: [{''.join(both)}]$"):
            merged_text(one, two, three, by_lines)
        return
    found = read_yaml(merged_text(one, two, three, by_lines))["classes"]
    for key in "abc":
        of_base, own, other = (side.get(key, "-") for side in (base, ours, theirs))
        assert found.get(key, "-") == (other if own == of_base else own)


def pins(files: dict[str, str], **params: object) -> Pins:
    keys = sorted({name.partition(".")[0] for name in files})
    classes = dict.fromkeys(key.replace("_", " ") for key in keys)  # names in params.yaml
    named = {f"data/raw/{name}": md5 for name, md5 in files.items()}
    return Pins({"classes": classes, **params}, named)


FILES = st.dictionaries(
    st.sampled_from(["a.csv", "a.tar", "b.csv", "pallet_truck.csv", "n02084071+.csv"]),
    st.text("12"),
)


@given(FILES, FILES, FILES)
def test_every_class_comes_whole_from_one_side(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
) -> None:
    sides = [pins(files, download={}) for files in (base, ours, theirs)]
    merged = merged_pins("download", *sides)
    keys = set(sides[1].params["classes"]) | set(sides[2].params["classes"])
    assert merged.dropped == ()
    assert set(merged.pins.params["classes"]) == keys
    for key in keys:
        of_base, *both = (side.of_class(key) for side in sides)
        found = merged.pins.of_class(key)
        assert found in both
        if both[0] and both[1]:
            assert found == (both[1] if both[0] == of_base else both[0])


@pytest.mark.parametrize(("base", "kept"), [(1, {"b"}), (2, {"a"}), (3, {"a"})])
def test_pins_of_other_rules_are_of_no_use(base: int, kept: set[str]) -> None:
    """Ours has rule 1, theirs rule 2; the merge has that which a side changed."""
    sides = (
        pins({}, download=base),
        pins({"a.csv": "1"}, download=1),
        pins({"b.csv": "2"}, download=2),
    )
    merged = merged_pins("download", *sides)
    assert set(merged.pins.params["classes"]) == kept
    assert set(merged.dropped) == {"a", "b"} - kept
