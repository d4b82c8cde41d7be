"""Source open-images against a server that serves its CSVs and photos as the buckets do."""

import csv
import gzip
import io
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allrounder.catalogue.labels import OPEN_IMAGES_TABLE, open_images_mids
from allrounder.catalogue.synsets import VOC_LABELS, all_synsets
from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate, ManifestRow
from allrounder.core.tables import read_csv
from allrounder.fetch_urls import listing
from allrounder.fetch_urls.sources.open_images import IMAGES, LABELS
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network
from allrounder.params.sources import OpenImagesSource
from allrounder.web.lists import ListClient
from bucket import Bucket, Fault
from project import Project

ROOT = Path(__file__).resolve().parent.parent
DOG, CAT, KITE = "n02084071", "n02121620", "n01608432"  # the table has no kite
DOG_MID, CAT_MID = "/m/0bt9lr", "/m/01yrx"
NETWORK = Network(tries=2, backoff=0.01, total_timeout=30, connect_timeout=30, retry_after_max=1)
LABEL_HEADER = "ImageID,Source,LabelName,Confidence"
IMAGE_HEADER = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
    "OriginalSize,OriginalMD5,Thumbnail300KURL,Rotation"
)
LICENSE = "https://creativecommons.org/licenses/by/2.0/"
PARTS = ("validation", "test", "train")


