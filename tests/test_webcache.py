"""Listings of the web are transferred once, whole and as pinned; offline nothing is asked."""

import gzip
import hashlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from allrounder.core.errors import DataError, UsageError
from allrounder.fetch_urls import listing
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network
from allrounder.params.sources import UrlListSource
from allrounder.web.cache import CACHE, cached_file, trim
from allrounder.web.lists import ListClient
from allrounder.web.policy import OFFLINE_SWITCH, is_offline
from bucket import Bucket, Fault
from photoserver import PhotoServer
from project import Project

ROOT = Path(__file__).resolve().parent.parent
HUSKY = "n02109961"
NETWORK = Network(tries=2, backoff=0.01, total_timeout=30, connect_timeout=30)
BODY = f"{HUSKY}_1\thttp://h.example/1.jpg\n".encode()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(OFFLINE_SWITCH, raising=False)
    with Bucket({"/list.txt": BODY}) as running:
        yield running


def got(bucket: Bucket, **more: Any) -> bytes:
    return cached_file(
        ListClient(NETWORK), f"{bucket.base}/list.txt", "the list", **more
    ).read_bytes()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("dated", [False, True])
def test_a_file_is_transferred_once(bucket: Bucket, dated: bool) -> None:
    bucket.dated = dated
    assert got(bucket) == got(bucket) == BODY
    assert bucket.answered == {200: 1, 304: 1}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 200_000), max_size=8),
    dated=st.booleans(),
    most=st.none() | st.integers(40_000, 200_000),
)
@example(seed=0, cuts=[100_000], dated=False, most=40_000)
def test_wherever_a_download_breaks_off_the_file_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    cuts: list[int],
    dated: bool,
    most: int | None,
) -> None:
    body = random.Random(seed).randbytes(200_000)
    with pytest.MonkeyPatch.context() as patch, Bucket({"/list.txt": body}) as bucket:
        patch.chdir(tmp_path_factory.mktemp("cache"))
        bucket.cuts["/list.txt"], bucket.dated = cuts, dated
        bucket.most = most
        web = ListClient(Network(tries=20, backoff=1e-9))
        path = cached_file(web, f"{bucket.base}/list.txt", "the list")
        assert path.read_bytes() == body
        assert sorted(p.suffix for p in path.parent.iterdir()) == [".body", ".json"]


def test_a_damaged_cache_is_not_used(bucket: Bucket) -> None:
    got(bucket)
    (body,) = CACHE.glob("*.body")
    body.write_bytes(BODY[:-1])
    assert got(bucket) == BODY
    body.write_bytes(BODY.replace(b"1.jpg", b"2.jpg"))
    assert got(bucket) == BODY
    (kept,) = CACHE.glob("*.json")
    kept.write_text("{", encoding="utf-8")
    assert got(bucket) == BODY
    assert bucket.answered == {200: 4}


def test_what_was_used_longest_ago_leaves_the_cache_first(tmp_path: Path) -> None:
    for number, name in enumerate("abcd"):
        (tmp_path / f"{name}.body").write_bytes(bytes(10))
        (tmp_path / f"{name}.body.json").write_text("{}", encoding="utf-8")
        os.utime(tmp_path / f"{name}.body", (number, number))
    trim(tmp_path, tmp_path / "a.body", most=25)
    assert sorted(path.name for path in tmp_path.glob("*.body")) == ["a.body", "d.body"]
    assert sorted(path.name[0] for path in tmp_path.glob("*.json")) == ["a", "d"]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
@pytest.mark.parametrize("name", ["list.txt.gz", "list.tgz", "list.csv.gz"])
def test_a_packed_file_is_kept_as_it_is(bucket: Bucket, name: str, encoding: str) -> None:
    packed = gzip.compress(BODY)
    headers = {"Content-Encoding": encoding}
    bucket.faults[f"/{name}"] = Fault(200, headers, packed)
    web, url = ListClient(NETWORK), f"{bucket.base}/{name}"
    assert cached_file(web, url, "the list", sha256(packed)).read_bytes() == packed
    bucket.faults["/list.txt"] = Fault(200, headers, packed)
    assert got(bucket) == BODY  # a plain file that the server sends compressed


def test_a_file_that_is_too_large_is_refused_and_not_kept(bucket: Bucket) -> None:
    with pytest.raises(DataError, match="answered more than 10 bytes"):
        got(bucket, most=10)
    assert list(CACHE.iterdir()) == []


