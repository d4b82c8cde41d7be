"""Local copies of ILSVRC2012 in every form that people have: listed alike, never read through."""

import io
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from allrounder.core.errors import DataError
from allrounder.core.photos import Bounds
from allrounder.core.rows import Candidate
from allrounder.core.tarreader import Reader, open_tar
from allrounder.core.urls import parse_byte_range
from allrounder.download.crawl import LocalPhotos
from allrounder.fetch_urls import listing
from allrounder.fetch_urls.sources import ilsvrc
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network
from allrounder.params.sources import FolderSource, IlsvrcSource
from allrounder.web.lists import ListClient
from project import Project

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
HUSKY, CAT, PLANE, UNKNOWN = "n02109961", "n02123394", "n02690373", "n02084071"
WNIDS = (HUSKY, CAT, PLANE)
OUTER = "ILSVRC2012_img_train.tar"
BLOCK = 512


def packed(folder: Path, to: Path) -> Path:
    """A tar of a folder's files, without the folder, by name."""
    with tarfile.open(to, "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return to


def tars(to: Path, source: Path = SAMPLE) -> Path:
    """`<wnid>.tar` for each class."""
    to.mkdir(parents=True)
    for wnid in WNIDS:
        packed(source / wnid, to / f"{wnid}.tar")
    return to


def tree(to: Path) -> Path:
    """`<wnid>/` for each class."""
    for wnid in WNIDS:
        shutil.copytree(SAMPLE / wnid, to / wnid)
    return to


def outer(to: Path) -> Path:
    """The tar of tars in a folder."""
    to.mkdir()
    return packed(tars(to.parent / "inner"), to / OUTER)


def kaggle(to: Path) -> Path:
    tree(to / "ILSVRC/Data/CLS-LOC/train")
    (to / "ILSVRC/Data/CLS-LOC/val").mkdir()
    (to / "ILSVRC/ImageSets").mkdir()
    return to


FORMS: dict[str, Callable[[Path], Path]] = {
    "tar of tars": outer,
    "its folder": lambda to: outer(to).parent,
    "folder of tars": tars,
    "tars in train": lambda to: tars(to / "train").parent,
    "tree": tree,
    "train": lambda to: tree(to / "train").parent,
    "kaggle": kaggle,
    "kaggle's ILSVRC": lambda to: kaggle(to) / "ILSVRC",
    "kaggle's Data": lambda to: kaggle(to) / "ILSVRC/Data",
    "kaggle's train": lambda to: kaggle(to) / "ILSVRC/Data/CLS-LOC/train",
}


def listed(location: Path, wnids: tuple[str, ...] = WNIDS) -> dict[str, list[Candidate]]:
    source = IlsvrcSource(kind="ilsvrc", location=str(location))
    return {
        key: list(found)
        for key, found in listing.list_classes(
            [source], read_classes(dict.fromkeys(wnids)), ListClient(Network())
        ).items()
    }


TREES = {"tree", "train", *(form for form in FORMS if form.startswith("kaggle"))}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_lists_the_same_photos(tmp_path: Path, form: str) -> None:
    location = FORMS[form](tmp_path / "copy")
    found = listed(location)
    folder = FolderSource(kind="folder", location=str(SAMPLE))
    lists = listing.list_classes(
        [folder], read_classes(dict.fromkeys(WNIDS)), ListClient(Network())
    )
    expected = {key: list(candidates) for key, candidates in lists.items()}
    here = LocalPhotos(
        [IlsvrcSource(kind="ilsvrc", location=str(location))], Bounds(10**7, 32, 10**8)
    )
    truth = LocalPhotos([folder], Bounds(10**7, 32, 10**8))
    for wnid in WNIDS:
        assert [c.image_id for c in found[wnid]] == [c.image_id for c in expected[wnid]]
        for photo, file in zip(found[wnid], expected[wnid], strict=True):
            one, other = here.result(photo.url), truth.result(file.url)
            assert replace(one, stored=None) == replace(other, stored=None)
            assert (parse_byte_range(photo.url) is None) == (form in TREES)
    if form == "tar of tars":
        assert found[CAT][0].url.startswith(f".../copy/{OUTER}#{CAT}.tar/{CAT}_001.jpg,bytes=")


def test_all_forms_give_the_bytes_that_a_folder_gives(clone: Project, tmp_path: Path) -> None:
    settings = {"classes": {HUSKY: "dog", CAT: "cat"}, "per_class": 16, "min_per_class": 10}
    clone.edit(**settings)
    clone.stage("fetch_urls")
    clone.stage("download")
    expected = {name: body for name, body in clone.files("data/raw").items() if ".tar" in name}
    for form in ("tar of tars", "folder of tars", "kaggle"):
        location = FORMS[form](tmp_path / form.replace(" ", ", #"))
        shutil.rmtree(tmp_path / "inner", ignore_errors=True)
        clone.edit(sources=[{"kind": "ilsvrc", "location": str(location)}])
        clone.stage("fetch_urls")
        clone.stage("download")
        raw = clone.files("data/raw")
        assert {name: body for name, body in raw.items() if ".tar" in name} == expected
        assert b"bad_url" not in raw[f"data/raw/{CAT}.csv"]


def test_a_class_half_unpacked_is_taken_from_its_tar(tmp_path: Path) -> None:
    place = tars(tmp_path / "copy")
    (place / f"{CAT}.tar").unlink()
    shutil.copytree(SAMPLE / CAT, place / CAT)
    (place / HUSKY).mkdir()
    found = listed(place)
    assert f"{CAT}.tar" not in found[CAT][0].url
    assert f"{HUSKY}.tar#" in found[HUSKY][0].url


def test_what_is_not_there_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match=rf"{tmp_path}: no copy of ILSVRC2012.*looked for {OUTER}"):
        listed(tmp_path)
    with pytest.raises(DataError, match=r"gone: no copy of ILSVRC2012"):
        listed(tmp_path / "gone")
    with pytest.raises(DataError, match=f"class {UNKNOWN}: no candidate"):
        listed(SAMPLE, (HUSKY, UNKNOWN))
    with pytest.raises(ValueError, match="must be a local path"):
        IlsvrcSource(kind="ilsvrc", location="https://host/ILSVRC2012_img_train.tar")