def image_id(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def label(number: int, mid: str, confidence: str = "1") -> str:
    return f"{image_id(number)},verification,{mid},{confidence}"


def image(number: int, part: str, rotation: str = "0.0", author: str = "") -> str:
    """A line of the image metadata, quoted as Google's are: a title with commas in it."""
    out = io.StringIO()
    name, page = image_id(number), f"https://www.flickr.com/photos/x/{number}"
    cells = [name, part, f"https://farm3.staticflickr.com/{number}_o.jpg", page, LICENSE]
    cells += ["https://www.flickr.com/people/x/", author or f"Author {number}", 'A "dog", asleep']
    cells += ["4405052", "KFukvivpCM5QXl5SqKe41g==", "", rotation]
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def csvs(labels: dict[str, list[str]], images: dict[str, list[str]]) -> dict[str, bytes]:
    """The files of the bucket."""
    files = {}
    for part in PARTS:
        lines = [LABEL_HEADER, *labels.get(part, ())]
        files[f"/{LABELS[part]}"] = ("\n".join(lines) + "\n").encode()
        lines = [IMAGE_HEADER, *images.get(part, ())]
        files[f"/{IMAGES[part]}"] = ("\n".join(lines) + "\n").encode()
    return files


def small() -> dict[str, bytes]:
    """Two dogs and a cat in validation, a dog in test, one photo with both in train."""
    labels = {
        "validation": [
            label(1, DOG_MID),
            label(1, "/m/0bt9lrx"),
            label(2, CAT_MID),
            label(2, DOG_MID, "0"),
            label(3, "/m/0k4j"),
            label(4, DOG_MID, "1.0"),
            label(5, DOG_MID),  # stored on its side
            label(6, DOG_MID),  # no metadata, so no photo either
        ],
        "test": [label(7, DOG_MID)],
        "train": [label(8, CAT_MID), label(8, DOG_MID)],
    }
    turned = image(5, "validation", "90.0")
    images = {
        "validation": [*(image(n, "validation") for n in (4, 3, 2, 1)), turned],
        "test": [image(7, "test", "")],
        "train": [image(8, "train", "0")],
    }
    return csvs(labels, images)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.chdir(tmp_path)  # the cache is in the folder that this runs in
    monkeypatch.delenv("ALLROUNDER_OFFLINE", raising=False)
    with Bucket(small()) as running:
        yield running


def listed(
    bucket: Bucket, wnids: tuple[str, ...] = (DOG, CAT), **more: Any
) -> dict[str, list[Candidate]]:
    source = OpenImagesSource(
        kind="open-images", location=bucket.base, photos=f"{bucket.base}/photos", **more
    )
    return {
        key: list(found)
        for key, found in listing.list_classes(
            [source], read_classes(dict.fromkeys(wnids)), ListClient(NETWORK)
        ).items()
    }


def ids(candidates: list[Candidate]) -> list[str]:
    return [candidate.image_id for candidate in candidates]


def test_verified_photos_are_listed_part_by_part_with_who_made_them(bucket: Bucket) -> None:
    found = listed(bucket)
    validation = sorted([image_id(1), image_id(4)])
    assert ids(found[DOG]) == [*validation, image_id(7), image_id(8)]
    assert ids(found[CAT]) == [image_id(2), image_id(8)]
    assert found[CAT][0] == Candidate(
        image_id(2),
        f"{bucket.base}/photos/validation/{image_id(2)}.jpg",
        LICENSE,
        "Author 2",
        "https://www.flickr.com/photos/x/2",
        "open-images",
        title='A "dog", asleep',
    )


def test_only_the_named_parts_are_read_in_their_order(bucket: Bucket) -> None:
    found = listed(bucket, parts=["train", "test"])
    assert ids(found[DOG]) == [image_id(8), image_id(7)]
    assert not any("val" in path for path in bucket.paths())


def test_a_part_is_read_for_the_classes_that_those_before_it_leave_open(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    found = listed(bucket, enough=1)
    assert ids(found[DOG]) == sorted([image_id(1), image_id(4)])
    assert ids(found[CAT]) == [image_id(2)]
    assert set(bucket.paths()) == {
        f"/{LABELS['validation']}",
        f"/{IMAGES['validation']}",
    }
    assert "train is not read: each class has 1 photos" in capsys.readouterr().err

    found = listed(bucket, enough=2)
    assert ids(found[DOG]) == sorted([image_id(1), image_id(4)])  # as if it were the only class
    assert ids(found[CAT]) == [image_id(2), image_id(8)]
    assert ids(listed(bucket, enough=None)[DOG])[2:] == [image_id(7), image_id(8)]


def test_a_class_may_be_named_by_its_mid(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ids(listed(bucket, (KITE, CAT), classes={KITE: "mid:/m/0k4j"})[KITE]) == [image_id(3)]
    bucket.paths()
    with pytest.raises(DataError, match=f"class {KITE}: no candidate from source open-images"):
        listed(bucket, (KITE, CAT))
    assert f"Open Images has no known class for {KITE}" in capsys.readouterr().err


def test_nothing_is_requested_when_no_class_is_known(bucket: Bucket) -> None:
    with pytest.raises(DataError, match="lists no photo for any class"):
        listed(bucket, (KITE,))
    assert not bucket.asked


def test_what_authors_write_stays_in_its_cell(bucket: Bucket) -> None:
    path = f"/{IMAGES['validation']}"
    author = 'Zoë "Z", née\nNew\u2028line\x1b[31m'
    bucket.files[path] = f"{IMAGE_HEADER}\n{image(2, 'validation', author=author)}\n".encode()
    (cat,) = listed(bucket, (CAT,), parts=["validation"])[CAT]
    assert cat.author == 'Zoë "Z", née New line [31m'
    assert cat.license == LICENSE


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30))
def test_the_order_of_the_csvs_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    rng = random.Random(seed)
    labels = [label(n, rng.choice((DOG_MID, CAT_MID)), rng.choice("01")) for n in range(count)]
    labels += [label(99, DOG_MID), label(98, CAT_MID)]
    images = [image(n, "test") for n in (*range(count), 98, 99)]
    folder = tmp_path_factory.mktemp("cache")
    found = []
    with pytest.MonkeyPatch.context() as patch, Bucket({}) as bucket:
        patch.chdir(folder)
        for _ in range(2):
            bucket.files = csvs({"test": labels}, {"test": images})
            found.append(listed(bucket, parts=["test"]))
            rng.shuffle(labels)
            rng.shuffle(images)
    assert found[0] == found[1]


# The cache.


def test_a_csv_is_transferred_once(bucket: Bucket) -> None:
    first = listed(bucket)
    assert bucket.answered == {200: 6}
    bucket.answered.clear()
    assert listed(bucket) == first
    assert bucket.answered == {304: 6}


def test_a_changed_csv_is_transferred_again(bucket: Bucket) -> None:
    listed(bucket)
    bucket.answered.clear()
    bucket.files[f"/{LABELS['test']}"] += f"{label(1, CAT_MID)}\n".encode()
    bucket.files[f"/{IMAGES['test']}"] += f"{image(1, 'test')}\n".encode()
    assert image_id(1) in ids(listed(bucket)[CAT])
    assert bucket.answered == {304: 4, 200: 2}


def test_a_download_that_broke_off_goes_on(bucket: Bucket) -> None:
    path = f"/{IMAGES['validation']}"
    expected = listed(bucket)
    more = (image(n, "validation") for n in range(100, 1100))
    bucket.files[path] += "".join(f"{line}\n" for line in more).encode()
    bucket.faults[path] = Fault(200, cut=150_000, times=1)
    bucket.asked.clear()
    assert listed(bucket) == expected
    first, second = (headers for asked, headers in bucket.asked if asked == path)
    assert "Range" not in first
    assert second["Range"] == "bytes=150000-"
    assert second["If-Range"].startswith('"')


def test_what_changed_meanwhile_is_read_from_its_start(bucket: Bucket) -> None:
    path = f"/{LABELS['validation']}"
    bucket.files[path] += f"{label(3, CAT_MID)}\n".encode() * 3000
    bucket.cuts[path] = [70_000, 0]
    with pytest.raises(DataError, match="run it again to go on"):
        listing.list_classes(
            [OpenImagesSource(kind="open-images", location=bucket.base, parts=["validation"])],
            read_classes({DOG: None}),
            ListClient(NETWORK.model_copy(update={"tries": 1})),
        )
    bucket.files[path] = f"{LABEL_HEADER}\n{label(4, DOG_MID)}\n{label(2, CAT_MID)}\n".encode()
    assert ids(listed(bucket, parts=["validation"])[DOG]) == [image_id(4)]


# What the web does wrong.

VALIDATION = f"/{LABELS['validation']}"
HTML = b"<!DOCTYPE html><html><p>Sign in to go on"


@pytest.mark.parametrize("path", [VALIDATION, f"/{IMAGES['validation']}"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(401), "answered 401 Unauthorized"),
        (Fault(403), "answered 403 Forbidden"),
        (Fault(404), "answered 404 Not Found"),
        (Fault(429, {"Retry-After": "0"}), "answered 429 Too Many Requests"),
        (Fault(500), "answered 500"),
        (Fault(301, {"Location": "/elsewhere.csv"}), "answered 404"),
        (
            Fault(302, {"Location": VALIDATION}),
            "its redirect is not followed: loop",
        ),
        (Fault(416), "answered 416"),
        (Fault(206, {"Content-Range": "bytes 7-9/10"}), "answered 206"),
        (Fault(200, cut=0), r"cannot be read: .*bytes missing; run it again to go on"),
        (Fault(200, body=b""), "is empty"),
        (Fault(200, body=HTML), "no column .* in its first line b'<!DOCTYPE.*form has changed"),
        (Fault(200, body=b"ImageID,Source\n1,2\n"), "no column .*form has changed"),
        (Fault(200, body=gzip.compress(HTML)), "no column .*form has changed"),
    ],
)
def test_what_goes_wrong_is_reported(bucket: Bucket, path: str, fault: Fault, words: str) -> None:
    headers = {name: value.replace(VALIDATION, path) for name, value in fault.headers.items()}
    bucket.faults[path] = Fault(fault.status, headers, fault.body, cut=fault.cut)
    with pytest.raises(DataError, match=words) as caught:
        listed(bucket)
    said = str(caught.value)
    assert said.startswith(f"source open-images {bucket.base}: {bucket.base}{path} ")
    assert "\n" not in said


