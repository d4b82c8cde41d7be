"""Shards here and on the web: what they list, what they cost, and what is said when they fail."""

import contextlib
import itertools
import json
import shutil
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.urls import parse_byte_range
from allrounder.download.class_quota import SLACK
from allrounder.fetch_urls import listing
from allrounder.fetch_urls.sources.webdataset import Photo, ShardCache, samples
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network
from allrounder.params.sources import MAX_FILES, WebdatasetSource, expand_braces
from allrounder.web.lists import ListClient
from project import Project
from shardserver import ShardServer
from webfaults import project as faults
from webfaults.archives import make_tar, plain, special

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
HUSKY, CAT, PLANE = "n02109961", "n02123394", "n02690373"
INDEX = {HUSKY: b"248", CAT: b"283\n", PLANE: b"404"}
TWO, THREE = {HUSKY: "dog", CAT: "cat"}, {HUSKY: "dog", CAT: "cat", PLANE: "aeroplane"}
NETWORK = Network(tries=3, backoff=0.01, total_timeout=30, connect_timeout=30)
Files = Sequence[tuple[str, bytes]]


def shard(files: Files, form: int = tarfile.PAX_FORMAT) -> bytes:
    return make_tar((plain(name, body) for name, body in files), form)


def sample_files(wnids: Sequence[str], first: int, last: int) -> Files:
    """The drawn photos number `first` to `last` of each class, as samples with a .cls."""
    found = []
    for number, wnid in itertools.product(range(first, last + 1), wnids):
        for path in (SAMPLE / wnid).glob(f"{wnid}_{number:03}.*"):
            found.append((f"train/{path.stem}.JPG", path.read_bytes()))
            found.append((f"train/{path.stem}.cls", INDEX[wnid]))
    return found


SHARDS = {
    f"/s-{number:02}.tar": shard(sample_files([HUSKY, CAT, PLANE], 1 + 9 * number, 9 + 9 * number))
    for number in range(3)
}


@pytest.fixture
def server() -> Iterator[ShardServer]:
    with ShardServer(dict(SHARDS)) as running:
        yield running


def listed(
    location: object, wnids: Sequence[str] = (HUSKY, CAT), **more: Any
) -> dict[str, list[Candidate]]:
    source = WebdatasetSource(kind="webdataset", location=str(location), **more)
    return {
        key: list(found)
        for key, found in listing.list_classes(
            [source], read_classes(dict.fromkeys(wnids)), ListClient(NETWORK)
        ).items()
    }


def here(folder: Path, *bodies: bytes) -> str:
    """Put shards into a folder; returns their location."""
    for number, body in enumerate(bodies):
        (folder / f"s-{number}.tar").write_bytes(body)
    return f"{folder}/s-{{0..{len(bodies) - 1}}}.tar"


def body_of(candidate: Candidate, files: dict[str, bytes]) -> bytes:
    part = parse_byte_range(candidate.url)
    assert part
    return files[part.file][part.offset : part.offset + part.size]


# Braces


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 6))
def test_a_range_counts_as_the_shell_does(first: int, last: int, width: int) -> None:
    texts = [f"{first:0{width}}", f"{last:0{width}}"]
    padded = any(len(text) > 1 and text[0] == "0" for text in texts)
    size = max(map(len, texts)) if padded else 0
    numbers = range(first, last + 1) if first <= last else range(first, last - 1, -1)
    assert expand_braces(f"a/s-{{{texts[0]}..{texts[1]}}}.tar") == [
        f"a/s-{str(number).zfill(size)}.tar" for number in numbers
    ]


PLAIN = st.text(st.characters(exclude_characters="{},"), max_size=5)


@given(st.lists(st.tuples(PLAIN, st.lists(PLAIN, min_size=2, max_size=3)), max_size=3), PLAIN)
def test_lists_multiply(parts: list[tuple[str, list[str]]], tail: str) -> None:
    text = "".join(f"{head}{{{','.join(items)}}}" for head, items in parts) + tail
    choices = [[head + item for item in items] for head, items in parts]
    assert expand_braces(text) == ["".join(chosen) + tail for chosen in itertools.product(*choices)]


