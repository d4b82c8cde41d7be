"""Photos of datasets on the Hub by their Parquet files, also by hostile ones."""

import io
import json
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import TypeAdapter

from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.core.urls import Cell, address_key, is_part, parse_byte_range, parse_cell, photo_key
from allrounder.fetch_urls import listing
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network
from allrounder.params.sources import Source
from allrounder.web import parquet_reader, row_groups
from allrounder.web.lists import ListClient
from allrounder.web.parquet_reader import BrokenParquetError, ParquetReader
from shardserver import ShardServer
from viewerserver import DATASET, ViewerServer
from webfaults import project as faults

HUSKY, CAT, PLANE = "n02109961", "n02123394", "n02690373"
LABELS = {"_type": "ClassLabel", "names": ["Eskimo dog, husky", "Persian cat", "airliner"]}
SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
SHA, SECRET = "5" * 40, "_".join(("hf", "Only", "For", "The", "Hub"))
NETWORK: dict[str, Any] = {"tries": 2, "backoff": 0.01, "allow_private": ["127.0.0.1"]}
PHOTOS = [
    (label, (SAMPLE / wnid / f"{wnid}_{number:03d}.jpg").read_bytes())
    for number in range(1, 5)
    for label, wnid in enumerate((HUSKY, CAT, PLANE))
]


def table(
    rows: Sequence[tuple[Any, bytes | None]] = PHOTOS, size: int = 4, **options: Any
) -> bytes:
    """A Parquet file of labels and photos, as `push_to_hub` writes it."""
    images = [None if photo is None else {"bytes": photo, "path": "x.jpg"} for _, photo in rows]
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    columns = {
        "image": pyarrow.array(images, kind),
        "label": pyarrow.array([label for label, _ in rows]),
    }
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file, row_group_size=size, **options)
    return file.getvalue()


class Hub(ShardServer):
    """The Hub's API about a dataset, and its files."""

    def put(self, files: dict[str, bytes], revision: str = "main", **card: Any) -> None:
        """Serve the files of a revision, and what the API says about it."""
        names = [{"rfilename": name, "size": len(body)} for name, body in files.items()]
        about = {"sha": SHA, "siblings": names, "cardData": card}
        path = f"/api/datasets/{DATASET}/revision/{revision}"
        self.files[path] = json.dumps(about).encode()
        for name, body in files.items():
            self.files[file(name)] = body


def file(name: str) -> str:
    return f"/datasets/{DATASET}/resolve/{SHA}/{name}"


CONVERTED = "refs%2Fconvert%2Fparquet"
OWN = "data/train-00000-of-00001.parquet"


