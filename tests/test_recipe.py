"""Recipes: the same dataset from the web, what has changed there, and what others write."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pydantic import TypeAdapter

from allrounder.core.errors import DataError
from allrounder.core.expected import Expect, as_expected, is_outdated, match_of
from allrounder.core.files import remove_tree
from allrounder.core.funnel import Funnel, class_funnel
from allrounder.core.rows import Candidate, CleanRow, Match, RawRow, RecipeRow, Result, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.fetch_urls import listing
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network, Split
from allrounder.params.sources import RecipeSource, Source
from allrounder.split import recipe
from allrounder.split.splitting import split_class
from allrounder.web.lists import ListClient
from photoserver import PhotoServer
from project import Project

CLASSES = {"n02109961": "dog", "n02917067": "train"}
HUSKY = "n02109961"
STAGES = ("fetch_urls", "download", "clean", "split")
A, B = "a" * 64, "b" * 64


def build(clone: Project, *stages: str) -> dict[str, bytes]:
    """Run stages without what a run before has fetched."""
    remove_tree(clone.folder / ".allrounder")
    for stage in stages or STAGES:
        clone.stage(stage)
    return clone.files("data/dataset")


def recoded(body: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(body)).convert("RGB").save(out, "JPEG", quality=60)
    return out.getvalue()


def other_picture() -> bytes:
    image = Image.new("RGB", (200, 160), "white")
    for number in range(9):
        ImageDraw.Draw(image).rectangle((20 * number, 15 * number, 180, 150), (28 * number, 90, 9))
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def expected(clone: Project) -> dict[str, int]:
    counts: dict[str, int] = json.loads(clone.read("data/metrics.json"))["all"]["expected"]
    return counts


def test_a_recipe_builds_the_same_bytes_and_says_what_has_changed(
    clone: Project, server: PhotoServer
) -> None:
    with (clone.folder / "photos.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["url", "label", "license", "author"])
        for wnid in CLASSES:
            for path in server.paths(wnid):
                rows.writerow([server.base + path, wnid, "cc-by-2.0", "=A"])
    clone.edit(
        sources=[{"kind": "csv", "location": "photos.csv"}], classes=CLASSES, per_class=8,
        min_per_class=2, network={"allow_private": ["127.0.0.1"]},
    )  # fmt: skip
    with (clone.folder / "corrections.csv").open("a", encoding="utf-8") as file:
        print(f"{server.base}{server.paths(HUSKY)[0]},move,n02917067,no dog,me", file=file)
    before = build(clone)
    assert b",n02109961,\n" in before["data/dataset/recipe.csv"]  # moved_from
    lines = before["data/dataset/recipe.csv"]
    (clone.folder / "got.csv").write_bytes(lines)
    clone.edit(sources=[{"kind": "recipe", "location": "got.csv"}])
    server.asked.clear()
    assert build(clone) == before  # tables, card and Croissant too
    assert len(server.photos_asked) == 16  # just the dataset's
    counts = expected(clone)
    assert (counts["listed"], counts["identical"], counts["rebuilt"]) == (16, 16, 16)

    listed = list(read_csv(clone.folder / "got.csv", RecipeRow))
    same, changed, gone = [row for row in listed if row.split == "train"][:3]
    server.photos[same.url.removeprefix(server.base)] = recoded(
        server.photos[same.url.removeprefix(server.base)]
    )
    server.photos[changed.url.removeprefix(server.base)] = other_picture()
    del server.photos[gone.url.removeprefix(server.base)]
    after = build(clone, "download", "clean", "split")
    assert expected(clone) == {
        "listed": 16, "identical": 13, "same_picture": 1, "changed": 1, "gone": 1, "not_tried": 0,
        "rebuilt": 14,
    }  # fmt: skip
    now = {
        row.image_id: row.split
        for row in read_csv(clone.folder / "data/dataset/recipe.csv", RecipeRow)
    }
    assert now == {row.image_id: row.split for row in listed if row not in (changed, gone)}
    (clean,) = [
        row for row in read_csv(clone.folder / f"data/clean/{changed.wnid}.csv", CleanRow)
        if row.image_id == changed.image_id
    ]  # fmt: skip
    assert (clean.status, clean.match) == (Status.CHANGED, Match.CHANGED)
    card = after["data/dataset/README.md"].decode()
    assert "| all | 16 | 13 | 1 | 1 | 1 | 0 | 14 |" in card
    clone.stage("report")
    assert "rebuilt from a recipe" in clone.read("reports/index.html").lower()


FOUND = Result(Status.OK, sha256=A, suffix="jpg")


@pytest.mark.parametrize(
    ("sha256", "hash_", "expect", "status", "match"),
    [
        ("", "", "bytes", Status.OK, Match.NONE),
        (A, "", "bytes", Status.OK, Match.IDENTICAL),
        (B, "f" * 16, "bytes", Status.CHANGED, Match.CHANGED),
        (B, "f" * 16, "picture", Status.OK, Match.CHANGED),  # clean compares it
        (B, "", "picture", Status.CHANGED, Match.CHANGED),  # nothing to compare it with
        (B, "", "nothing", Status.OK, Match.CHANGED),
    ],
)
def test_a_photo_is_held_against_what_is_expected(
    sha256: str, hash_: str, expect: str, status: Status, match: Match
) -> None:
    candidate = Candidate("1", "u", expected_sha256=sha256, expected_hash=hash_)
    result = as_expected(candidate, FOUND, Expect(expect))
    assert (result.status, match_of(candidate, result)) == (status, match)
    assert not is_outdated(candidate, result, Expect(expect))


def test_a_refusal_ends_with_its_reason() -> None:
    wanted = Candidate("1", "u", expected_sha256=B)
    refused = as_expected(wanted, FOUND, Expect.BYTES)
    assert is_outdated(replace(wanted, expected_sha256=A), refused, Expect.BYTES)
    assert is_outdated(replace(wanted, expected_sha256=""), refused, Expect.BYTES)
    assert is_outdated(wanted, refused, Expect.NOTHING)


def test_without_a_photo_it_is_gone_or_was_not_tried() -> None:
    wanted = Candidate("1", "u", expected_sha256=B)
    assert match_of(wanted, Result(Status.HTTP_ERROR)) is Match.GONE
    assert match_of(wanted, Result(Status.PLACEHOLDER)) is Match.GONE
    assert match_of(wanted, Result(Status.TOO_SMALL, sha256=B)) is Match.GONE  # refused since
    assert match_of(wanted, Result(Status.UNUSED)) is Match.NOT_TRIED


def test_only_photos_that_clean_keeps_are_rebuilt() -> None:
    raw = [RawRow(str(n), "u", Status.OK, match=Match.IDENTICAL) for n in range(2)]
    raw += [RawRow("2", "u", Status.OK, match=Match.CHANGED, expected_hash="0" * 16)]
    statuses = (Status.KEPT, Status.NEAR_DUPLICATE, Status.KEPT)
    matches = (Match.IDENTICAL, Match.IDENTICAL, Match.SAME_PICTURE)
    clean = [
        CleanRow(str(n), status, match=match)
        for n, (status, match) in enumerate(zip(statuses, matches, strict=True))
    ]
    funnel = class_funnel(raw, clean, {"train": 2})
    assert funnel.matches == {Match.IDENTICAL: 2, Match.SAME_PICTURE: 1}
    assert funnel.rebuilt == 2


def rows_listed(tmp_path: Path, rows: Sequence[RecipeRow]) -> list[Candidate]:
    write_csv(tmp_path / "recipe.csv", RecipeRow, rows)
    return listed_from({"kind": "recipe", "location": str(tmp_path / "recipe.csv")})


def listed_from(source: dict[str, Any], key: str = HUSKY) -> list[Candidate]:
    read = TypeAdapter[Source](Source).validate_python(source)
    found = listing.list_classes([read], read_classes({key: None}), ListClient(Network(tries=1)))
    return list(found[key])


GOOD = RecipeRow(HUSKY, "val", "http://h.example/1.jpg", A, "0" * 16, source="open-images")


def test_a_row_becomes_a_candidate_of_its_original_source(tmp_path: Path) -> None:
    (found,) = rows_listed(tmp_path, [GOOD, replace(GOOD, wnid="n02123394")])
    assert (found.source, found.split) == ("open-images", "val")
    assert (found.expected_sha256, found.expected_hash) == (A, "0" * 16)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"url": " "}, "no URL"),
        ({"sha256": "A" * 64}, "sha256: no 64 hex digits"),
        ({"perceptual_hash": "zz"}, "perceptual_hash: no 16 hex digits"),
        ({"split": "../etc"}, "split: no name of a split"),
        ({"url": "http://h.example/n.tar#1.jpg"}, "is in an archive"),
    ],
)
def test_a_bad_row_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: dict[str, str], words: str
) -> None:
    assert len(rows_listed(tmp_path, [GOOD, replace(GOOD, **fault)])) == 1
    assert f"1 passed over: {words}" in capsys.readouterr().err


def test_only_photos_in_its_folder_may_be_local() -> None:
    source = RecipeSource(kind="recipe", location="got.csv")
    assert source.local_roots() == ["got.csv", "data/sample"]
    assert source.watched_paths([]) == ["got.csv"]
    away = RecipeSource(kind="recipe", location="https://h.example/r.csv", files="mine")
    assert away.local_roots() == ["mine"]
    assert not away.watched_paths([])


def test_photos_of_a_subtree_keep_their_synset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = replace(GOOD, wnid="n02084071+", synset=HUSKY)
    moved = replace(tree, url="http://h.example/2.jpg", synset="", moved_from="n02123394")
    write_csv(tmp_path / "recipe.csv", RecipeRow, [tree, moved])
    (found,) = listed_from(
        {"kind": "recipe", "location": str(tmp_path / "recipe.csv")}, "n02084071+"
    )
    assert found.synset == HUSKY
    assert "1 passed over: was moved into a subtree" in capsys.readouterr().err


def test_another_table_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.csv").write_text("url,label\nhttp://h.example/1.jpg,dog\n")
    with pytest.raises(DataError, match=r"is no recipe\.csv: it has no column 'wnid'"):
        listed_from({"kind": "recipe", "location": str(tmp_path / "recipe.csv")})


def test_tables_and_lists_have_hashes_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        f"url,label,sum\nhttp://h.example/1,{HUSKY},{A.upper()}\nhttp://h.example/2,{HUSKY},\n"
        f"http://h.example/3,{HUSKY},12\n"
    )
    source = {"kind": "csv", "location": str(table), "expected_sha256": "sum"}
    assert [one.expected_sha256 for one in listed_from(source)] == [A, ""]
    assert "1 passed over: expected_sha256: no 64 hex digits" in capsys.readouterr().err
    plain = tmp_path / "list.txt"
    plain.write_text(f"{HUSKY}_1\thttp://h.example/a b\t{B}\n{HUSKY}_2\thttp://h.example/2\n")
    found = listed_from({"kind": "url-list", "location": str(plain)})
    assert [(one.url, one.expected_sha256) for one in found] == [
        ("http://h.example/a b", B),
        ("http://h.example/2", ""),
    ]


NAMES = [f"{number}.jpg" for number in range(6)]


@settings(max_examples=25, deadline=None)
@given(
    given_=st.lists(st.sampled_from(["train", "val", ""]), min_size=6, max_size=6),
    groups=st.lists(st.sampled_from(["", "", "a", "b"]), min_size=6, max_size=6),
)
def test_a_group_stays_on_one_side_and_each_photo_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, given_: list[str], groups: list[str]
) -> None:
    of, fixed = dict(zip(NAMES, groups, strict=True)), dict(zip(NAMES, given_, strict=True))
    try:
        found = split_class("n1", of, Split(), tmp_path_factory.getbasetemp() / "work", fixed)
    except DataError:
        return  # all are on one side
    place = {name: split for split, names in found.items() for name in names}
    assert sorted(name for names in found.values() for name in names) == NAMES
    for name in NAMES:
        assert not of[name] or {place[one] for one in NAMES if of[one] == of[name]} == {place[name]}
        assert of[name] or fixed[name] in ("", place[name])


def test_folds_are_the_recipes_and_an_unknown_split_is_refused(tmp_path: Path) -> None:
    fixed = dict(zip(NAMES, ["fold_1", "fold_2"] * 3, strict=True))
    found = split_class("n1", dict.fromkeys(NAMES, ""), Split(kfold=2), tmp_path / "w", fixed)
    assert found["fold_1/val"] == found["fold_2/train"] == NAMES[::2]
    with pytest.raises(DataError, match=r"the recipe has a split fold_1, and params.split has"):
        split_class("n1", dict.fromkeys(NAMES, ""), Split(), tmp_path / "w", fixed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"raw":{"x":1}}',
        '{"raw":{"ok":-1}}',
        '{"raw":3}',
        '{"raw":{"ok":1e999}}',
        "[" * 9000,
    ],
)
def test_results_that_make_no_sense_are_ignored(tmp_path: Path, text: str) -> None:
    funnel = class_funnel(
        [RawRow("1", "u", Status.OK, match=Match.IDENTICAL)],
        [CleanRow("1", Status.KEPT, match=Match.IDENTICAL)],
        {"train": 1},
    )
    write_csv(tmp_path / "n1.csv", Candidate, [Candidate("1", "u", split="train", results=text)])
    by_class = {"n1": funnel}
    assert recipe.original_funnels(by_class, tmp_path) is by_class


def test_the_originals_counts_are_taken_only_for_the_same_dataset(tmp_path: Path) -> None:
    original = class_funnel(
        [RawRow("1", "u", Status.OK), RawRow("2", "v", Status.OPTED_OUT, opt_out="robots.txt: x")],
        [CleanRow("1", Status.KEPT)],
        {"train": 1},
    )
    raw = RawRow("1", "u", Status.OK, match=Match.IDENTICAL)
    rebuilt = class_funnel([raw], [CleanRow("1", Status.KEPT, match=raw.match)], {"train": 1})
    text = recipe.results_text(original)
    for split, expected_funnel in (("train", original), ("val", rebuilt)):
        row = Candidate("1", "u", split=split, results=text)
        write_csv(tmp_path / "n1.csv", Candidate, [row])
        found: Funnel = recipe.original_funnels({"n1": rebuilt}, tmp_path)["n1"]
        assert found.as_metrics() == expected_funnel.as_metrics()