@given(st.text(st.sampled_from("{},.0129a"), max_size=14))
def test_braces_are_written_out_or_refused(text: str) -> None:
    try:
        found = expand_braces(text)
    except ValueError:
        return
    assert found
    assert len(found) <= MAX_FILES
    assert not any(set("{}") & set(name) for name in found)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("s-{0..9.tar", "unbalanced"),
        ("s-{a{0..9}}.tar", "unbalanced or nested"),
        ("{wnid}.tar", r"\{wnid\} is neither a range"),
        ("s-{0..9..2}.tar", "neither a range"),
        ("s-{0..999999999}.tar", "more than 100,000"),
        ("{0..999}{0..999}.tar", "more than 100,000"),
        ("s-{0..9}.tar.gz", r"'s-0.tar.gz' does not end in .tar; .*gunzip"),
        ("http://h/s-{0..9}.tgz?x=.tar", "does not end in .tar"),
        ("pipe:curl -s http://h/s.tar", "must be a path, or a URL"),
    ],
)
def test_a_location_that_is_no_list_of_shards_is_refused(location: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        WebdatasetSource(kind="webdataset", location=location)


# Samples


def grouped(files: Files) -> list[tuple[str, str, set[str]]]:
    body = shard(files)
    read = lambda position, size: body[position : position + size]  # noqa: E731
    found = samples(read, len(body))
    return [(s.key, s.image.name if s.image else "", set(s.texts)) for s in found]


def test_samples_are_grouped_by_webdatasets_rule() -> None:
    names = [
        "a.b/1.jpg", "a.b/1.cls", "a.b/1.seg.png", "a.b/1.json", "c/1.PNG", "c/1.txt", "1.cls",
        "__meta__/1.jpg", "nodot", ".hidden.jpg", "./1.cls", "./1.jpeg", "./1.jpg", "a.b/1.cls",
    ]  # fmt: skip
    assert grouped([(name, b"{}") for name in names]) == [
        ("a.b/1", "a.b/1.jpg", {"cls", "json"}),
        ("c/1", "c/1.PNG", set()),
        ("1", "", {"cls"}),
        ("./1", "./1.jpeg", {"cls"}),
        ("a.b/1", "", {"cls"}),
    ]


def test_keys_may_have_dots() -> None:
    names = ["IMG.2020.jpg", "IMG.2020.cls", "IMG.2021.cls", "IMG.2021.jpg", "1.depth.png", "1.jpg"]
    assert grouped([(name, b"{}") for name in names]) == [
        ("IMG.2020", "IMG.2020.jpg", {"cls"}),
        ("IMG.2021", "IMG.2021.jpg", {"cls"}),
        ("1.depth", "1.depth.png", set()),
        ("1", "1.jpg", set()),
    ]


def test_a_label_file_that_is_too_large_is_not_read() -> None:
    assert grouped([("1.jpg", b"1"), ("1.cls", b"0" * 5000), ("2.json", b" " * (2**20 + 1))]) == [
        ("1", "1.jpg", set()),
        ("2", "", set()),
    ]


# Listing


@pytest.mark.parametrize("local", [True, False])
def test_shards_are_listed_in_order(server: ShardServer, tmp_path: Path, local: bool) -> None:
    files = {f"{server.base}{path}": body for path, body in SHARDS.items()}
    location = f"{server.base}/s-{{00..02}}.tar"
    if local:
        location = here(tmp_path, *SHARDS.values())
        files = {f".../{tmp_path.name}/s-{n}.tar": body for n, body in enumerate(SHARDS.values())}
    found = listed(location)
    for wnid in (HUSKY, CAT):
        paths = sorted((SAMPLE / wnid).iterdir())
        assert [c.image_id for c in found[wnid]] == [path.stem for path in paths]
        assert [body_of(c, files) for c in found[wnid]] == [path.read_bytes() for path in paths]
    assert server.whole == ([] if local else list(SHARDS))
    assert not server.byte_ranges


def test_labels_come_from_json_too_with_what_it_says_of_the_photo(tmp_path: Path) -> None:
    about = {
        "label": 248,
        "license": "CC BY 4.0",
        "author": "A\r\nB \ud800 " + "x" * 5000,
        "landing_url": "javascript:alert(1)",
        "title": "On ice",
    }
    texts: list[object] = [
        about,
        {"label": "Persian_CAT", "landing_url": "https://h/p", "author": ["x"], "license": None},
        {"label": [248]},
        {"label": True},
        {"label": 248.0},
        [248],
        {"caption": "a dog"},
    ]
    files = [
        pair
        for n, text in enumerate(texts)
        for pair in ((f"{n}.jpg", b"1"), (f"{n}.json", json.dumps(text).encode()))
    ]
    files += [("x.jpg", b"1"), ("x.json", b"[" * 100_000), ("y.jpg", b"1"), ("y.json", b"{")]
    found = listed(here(tmp_path, shard(files)))
    assert [(c.image_id, c.license, c.landing_url, c.title) for c in found[HUSKY]] == [
        ("0", "CC BY 4.0", "", "On ice")
    ]
    assert found[HUSKY][0].author == "A B " + "x" * 996
    assert [(c.license, c.author, c.landing_url) for c in found[CAT]] == [("", "", "https://h/p")]


def test_the_params_say_what_a_label_means(tmp_path: Path) -> None:
    files = [
        ("1.jpg", b"1"),
        ("1.json", b'{"kind": "7"}'),
        ("2.jpg", b"2"),
        ("2.json", b'{"kind": 283}'),
    ]
    found = listed(here(tmp_path, shard(files)), label_key="kind", labels={HUSKY: "7"})
    assert {wnid: [c.image_id for c in some] for wnid, some in found.items()} == {
        HUSKY: ["1"],
        CAT: ["2"],
    }


def test_the_same_key_in_two_shards_gives_two_ids(tmp_path: Path) -> None:
    files = [[("../x y.jpg", body), ("../x y.cls", b"248")] for body in (b"1", b"2")]
    found = listed(here(tmp_path, *map(shard, files)), [HUSKY])[HUSKY]
    assert len({c.image_id for c in found}) == 2
    assert all(c.image_id.startswith(HUSKY) for c in found)
    assert "/s-0.tar#../x%20y.jpg,bytes=" in found[0].url


def test_links_and_devices_are_no_photos(tmp_path: Path) -> None:
    items = [special("1.jpg", tarfile.SYMTYPE, "/etc/passwd"), plain("1.cls", b"248")]
    items += [plain("/2.jpg", b"2"), plain("/2.cls", b"248"), special("2.jpg", tarfile.CHRTYPE)]
    found = listed(here(tmp_path, make_tar(items)), [HUSKY])[HUSKY]
    assert [c.image_id for c in found] == ["2"]


# Faults

GOOD = shard([("1.jpg", b"1" * 5000), ("1.cls", b"248"), ("2.jpg", b"2"), ("2.cls", b"248")])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><p>We have moved", "no tar; it starts with b'<!DOCTYPE html"),
        (b"version https://git-lfs.github.com/spec/v1\n", "no tar; it starts with b'version http"),
        (b"\x1f\x8b\x08" + bytes(600), "gzip-compressed; unpack it with gunzip"),
        (GOOD[:3000], "cut off"),
        (GOOD[: 4 * 512 + 5120], "cut off"),
        (bytes(1024), r"0 photos, none with a label \(<key>.cls, or 'label' in <key>.json"),
        (shard([("1.jpg", b"1"), ("1.json", b"{}")]), "1 photos, none with a label"),
        (shard([("1.cls", b"248")]), "0 photos, none"),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_a_shard_that_is_none_is_named(
    server: ShardServer, tmp_path: Path, body: bytes, words: str, local: bool
) -> None:
    server.files["/s-01.tar"] = body
    location, bad = f"{server.base}/s-{{00..02}}.tar", f"{server.base}/s-01.tar"
    if local:
        location, bad = here(tmp_path, GOOD, body, GOOD), f"{tmp_path}/s-1.tar"
    with pytest.raises(DataError, match=words) as caught:
        listed(location)
    said = str(caught.value)
    assert said.startswith(f"source webdataset {location}: {bad}: ")
    assert "correct the location or leave the shard out of it" in said
    assert "\n" not in said


@pytest.mark.parametrize("code", [401, 403, 404, 410, 429, 500])
def test_a_shard_that_is_refused_is_named(server: ShardServer, code: int) -> None:
    server.codes["/s-02.tar"] = [code] * 3
    location = f"{server.base}/s-{{00..02}}.tar"
    with pytest.raises(
        DataError, match=rf"/s-02\.tar answered {code} .*; correct the loc"
    ) as caught:
        listed(location)
    assert str(caught.value).startswith(f"source webdataset {location}: ")
    assert "download the shards and give their path" in str(caught.value)
    asked = [path for path in server.whole if path == "/s-02.tar"]
    assert len(asked) == (3 if code in (429, 500) else 1)


def test_a_gated_shard_of_the_hub_says_how_to_get_in(
    server: ShardServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.base)
    path = "/datasets/owner/photos/resolve/main/s.tar"
    server.codes[path] = [401]
    advice = (
        "accept the terms of https://huggingface.co/datasets/owner/photos there and set HF_TOKEN"
    )
    with pytest.raises(DataError, match=f"answered 401 Unauthorized; {advice}"):
        listed(server.base + path, [CAT])


def test_gated_shards_are_listed_and_downloaded_with_the_token(
    server: ShardServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.base)
    monkeypatch.setenv("HF_TOKEN", "t0ken")
    gated = "/datasets/owner/photos/resolve/main"
    server.files = {f"{gated}{path}": body for path, body in SHARDS.items()}
    server.token = "t0ken"
    source = {"kind": "webdataset", "location": f"{server.base}{gated}/s-{{00..02}}.tar"}
    network = Network(allow_private=["127.0.0.1"])
    client = ListClient(network, [WebdatasetSource.model_validate(source)])
    found = listing.list_classes(
        [WebdatasetSource.model_validate(source)], read_classes({CAT: None}), client
    )[CAT]
    project = faults.Project(tmp_path / "p", {CAT: [c.url for c in found]}, sources=[source])
    assert sum(row.status is Status.OK for row in project.crawl_here()) == 10
    assert {token for _, token in server.tokens} == {"Bearer t0ken"}


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_shard_that_is_busy_once_is_requested_again(server: ShardServer, code: int) -> None:
    expected = listed(f"{server.base}/s-{{00..02}}.tar")
    server.codes["/s-01.tar"] = [code]
    assert listed(f"{server.base}/s-{{00..02}}.tar") == expected


def test_a_missing_shard_here_is_named(tmp_path: Path) -> None:
    here(tmp_path, GOOD)
    with pytest.raises(
        DataError, match=r"s-1\.tar: No such file or directory; correct the location"
    ):
        listed(f"{tmp_path}/s-{{0..1}}.tar")


def test_a_shard_that_has_moved_keeps_its_address(server: ShardServer) -> None:
    expected = listed(f"{server.base}/s-{{00..02}}.tar")
    for path in SHARDS:
        server.moved[f"/old{path}"] = f"{path}?signature=secret"
    found = listed(f"{server.base}/old/s-{{00..02}}.tar")
    assert [c.url.replace("/old/", "/") for c in found[CAT]] == [c.url for c in expected[CAT]]


def test_after_a_break_only_the_rest_is_requested(server: ShardServer) -> None:
    expected = listed(f"{server.base}/s-{{00..02}}.tar")
    server.log.clear()
    server.cut["/s-01.tar"] = [100_000, 5, 70_000, 0]
    assert listed(f"{server.base}/s-{{00..02}}.tar") == expected
    parts = [part for path, part in server.log if path == "/s-01.tar"]
    assert parts == ["", *(f"bytes={n}-" for n in (100_000, 100_005, 170_005, 170_005))]


def test_a_server_may_give_less_than_the_rest(server: ShardServer) -> None:
    expected = listed(f"{server.base}/s-{{00..02}}.tar")
    server.cut["/s-01.tar"], server.most = [70_000], 10_000
    assert listed(f"{server.base}/s-{{00..02}}.tar") == expected


def test_a_shard_that_keeps_breaking_is_named(server: ShardServer) -> None:
    server.cut["/s-01.tar"] = [70_000, 0, 0, 0]
    with pytest.raises(DataError, match=r"/s-01\.tar: breaks off at byte 70000 .*; correct"):
        listed(f"{server.base}/s-{{00..02}}.tar")


def test_another_file_after_a_break_is_not_taken_for_the_same(server: ShardServer) -> None:
    server.cut["/s-01.tar"] = [70_000]
    server.shift = 3
    with pytest.raises(DataError, match=r"/s-01\.tar: another file after a break"):
        listed(f"{server.base}/s-{{00..02}}.tar")


def test_another_version_after_a_break_is_not_taken_for_the_same(server: ShardServer) -> None:
    server.cut["/s-01.tar"] = [70_000]
    tags = iter("0123456789")
    server.headers = Tags(lambda: f'"{next(tags)}"')
    with pytest.raises(DataError, match=r"/s-01\.tar: another file after a break"):
        listed(f"{server.base}/s-{{00..02}}.tar")


class Tags(dict[str, str]):
    """An ETag that is another at each answer."""

    def __init__(self, tag: Callable[[], str]):
        super().__init__()
        self._tag = tag

    def items(self) -> Any:
        return [("ETag", self._tag())]


def test_a_shard_is_read_once_for_all_classes(
    server: ShardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{server.base}/s-{{00..02}}.tar"
    expected = listed(place, [HUSKY, CAT])
    monkeypatch.chdir(tmp_path)  # where the cache is
    server.headers["ETag"] = '"1"'
    listed(place, [HUSKY])
    server.log.clear()
    assert listed(place, [HUSKY, CAT]) == expected
    assert server.log == [(path, "bytes=0-511") for path in SHARDS]
    monkeypatch.setenv("ALLROUNDER_OFFLINE", "1")
    assert listed(place, [CAT]) == {CAT: expected[CAT]}
    with pytest.raises(DataError, match=r"^offline: .*s-00\.tar is not in \.allrounder/cache"):
        listed(place, [CAT], label_key="klass")
    monkeypatch.delenv("ALLROUNDER_OFFLINE")
    for kept in (tmp_path / ".allrounder/cache").glob("*.walk"):
        lines = kept.read_bytes().splitlines(keepends=True)
        for cut in (b"".join(lines)[:-9], b"".join(lines[:-1])):
            kept.write_bytes(cut)
            with pytest.raises(DataError, match=r"\.walk is damaged; remove it"):
                listed(place, [CAT])


TEXT = st.text(st.characters(), max_size=9)  # half surrogates and line ends among them
PHOTOS = st.builds(Candidate, TEXT, TEXT, TEXT, TEXT, TEXT, title=TEXT)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.none() | TEXT, PHOTOS), max_size=4))
def test_what_is_kept_of_a_shard_is_what_was_read(
    tmp_path_factory: pytest.TempPathFactory, photos: list[Photo]
) -> None:
    with contextlib.chdir(tmp_path_factory.getbasetemp()):
        kept = ShardCache("https://h.example/s.tar", "label")
        assert list(kept.keep(photos, '"1"')) == photos
        assert list(kept.photos('"1"') or ()) == list(kept.photos(None) or ()) == photos
        assert kept.photos('"2"') is None


