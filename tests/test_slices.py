"""Clean remembers what decoding gave, by content; and decodes slices of classes in parallel."""

import ast
import faulthandler
import hashlib
import multiprocessing
import os
import random
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from allrounder.clean import alone, cleaning, decoding, slices
from allrounder.clean.cleaning import clean
from allrounder.clean.columns import HashColumns, Texts
from allrounder.clean.decode import normalize
from allrounder.clean.fingerprints import MIRRORED
from allrounder.clean.preview import Preview
from allrounder.clean.slices import (
    CODE,
    RECORD,
    cut,
    drop_unused,
    is_whole,
    read_slice,
    write_slice,
)
from allrounder.core.rows import Candidate, CleanRow, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import StoredBytes
from allrounder.params.schema import Clean, Params
from hostile import encoded, files_of_at_most, picture
from test_hostile_photos import raw_archive

forks = pytest.mark.skipif(
    multiprocessing.get_start_method() != "fork", reason="a patched function comes by fork only"
)


@cache
def body(seed: int) -> bytes:
    """One of many photos: as it is, to be converted, cut off, too small, or a copy of another."""
    image = picture(seed - (seed % 7 == 6), (48, 40))
    kind = ("JPEG", "PNG", "JPEG", "WEBP", "JPEG", "GIF", "JPEG")[seed % 7]
    if seed % 5 == 4:
        return encoded(Image.new("RGB", (8 + seed, 9), "red"), "PNG")
    whole = encoded(image, kind)
    return whole[: len(whole) // 2] if seed % 11 == 10 else whole


class Inline(Executor):
    """A pool that has no processes."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Call the function now."""
        future: Future[Any] = Future()
        future.set_result(function(*args, **options))
        return future


class Build:
    """A project's first three outputs, and what clean remembers."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("urls", "raw", "store"):
            (folder / name).mkdir()
        self.classes = {key: list(range(9 * at, 9 * at + 6)) for at, key in enumerate("ab")}
        self.rules: dict[str, object] = {}

    @property
    def params(self) -> Params:
        return Params.model_validate(
            {
                "sources": [{"kind": "folder", "location": "photos"}],
                "classes": dict.fromkeys(self.classes),
                "per_class": 5,
                "min_per_class": 1,
                "clean": self.rules,
            }
        )

    def write_raw(self) -> None:
        for key, seeds in self.classes.items():
            raw_archive(self.folder / "raw", key, [body(seed) for seed in seeds])

    def clean(self, store: Path) -> dict[str, bytes]:
        """The files that clean writes."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            clean(self.params, self.folder / "urls", self.folder / "raw", Path(out), store)
            return {path.name: path.read_bytes() for path in Path(out).iterdir()}

    def edit(self, dice: random.Random) -> None:
        """Add or remove a class or a photo, change a photo or a rule, or damage the store."""
        seeds = self.classes[dice.choice([*self.classes])]
        at, new = dice.randrange(len(seeds)), dice.randrange(40)
        match dice.choice(("add", "remove", "insert", "delete", "change", "rule", "damage")):
            case "add":
                self.classes[f"c{new}"] = [new, new + 1, new + 2]
            case "remove" if len(self.classes) > 1:
                self.classes.pop(dice.choice([*self.classes]))
            case "insert":
                seeds.insert(at, new)
            case "delete" if len(seeds) > 1:
                del seeds[at]
            case "change":
                seeds[at] = new
            case "rule":
                rule = dice.choice(("max_side", "quality", "min_side", "near_radius"))
                self.rules[rule] = dice.choice((9, 10, 11) if rule == "near_radius" else (16, 32))
            case "damage":
                for path in (self.folder / "store").iterdir():
                    data = bytearray(path.read_bytes())
                    data[dice.randrange(len(data))] ^= dice.choice((0, 1, 255))
                    path.write_bytes(data[: dice.choice((len(data), dice.randrange(len(data))))])


@settings(max_examples=3, deadline=None)
@given(dice=st.randoms(use_true_random=False))
def test_a_build_after_any_edits_is_byte_identical_to_a_full_one(dice: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "_ONE_IN", 3)
        for module in (cleaning, decoding):
            patch.setattr(module, "worker_pool", lambda most: Inline())
        build = Build(Path(folder))
        for number in range(4):
            build.write_raw()
            fresh = build.folder / f"fresh{number}"
            fresh.mkdir()
            full = build.clean(fresh)
            assert build.clean(build.folder / "store") == full
            names = {path.name for path in fresh.iterdir()}
            assert {path.name for path in (build.folder / "store").iterdir()} == names
            build.edit(dice)


def only(patch: pytest.MonkeyPatch, allowed: list[bytes]) -> None:
    """Let nothing but these photos be decoded."""

    def decoded(one: bytes, rules: Clean) -> object:
        assert one in allowed
        return alone.decode(one, rules)

    patch.setattr(slices, "decode", decoded)


@forks
def test_only_what_is_new_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = Build(tmp_path)
    build.write_raw()
    build.clean(tmp_path / "store")
    only(monkeypatch, [])
    build.clean(tmp_path / "store")
    build.classes["c"] = [50, 51, 52]
    build.write_raw()
    only(monkeypatch, [body(seed) for seed in build.classes["c"]])
    build.clean(tmp_path / "store")


@forks
def test_what_the_download_looked_at_is_not_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Build(tmp_path)
    build.write_raw()
    raw, store = tmp_path / "raw", tmp_path / "store"
    store.rmdir()
    preview = Preview(build.params, (), tmp_path / "urls", raw, store)
    quotas = dict.fromkeys(build.classes, 6)
    assert preview.larger_quotas(quotas) == {}
    assert not store.exists()  # no class can get more, so nothing was decoded
    rows = [*read_csv(raw / "a.csv", RawRow), RawRow("x", "http://h.example/x", Status.UNUSED)]
    write_csv(raw / "a.csv", RawRow, rows)
    write_csv(tmp_path / "urls/a.csv", Candidate, [])
    preview.larger_quotas(quotas)
    only(monkeypatch, [])
    build.clean(store)


def test_a_run_hashes_only_the_archives_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, read = Build(tmp_path), list[list[str]]()
    build.write_raw()
    decode_slices = decoding.decode_slices

    def noted(parts: Any, *more: Any) -> Any:
        read.append(sorted({part.key for part in parts if not part.name}))
        return decode_slices(parts, *more)

    monkeypatch.setattr(decoding, "decode_slices", noted)
    monkeypatch.setattr(decoding, "worker_pool", lambda most: Inline())
    folders, rules = (tmp_path / "raw", tmp_path / "store"), build.params.clean
    first = decoding.decode_classes(["a", "b"], *folders, rules, Inline())
    again = decoding.decode_classes(["a", "b"], *folders, rules, Inline())
    assert np.array_equal(first.records, again.records)
    damaged = again.files[0]
    damaged.write_bytes(bytes(damaged.stat().st_size))
    mended = decoding.decode_classes(["a", "b"], *folders, rules, Inline())
    assert np.array_equal(first.records, mended.records)
    raw_archive(tmp_path / "raw", "b", [body(30), body(31)])
    changed = decoding.decode_classes(["a", "b"], *folders, rules, Inline())
    (tmp_path / "store.json").unlink()
    fresh = decoding.decode_classes(["a", "b"], *folders, rules, Inline())
    assert np.array_equal(changed.records, fresh.records)
    assert not np.array_equal(first.records, fresh.records)
    other_rules = rules.model_copy(update={"quality": 50})
    decoding.decode_classes(["a", "b"], *folders, other_rules, Inline())
    assert read == [["a", "b"], [], [], ["b"], ["a", "b"], ["a", "b"]]


@forks
def test_a_crash_costs_no_other_photo_of_the_class_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build = Build(tmp_path)
    build.classes = {"a": [0, 2, 7, 14, 16, 22, 28]}
    build.write_raw()
    raw_rows = [*read_csv(tmp_path / "raw/a.csv", RawRow)]
    bad = body(16)

    def decoded(one: bytes, rules: Clean) -> object:
        if one == bad:
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        return normalize(one, rules)

    monkeypatch.setattr(slices, "_PHOTOS", 2)
    monkeypatch.setattr(alone, "normalize", decoded)
    clean(build.params, tmp_path / "urls", tmp_path / "raw", tmp_path, tmp_path / "store")
    rows = {row.image_id: row for row in read_csv(tmp_path / "a.csv", CleanRow)}
    assert len(rows) == len(raw_rows)
    found = {image_id: row.detail for image_id, row in rows.items() if row.status == "corrupt"}
    assert found == {"a_4": "crashed the decoder"}
    said = capsys.readouterr().err
    assert "warning: a worker ended, or had not enough memory, while it decoded a a_" in said
    assert "a a_4 (crashed the decoder)" in said


# A slice's file


def test_a_torn_or_edited_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "slice"
    with path.open("wb") as file:
        write_slice(file, [body(0), body(1), body(10)], Clean(), {})
    data = path.read_bytes()
    records, facts = read_slice(path)
    assert [one.status for one in facts] == [Status.OK, Status.OK, Status.CORRUPT]
    assert [bool(one.kept) for one in facts] == [True, False, False]
    at, size = records[1]["offset"], records[1]["size"]
    sha256 = hashlib.sha256(data[at : at + size]).digest()
    assert records[1]["sha256"].tobytes() == sha256
    assert records.dtype == RECORD
    assert np.count_nonzero(records["thumb"]) == 2
    assert is_whole(path)
    dice = random.Random(1)
    for _ in range(100):
        torn = bytearray(data[: dice.randrange(len(data) + 1)])
        if torn and dice.random() < 0.5:
            torn = bytearray(data)
            torn[dice.randrange(len(torn))] ^= 1 << dice.randrange(8)
        path.write_bytes(torn)
        assert is_whole(path) == (torn == data)


def test_a_changed_photo_changes_its_slice_only() -> None:
    hashes = [hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(2000)]

    def cuts(names: list[str]) -> list[list[str]]:
        parts = cut("a", Path("a.tar"), ((StoredBytes(Path(), 0, 1), name) for name in names))
        left = iter(names)
        return [[next(left) for _ in part.places] for part in parts]

    before = cuts(hashes)
    assert [name for part in before for name in part] == hashes
    assert 20 < len(before) < 60
    for at in (0, 500, 1999):
        after = cuts([*hashes[:at], *hashes[at + 1 :]])
        assert sum(part not in before for part in after) <= 1


def test_the_store_does_not_grow_without_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        (tmp_path / name).write_bytes(bytes(100))
    monkeypatch.setattr(slices, "STORE_BYTES", 250)
    drop_unused(tmp_path, "abc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_all_code_that_decides_what_decoding_gives_is_in_the_names_of_files() -> None:
    folder = Path(slices.__file__).parents[1]
    left, found = ["clean/slices.py"], {"core/photos.py"}
    while left:
        name = left.pop()
        found.add(name)
        for node in ast.walk(ast.parse((folder / name).read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            other = f"{(module or '').removeprefix('allrounder.').replace('.', '/')}.py"
            if other.startswith("clean/") and other not in found:
                left.append(other)
    assert sorted(found) == sorted(CODE)


def test_texts_and_hashes_in_files_are_those_of_memory(tmp_path: Path) -> None:
    texts = [Texts(part) for part in (["a", "", "öl"], [], ["b" * 300, "c"])]
    hashes = np.arange(3 * 2 * MIRRORED.stop, dtype=np.uint64).reshape(2, 3, MIRRORED.stop)
    with (tmp_path / "texts").open("w+b") as file, (tmp_path / "hashes").open("w+b") as columns:
        for part in texts:
            part.move_to(file)
        stored = HashColumns(columns, 3)
        stored.put(1, hashes[0, 1:], hashes[1, 1:])
        stored.put(0, hashes[0, :1], hashes[1, :1])
        assert [list(part) for part in texts] == [["a", "", "öl"], [], ["b" * 300, "c"]]
        rows = np.array([2, 0])
        for view in range(MIRRORED.stop):
            assert np.array_equal(stored.of(rows, view), hashes[:, rows, view])


@pytest.mark.parametrize("room", [100, 24 * 2 * MIRRORED.stop - 4], ids=["early", "last"])
def test_hashes_that_the_disk_has_no_room_for_are_an_error(tmp_path: Path, room: int) -> None:
    hashes = np.ones((2, 3, MIRRORED.stop), np.uint64)
    columns = HashColumns((tmp_path / "hashes").open("w+b"), 3)
    with pytest.raises(OSError, match="too large"), files_of_at_most(room):
        columns.put(0, *hashes)
