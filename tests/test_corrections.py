"""Corrections by hand: what corrections.csv may say, what it matches, what clean makes of it."""

import hashlib
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allrounder.clean.cleaning import clean
from allrounder.core.corrections import (
    HEADER,
    Action,
    Correction,
    PhotoId,
    PhotoNames,
    append,
    by_photo,
    load_corrections,
    match_photos,
    new_lines,
    parse_corrections,
    read_lines,
    unmatched_warnings,
)
from allrounder.core.errors import UsageError
from allrounder.core.funnel import funnels, total_funnel
from allrounder.core.paths import Stages
from allrounder.core.rows import CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import tar_members
from allrounder.corrections.edits import Changes, Edits, edits
from allrounder.corrections.lines import listed, raw_hashes
from allrounder.params.schema import Clean, Params
from curating import Item, curate
from hostile import encoded, picture
from project import Project
from test_cleaning import item, look_of
from test_hostile_photos import raw_archive

HEAD = ",".join(HEADER)
KEYS = ("n1", "n2", "n3")
SHA = "a" * 64
PARAMS = Params.model_validate(
    {
        "sources": [{"kind": "folder", "location": "p"}],
        "classes": {"n02109961": None},
        "per_class": 3,
        "min_per_class": 1,
    }
).model_copy(update={"classes": dict.fromkeys(KEYS)})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", f"line 1: must be the header {HEAD}"),
        ("match,action\n", "line 1: must be the header"),
        (f"{HEAD}\n{SHA},exclud,,,\n", "line 2: action: 'exclud' is neither exclude nor move. Did"),
        (f"{HEAD}\n\n,exclude,,,\n", "line 3: match: empty"),
        (f"{HEAD}\n{SHA},exclude,n1,,\n", "line 2: class: 'n1', but exclude has none"),
        (f"{HEAD}\n{SHA},move,,,\n", "line 2: class: empty, and move needs one"),
        (f"{HEAD}\n{SHA},move,n9,,\n", "line 2: class: 'n9' is the id of no class"),
        (f"{HEAD}\n{SHA},exclude\n", "line 2: has 2 cells, and the header has 5"),
        (f'{HEAD}\n"x"y,exclude,,,\n', "line 2: not CSV"),
        (
            f"{HEAD}\n{SHA},exclude,,,\n{SHA.upper()},move,n1,,\n",
            "line 3: move n1, but corrections.csv, line 2 says exclude for the same photo",
        ),
        (
            f"{HEAD}\nhttp://A/x.jpg,move,n1,,\nhttps://a/x.jpg,move,n2,,\n",
            "line 3: move n2, but corrections.csv, line 2 says move n1 for the same photo",
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_its_number(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_corrections(text, KEYS, "corrections.csv")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    assert load_corrections(KEYS, file) == ()  # no DVC here that demands it
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(UsageError, match="no such file; git checkout"):
        load_corrections(KEYS, file)
    file.mkdir()
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\); correct that"):
        load_corrections(KEYS, file)


def test_the_order_of_the_lines_and_doubles_do_not_matter() -> None:
    lines = [f"{SHA},exclude,,b,x", f"{SHA},exclude,,a,x", "id_1,move,n2,,", "id_1,move,n2,,"]
    found = parse_corrections("\r\n".join([HEAD, *lines, ""]), KEYS, "c")
    assert found == parse_corrections("\n".join([HEAD, *lines[::-1]]), KEYS, "c")
    assert [one.reason for one in found] == ["a", "b", ""]
    photo = PhotoNames("n1", "id_1", {"b" * 64}, [])
    assert by_photo(match_photos(found, [photo]))["n1", "id_1"].to == "n2"


def line(match: str, to: str = "", reason: str = "") -> Correction:
    return Correction(match, Action.MOVE if to else Action.EXCLUDE, to, reason, line=2)


def test_a_photo_is_matched_by_both_hashes_any_url_and_its_id() -> None:
    urls = ["http://h/a.jpg", "https://cdn/b.jpg", "photos/a b.jpg"]
    photo = PhotoNames("n1", "one", {"a" * 64, "b" * 64}, urls)
    matches = ["A" * 64, "b" * 64, "https://H:443/a.jpg", "https://cdn/b.jpg", "photos/a b.jpg"]
    matches += ["one", "n1/one"]
    found = match_photos([line(one) for one in [*matches, "two", "n2/one"]], [photo])
    assert [one.match for one, photos in found.items() if photos] == matches


def test_lines_that_name_one_photo_in_two_ways_must_agree() -> None:
    photo = PhotoNames("n1", "one", {SHA}, ["http://h/a.jpg"])
    found = match_photos([line(SHA), line("http://h/a.jpg", "n2")], [photo])
    with pytest.raises(UsageError, match="for the same photo"):
        by_photo(found)
    other = replace(photo, key="n2")
    with pytest.raises(UsageError, match="two classes; write n1/one or n2/one"):
        match_photos([line("one")], [photo, other])
    match_photos([line("n1/one")], [photo, other])


def test_the_warnings_are_bounded() -> None:
    lines = [replace(line(f"x{number}"), line=number) for number in range(2, 40)]
    warnings = unmatched_warnings(lines[::-1])
    assert warnings[0] == "warning: corrections.csv, line 2: matches no photo: x2"
    assert len(warnings) == 21
    assert warnings[-1] == "warning: corrections.csv: and 18 more"


# What clean makes of them


def judged(items: list[Item], lines: dict[PhotoId, Correction], per_class: int = 9) -> list[Item]:
    return curate(items, per_class, Clean(), lines, KEYS)


def test_an_exclusion_holds_for_every_copy_and_a_move_settles_two_classes() -> None:
    look = look_of(1)
    items = [item("n1", 1, look), item("n1", 2, look_of(2)), item("n2", 3, look, pixels=900)]
    found = judged(items, {("n1", "n1_1"): line("x", reason="a notice")})
    copy = found[2]
    assert [one.status for one in found] == ["excluded", "kept", "excluded"]
    assert (copy.detail, copy.duplicate_of) == ("a notice", "n1/n1_1")
    assert [one.status for one in judged(items, {})] == ["cross_class", "kept", "cross_class"]
    moved = judged(items, {("n1", "n1_1"): line("x", "n2", "a cat")})
    assert [(one.key, one.status) for one in moved] == [
        ("n1", "kept"), ("n2", "near_duplicate"), ("n2", "kept"),
    ]  # fmt: skip
    assert moved[1].duplicate_of == "n2/n2_3"
    stay = judged(items, {("n2", "n2_3"): line("x", "n2")})  # says which class is right
    assert [(one.key, one.status) for one in stay] == [(one.key, one.status) for one in moved]


def test_a_moved_photo_joins_a_full_class() -> None:
    items = [item(key, n, look_of(10 * n + len(key) + ord(key[1]))) for key in KEYS for n in (1, 2)]
    found = judged(items, {("n3", "n3_2"): line("x", "n1")}, per_class=2)
    shown = [(one.key, one.image_id, one.status) for one in found if one.key == "n1"]
    assert shown == [("n1", "n3_2", "kept"), ("n1", "n1_1", "kept"), ("n1", "n1_2", "surplus")]
    assert found[0].moved_from == "n3"
    assert found[0].name.startswith("n1_")


drawn = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 7)), max_size=14)
effects = st.dictionaries(st.integers(0, 13), st.sampled_from(["", *KEYS]), max_size=6)