# Pinned hashes.


def test_a_pinned_file_is_requested_once(bucket: Bucket) -> None:
    pin = sha256(BODY)
    assert got(bucket, sha256=pin) == BODY
    bucket.files["/list.txt"] = b"changed\n"
    bucket.asked.clear()
    assert got(bucket, sha256=pin) == BODY
    assert not bucket.asked


@pytest.mark.parametrize("local", [True, False])
def test_another_file_than_pinned_is_refused_before_it_is_used(
    bucket: Bucket, tmp_path: Path, local: bool
) -> None:
    location = str(tmp_path / "list.txt") if local else f"{bucket.base}/list.txt"
    (tmp_path / "list.txt").write_bytes(BODY)

    def listed(pin: str) -> int:
        source = UrlListSource(kind="url-list", location=location, sha256=pin)
        return len(
            list(
                listing.list_classes(
                    [source], read_classes(dict.fromkeys([HUSKY])), ListClient(NETWORK)
                )[HUSKY]
            )
        )

    assert listed(sha256(BODY)) == 1
    bucket.files["/list.txt"] = b"no list at all"
    (tmp_path / "list.txt").write_bytes(b"no list at all")
    pin = sha256(b"another")
    with pytest.raises(DataError) as caught:
        listed(pin)
    output = str(caught.value)
    assert output.startswith(f"source url-list {location}: {location} has SHA-256 ")
    assert sha256(b"no list at all") in output
    assert f"sha256 pins {pin}; " in output


def test_a_pin_that_is_no_hash_is_a_mistake(clone: Project) -> None:
    source = {"kind": "url-list", "location": "list.txt", "sha256": "ABC"}
    clone.edit(sources=[source])
    output = clone.stage("fetch_urls", expect=2)
    assert "sources.0.sha256: must be 64 hex digits in lower case" in output


# Offline.


def test_offline_nothing_is_requested(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    got(bucket)
    bucket.asked.clear()
    monkeypatch.setenv(OFFLINE_SWITCH, "1")
    assert got(bucket) == BODY
    url = f"{bucket.base}/other.txt"
    with pytest.raises(DataError, match=f"offline: the list: {url} is not in .allrounder/cache; "):
        cached_file(ListClient(NETWORK), url, "the list")
    with pytest.raises(DataError, match="offline: "), ListClient(NETWORK).stream(url, "the list"):
        pass
    assert not bucket.asked


@pytest.mark.parametrize(("value", "on"), [("", False), ("0", False), ("1", True)])
def test_the_switch(monkeypatch: pytest.MonkeyPatch, value: str, on: bool) -> None:
    monkeypatch.setenv(OFFLINE_SWITCH, value)
    assert is_offline() is on
    monkeypatch.setenv(OFFLINE_SWITCH, "yes")
    with pytest.raises(UsageError, match=r"ALLROUNDER_OFFLINE: 'yes' is neither 0 nor 1"):
        is_offline()


def test_make_passes_the_switch_on() -> None:
    command = ["make", "-n", "-o", ".venv/ready", "repro", "offline=1"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "ALLROUNDER_OFFLINE=1 dvc repro" in output.splitlines()


def test_an_offline_build_needs_only_what_is_here(clone: Project, server: PhotoServer) -> None:
    source = {"kind": "synset-tar", "location": server.base + "/tars/{wnid}.tar"}
    network = {"allow_private": ["127.0.0.1"], "backoff": 0.01, "tries": 2}
    settings = {"sources": [source], "network": network, "min_per_class": 5}
    clone.edit(**settings, classes={HUSKY: "dog"}, per_class=8)
    clone.repro("download")
    before = clone.files("data/urls", "data/raw")
    server.asked.clear()

    clone.rebuild("fetch_urls", "download", ALLROUNDER_OFFLINE="1")
    assert clone.files("data/urls", "data/raw") == before
    clone.edit(per_class=12)
    output = clone.script("download", expect=1, ALLROUNDER_OFFLINE="1")
    tar = f"{server.base}/tars/{HUSKY}.tar"
    assert f"{HUSKY} lacks 4 of 14 photos, 1 URLs would have to be requested ({tar})" in output
    assert clone.files("data/urls", "data/raw") == before
    assert not server.asked
    clone.script("download")
    assert server.ranges  # the archive is read on where it was left
