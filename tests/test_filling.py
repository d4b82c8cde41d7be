"""Classes that clean would leave short: the download takes more photos for them by itself."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from allrounder.clean.cleaning import decide
from allrounder.clean.decoding import decode_classes
from allrounder.clean.preview import Preview, next_quota
from allrounder.core.corrections import Action, Correction
from allrounder.core.paths import RAW, URLS
from allrounder.core.rows import Status
from allrounder.core.workers import worker_pool
from allrounder.download.crawl import Folders
from allrounder.download.rounds import Rounds
from allrounder.history.journal import Journal
from allrounder.params.schema import Params
from hostile import encoded, picture
from photoserver import PhotoServer
from project import Project as Clone
from webfaults.project import OTHER, THIRD, WNID, Project
from webfaults.server import Server

CLASSES = (WNID, OTHER, THIRD)


def download(
    project: Project, corrections: Sequence[Correction] = (), rounds: int = 99
) -> dict[str, int]:
    """Run the download, interrupted after some rounds; returns the photos that clean keeps."""
    with contextlib.chdir(project.folder):
        params = Params.model_validate(project.params)
        RAW.mkdir(exist_ok=True)
        work = Path(".allrounder/download")
        work.mkdir(parents=True, exist_ok=True)
        preview = Preview(params, corrections, URLS, RAW, work / "preview")
        left = iter(range(rounds - 1))

        def larger(quotas: Mapping[str, int]) -> Mapping[str, int]:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return preview.larger_quotas(quotas)

        Rounds(params, Folders(URLS, RAW, work), Journal(work, "", fresh=False)).run(larger)
        with worker_pool(2) as pool:
            photos = decode_classes([*params.classes], RAW, work, params.clean, pool)
            decisions, _ = decide(params, photos, URLS, RAW, corrections, pool)
        return decisions.kept_by_class()


def hostile_bodies(number: int) -> Iterable[bytes]:
    """120 candidates of a class, of which 50 are good: the others are lost in clean."""
    notice = encoded(Image.new("RGB", (90, 60), "white"), "PNG")
    for n in range(120):
        image = picture(1000 * number + n, (80, 60))
        body = encoded(image, "JPEG")
        if n % 12 in (0, 3, 4, 7, 11):
            yield body
        elif n % 12 in (1, 2, 5):  # cut off, so that only the decoder sees it
            yield body[: len(body) // 2] + body[-2:]
        elif n % 12 in (6, 8):  # a copy of another quality
            yield encoded(picture(1000 * number + n - n % 12, (80, 60)), "JPEG", quality=60)
        elif n % 12 == 9:
            yield notice + bytes([n, number])
        else:  # a picture in two classes
            yield encoded(picture(n, (80, 60)), "JPEG", quality=70 + number)


def test_classes_with_enough_good_photos_are_full_on_a_hostile_origin(tmp_path: Path) -> None:
    lists = {}
    for number, wnid in enumerate(CLASSES, start=1):
        lists[wnid] = [f"photos/{wnid}/{n}.jpg" for n in range(120)]
        (tmp_path / "photos" / wnid).mkdir(parents=True)
        for path, body in zip(lists[wnid], hostile_bodies(number), strict=True):
            (tmp_path / path).write_bytes(body)
    project = Project(tmp_path, lists, per_class=40, download={"reserve": 0.2})
    assert download(project) == dict.fromkeys(CLASSES, 40)
    unused = [sum(row.status is Status.UNUSED for row in project.rows(key)) for key in CLASSES]
    assert min(unused) > 0  # no more than needed
    project.check_accounts()


def excluded(url: str) -> Correction:
    return Correction(url, Action.EXCLUDE, "", "blurred")


def test_the_place_of_an_excluded_photo_is_filled_by_requesting_just_the_difference(
    tmp_path: Path,
) -> None:
    with Server() as server:
        lists = {key: [server.url(f"good/{key}{n}") for n in range(30)] for key in (WNID, OTHER)}
        network = {"connections": 1}
        project = Project(tmp_path, lists, per_class=8, network=network)
        assert download(project) == {WNID: 8, OTHER: 8}
        before, other = project.rows(WNID), project.rows(OTHER)
        asked = Counter(server.requests)
        out = [excluded(row.url) for row in before[:3]]
        assert download(project, out) == {WNID: 8, OTHER: 8}
        assert max(server.requests.values()) == 1  # nothing was requested again
        assert project.rows(OTHER) == other
        assert set(server.requests - asked) <= {
            url.removeprefix(server.url("")[:-1]) for url in lists[WNID][8:]
        }
        full = project.result()
        project.check_accounts()

        fresh = Project(tmp_path / "fresh", lists, per_class=8, network=network)
        with pytest.raises(KeyboardInterrupt):
            download(fresh, out, rounds=1)
        server.requests.clear()
        assert download(fresh, out) == {WNID: 8, OTHER: 8}
        assert fresh.result() == full  # as if never interrupted, and as with the earlier build
        assert server.requests.total() < 8


@given(kept=st.integers(0, 99), lost=st.integers(0, 99), wanted=st.integers(1, 99))
def test_a_quota_grows_while_photos_are_missing_and_at_most_doubles(
    kept: int, lost: int, wanted: int
) -> None:
    quota = max(1, kept + lost)
    larger = next_quota(quota, kept, kept + lost, wanted)
    if kept >= wanted:
        assert larger == quota
    else:
        assert quota < larger <= 2 * quota


def test_a_build_fills_the_place_of_a_photo_that_corrections_exclude(
    clone: Clone, server: PhotoServer
) -> None:
    clone.edit(
        sources=[{"kind": "imagenet-api", "location": server.base}],
        classes={WNID: "dog", OTHER: "cat"},
        per_class=8,
        min_per_class=5,
        download={"reserve": 0},
        network={"allow_private": ["127.0.0.1"]},
    )
    clone.repro("clean")
    first = clone.files("data/clean")
    server.asked.clear()
    url = next(
        line.split(",")[1]
        for line in clone.read(f"data/raw/{WNID}.csv").splitlines()
        if ",ok," in line
    )
    with (clone.folder / "corrections.csv").open("a", encoding="utf-8") as file:
        file.write(f"{url},exclude,,not a dog,test\n")
    said = clone.repro("clean")
    assert "taking up to" in said
    assert server.photos_asked
    assert not [path for path in server.photos_asked if OTHER in path]
    kept = clone.read(f"data/clean/{WNID}.csv")
    assert kept.count(",kept,") == 8
    assert kept.count(",excluded,") == 1
    assert clone.files("data/clean")[f"data/clean/{OTHER}.tar"] == first[f"data/clean/{OTHER}.tar"]