@pytest.mark.parametrize("form", ["tar of tars", "folder of tars"])
def test_a_tar_that_is_cut_off_is_named(tmp_path: Path, form: str) -> None:
    location = FORMS[form](tmp_path / "copy")
    path = location if form == "tar of tars" else location / f"{PLANE}.tar"
    whole = path.read_bytes()
    for cut in (len(whole) // 2, len(whole) - 20 * BLOCK, 100, 0):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=re.escape(f"source ilsvrc: {path}: ")):
            listed(location)


def test_a_cut_inner_tar_is_named_with_the_one_it_lies_in(tmp_path: Path) -> None:
    inner = tars(tmp_path / "inner")
    for cut in (5000, BLOCK):
        body = (SAMPLE / CAT / f"{CAT}_001.jpg").read_bytes()
        (inner / f"{CAT}.tar").write_bytes((bytes(BLOCK) + body)[:cut][BLOCK:])
        packed(inner, tmp_path / OUTER)
        with pytest.raises(DataError, match=rf"{OUTER}, {CAT}\.tar: (no tar|empty).*copy it anew"):
            listed(tmp_path / OUTER)
        assert listed(tmp_path / OUTER, (HUSKY, PLANE))  # classes that are not wanted are not read
    whole = packed(SAMPLE / CAT, inner / f"{CAT}.tar").read_bytes()
    for cut in (len(whole) // 2, tar_end(whole)):
        (inner / f"{CAT}.tar").write_bytes(whole[:cut])
        packed(inner, tmp_path / OUTER)
        with pytest.raises(DataError, match=rf"{OUTER}, {CAT}\.tar: cut off"):
            listed(tmp_path / OUTER)


def tar_end(body: bytes) -> int:
    """Where the end mark of a tar starts: cut there, nothing but the mark is missing."""
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        last = tar.getmembers()[-1]
    return last.offset_data + -(-last.size // BLOCK) * BLOCK


def test_only_headers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wnids = [f"n{number:08}" for number in range(1000)]
    path = tmp_path / OUTER
    hollow(path, wnids, photos=20, size=110_000)
    assert path.stat().st_size > 2 * 10**9
    count = 0
    real = open_tar

    @contextmanager
    def counted(path: Path) -> Iterator[tuple[Reader, int]]:
        with real(path) as (read, size):

            def reading(position: int, wanted: int) -> bytes:
                nonlocal count
                count += len(body := read(position, wanted))
                return body

            yield reading, size

    monkeypatch.setattr(ilsvrc, "open_tar", counted)
    found = listed(path, (wnids[3], wnids[998]))
    assert [len(photos) for photos in found.values()] == [20, 20]
    assert found[wnids[998]][19].image_id == f"{wnids[998]}_19"
    assert count == BLOCK * (1000 + 1 + 2 * (20 + 1))


def hollow(path: Path, wnids: list[str], photos: int, size: int) -> None:
    """A tar of tars whose photos are holes in a sparse file."""
    padded = -(-size // BLOCK) * BLOCK
    inner = photos * (BLOCK + padded) + 2 * BLOCK
    with path.open("wb") as file:
        for wnid in wnids:
            file.write(header(f"{wnid}.tar", inner))
            start = file.tell()
            for number in range(photos):
                file.write(header(f"{wnid}_{number}.JPEG", size))
                file.seek(padded, 1)
            file.seek(start + inner)
        file.truncate(file.tell() + 2 * BLOCK)


def header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)