@pytest.fixture(autouse=True)
def _one_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests share a process: it takes a while to import pyarrow."""
    monkeypatch.setattr(parquet_reader, "_start", _started)
    monkeypatch.setattr(ParquetReader, "close", lambda self: None)


def _started() -> subprocess.Popen[bytes]:
    if parquet_reader.MEMORY != _MEMORY:
        return _START()
    if not _PROCESSES or _PROCESSES[-1].poll() is not None:
        _PROCESSES.append(_START())
    return _PROCESSES[-1]


_MEMORY, _START = parquet_reader.MEMORY, parquet_reader._start
_PROCESSES: list[subprocess.Popen[bytes]] = []
_CLOSE = ParquetReader.close


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.base)
        server.put({OWN: table()})
        server.put({}, CONVERTED)
        yield server


@pytest.fixture
def viewer() -> Iterator[ViewerServer]:
    with ViewerServer(PHOTOS, LABELS) as running:
        yield running


def source(viewer: ViewerServer, **more: Any) -> dict[str, Any]:
    return viewer.source(**{"via": "parquet"} | more)


def listed(viewer: ViewerServer, *wnids: str, **more: Any) -> dict[str, list[Candidate]]:
    one = TypeAdapter[Source](Source).validate_python(source(viewer, **more))
    keys = wnids or (HUSKY, CAT)
    found = listing.list_classes(
        [one], read_classes(dict.fromkeys(keys)), ListClient(Network(**NETWORK))
    )
    return {key: list(candidates) for key, candidates in found.items()}


def rows(found: Sequence[Candidate]) -> list[int]:
    return [int(c.image_id.rpartition("_")[2]) for c in found]


def downloaded(
    viewer: ViewerServer, folder: Path, lists: dict[str, list[str]], **sections: Any
) -> faults.Project:
    project = faults.Project(folder, lists, sources=[source(viewer)], **sections)
    project.crawl_here()
    return project


def urls_of(viewer: ViewerServer, *wnids: str) -> dict[str, list[str]]:
    return {key: [c.url for c in found] for key, found in listed(viewer, *wnids).items()}


def parts_of(hub: Hub) -> list[str]:
    return [part for path, part in hub.log if part]


# What is listed


def test_rows_are_cells_of_a_fixed_revision(viewer: ViewerServer, hub: Hub) -> None:
    found = listed(viewer)
    assert rows(found[HUSKY]) == [0, 3, 6, 9]
    assert rows(found[CAT]) == [1, 4, 7, 10]
    first = found[CAT][1]
    assert first.url.startswith(f"{hub.base}{file(OWN)}#image.bytes,row=1.0,footer=")
    assert viewer.asked["/filter"] == 0
    assert len(parts_of(hub)) == 1 + 3  # the footer, and a column of labels for each row group
    hub.log.clear()
    assert listed(viewer, PLANE)[PLANE][0].image_id == "photos_train_2"
    assert not parts_of(hub)  # all of it is in the cache


def test_row_groups_without_a_label_of_the_classes_are_passed_over(
    viewer: ViewerServer, hub: Hub
) -> None:
    hub.put({OWN: table(sorted(PHOTOS, key=lambda one: one[0]))})
    assert rows(listed(viewer, CAT)[CAT]) == [4, 5, 6, 7]
    assert len(parts_of(hub)) == 2


def test_the_limit_ends_the_reading(
    viewer: ViewerServer, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows(listed(viewer, CAT, limit=1)[CAT]) == [1]
    assert len(parts_of(hub)) == 2
    assert f"class {CAT}: its first 1 rows listed; raise its limit" in capsys.readouterr().err


def test_labels_may_be_texts(viewer: ViewerServer, hub: Hub) -> None:
    viewer.feature = {"_type": "Value", "dtype": "string"}
    names = ["husky", "persian_cat", None]
    hub.put({OWN: table([(names[label], photo) for label, photo in PHOTOS])})
    assert rows(listed(viewer)[CAT]) == [1, 4, 7, 10]


@pytest.mark.parametrize(
    ("files", "card", "converted", "first", "count"),
    [
        (["train-00000-of-00002-0a1b.parquet", "train-00001-of-00002-0a1b.parquet"], None, [],
         "train-00000-of-00002-0a1b.parquet", 2),
        (["data/b.parquet", "data/a.parquet", "c.parquet"],
         [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*"}]}], [],
         "data/a.parquet", 2),
        (["x/a.parquet"],
         [{"config_name": "default", "data_dir": "x", "data_files": "**/*.parquet"}],
         [], "x/a.parquet", 1),
        (["data/train-00000-of-00003.parquet"], None, ["default/train/0000.parquet"],
         "default/train/0000.parquet", 1),
        (["a.tar"], [{"config_name": "default", "data_files": "*.tar"}],
         ["default/train/0000.parquet"], "default/train/0000.parquet", 1),
        (["a/1.parquet", "b/1.parquet"],
         [{"config_name": "default", "data_files": ["a/*", "b/[0-9].parquet"]}],
         ["default/train/0000.parquet"], "default/train/0000.parquet", 1),
        (["train.zip"], None, ["default/train/0000.parquet", "default/test/0000.parquet"],
         "default/train/0000.parquet", 1),
    ],
)  # fmt: skip
def test_the_files_of_the_split_are_found(
    viewer: ViewerServer,
    hub: Hub,
    files: list[str],
    card: Any,
    converted: list[str],
    first: str,
    count: int,
) -> None:
    hub.put(dict.fromkeys(files, table()), **{"configs": card} if card else {})
    hub.put(dict.fromkeys(converted, table()), CONVERTED)
    found = listed(viewer)[HUSKY]
    assert f"{file(first)}#" in found[0].url
    assert rows(found) == [0, 3, 6, 9, 12, 15, 18, 21][: 4 * count]


@pytest.mark.parametrize("fault", ["no Parquet", "partial", "no ranges", "large row groups"])
def test_else_the_viewer_is_read(
    viewer: ViewerServer, hub: Hub, fault: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if fault in ("no Parquet", "partial"):
        hub.put({"a.zip": b""})
        hub.put({"default/partial-train/0000.parquet": table()} if fault == "partial" else {},
                CONVERTED)  # fmt: skip
    elif fault == "no ranges":
        hub.ranges = False
    else:
        monkeypatch.setattr("allrounder.fetch_urls.sources.hub_parquet.MAX_COLUMN", 1000)
    assert "/rows?" in listed(viewer)[HUSKY][0].url
    assert "the viewer's photos are taken, which are re-encoded" in capsys.readouterr().err


def test_a_gated_dataset_needs_the_token(
    viewer: ViewerServer, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.token = SECRET
    with pytest.raises(DataError, match="answered 401; accept the terms of"):
        listed(viewer)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with ShardServer({"/cdn": table()}) as cdn:  # as the Hub keeps large files
        hub.moved[file(OWN)] = f"{cdn.base}/cdn"
        urls = urls_of(viewer, HUSKY)
        found = downloaded(viewer, tmp_path / "a", urls).rows()
        assert {row.status for row in found} == {Status.OK}
        assert cdn.tokens
        assert not any(token for _, token in cdn.tokens)
    monkeypatch.delenv("HF_TOKEN")
    found = downloaded(viewer, tmp_path / "b", urls).rows()
    assert {(row.status, row.detail) for row in found} == {
        (Status.NO_ACCESS, "401; the dataset asks for a token")
    }


# What is downloaded


def test_the_original_bytes_come_by_row_groups(
    viewer: ViewerServer, hub: Hub, tmp_path: Path
) -> None:
    urls = urls_of(viewer)
    hub.log.clear()
    project = downloaded(viewer, tmp_path / "a", urls)
    for label, key in enumerate((HUSKY, CAT)):
        assert {row.status for row in project.rows(key)} == {Status.OK}
        assert list(project.photos(key).values()) == [body for n, body in PHOTOS if n == label]
        assert {row.final_url for row in project.rows(key)} == {f"{hub.base}{file(OWN)}"}
    groups = {url.partition(",bytes=")[2] for found in urls.values() for url in found}
    asked = parts_of(hub)
    assert all(asked.count(f"bytes={place}") == 1 for place in groups)  # for both classes
    before = project.result()
    hub.log.clear()
    project.crawl_here()
    assert not hub.log
    assert project.result() == before


def only(viewer: ViewerServer, folder: Path, *numbers: int) -> list[RawRow]:
    """The results of some huskies."""
    urls = urls_of(viewer, HUSKY)[HUSKY]
    return downloaded(viewer, folder, {HUSKY: [urls[n] for n in numbers]}).rows()


def test_each_cell_has_its_own_result(viewer: ViewerServer, hub: Hub, tmp_path: Path) -> None:
    photos: list[bytes | None] = [PHOTOS[0][1], None, b"", b"<html>", b"\xff\xd8\xff" * 400_000]
    hub.put({OWN: table([(0, photo) for photo in photos], use_dictionary=False)})
    found = only(viewer, tmp_path / "a", 0, 1, 2, 3, 4)
    assert [row.status for row in found] == [
        Status.OK, Status.EMPTY, Status.EMPTY, Status.NOT_IMAGE, Status.TOO_LARGE,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "status", "detail"),
    [
        ("gone", Status.HTTP_ERROR, "404"),
        ("busy", Status.HTTP_ERROR, "500"),
        ("no ranges", Status.HTTP_ERROR, "no ranges"),
        ("shifted", Status.TRUNCATED, "another range than requested"),
        ("cut off", Status.TRUNCATED, "body cut off"),
        ("zeros", Status.NOT_IMAGE, "its row group is broken"),
        ("moved", Status.BLOCKED, "private address"),
        ("huge", Status.TOO_LARGE, f"a row group of more than {parquet_reader.MAX_COLUMN} bytes"),
    ],
)
def test_a_fault_of_a_row_group_is_the_result_of_each_of_its_photos(
    viewer: ViewerServer, hub: Hub, tmp_path: Path, fault: str, status: Status, detail: str
) -> None:
    hub.put({OWN: table(size=12)})
    urls = urls_of(viewer, HUSKY)[HUSKY]
    path = file(OWN)
    if fault == "gone":
        del hub.files[path]
    elif fault == "busy":
        hub.codes[path] = [500] * 9
    elif fault == "no ranges":
        hub.ranges = False
    elif fault == "shifted":
        hub.shift = 1
    elif fault == "cut off":
        hub.cut[path] = [100] * 9
    elif fault == "zeros":
        hub.files[path] = bytes(len(hub.files[path]))
    elif fault == "moved":
        hub.moved[path] = "http://10.0.0.1/x"
    else:
        urls = [url.partition(",bytes=")[0] + ",bytes=4-999999999" for url in urls]
    found = downloaded(viewer, tmp_path / "a", {HUSKY: urls}).rows()
    assert {(row.status, row.detail) for row in found} == {(status, detail)}
    assert len(found) == 4


def test_a_photo_after_a_broken_page_takes_none_with_it(
    viewer: ViewerServer, hub: Hub, tmp_path: Path
) -> None:
    """What is read before a fault is the same, whichever rows are wanted beyond it."""
    photos = [(0, photo) for _, photo in PHOTOS]
    body = bytearray(
        table(
            photos,
            99,
            use_dictionary=False,
            write_batch_size=1,
            data_page_size=9,
            compression="none",
        )
    )
    place = body.rindex(PHOTOS[-1][1]) - 30  # the header of the last page
    body[place : place + 26] = bytes(26)
    hub.put({OWN: bytes(body)})
    last = len(photos) - 1
    together = only(viewer, tmp_path / "a", 0, 1, last)
    alone = [only(viewer, tmp_path / f"{n}", n)[0] for n in (0, 1, last)]
    assert [row.status for row in together] == [Status.OK, Status.OK, Status.NOT_IMAGE]
    assert [row.status for row in alone] == [row.status for row in together]


def test_another_list_cannot_name_cells(
    viewer: ViewerServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells are of the sources' datasets alone, and a wrong one spoils no other."""
    urls = urls_of(viewer, HUSKY)[HUSKY]
    foreign = [
        urls[0].replace(DATASET, "owner/private"),
        urls[0].replace(SHA, f"{SHA}/../../../../owner/private/resolve/{SHA}"),
        urls[0].replace(SHA, f"{SHA}/%2E%2e/x"),
        urls[0].replace(SHA, f"{SHA}/..\\x"),
        urls[0].replace(SHA, "main"),
    ]
    wrong = [urls[0].replace("#image.bytes", "#label"), urls[0].replace("row=0.0", "row=0.77")]
    monkeypatch.setenv("HF_TOKEN", SECRET)
    hub.tokens.clear()
    asked = [*foreign, *wrong, *urls]
    found = downloaded(viewer, tmp_path / "a", {HUSKY: asked}, per_class=20).rows()
    assert {row.status for row in found[:5]} == {Status.HTTP_ERROR}
    assert {row.status for row in found[5:7]} == {Status.NOT_IMAGE}
    assert {row.status for row in found[7:]} == {Status.OK}
    assert {path for path, token in hub.tokens if token} == {file(OWN)}