def test_a_fault_that_passes_and_a_move_are_no_errors(bucket: Bucket) -> None:
    expected = listed(bucket)
    moved = f"/{IMAGES['test']}"
    bucket.files["/new/place.csv"] = bucket.files.pop(moved)
    bucket.faults[moved] = Fault(301, {"Location": "/new/place.csv"})
    bucket.faults[VALIDATION] = Fault(429, {"Retry-After": "0"}, times=1)
    assert listed(bucket) == expected


def test_columns_and_line_ends_may_be_others(bucket: Bucket) -> None:
    expected = listed(bucket)
    for path, body in bucket.files.items():
        rows = list(csv.reader(io.StringIO(body.decode())))
        order = [0, *range(len(rows[0]) - 1, 0, -1)]
        if path == VALIDATION:
            order = [0, 1, 3, 2]  # the label's name at the end of the line
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerows([row[n] for n in order] for row in rows)
        bucket.files[path] = text.getvalue().encode()
    assert listed(bucket) == expected


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (LABELS, f"{image_id(9)},verification,{DOG_MID}"),
        (LABELS, f"{image_id(9)},verification,{DOG_MID},yes"),
        (LABELS, "one word"),
        (IMAGES, f"{image_id(1)},validation,u"),
        (IMAGES, image(1, "validation") + ",one more"),
        (IMAGES, f'{image_id(1)},validation,"never closed'),
        (IMAGES, f'{image_id(1)},validation,"{"x" * 200_000}"'),
        (IMAGES, image(1, "validation", author="\udcff" * 60_000)),
    ],
)
def test_a_line_of_another_form_is_reported(
    bucket: Bucket, kind: dict[str, str], line: str
) -> None:
    path = f"/{kind['validation']}"
    bucket.files[path] += line.encode(errors="surrogateescape") + b"\n"
    with pytest.raises(DataError, match=f"{path} has a line b.* form has changed"):
        listed(bucket)