@settings(deadline=None)
@given(drawn, effects, st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_photo_has_one_decision_and_the_first_good_ones_are_kept(
    pictures: list[tuple[str, int]], wanted: dict[int, str], per_class: int, rng: random.Random
) -> None:
    ranked = sorted(enumerate(pictures), key=lambda one: one[1][0])
    items = [item(key, at, look_of(look), sha=f"{at:064}"[::-1]) for at, (key, look) in ranked]
    looks = {one.photo_id: look for one, (_, (_, look)) in zip(items, ranked, strict=True)}
    lines = {
        (key, f"{key}_{at}"): line(f"{at}", wanted[at]) for at, (key, _) in ranked if at in wanted
    }
    found = judged(items, lines, per_class)
    assert Counter(one.photo_id for one in found) == Counter(one.photo_id for one in items)
    excluded = {looks[photo] for photo, one in lines.items() if one.action is Action.EXCLUDE}
    for one in found:
        assert (one.status is Status.EXCLUDED) == (looks[one.photo_id] in excluded)
    for key in KEYS:
        good = [one.status for one in found if one.key == key and one.status in ("kept", "surplus")]
        assert good == (["kept"] * per_class + ["surplus"] * 14)[: len(good)]
    names = [one.name for one in found if one.status is Status.KEPT]
    assert len(set(names)) == len(names)
    shuffled = list(lines.items())
    rng.shuffle(shuffled)
    assert judged(items, dict(shuffled), per_class) == found


def built(folder: Path, lines: list[Correction]) -> list[Correction]:
    """Clean three classes of pictures in `folder`; returns the lines that match nothing."""
    for name in ("raw", "urls", "out", "work"):
        (folder / name).mkdir(exist_ok=True)
    bodies = {key: [encoded(picture(10 * at + n), "JPEG") for n in range(4)]
              for at, key in enumerate(KEYS)}  # fmt: skip
    bodies["n1"].append(encoded(picture(0), "PNG"))  # a copy of n1_0, in other bytes
    for key in KEYS:
        raw_archive(folder / "raw", key, bodies[key])
    rows, unmatched = clean(
        PARAMS, folder / "urls", folder / "raw", folder / "out", folder / "work", lines
    )
    assert list(rows) == list(KEYS)
    return unmatched


def rows_of(folder: Path, key: str) -> dict[str, CleanRow]:
    return {row.image_id: row for row in read_csv(folder / f"out/{key}.csv", CleanRow)}


def test_clean_applies_all_lines_and_the_counts_add_up(tmp_path: Path) -> None:
    raw = hashlib.sha256(encoded(picture(0), "JPEG")).hexdigest()
    lines = [
        line(raw, reason="blurred"),
        line("n2_1", "n3", "another thing"),
        line("https://h.example/n2_2"),
        line("n3_3", "n2"),
        line("f" * 64),
    ]
    (tmp_path / "b").mkdir()
    for folder, order in ((tmp_path, 1), (tmp_path / "b", -1)):
        assert built(folder, lines[::order]) == [line("f" * 64)]
    n1, n2, n3 = (rows_of(tmp_path, key) for key in KEYS)
    assert {k: row.status for k, row in n1.items()} == {
        "n1_0": "excluded", "n1_1": "kept", "n1_2": "kept", "n1_3": "kept", "n1_4": "excluded",
    }  # fmt: skip
    assert (n1["n1_4"].detail, n1["n1_4"].duplicate_of) == ("blurred", "n1/n1_0")
    assert (n3["n2_1"].moved_from, n3["n2_1"].status, n3["n2_1"].detail) == (
        "n2", "kept", "another thing",
    )  # fmt: skip
    assert list(n2) == ["n3_3", "n2_0", "n2_2", "n2_3"]
    assert sum(map(len, (n1, n2, n3))) == 13
    for key in KEYS:
        kept = [row.file for row in rows_of(tmp_path, key).values() if row.file]
        assert [name for name, _ in tar_members(tmp_path / f"out/{key}.tar")] == kept
        for suffix in ("csv", "tar"):
            name = f"out/{key}.{suffix}"
            assert (tmp_path / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    counted = funnels(KEYS, tmp_path / "raw", tmp_path / "out", {}, ())
    assert (counted["n2"].moved_in, counted["n2"].moved_out) == (1, 1)
    for one in (*counted.values(), total_funnel(counted.values())):
        taken = one.raw[Status.OK] + one.moved_in - one.moved_out
        assert taken == one.clean.total()
        assert one.steps["kept"] == one.clean[Status.KEPT]
    assert total_funnel(counted.values()).lost["unique"] == {Status.EXCLUDED: 3}


def test_a_listed_url_without_a_photo_is_no_mistake(tmp_path: Path) -> None:
    built(tmp_path, [])
    table = tmp_path / "raw/n1.csv"
    rows = [*read_csv(table, RawRow), RawRow("late", "http://h/late.jpg", Status.UNUSED)]
    write_csv(table, RawRow, rows)
    urls, raw, out, work = (tmp_path / name for name in ("urls", "raw", "out", "work"))
    assert clean(PARAMS, urls, raw, out, work, [line("http://h/late.jpg")])[1] == []


# The tool


def test_only_what_is_new_is_added_and_must_agree_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"{HEAD}\nid_9,exclude,,mine,me")  # without a line end
    present = parse_corrections(path.read_text(), KEYS, str(path))
    moved, excluded = "id_2,move,n1,,", 'id_1,exclude,,"a, b",'
    text = "\n".join([HEAD, moved, "id_9,exclude,,,", HEAD, excluded, moved])
    added = read_lines(text, KEYS, "-", needs_header=False)
    append(path, new_lines(present, added))
    lines = [HEAD, "id_9,exclude,,mine,me", moved, excluded, ""]
    assert path.read_text() == "\n".join(lines)
    now = parse_corrections(path.read_text(), KEYS, str(path))
    assert new_lines(now, added) == []
    other = read_lines("id_9,move,n1,,", KEYS, "x.csv", needs_header=False)
    with pytest.raises(UsageError, match=r"^.*line.*but .* says .* for the same photo"):
        new_lines(now, other)


def test_the_downloaded_photo_is_known_by_the_cleaned_one(tmp_path: Path) -> None:
    built(tmp_path, [])
    stages = Stages(tmp_path / "urls", tmp_path / "raw", tmp_path / "out")
    raws = {row.image_id: row.sha256 for row in read_csv(tmp_path / "raw/n1.csv", RawRow)}
    cleaned = {name: row.sha256 for name, row in rows_of(tmp_path, "n1").items()}
    assert cleaned["n1_4"] != raws["n1_4"]  # a PNG
    found = raw_hashes(KEYS, stages)
    assert [found[cleaned[name]] for name in ("n1_1", "n1_4")] == [raws["n1_1"], raws["n1_4"]]
    assert found[raws["n1_2"]] == raws["n1_2"]
    assert raw_hashes(["not built"], stages) == {}


def test_the_list_says_what_each_line_did(tmp_path: Path) -> None:
    lines = [
        replace(one, line=number)
        for number, one in enumerate(
            [line("n1_0", reason="dull"), line("n2_1", "n3"), line("f" * 64), line("n3_2")], 2
        )
    ]
    built(tmp_path, lines[:3])
    stages = Stages(tmp_path / "urls", tmp_path / "raw", tmp_path / "out")
    table = tmp_path / "raw/n1.csv"
    gone = RawRow("gone", "http://h/gone.jpg", Status.HTTP_ERROR)
    write_csv(table, RawRow, [*read_csv(table, RawRow), gone])
    assert list(listed([*lines, replace(line("https://h/gone.jpg"), line=9)], KEYS, stages)) == [
        "line 2: exclude n1_0: excluded n1/n1_0 (copies: 1) (dull)",
        "line 3: move n3 n2_1: n2/n2_1 is kept in n3",
        f"line 4: exclude {'f' * 64}: matches no photo",
        "line 5: exclude n3_2: n3/n3_2 is surplus: not built yet, run dvc repro",
        "line 9: exclude https://h/gone.jpg: no photo: the download has http_error for it in n1",
    ]


def row(folder: str, number: int) -> ManifestRow:
    sha256 = hashlib.sha256(b"%d" % number).hexdigest()
    file, image_id = f"train/{folder}/{number}.jpg", f"i{number}"
    return ManifestRow(
        file, "train", 0, f"n_{folder}", folder, "", "", image_id, "u", "", sha256, 9, 9, "", "", ""
    )


def test_edits_by_hand_become_lines(tmp_path: Path) -> None:
    manifest = [row("dog", 1), row("dog", 2), row("dog", 3), row("cat", 4), row("gone", 5)]
    for folder in ("dog", "cat"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    (tmp_path / "train/cat/2.jpg").write_bytes(b"2")  # the same bytes, in another class
    (tmp_path / "train/dog/other name.jpg").write_bytes(b"3")
    (tmp_path / "train/cat/new.jpg").write_bytes(b"new")
    found = Changes(
        ["train/dog/1.jpg", "train/dog/2.jpg", "train/dog/3.jpg", "train/gone/5.jpg", "README.md"],
        ["train/cat/4.jpg"],
        ["train/cat/2.jpg", "train/cat/new.jpg", "train/dog/other name.jpg"],
    )
    by_hand = edits(tmp_path, manifest, found, [], {})
    assert {(one.match, *one.effect) for one in by_hand.lines} == {
        (manifest[0].sha256, "exclude", ""),
        (manifest[1].sha256, "move", "n_cat"),
    }
    others = ["train/cat/4.jpg", "train/cat/new.jpg", "train/dog/other name.jpg"]
    assert by_hand.others == others
    known = [line("i1"), line(manifest[1].sha256, "n_cat")]
    assert edits(tmp_path, manifest, found, known, {}) == Edits([], others)
    raw = {manifest[0].sha256: "0" * 64, manifest[1].sha256: "1" * 64}
    by_raw = edits(tmp_path, manifest, found, [], raw)
    assert [one.match for one in by_raw.lines] == [*raw.values()]
    assert edits(tmp_path, manifest, found, by_raw.lines, raw) == Edits([], others)
    assert edits(tmp_path, manifest, Changes(), [], {}) == Edits([], [])


@pytest.mark.parametrize("to", ["val/dog", "train/no class", "train/cat"])
def test_a_photo_that_is_still_there_is_not_excluded(to: str, tmp_path: Path) -> None:
    """Another split, a folder of no class, or a copy: no line can keep it, and it is named."""
    (tmp_path / "train/dog").mkdir(parents=True)
    (tmp_path / to).mkdir(parents=True)
    (tmp_path / to / "1.jpg").write_bytes(b"1")
    deleted = [] if to == "train/cat" else ["train/dog/1.jpg"]
    found = Changes(deleted, [], [f"{to}/1.jpg"])
    by_hand = edits(tmp_path, [row("dog", 1), row("cat", 2)], found, [], {})
    assert by_hand == Edits([], [f"{to}/1.jpg"])


def test_a_photo_removed_by_hand_stays_out_once_its_line_is_added(pulled: Project) -> None:
    clone = pulled
    assert clone.script("corrections", "edits") == ""
    (victim, *_) = sorted((clone.folder / "data/dataset/val/persian_cat").iterdir())
    sha256 = hashlib.sha256(victim.read_bytes()).hexdigest()
    victim.unlink()
    said = clone.script("corrections", "edits", expect=1)
    assert "photos removed or moved by hand: 1" in said
    assert "python scripts/corrections.py add .allrounder/edits.csv" in said
    assert said.count("\n") == 1
    clone.script("corrections", "add", ".allrounder/edits.csv")
    assert clone.script("corrections", "edits") == ""
    moved = "n02109961_001,move,n02123394,no dog,me"
    (clone.folder / "more.csv").write_text(f"{HEAD}\n{moved}\n")
    assert "1 lines added, 0 already there" in clone.script("corrections", "add", "more.csv")
    clone.repro()
    assert clone.script("corrections", "edits") == ""
    assert sha256 not in clone.read("data/dataset/manifest.csv")
    said = clone.script("diff", "HEAD")
    assert "(excluded: removed by hand)" in said
    assert "(moved from n02109961 by hand: no dog)" in said
    assert "1 taken out (with copies), 1 moved to another class" in clone.read(
        "data/dataset/README.md"
    )
    assert '"moved_from"' in clone.read("reports/index.html")
    with (clone.folder / "corrections.csv").open("a") as file:
        file.write("n02109961/n02109961_001,exclude,,,\n")
    said = clone.script("check_params", expect=2)
    assert said.startswith("error: corrections.csv, line 4: exclude, but corrections.csv, line 3")
    assert said.count("\n") == 1
