"""Photos of known test sets are kept out: folders, manifests, tables of fingerprints."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import ImageOps

from allrounder.clean.columns import Origin
from allrounder.clean.curate import SAME
from allrounder.clean.fingerprints import Fingerprint, fingerprint
from allrounder.clean.test_sets import HEADER, ProtectedSet, copies_in_test_sets, table_lines
from allrounder.core.errors import UsageError
from allrounder.core.rows import Status
from allrounder.history import local_files
from allrounder.params.schema import Clean
from curating import Item, curate
from hostile import encoded, picture

PICTURES = [picture(seed, (300, 225)) for seed in range(6)]


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    folder = tmp_path / "held out"
    (folder / "dogs").mkdir(parents=True)
    for n, image in enumerate(PICTURES[:4]):
        (folder / f"dogs/{n}, a.jpg").write_bytes(encoded(image, "JPEG"))
    (folder / "notes.txt").write_text("no photo")
    return folder


def looks() -> list[Fingerprint]:
    altered = [
        PICTURES[0].resize((150, 112)),
        ImageOps.mirror(PICTURES[1]),
        PICTURES[2].crop((15, 11, 285, 214)),
        ImageOps.expand(PICTURES[3], 12, "white"),
        *PICTURES[4:],
    ]
    return [fingerprint(image.convert("L")) for image in altered]


def found(path: Path) -> dict[int, str]:
    prints = looks()
    sets = [ProtectedSet(str(path))]
    return copies_in_test_sets(range(6), prints.__getitem__, sets, Clean().near_radius, SAME)


def test_copies_of_the_photos_of_a_folder_are_found(held_out: Path) -> None:
    expected = {n: f"held out: dogs/{n}%2C a.jpg" for n in range(4)}
    assert {n: name[-len(expected[n]) :] for n, name in found(held_out).items()} == expected


def test_a_table_and_a_manifest_find_what_the_folder_finds(held_out: Path) -> None:
    table = held_out.parent / "table.csv"
    table.write_text("".join(table_lines(held_out)))
    names = {n: name.partition(": ")[2] for n, name in found(held_out).items()}
    assert {n: name.partition(": ")[2] for n, name in found(table).items()} == names
    manifest = held_out / "manifest.csv"
    manifest.write_text("file,split\n" + "".join(f'"dogs/{n}, a.jpg",val\n' for n in range(4)))
    assert sorted(found(manifest)) == [0, 1, 2, 3]
    elsewhere = held_out.parent / "absolute.csv"
    elsewhere.write_text("file\n" + "".join(f'"{held_out}/dogs/{n}, a.jpg"\n' for n in range(4)))
    elsewhere.rename(held_out / "dogs/absolute.csv")
    assert sorted(found(held_out / "dogs/absolute.csv")) == [0, 1, 2, 3]


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no photo in it"):
        list(table_lines(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "neither a table"),
        ("file\nx.jpg\n", "x.jpg is missing"),
        (HEADER + "x\n", "no fingerprint"),
        (HEADER + f",a,{'00' * 88},nan,1,AA,\n", "row 2 is damaged"),
        (HEADER, "no fingerprint in it"),
        ("split,file\nval\n", "is missing"),
        ("file\ntable.csv\n", "no photo in it"),
    ],
)
def test_what_is_no_test_set_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        ProtectedSet(str(path)).photo(0)
    with pytest.raises(UsageError, match="no such file"):
        ProtectedSet(str(tmp_path / "nothing"))


def test_all_copies_of_a_known_picture_are_dropped() -> None:
    one, other = (fingerprint(PICTURES[n].convert("L")) for n in (0, 4))
    items = [
        Item("a", "1", "x", 9, [Origin("p/1")], fingerprint=one),
        Item("a", "2", "y", 99, [Origin("p/2")], fingerprint=one, in_test_set="voc: 7.jpg"),
        Item("b", "3", "z", 9, [Origin("p/3")], fingerprint=other),
    ]
    judged = curate(items, 10, Clean())
    assert [one.status for one in judged] == [Status.IN_TEST_SET] * 2 + [Status.KEPT]
    assert [one.detail for one in judged] == ["voc: 7.jpg", "voc: 7.jpg", ""]


def test_a_changed_test_set_is_noticed(held_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = local_files.StateRecord(held_out.parent / "record.json", held_out.parent / "clean")
    monkeypatch.setattr(local_files, "COMPARED", record)
    record.tables.mkdir()
    table = record.tables / "dog.csv"
    table.write_text("of one version")
    params: Any = SimpleNamespace(clean=Clean(not_like=[str(held_out)]))
    assert local_files.test_sets_changed(params)
    record.remember(local_files.test_set_states(params))
    assert not local_files.test_sets_changed(params)
    table.write_text("of another one, checked out")
    assert local_files.test_sets_changed(params)
    table.write_text("of one version")
    assert not local_files.test_sets_changed(params)
    (held_out / "dogs/new.jpg").write_bytes(b"1")
    assert local_files.test_sets_changed(params)
    held_out.rename(held_out.with_name("elsewhere"))  # as in a clone that has no test set
    assert not local_files.test_sets_changed(params)