# Hostile files


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"PAR1",
        b"<html>no such file",
        bytes(70_000),
        b"PAR1" + bytes(20) + struct.pack("<I", 2**32 - 1) + b"PAR1",
        table()[:-8] + struct.pack("<I", 5) + b"PAR1",
        table()[:-8] + struct.pack("<I", len(table()) - 12) + b"PAR1",
        table()[:-4] + b"PARE",
        table([(0, b"x" * 20)] * 9)[:-100],
    ],
)
def test_a_broken_footer_is_one_line(viewer: ViewerServer, hub: Hub, body: bytes) -> None:
    hub.put({OWN: body})
    with pytest.raises(DataError, match="broken Parquet: ") as caught:
        listed(viewer)
    assert "\n" not in str(caught.value)


def test_bombs_end_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo of a page of kilobytes that needs more memory than the reader has."""
    monkeypatch.setattr(parquet_reader, "MEMORY", 2**27)
    body = table([(0, bytes(2**25))], compression="zstd", use_dictionary=False)
    assert len(body) < 200_000
    reader = ParquetReader()
    try:
        column, _ = reader.layout((0, body), "label", "image")
        assert not list(reader.photos([(0, body)], 0, column, [0], 2**62))
        assert reader.layout((0, body), "label", "image")  # it goes on
    finally:
        _CLOSE(reader)


def test_labels_that_fill_the_memory_are_an_error(viewer: ViewerServer, hub: Hub) -> None:
    viewer.feature = {"_type": "Value", "dtype": "string"}
    hub.put({OWN: table([("x" * 1_000_000, None)] * 40, 99)})
    with pytest.raises(DataError, match=r"broken Parquet: ValueError: more than 33,554,432 char"):
        listed(viewer)


def test_files_outside_the_dataset_are_none(
    viewer: ViewerServer, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.put({"x/../../data/a.parquet": table()},
            configs=[{"config_name": "default", "data_files": "**.parquet"}])  # fmt: skip
    assert "/rows?" in listed(viewer)[HUSKY][0].url
    assert "no Parquet files of the whole split" in capsys.readouterr().err


def test_a_crash_of_the_reader_is_the_files_fault_and_a_kill_is_not() -> None:
    reader = ParquetReader()
    assert reader.layout((0, _SMALL), "label", "image")
    for number, error in ((signal.SIGSEGV, BrokenParquetError), (signal.SIGKILL, DataError)):
        assert reader._child
        reader._child.send_signal(number)
        with pytest.raises(error):
            reader.layout((0, _SMALL), "label", "image")
        assert reader.layout((0, _SMALL), "label", "image")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 2**16))
def test_no_footer_makes_the_reader_fail_otherwise(piece: bytes, place: int) -> None:
    body = bytearray(_SMALL)
    place %= len(body)
    body[place : place + len(piece)] = piece
    try:
        column, groups = _READER.layout((0, bytes(body)), "label", "image")
        for at, group in enumerate(groups[:3]):
            assert sum(group.photos) <= len(body)
            for size, photo in _READER.photos([(0, bytes(body))], at, column, [0, 1], 10**6):
                assert len(photo) == (size or 0)
            assert len(_READER.labels([(0, bytes(body))], at, "label")) <= 10**6
    except BrokenParquetError:
        pass


_SMALL = table([(0, b"one"), (1, b"two"), (2, None)], 2)
_READER = ParquetReader()

# Their URLs


@given(
    st.text("abcé.#,=%/ ", min_size=1),
    *[st.integers(0, 2**40)] * 4,
    st.integers(0, 2**20),
)
def test_a_cell_is_its_url(
    column: str, group: int, row: int, first: int, at: int, size: int
) -> None:
    cell = Cell("https://h/x.parquet", column, group, row, (first, first + size), (at, at + size))
    assert parse_cell(cell.url) == cell
    assert is_part(cell.url)
    assert parse_byte_range(cell.url) is None
    assert photo_key(cell.url) == address_key(cell.url) == cell.url
    assert row_groups.size_fault(cell) is None