def test_an_image_id_never_leaves_the_folder_of_photos(bucket: Bucket) -> None:
    evil = "../../../../etc"
    bucket.files[VALIDATION] += f"{evil},verification,{DOG_MID},1\n".encode()
    path = f"/{IMAGES['validation']}"
    bucket.files[path] += image(1, "validation").replace(image_id(1), evil).encode() + b"\n"
    with pytest.raises(DataError, match="form has changed"):
        listed(bucket)


# The table.


def test_the_table_knows_a_class_for_every_voc_label() -> None:
    known = all_synsets()
    lines = OPEN_IMAGES_TABLE.read_text(encoding="utf-8").splitlines()[1:]
    assert len(lines) == len(open_images_mids())  # each synset once
    assert all(re.fullmatch(r"/[mg]/[0-9a-z_]+", mid) for mid in open_images_mids().values())
    assert set(open_images_mids()) <= set(known)
    labels = {known[wnid].voc for wnid in open_images_mids()}
    assert set(VOC_LABELS) <= labels


@pytest.mark.parametrize(
    ("wnid", "mid"),
    [
        ("n07680932", "/m/0119x1zy"),  # the food, not the hairstyle
        ("n02534734", "/m/09777"),  # the fish, not the food
        ("n04273569", "/m/02rlv9"),  # a speedboat is not any motorboat
        ("n03790230", None),
        ("n09257843", None),  # a cave; Open Images' cove is a bay
        ("n01608432", None),  # the bird; Open Images' kite is the toy
        ("n03376595", "/m/0bvn8w"),
    ],
)
def test_the_table_tells_homonyms_apart(wnid: str, mid: str | None) -> None:
    assert open_images_mids().get(wnid) == mid


# The whole pipeline.


def photos() -> list[bytes]:
    """Real photos of the embedded sample, without those that it breaks on purpose."""
    folder = ROOT / "data" / "sample"
    return [path.read_bytes() for path in sorted(folder.glob("n*/*_0[01]?.jpg"))]


def test_licence_and_author_arrive_in_the_manifest(clone: Project) -> None:
    bodies, numbers = photos(), range(1, 25)
    with Bucket({}) as bucket:
        labels = [label(n, DOG_MID if n % 2 else CAT_MID) for n in numbers]
        bucket.files = csvs({"test": labels}, {"test": [image(n, "test") for n in numbers]})
        for number in numbers:
            path = f"/photos/test/{image_id(number)}.jpg"
            bucket.files[path] = bodies[number * 5]
        bucket.files.pop(f"/photos/test/{image_id(3)}.jpg")
        bucket.faults[f"/photos/test/{image_id(5)}.jpg"] = Fault(503)
        source = {"kind": "open-images", "location": bucket.base, "parts": ["test"]}
        source |= {"photos": f"{bucket.base}/photos"}
        network = {"allow_private": ["127.0.0.1"], "backoff": 0.01, "tries": 2}
        classes = {DOG: "dog", CAT: "cat"}
        clone.edit(
            sources=[source], classes=classes, network=network, per_class=20, min_per_class=4
        )
        clone.repro("split")
        rows = list(read_csv(clone.folder / "data/dataset/manifest.csv", ManifestRow))
        before = clone.files("data/urls", "data/raw")
    assert len(rows) >= 8
    for row in rows:
        assert row.license == LICENSE
        number = int(row.landing_url.rpartition("/")[2])
        assert (row.image_id, row.author) == (image_id(number), f"Author {number}")
        assert row.url == f"{bucket.base}/photos/test/{row.image_id}.jpg"

    # The server is gone: what is here must do, also for what failed for a while.
    statuses = clone.read(f"data/raw/{DOG}.csv")
    assert "http_error,404" in statuses
    assert "http_error,503" in statuses
    clone.rebuild("fetch_urls", "download", ALLROUNDER_OFFLINE="1")
    assert clone.files("data/urls", "data/raw") == before

    # Without dvc.lock's pins the lists are still in the cache, but no photo is here.
    (clone.folder / "dvc.lock").unlink()
    clone.script("fetch_urls", "--offline")
    assert clone.files("data/urls", "data/raw") == before
    said = clone.script("download", "--offline", expect=1)
    assert "connection_error" not in said
    assert (
        f"{DOG} lacks 24 of 24 photos, 12 URLs would have to be requested ({bucket.base}/" in said
    )
    assert clone.files("data/urls", "data/raw") == before