@pytest.mark.parametrize(("before", "after"), [('"1"', '"2"'), ('W/"1"', 'W/"1"'), ('"1"', "")])
def test_another_version_of_a_shard_is_read_again(
    server: ShardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    monkeypatch.chdir(tmp_path)
    place = f"{server.base}/s-00.tar"
    server.headers["ETag"] = before
    listed(place, [CAT])
    expected = listed(f"{server.base}/s-01.tar", [CAT])[CAT]
    server.files["/s-00.tar"], server.headers["ETag"] = SHARDS["/s-01.tar"], after
    new = listed(place, [CAT])[CAT]
    assert [c.url for c in new] == [c.url.replace("s-01", "s-00") for c in expected]


def test_a_shard_that_broke_off_is_not_kept(
    server: ShardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = listed(f"{server.base}/s-00.tar")
    monkeypatch.chdir(tmp_path)
    server.headers["ETag"] = '"1"'
    server.cut["/s-00.tar"] = [10**9, 70_000, *[0] * 20]
    with pytest.raises(DataError, match="breaks off"):
        listed(f"{server.base}/s-00.tar")
    server.cut.clear()
    assert listed(f"{server.base}/s-00.tar") == expected


def test_a_server_without_ranges_is_reported_before_a_shard_is_read(server: ShardServer) -> None:
    server.ranges = False
    with pytest.raises(DataError, match=r"gives whole files only \(no ranges\).*give their path"):
        listed(f"{server.base}/s-{{00..02}}.tar")
    assert len(server.log) == 1


def test_a_compressed_answer_has_no_byte_ranges(server: ShardServer) -> None:
    server.headers["Content-Encoding"] = "gzip"
    with pytest.raises(DataError, match=r"comes compressed \(gzip\)"):
        listed(f"{server.base}/s-{{00..02}}.tar")


def test_labels_that_mean_no_class_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lists no photo for any class"):
        listed(here(tmp_path, shard([("1.jpg", b"1"), ("1.cls", b"999")])))


@pytest.mark.parametrize(
    ("numbers", "plausible"), [([248, 283], True), ([248, 283, 1000], False), (range(300), False)]
)
def test_numbers_are_indices_if_all_of_them_may_be(
    tmp_path: Path, numbers: Sequence[int], plausible: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [pair for n in numbers for pair in ((f"{n}.jpg", b"1"), (f"{n}.cls", b"%d" % n))]
    files += [("named.jpg", b"2"), ("named.cls", b"husky")]
    found = listed(here(tmp_path, shard(files)), [HUSKY])
    assert [one.image_id for one in found[HUSKY]] == ["named"] + ["248"] * plausible
    assert ("do not look like ILSVRC's" in capsys.readouterr().err) != plausible


# End to end


def use(clone: Project, location: str, **changes: object) -> None:
    settings = {"classes": TWO, "per_class": 8, "min_per_class": 5}
    network = {"allow_private": ["127.0.0.1"], "backoff": 0.01, "tries": 2}
    source = {"kind": "webdataset", "location": location}
    clone.edit(**(settings | {"sources": [source], "network": network} | changes))


def rows(clone: Project, wnid: str) -> list[RawRow]:
    return list(read_csv(clone.folder / f"data/raw/{wnid}.csv", RawRow))


def asked(clone: Project, *wnids: str) -> set[str]:
    """The ranges of the candidates of some classes that were not left unused."""
    found = (row for wnid in wnids for row in rows(clone, wnid) if row.status is not Status.UNUSED)
    return {row.url.rpartition(",")[2] for row in found}


def size_of(part: str) -> int:
    first, last = part.removeprefix("bytes=").split("-")
    return int(last) + 1 - int(first)


def test_shards_give_the_bytes_that_a_folder_gives(
    clone: Project, server: ShardServer, tmp_path: Path
) -> None:
    def tars() -> dict[str, bytes]:
        clone.stage("fetch_urls")
        clone.stage("download")
        return {name: body for name, body in clone.files("data/raw").items() if ".tar" in name}

    use(clone, "", sources=[{"kind": "folder", "location": "data/sample"}], per_class=16)
    expected = tars()
    use(clone, here(tmp_path, *SHARDS.values()), per_class=16)
    assert tars() == expected
    use(clone, f"{server.base}/s-{{00..02}}.tar", per_class=16)
    assert tars() == expected
    needed = {part for part in asked(clone, HUSKY, CAT) if size_of(part)}
    assert set(server.byte_ranges) >= needed
    assert len(server.byte_ranges) == len(set(server.byte_ranges)) <= len(needed) + 2 * SLACK
    assert sorted(server.whole) == sorted(SHARDS)


def test_only_the_difference_is_requested(clone: Project, server: ShardServer) -> None:
    location = f"{server.base}/s-{{00..02}}.tar"
    use(clone, location)
    clone.dvc("repro", "download")
    before = clone.files("data/raw")

    server.log.clear()
    use(clone, location, classes=THREE)
    clone.dvc("repro", "download")
    after = clone.files("data/raw")
    assert {name: after[name] for name in before} == before
    places = {row.url.rpartition(",")[2] for row in rows(clone, PLANE)}
    assert server.byte_ranges
    assert set(server.byte_ranges) <= places
    assert sorted(server.whole) == sorted(SHARDS)  # read again for the labels of the new class

    known = asked(clone, HUSKY, CAT, PLANE)
    server.log.clear()
    use(clone, location, classes=THREE, per_class=12)
    clone.dvc("repro", "download")
    assert server.byte_ranges
    assert not known & set(server.byte_ranges)
    assert not server.whole

    server.log.clear()
    server.files.clear()
    use(clone, location)
    clone.rebuild("fetch_urls", "download")
    assert not server.log
    assert clone.files("data/raw") == before


def test_a_shard_here_that_changed_is_read_again(clone: Project, tmp_path: Path) -> None:
    location = here(tmp_path, *SHARDS.values())
    use(clone, location)
    clone.dvc("repro", "download")
    first = rows(clone, HUSKY)
    shutil.copy(tmp_path / "s-1.tar", tmp_path / "s-0.tar")
    clone.rebuild("fetch_urls", "download")
    assert rows(clone, HUSKY)[0].sha256 != first[0].sha256


def test_memory_is_flat_however_large_the_files(server: ShardServer) -> None:
    size = 48 * 2**20
    server.files["/large.tar"] = shard([("1.jpg", bytes(size)), ("1.cls", b"248")])
    tracemalloc.start()
    try:
        (found,) = listed(f"{server.base}/large.tar", [HUSKY])[HUSKY]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert parse_byte_range(found.url).size == size  # type: ignore[union-attr]
    assert peak < size / 10
