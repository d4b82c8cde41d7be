"""Each source against a server that speaks its protocol; what is said when it cannot be read."""

import errno
import gzip
import json
import re
import socketserver
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from allrounder.core.errors import NOT_GOOD_ENOUGH, DataError, run
from allrounder.core.rows import Candidate
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.urls import BadUrlError, photo_key, request_url
from allrounder.fetch_urls import listing
from allrounder.fetch_urls.sources.imagenet_api import _candidate
from allrounder.history.local_files import LocalPlaces, folder_url
from allrounder.params.classes import read_classes
from allrounder.params.schema import Network
from allrounder.params.sources import FolderSource, Source, UrlListSource
from allrounder.web.lists import ListClient
from loopback import Handler, Loopback
from photoserver import PhotoServer, packed
from shardserver import ShardServer

HUSKY, CAT, UNKNOWN = "n02109961", "n02123394", "n02084071"
SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
NETWORK = Network(tries=2, backoff=0.01, total_timeout=30, connect_timeout=30)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the cache is in the folder that this runs in


def listed(
    kind: str, location: object, wnids: Sequence[str] = (HUSKY, CAT), **more: Any
) -> dict[str, list[Candidate]]:
    source = TypeAdapter[Source](Source).validate_python(
        {"kind": kind, "location": str(location)} | more
    )
    return {
        key: list(found)
        for key, found in listing.list_classes(
            [source], read_classes(dict.fromkeys(wnids)), ListClient(NETWORK)
        ).items()
    }


def test_folder_lists_files_by_name() -> None:
    found = listed("folder", SAMPLE)[HUSKY]
    assert [c.image_id for c in found] == [f"{HUSKY}_{n:03d}" for n in range(1, 27)]
    assert found[0].url == f".../sample/{HUSKY}/{HUSKY}_001.jpg"


def test_photos_in_the_root_folder() -> None:
    root = FolderSource(kind="folder", location="/")
    assert folder_url(root, f"/{HUSKY}/a.jpg") == f"/{HUSKY}/a.jpg"
    places = LocalPlaces([root])
    assert places.shown(f"/{HUSKY}/a.jpg") == f".../{HUSKY}/a.jpg"
    assert places.path(f".../{HUSKY}/a.jpg") == f"/{HUSKY}/a.jpg"


def test_a_folder_loses_nothing_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CAT / "deeper").mkdir(parents=True)
    (tmp_path / CAT / "photo 1.JPG").touch()
    (tmp_path / CAT / "gone.jpg").symlink_to("nowhere")
    for loop in (tmp_path / "loop", tmp_path / CAT / "loop.jpg"):
        loop.symlink_to(loop)
    found = listed("folder", tmp_path, [CAT])[CAT]
    assert [Path(c.url).name for c in found] == ["gone.jpg", "loop.jpg", "photo 1.JPG"]
    assert "1 passed over: a folder" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["urls", "mapping"])
def test_the_api_lists_what_is_requested(server: PhotoServer, form: str) -> None:
    found = listed("imagenet-api", server.base, form=form)[HUSKY]
    assert [c.url for c in found] == [server.base + path for path in server.paths(HUSKY)]
    ids = [c.image_id for c in found]
    assert len(set(ids)) == len(ids)
    assert (ids[0] == f"{HUSKY}_001") is (form == "mapping")


@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "tgz", "zip"])
@pytest.mark.parametrize("local", [True, False])
def test_a_url_list_is_read_in_every_form(
    server: PhotoServer, tmp_path: Path, suffix: str, local: bool
) -> None:
    location = f"{server.base}/urls/list.{suffix}"
    if local:
        location = str(tmp_path / f"list.{suffix}")
        Path(location).write_bytes(packed(server.url_list(), suffix))
    found = listed("url-list", location)
    assert [c.url for c in found[CAT]] == [server.base + path for path in server.paths(CAT)]
    assert found[CAT][0].image_id == f"{CAT}_001"


