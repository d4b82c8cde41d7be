"""Tables and archives between the stages: what is written is read, and always the same bytes."""

import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allrounder.core.candidates import IdMaker
from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow
from allrounder.core.tables import read_csv, table_parts, write_csv
from allrounder.core.tars import StoredBytes, atomic_tar, tar_header, tar_members

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=20)


@settings(deadline=None)
@pytest.mark.parametrize("kind", [Candidate, RawRow, CleanRow, ManifestRow])
@given(data=st.data())
def test_rows_round_trip(kind: type, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.builds(kind, **dict.fromkeys(_texts(kind), TEXT)), max_size=5))
    with tempfile.TemporaryDirectory() as folder:
        write_csv(Path(folder, "rows.csv"), kind, rows)
        assert list(read_csv(Path(folder, "rows.csv"), kind)) == rows


def _texts(kind: type) -> list[str]:
    return [name for name, hint in kind.__annotations__.items() if hint is str]


def test_a_broken_table_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image_id,url,status\nx,y,ok\nx,y,fine\n")
    with pytest.raises(DataError, match=r"a\.csv, line 3: bad row .*'fine'"):
        list(read_csv(tmp_path / "a.csv", RawRow))
    (tmp_path / "c.csv").write_bytes(b"image_id,url,status\nx,\xff,ok\n")
    with pytest.raises(DataError, match=r"c\.csv, line \d: bad row"):
        list(read_csv(tmp_path / "c.csv", RawRow))
    with pytest.raises(DataError, match="no such file; run dvc repro"):
        list(read_csv(tmp_path / "b.csv", RawRow))


@settings(deadline=None)
@given(bodies=st.lists(st.binary(max_size=2000), max_size=5))
def test_archives_hold_what_was_put_in_with_fixed_metadata(bodies: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.tar")
        with atomic_tar(path) as writer:
            stored = [writer.add(f"p{i}.jpg", body) for i, body in enumerate(bodies)]
        path_copy = Path(name, "b.tar")
        with atomic_tar(path_copy) as writer:
            for i, place in enumerate(stored):
                writer.copy(f"p{i}.jpg", StoredBytes(path, place.offset, place.size))
        assert path.read_bytes() == path_copy.read_bytes()
        assert [place.read() for _, place in tar_members(path)] == bodies
        with tarfile.open(path) as tar:
            assert {(m.mtime, m.uid, m.gid, m.mode, m.uname) for m in tar} <= {(0, 0, 0, 0o644, "")}


@given(
    name=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=25),
    folder=st.sampled_from(["", "f" * 90 + "/"]),
    size=st.integers(0, 8**11 - 1),
)
def test_headers_of_archives_are_those_of_tarfile(name: str, folder: str, size: int) -> None:
    info = tarfile.TarInfo(folder + name)
    info.size, info.mode = size, 0o644
    assert tar_header(info.name, size) == info.tobuf(tarfile.USTAR_FORMAT)


@given(names=st.lists(TEXT, max_size=20))
def test_ids_are_safe_and_unique_for_any_names(names: list[str]) -> None:
    ids = IdMaker("n00000001")
    made = [ids.make(name, f"http://h/{i}") for i, name in enumerate(names)]
    assert len({one.lower() for one in made}) == len(made)
    assert all(one.isascii() and one.replace("_", "").replace("-", "").isalnum() for one in made)


@settings(deadline=None)  # it writes files
@given(body=st.binary(max_size=3000), cuts=st.lists(st.integers(0, 3000), max_size=8))
def test_ranges_of_a_photo_are_put_in_in_one_piece(body: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(body)) for cut in cuts})
    ranges = tuple(zip(places[::2], places[1::2], strict=False))
    with tempfile.TemporaryDirectory() as name:
        source, path = Path(name, "source"), Path(name, "a.tar")
        source.write_bytes(b"before" + body + b"after")
        with atomic_tar(path) as writer:
            writer.copy("p.jpg", StoredBytes(source, 6, len(body)), ranges)
            with pytest.raises(DataError, match="cut off at 6 bytes"):
                writer.copy("q.jpg", StoredBytes(source, 6, len(body) + 99), ranges)
        ((_, stored),) = tar_members(path)
        assert stored.read() == b"".join(body[first:end] for first, end in ranges)


def test_parts_of_a_table_are_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [Candidate(f"{n}", f"http://h/{n}", title='a "b"\nü,') for n in range(9)]
    rows = [replace(row, source="abba"[n % 4]) for n, row in enumerate(rows)]
    write_csv(path, Candidate, rows)
    parts, counts = table_parts(path, "source", "title")
    assert {key: n for (key, _), n in counts.items()} == {"a": 5, "b": 4}
    for key, own in parts.items():
        assert list(read_csv(path, Candidate, own)) == [row for row in rows if row.source == key]
    path.write_text(path.read_text()[:-3])
    with pytest.raises(DataError, match=r"a\.csv, line \d+: bad row"):
        table_parts(path, "source", "results")
