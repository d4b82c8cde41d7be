"""A class that is a whole subtree, built: evenly from its synsets, each photo's own one kept."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from allrounder.core.rows import Candidate, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.fetch_urls.listing import list_classes
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network
from allrounder.params.sources import UrlListSource
from allrounder.web.lists import ListClient
from photoserver import PhotoServer
from project import Project

SLED_DOGS, MALAMUTE, HUSKY, PLANE = "n02109811+", "n02110063", "n02110185", "n02690373"
SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"


FOLDERS = {MALAMUTE: "n02109961", HUSKY: "n02917067", PLANE: PLANE}
"""The class of the cartoon sample whose pictures stand for each class."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for wnid, source in FOLDERS.items():
        shutil.copytree(SAMPLE / source, tmp_path / "photos" / wnid)
    return tmp_path / "photos"


def use(clone: Project, source: dict[str, str], **changes: object) -> None:
    settings = {"classes": {SLED_DOGS: "dog", PLANE: "aeroplane"}, "min_per_class": 5}
    network = {"allow_private": ["127.0.0.1"]}
    clone.edit(**(settings | {"sources": [source], "network": network} | changes))


def taken(clone: Project) -> Counter[str]:
    """How many photos of each synset the subtree's archive holds."""
    listed = list(read_csv(clone.folder / f"data/urls/{SLED_DOGS}.csv", Candidate))
    rows = read_csv(clone.folder / f"data/raw/{SLED_DOGS}.csv", RawRow)
    good = [row.url.partition("#")[0] for row in rows if row.status is Status.OK]
    return Counter(next(one.synset for one in listed if one.url == url) for url in good)


@pytest.mark.parametrize("kind", ["imagenet-api", "synset-tar"])
def test_a_subtree_is_taken_evenly(clone: Project, photos: Path, kind: str) -> None:
    with PhotoServer(photos) as server:
        location = server.base + ("/tars/{wnid}.tar" if kind == "synset-tar" else "")
        use(clone, {"kind": kind, "location": location}, per_class=9, download={"reserve": 0})
        clone.repro("download")
        assert taken(clone) == {MALAMUTE: 5, HUSKY: 4}
        # More are asked for: each archive is read on from where the first run stopped.
        rows = read_csv(clone.folder / f"data/raw/{SLED_DOGS}.csv", RawRow)
        before = {row.url for row in rows if row.status not in (Status.UNUSED, Status.ARCHIVE)}
        server.asked.clear()
        use(clone, {"kind": kind, "location": location}, per_class=13, download={"reserve": 0})
        clone.repro("download")
        assert taken(clone) == {MALAMUTE: 7, HUSKY: 6}
        assert not before & {server.base + path for path in server.asked}


@pytest.mark.parametrize("kind", ["imagenet-api", "synset-tar"])
def test_a_subtree_is_kept_evenly(clone: Project, photos: Path, kind: str) -> None:
    with PhotoServer(photos) as server:
        location = server.base + ("/tars/{wnid}.tar" if kind == "synset-tar" else "")
        source = {"kind": kind, "location": location}
        use(clone, source, per_class=10, min_per_class=5, download={"reserve": 0.6})
        clone.repro("split")
    rows = read_csv(clone.folder / "data/dataset/manifest.csv", ManifestRow)
    kept = Counter(row.synset for row in rows if row.wnid == SLED_DOGS)
    assert kept == {MALAMUTE: 5, HUSKY: 5}


def test_the_manifest_keeps_each_photos_own_synset(clone: Project, photos: Path) -> None:
    photos.rename(clone.folder / "more")
    use(clone, {"kind": "folder", "location": "more"}, per_class=16)
    clone.repro("split")
    rows = list(read_csv(clone.folder / "data/dataset/manifest.csv", ManifestRow))
    dogs = [row for row in rows if row.wnid == SLED_DOGS]
    assert {(row.label, row.voc) for row in dogs} == {("sled_dog", "dog")}
    assert all(row.file.startswith(f"{row.split}/sled_dog/n02109811_") for row in dogs)
    for split in ("train", "val"):
        assert {row.synset for row in dogs if row.split == split} == {MALAMUTE, HUSKY}
    assert {row.synset for row in rows if row.wnid != SLED_DOGS} == {PLANE}


def test_an_address_stands_once_and_other_addresses_of_its_photo_stay(tmp_path: Path) -> None:
    lists = (
        ["http://Farm1.static.flickr.com/2/345_abc.jpg", "http://h.example:80/a.jpg#x"],
        [
            "https://live.staticflickr.com/2/345_abc_b.jpg",
            "https://H.example/a.jpg",
            "http://H.example/a.jpg",
        ],
    )
    asked = []
    for number, urls in enumerate(lists):
        lines = [f"{PLANE}_{number}{n}\t{url}\n" for n, url in enumerate(urls)]
        (tmp_path / f"{number}.txt").write_text("".join(lines))
        asked.append(UrlListSource(kind="url-list", location=str(tmp_path / f"{number}.txt")))
    found = list(list_classes(asked, read_classes({PLANE: None}), ListClient(Network()))[PLANE])
    assert [one.url for one in found] == [*lists[0], *lists[1][:2]]