def test_no_line_of_a_url_list_is_lost_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        f"\ufeff{CAT}_1\thttp://h/1",
        f"{CAT}_2  http://h/a b",
        "",
        "# a remark",
        f"{CAT}_3\t",
        f"{HUSKY}_4\thttp://h/4",
        f"{CAT}_5\thttp://h/photos.tar",
        f"{CAT}_6\thttp://h/{'a' * 2**21}",
        f"{CAT}_7\thttp://h/7",
    ]
    (tmp_path / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    found = listed("url-list", tmp_path / "list.txt", [CAT])[CAT]
    assert [c.url for c in found] == ["http://h/1", "http://h/a b", "http://h/7"]
    said = capsys.readouterr().err
    assert "list.txt: 8 read, 3 used, 1 of other classes, 4 passed over" in said
    for reason in (
        "1 passed over: no line of the form '<wnid>_<n><tab><url>' (the first: # a remark)",
        f"1 passed over: no URL (the first: {CAT}_3)",
        "1 passed over: names a tar, and the source does not say archives: true",
        "1 passed over: a line of more than 1,048,576 bytes (the first: line 7)",
    ):
        assert f"warning: source url-list {tmp_path}/list.txt: {reason}" in said


def test_a_tar_is_an_archive_where_the_params_say_so(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{CAT}_1\thttp://h/photos.tar\n")
    found = listed("url-list", tmp_path / "list.txt", [CAT], archives=True)[CAT]
    assert [c.url for c in found] == ["http://h/photos.tar"]
    with pytest.raises(DataError, match="lists no photo"):
        listed("url-list", tmp_path / "list.txt", [CAT])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_list_of_wide_characters_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "list.txt").write_text(f"{CAT}_1\thttp://h/1\n", encoding=encoding)
    with pytest.raises(DataError, match="is UTF-16 or no text; save it as UTF-8"):
        listed("url-list", tmp_path / "list.txt", [CAT])


def test_a_list_is_unpacked_by_what_it_is(tmp_path: Path) -> None:
    body = f"{CAT}_1\thttp://h/1\n".encode()
    packed_twice = gzip.compress(gzip.compress(body))
    for name, packed_body in (("l.gz", body), ("l.txt", gzip.compress(body)), ("l", packed_twice)):
        (tmp_path / name).write_bytes(packed_body)
        assert listed("url-list", tmp_path / name, [CAT])[CAT][0].url == "http://h/1"
    (tmp_path / "deep.gz").write_bytes(gzip.compress(gzip.compress(gzip.compress(packed_twice))))
    with pytest.raises(DataError, match="packed more than 4 times"):
        listed("url-list", tmp_path / "deep.gz", [CAT])


def test_a_zip_with_a_huge_directory_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "list.zip", "w") as archive:
        archive.writestr("list.txt", f"{CAT}_1\thttp://h/1\n")
        for number in range(70):
            archive.writestr("a" * 60_000 + str(number), b"")
    with pytest.raises(DataError, match="its directory is too large; pack the list alone"):
        listed("url-list", tmp_path / "list.zip", [CAT])


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([("L", 1, b"a")] * 2000, "1,000 headers without a file"),
        ([("x", 6 * 2**30, b"")], "an extra header of 6442450944 bytes"),
        ([("5", 0, b"")] * 2000, "1,000 headers without a file"),
    ],
)
def test_a_hostile_tar_of_a_list_is_one_line(
    tmp_path: Path, headers: list[tuple[str, int, bytes]], words: str
) -> None:
    blocks = []
    for kind, size, body in headers:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind.encode(), size
        blocks += [info.tobuf(tarfile.GNU_FORMAT), body.ljust(-(-len(body) // 512) * 512, b"\0")]
    (tmp_path / "list.tgz").write_bytes(gzip.compress(b"".join(blocks)))
    with pytest.raises(DataError, match=f"broken or cut off: {words}"):
        listed("url-list", tmp_path / "list.tgz", [CAT])


@pytest.mark.parametrize("letter", ["\u202f", "\xa0", "\u200d", "\ufeff"])
def test_any_space_may_be_in_a_files_name(tmp_path: Path, letter: str) -> None:
    (tmp_path / CAT).mkdir()
    (tmp_path / CAT / f"at 3.41.12{letter}PM.jpg").touch()
    (found,) = listed("folder", tmp_path, [CAT])[CAT]
    assert found.url == f".../{tmp_path.name}/{CAT}/at 3.41.12{letter}PM.jpg"


def test_bytes_that_are_not_utf8_are_percent_encoded(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(f"{CAT}_1\thttp://h.example/caf".encode() + b"\xe9.jpg\n")
    found = listed("url-list", tmp_path / "list.txt", [CAT])
    assert found[CAT][0].url == "http://h.example/caf%E9.jpg"


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=12))
@example(b"http://h/\ra")
@example(b"\xe2\x80\xa8\x00\x0b")
def test_no_line_of_a_list_breaks_a_table(
    tmp_path_factory: pytest.TempPathFactory, url: bytes
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    (folder / "list.txt").write_bytes(
        b"".join(
            b"%s_%d\t%s\n" % (CAT.encode(), n, one) for n, one in enumerate((b"http://h/1", url))
        )
    )
    found = listed("url-list", folder / "list.txt", [CAT])
    found[CAT].append(replace(_candidate(CAT, url, "urls"), image_id="other"))
    write_csv(folder / "table.csv", Candidate, found[CAT])
    assert list(read_csv(folder / "table.csv", Candidate)) == found[CAT]


def test_a_synset_tar_is_one_candidate(server: PhotoServer) -> None:
    found = listed("synset-tar", server.base + "/tars/{wnid}.tar")
    place = f"{server.base}/tars/{CAT}.tar"
    assert found[CAT] == [Candidate(CAT, place, source="synset-tar")]


@pytest.mark.parametrize("kind", ["url-list", "csv"])
def test_a_url_of_any_length_has_a_result(tmp_path: Path, kind: str) -> None:
    for name, length in (("list.jsonl", 140_000), ("other.jsonl", 2**20 - 100)):
        url = "http://h/" + "a" * length
        row = json.dumps({"url": url, "label": CAT, "author": "b" * 140_000 * (length < 2**19)})
        (tmp_path / name).write_text(row if kind == "csv" else f"{CAT}_1\t{url}\n")
        write_csv(tmp_path / "table.csv", Candidate, listed(kind, tmp_path / name, [CAT])[CAT])
        (found,) = read_csv(tmp_path / "table.csv", Candidate)
        with pytest.raises(BadUrlError, match="too long"):
            request_url(found.url)


ROW = "/rows?dataset=o/n&config=default&split=train&offset=7&length=1"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h.example/a", "https://H.EXAMPLE/a#top", True),
        ("http://h.example:80/a", "https://h.example:443/a", True),
        ("http://h.example", "http://h.example/", True),
        ("http://h.example:443/a", "http://h.example/a", False),
        ("http://h.example/a", "http://h.example/A", False),
        ("http://h.example/a?b#c", "http://h.example/a", False),
        (
            "http://farm3.static.flickr.com/2/34_ab_m.jpg",
            "https://live.staticflickr.com/7/34_cd.jpg",
            True,
        ),
        (
            "http://farm3.static.flickr.com/2/34_ab_m.jpg",
            "https://live.staticflickr.com/2/35_ab_m.jpg",
            False,
        ),
        (
            "HTTP://FARM3.STATIC.FLICKR.COM:80/2/34_ab_m.jpg",
            "https://live.staticflickr.com/7/34_cd.jpg",
            True,
        ),
        ("http://h.example?.staticflickr.com/34_ab", "https://live.staticflickr.com/34_ab", False),
        ("data/Sample/a#1.jpg", "data/Sample/a", False),
        ("http://h/a.tar#1.jpg,bytes=1-2", "http://h/a.tar#2.jpg,bytes=3-4", False),
        (f"https://h{ROW}#image@1", f"http://H{ROW}#image@2", True),
        (f"https://h{ROW}#front", f"https://h{ROW}#back", False),
        (f"https://h{ROW}#front@1", f"https://h{ROW}#front", True),
    ],
)
def test_urls_of_one_photo_are_distinguished_from_others(one: str, other: str, same: bool) -> None:
    assert (photo_key(one) == photo_key(other)) is same


def test_each_url_stands_once_and_ids_are_safe_and_unique(tmp_path: Path) -> None:
    lines = ["_1\thttp://h/a", "_2\thttp://h/a", "_1\thttp://h/b", "_../../x\thttp://h/c"]
    (tmp_path / "list").write_text("".join(f"{CAT}{line}\n" for line in lines))
    found = listed("url-list", tmp_path / "list", [CAT])[CAT]
    assert [c.url for c in found] == ["http://h/a", "http://h/b", "http://h/c"]
    assert found[0].image_id == f"{CAT}_1"
    assert len({c.image_id.lower() for c in found}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", c.image_id) for c in found)


@pytest.mark.parametrize(
    ("kind", "path"),
    [("imagenet-api", ""), ("url-list", "/urls/list.txt"), ("folder", None)],
)
def test_a_source_that_knows_no_class_is_an_error(
    server: PhotoServer, kind: str, path: str | None
) -> None:
    location = SAMPLE if path is None else server.base + path
    with pytest.raises(DataError, match=f"source {kind} .*lists no photo for any class.*{UNKNOWN}"):
        listed(kind, location, [UNKNOWN])


def test_a_class_without_candidates_is_an_error(server: PhotoServer) -> None:
    with pytest.raises(DataError, match=f"class {UNKNOWN}: no candidate from source imagenet-api"):
        listed("imagenet-api", server.base, [HUSKY, UNKNOWN])


def test_an_archive_that_is_not_there_is_left_to_other_sources(
    server: PhotoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tar = {"kind": "synset-tar", "location": server.base + "/tars/{wnid}.tar"}
    with pytest.raises(DataError, match=f"class {UNKNOWN}: no candidate from source synset-tar"):
        listed("synset-tar", tar["location"], [HUSKY, UNKNOWN])
    assert (
        f"no such archive (the first: {server.base}/tars/{UNKNOWN}.tar)" in capsys.readouterr().err
    )
    (tmp_path / UNKNOWN).mkdir()
    (tmp_path / UNKNOWN / "1.jpg").touch()
    both = [tar, {"kind": "folder", "location": str(tmp_path)}]
    selected = TypeAdapter(list[Source]).validate_python(both)
    found = listing.list_classes(
        selected, read_classes(dict.fromkeys([UNKNOWN, HUSKY])), ListClient(NETWORK)
    )
    assert [c.source for c in found[UNKNOWN]] == ["folder"]
    assert [c.source for c in found[HUSKY]] == ["synset-tar"]
    found = listing.list_classes(selected, read_classes({UNKNOWN: None}), ListClient(NETWORK))
    assert [c.source for c in found[UNKNOWN]] == ["folder"]


ANSWERS = {
    "/500": (500, b"oops"),
    "/html": (200, b"<!DOCTYPE html><p>We have moved"),
    "/empty": (200, b""),
    "/cut.txt.gz": (200, gzip.compress(b"n02109961_1\thttp://h/a\n" * 9999)[:500]),
    "/no.zip": (200, b"PK\3\4 no zip at all"),
    "/no.tgz": (200, b"\x1f\x8b no tar at all"),
}


@pytest.fixture(scope="module")
def broken() -> Iterator[str]:
    """A server that gives each of ANSWERS for any path that starts with its name."""

    class Answers(Handler):
        protocol_version = "HTTP/1.0"

        def get(self) -> None:
            name = next(name for name in ANSWERS if self.path.startswith(name))
            self.send_response(ANSWERS[name][0])
            self.end_headers()
            self.wfile.write(ANSWERS[name][1])

    with Loopback(Answers) as running:
        yield running.base


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("imagenet-api", "/500", "answered 500"),
        ("imagenet-api", "/html", "answered a web page, not a list"),
        ("imagenet-api", "/empty", "lists no photo for any class"),
        ("url-list", "/500", "answered 500"),
        ("url-list", "/html", "no list of lines"),
        ("url-list", "/empty", "no list of lines"),
        ("url-list", "/cut.txt.gz", "broken or cut off"),
        ("url-list", "/no.zip", "broken or cut off"),
        ("url-list", "/no.tgz", "broken or cut off"),
        ("synset-tar", "/500/{wnid}.tar", "answered 500"),
    ],
)
def test_what_comes_back_is_named(broken: str, kind: str, path: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        listed(kind, broken + path)
    assert f"source {kind} {broken}{path}" in str(caught.value)


@pytest.mark.parametrize("target", ["localhost", "[::ffff:127.0.0.1]"])
def test_a_list_that_is_moved_into_this_network_is_not_followed(
    server: PhotoServer, target: str
) -> None:
    port = server.base.rpartition(":")[2]
    with ShardServer() as moved:
        moved.moved["/list.txt"] = f"http://{target}:{port}/urls/list.txt"
        with pytest.raises(DataError, match=r"leads to .*, at a private address; .*allow_private"):
            listed("url-list", f"{moved.base}/list.txt")
        assert not server.asked
        source = UrlListSource(kind="url-list", location=f"{moved.base}/list.txt")
        web = ListClient(Network(tries=1, allow_private=[target.strip("[]")]))
        assert list(listing.list_classes([source], read_classes(dict.fromkeys([CAT])), web)[CAT])


def test_an_unreachable_source_is_named() -> None:
    words = r"source imagenet-api http://127\.0\.0\.1:9: class n02109961: .*; check the network and"
    with pytest.raises(DataError, match=words):
        listed("imagenet-api", "http://127.0.0.1:9")


@pytest.mark.parametrize("kind", ["folder", "url-list"])
def test_a_missing_location_is_named(kind: str) -> None:
    with pytest.raises(DataError, match=r"nowhere: .*correct its location"):
        listed(kind, "nowhere")


@pytest.mark.parametrize(
    ("code", "words", "advice"),
    [
        (errno.EACCES, "Permission denied", "give yourself access"),
        (errno.EROFS, "Read-only file system", "give yourself access"),
        (errno.EEXIST, "File exists", "a folder must be here: move the file away"),
        (errno.ENOTDIR, "Not a directory", "a folder must be here: move the file away"),
        (errno.EISDIR, "Is a directory", "a file must be here: move the folder away"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line(
    code: int, words: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied() -> None:
        raise OSError(code, words, "data/photos")

    assert run(denied) == NOT_GOOD_ENOUGH
    said = capsys.readouterr().err
    assert said == f"error: data/photos: {words}; {advice}\n"


def test_what_is_not_permitted_without_a_file_is_a_fault_of_ours() -> None:
    def refused() -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with pytest.raises(PermissionError):
        run(refused)


HOSTILE = {
    "length": "HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n",
    "long length": f"HTTP/1.1 200 OK\r\nContent-Length: {'9' * 5000}\r\n",
    "no UTF-8": "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://\xff/\r\n",
    "half an IPv6": "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://[::1\r\n",
    "escapes": "HTTP/1.1 404 \x1b[31m\x9bred\r\nContent-Length: 0\r\n",
    "no end": f"HTTP/1.1 404 {'x' * 60_000}\r\nContent-Length: 0\r\n",
    "no HTTP": f"{'x' * 60_000}\r\n",
}


class _Hostile(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode().strip("/").replace("%20", " ")
        while self.rfile.readline().strip():
            pass
        self.wfile.write(f"{HOSTILE[path]}Connection: close\r\n\r\nbody".encode("latin-1"))


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_answer_is_one_line(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Hostile) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        place = f"http://127.0.0.1:{server.server_address[1]}/{fault}"
        code = run(lambda: print(listed("url-list", place)))
        server.shutdown()
    said = capsys.readouterr().err
    assert code == NOT_GOOD_ENOUGH
    assert re.fullmatch(r"error: source url-list http://[^\n]*\n", said)
    assert said.rstrip("\n").isprintable()
    assert len(said) < 500
