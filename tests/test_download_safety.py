"""Hostile URLs, addresses and archives: refused, bounded, and without a trace outside the tars."""

import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from allrounder.core.rows import Candidate, RawRow, Result, Status
from allrounder.core.tarreader import BrokenTarError, Member, TarParser
from allrounder.core.urls import (
    BadUrlError,
    address_key,
    is_public_address,
    is_url,
    photo_key,
    request_url,
)
from allrounder.download import class_quota
from allrounder.download.class_quota import MANY_SILENT, PROBES, SLACK, ClassQuota, Slot
from allrounder.web.policy import next_hop
from webfaults.archives import ARCHIVES, make_tar, photos_tar, plain, special
from webfaults.pictures import photo
from webfaults.project import WNID, Project
from webfaults.server import Server

pytestmark = pytest.mark.usefixtures("own_folder")

OK, BAD_URL = Status.OK, Status.BAD_URL
MAX = 1_000_000


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


# URLs


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/1.jpg", "scheme ftp"),
        ("javascript:alert(1)", "scheme javascript"),
        ("//host/1.jpg", "no scheme"),
        ("host/1.jpg", "no scheme"),
        ("http://me@host/", "userinfo"),
        ("http://me:secret@host/", "userinfo"),
        ("http://@host/", "userinfo"),
        ("http://host/\r\nX-Evil: 1", "control character"),
        ("http://host/\t1.jpg", "control character"),
        ("http://ho\0st/", "control character"),
        ("http://host/\x85", "control character"),
        ("http://", "bad host"),
        ("http://ho st/", "bad host"),
        ("http://user@evil\\@host/", "userinfo"),
        ("http://ho%73t/", "bad host"),
        ("http://a..b/", "bad host"),
        ("http://-a/", "bad host"),
        ("http://" + 64 * "\u00e9" + ".de/", "bad host"),
        ("http://" + ".".join(["abcdefgh"] * 30) + "/", "bad host"),
        ("http://[::1/", "malformed"),
        ("http://[fe80::1%eth0]/", "bad host"),
        ("http://[v1.x]/", "bad host"),
        ("http://host:0/", "malformed"),
        ("http://host:65536/", "malformed"),
        ("http://host:x/", "malformed"),
        ("http://host/" + 8000 * "a", "too long"),
    ],
)
def test_a_url_that_is_never_requested(url: str, words: str) -> None:
    with pytest.raises(BadUrlError) as caught:
        request_url(url)
    if words != "malformed":  # which of two words for brackets depends on Python's version
        assert str(caught.value) == words


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://host", "http://host/"),
        ("HTTP://HOST:80/A", "http://host:80/A"),
        ("http://host/a b?c d#e", "http://host/a%20b?c%20d"),
        ("http://host/%C3%A9", "http://host/%C3%A9"),
        ("http://b\u00fccher.example/\u00e9", "http://xn--bcher-kva.example/%C3%A9"),
        ("http://host_1.example/", "http://host_1.example/"),
        ("http://\uff48ost/", "http://host/"),
        ("http://[2001:DB8::0:1]:8080/", "http://[2001:db8::1]:8080/"),
        ("http:///host/1.jpg", "http://host/1.jpg"),
        ("http:\\\\host\\a\\1.jpg?b\\c", "http://host/a/1.jpg?b%5Cc"),
        ("http://host\\@evil/", "http://host/@evil/"),
    ],
)
def test_a_url_as_it_is_requested(url: str, asked: str) -> None:
    assert request_url(url) == asked


@pytest.mark.parametrize(
    "target", ["http:///b/1.jpg", "http:\\\\b\\1.jpg", "\\\\b\\1.jpg", "///b/1.jpg", "//b/1.jpg"]
)
def test_a_redirect_with_surplus_slashes_or_backslashes(target: str) -> None:
    assert next_hop(target, ["http://a/x/y"]) == "http://b/1.jpg"


def test_a_url_with_backslashes_is_no_local_path() -> None:
    assert is_url(r"http:\\host\1.jpg")
    assert address_key(r"http:\\HOST:80\1.jpg") == address_key("http://host/1.jpg")


@given(st.text(max_size=40) | st.text("htp:/[]@.%\u00e9 1a#?\\", max_size=30))
def test_a_url_is_requested_or_refused_and_stays_as_it_is(url: str) -> None:
    try:
        asked = request_url(url)
    except BadUrlError:
        return
    assert asked.isascii()
    assert asked == request_url(asked)


@pytest.mark.parametrize(
    "address",
    [
        *("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "", "1.2.3.4.5"),
        *("0.0.0.0", "10.0.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1"),
        *("192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
        *("100.64.0.1", "100.127.255.255", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("192.88.99.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8"),
        *("2002:7f00:1::", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2001:db8::1", "100::1"),
        *("fec0::1", "2001:2::1", "2001:10::1", "3fff::1", "5f00::1", "::ffff:0:808:808"),
        *("192.0.0.9", "192.0.0.170", "100:0:0:1::1", "4000::1"),
    ],
)
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1", "2a00:1450::1"]
)
def test_an_address_that_is_public(address: str) -> None:
    assert is_public_address(address)


# Lists that name files of this machine


@pytest.mark.parametrize(
    "url",
    [
        *("/etc/passwd", "file:///etc/passwd", "file://localhost/etc/passwd", "FILE:/etc/passwd"),
        *("secret.jpg", "../secret.jpg", "photos/../secret.jpg", "photos2/1.jpg", "", "."),
        *("/etc/x.tar", "file:///x.tar", "photos/../x.tar", "photos/../tar.tar"),
        *("ftp://host/1.jpg", "ftp://host/x.tar", "\\\\host\\share\\1.jpg", "//host/1.jpg"),
        pytest.param("ftp://host/" + 300 * "a", id="name too long for the file system"),
        pytest.param("a/" * 4000, id="path too long for the file system"),
        pytest.param("ftp://host/" + 300 * "a" + ".tar", id="archive's name too long"),
        pytest.param("photos/../\0.jpg", id="NUL"),
    ],
)
def test_a_path_outside_the_sources_is_no_url(tmp_path: Path, server: Server, url: str) -> None:
    for name in ("secret.jpg", "photos2/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(photo())
    (tmp_path / "tar.tar").write_bytes(photos_tar(1))
    project = Project(tmp_path, {WNID: [url, server.url("good/1")]})
    rows = project.crawl()
    project.check_accounts()
    assert [row.status for row in rows] == [BAD_URL, OK]


def test_a_path_in_a_folder_of_the_sources_is_read(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(photo())
    (tmp_path / "photos" / "2.tar").write_bytes(photos_tar(2))
    project = Project(tmp_path, {WNID: ["photos/1.jpg", "photos/2.tar", "photos/3.jpg"]})
    rows = project.crawl()
    project.check_accounts()
    assert [row.status for row in rows] == [OK, OK, OK, Status.ARCHIVE, Status.CONNECTION_ERROR]


def test_only_regular_files_within_the_bounds_are_opened(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    os.mkfifo(photos / "pipe.jpg")
    os.mkfifo(photos / "pipe.tar")
    (photos / "zero.jpg").symlink_to("/dev/zero")
    (photos / "folder.jpg").mkdir()
    with (photos / "video.jpg").open("wb") as file:
        file.truncate(6 * 2**30)
    (photos / "1.jpg").write_bytes(photo())
    names = ["pipe.jpg", "zero.jpg", "folder.jpg", "pipe.jpg#x,bytes=512-600", "pipe.tar"]
    names += ["video.jpg", "1.jpg"]
    rows = Project(tmp_path, {WNID: [f"photos/{name}" for name in names]}).crawl()
    assert {(row.status, row.detail) for row in rows[:5]} == {(BAD_URL, "not a regular file")}
    assert [row.status for row in rows[5:]] == [Status.TOO_LARGE, OK]


@pytest.mark.parametrize("name", ["a\0b.jpg", 300 * "a"], ids=["NUL", "too long"])
def test_a_name_that_no_file_can_have_is_an_error_row(tmp_path: Path, name: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(photo())
    rows = Project(tmp_path, {WNID: [f"photos/{name}", "photos/1.jpg"]}).crawl()
    assert rows[0].status in (BAD_URL, Status.CONNECTION_ERROR)
    assert rows[1].status is OK


# Tars, piece by piece


def parse(tar: bytes, max_bytes: int = MAX) -> list[Member]:
    """The members of a tar that is fed at once."""
    return list(TarParser(max_bytes).feed(tar))


def oversize(name: str, size: int) -> bytes:
    """A header that says that so many bytes follow."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("item", "status", "detail"),
    [
        (plain("/etc/passwd", b"x"), BAD_URL, "absolute path"),
        (plain("\\windows\\x.jpg", b"x"), BAD_URL, "absolute path"),
        (plain("C:\\x.jpg", b"x"), BAD_URL, "absolute path"),
        (plain("../x.jpg", b"x"), BAD_URL, "path with '..'"),
        (plain("a/../../x.jpg", b"x"), BAD_URL, "path with '..'"),
        (plain("a\\..\\x.jpg", b"x"), BAD_URL, "path with '..'"),
        (plain("/" + 200 * "a" + "/x.jpg", b"x"), BAD_URL, "absolute path"),
        (plain("big.jpg", bytes(MAX + 1)), Status.TOO_LARGE, f"{MAX + 1} bytes"),
        (special("x.jpg", tarfile.SYMTYPE, "/etc/passwd"), Status.NOT_IMAGE, "link"),
        (special("x.jpg", tarfile.LNKTYPE, "first.jpg"), Status.NOT_IMAGE, "link"),
        (special("x.jpg", tarfile.CHRTYPE), Status.NOT_IMAGE, "no plain file"),
        (special("x.jpg", tarfile.BLKTYPE), Status.NOT_IMAGE, "no plain file"),
        (special("x.jpg", tarfile.FIFOTYPE), Status.NOT_IMAGE, "no plain file"),
        (special("x.jpg", b"Z"), Status.NOT_IMAGE, "no plain file"),
        (plain("..x..jpg", b"x"), OK, ""),
        (plain("./a/x.jpg", b"x"), OK, ""),
    ],
    ids=lambda value: value[0].name[:20] if isinstance(value, tuple) else None,
)
def test_a_member(item: tuple[tarfile.TarInfo, bytes], status: Status, detail: str) -> None:
    tar = make_tar([plain("first.jpg", b"a"), item, plain("last.jpg", b"z")])
    first, member, last = parse(tar)
    assert (member.name, member.status, member.detail) == (item[0].name, status, detail)
    assert (first.body, last.body) == (b"a", b"z")


def test_folders_are_passed_over() -> None:
    tar = make_tar([special("a", tarfile.DIRTYPE), plain("a/x.jpg", b"x")])
    assert [member.name for member in parse(tar)] == ["a/x.jpg"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_member_without_a_body_has_none_of_any_kind(kind: bytes) -> None:
    info, _ = special("x", kind)
    info.size = 5000
    assert [m.name for m in parse(info.tobuf() + make_tar([plain("last", b"z")]))] == ["x", "last"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_members_of_every_form_of_tar(form: int) -> None:
    names = [f"{'long' * 20}/{'name' * 15}{n}.jpg" for n in range(3)]
    if form == tarfile.GNU_FORMAT:
        names += [300 * "x" + ".jpg"]
    tar = make_tar([plain(name, name.encode()) for name in names], form)
    assert [member.body.decode() for member in parse(tar)] == names


def test_a_streamed_member_has_its_pax_name_and_size() -> None:
    tar = make_tar([plain("café.jpg", b"x"), plain("b.jpg", b"y")], tarfile.PAX_FORMAT)
    assert [(member.name, member.body) for member in parse(tar)] == [
        ("café.jpg", b"x"), ("b.jpg", b"y"),
    ]  # fmt: skip
    info = tarfile.TarInfo("x.jpg")
    info.pax_headers = {"size": "600"}
    tar = info.tobuf(tarfile.PAX_FORMAT) + b"x" * 600 + bytes(424) + make_tar([plain("y", b"y")])
    assert [(member.name, len(member.body)) for member in parse(tar)] == [("x.jpg", 600), ("y", 1)]


def test_a_streamed_sparse_file_is_refused() -> None:
    info = tarfile.TarInfo("x.jpg")
    info.pax_headers = {"GNU.sparse.major": "1"}
    sparse = info.tobuf(tarfile.PAX_FORMAT)
    info = tarfile.TarInfo("old.jpg")
    info.type = tarfile.GNUTYPE_SPARSE
    sparse += info.tobuf(tarfile.GNU_FORMAT)
    found = [(m.name, m.status, m.detail) for m in parse(sparse + make_tar([plain("y", b"y")]))]
    refused = (Status.NOT_IMAGE, "sparse file")
    assert found == [("x.jpg", *refused), ("old.jpg", *refused), ("y", OK, "")]


def test_a_member_that_says_it_is_absurdly_large_ends_the_reading() -> None:
    with pytest.raises(BrokenTarError):
        parse(oversize("x.jpg", 100 * MAX))


def test_a_member_of_negative_size_ends_the_reading() -> None:
    with pytest.raises(BrokenTarError):
        parse(oversize("x.jpg", -512))


def test_a_name_that_says_it_is_absurdly_long_ends_the_reading() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**17
    with pytest.raises(BrokenTarError):
        parse(info.tobuf(tarfile.GNU_FORMAT))


_items = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=120),
        st.sampled_from([0, 1, 511, 512, 513, 1500, 5000]),
        st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]),
    ),
    max_size=8,
)


def _tar(items: list[tuple[str, int, bytes]], form: int) -> bytes:
    return make_tar(
        [
            plain(name, random.Random(name).randbytes(size))
            if kind == tarfile.REGTYPE
            else special(name, kind)
            for name, size, kind in items
        ],
        form,
    )


def _fed(tar: bytes, cuts: list[int], offset: int = 0) -> list[Member]:
    parser = TarParser(2000, offset)
    edges = [offset, *sorted(offset + cut % (len(tar) - offset + 1) for cut in cuts), len(tar)]
    pieces = [tar[start:end] for start, end in pairwise(edges)]
    return [member for piece in pieces for member in parser.feed(piece)]


_cuts = st.lists(st.integers(0, 10**6), max_size=10)
_forms = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@given(_items, _forms, _cuts)
def test_any_pieces_of_a_tar_give_the_same_members(
    items: list[tuple[str, int, bytes]], form: int, cuts: list[int]
) -> None:
    tar = _tar(items, form)
    members = _fed(tar, cuts)
    assert members == _fed(tar, [])
    assert len(members) == sum(kind != tarfile.DIRTYPE for _, _, kind in items)
    for member in members:
        start = member.body_offset
        assert tar[start : start + len(member.body)] == member.body


@given(_items, _forms, _cuts)
def test_where_a_member_ends_the_next_one_starts(
    items: list[tuple[str, int, bytes]], form: int, cuts: list[int]
) -> None:
    """Else a run that goes on from its pins would say another place than one that does not."""
    tar = _tar(items, form)
    members = _fed(tar, cuts)
    assert [one.offset for one in members] == [0, *(one.end for one in members)][: len(members)]
    for number, member in enumerate(members, start=1):
        assert _fed(tar, cuts, member.end) == members[number:]


@given(_items, _forms, _cuts)
def test_a_tar_can_be_read_on_from_the_end_of_any_member(
    items: list[tuple[str, int, bytes]], form: int, cuts: list[int]
) -> None:
    tar = _tar(items, form)
    members = _fed(tar, [])
    for number, member in enumerate(members):
        assert _fed(tar, cuts, member.end) == members[number + 1 :]


@given(_items, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5))
def test_a_damaged_tar_ends_in_a_known_way(
    items: list[tuple[str, int, bytes]], damage: list[tuple[int, int]]
) -> None:
    tar = bytearray(_tar(items, tarfile.GNU_FORMAT))
    for place, value in damage:
        tar[place % len(tar)] = value
    try:
        members = _fed(bytes(tar), [])
    except BrokenTarError:
        return
    assert all(len(member.body) <= 2000 for member in members)


@given(st.binary(max_size=2000))
def test_noise_is_no_tar(noise: bytes) -> None:
    try:
        members = parse(noise)
    except BrokenTarError:
        return
    assert members == []


# Archives from the web

Rows = tuple[list[RawRow], RawRow]


def take(tmp_path: Path, server: Server, behaviour: str, tar: bytes, **sections: object) -> Rows:
    """The rows of an archive's members, and its own."""
    ARCHIVES["a.tar"] = tar
    project = Project(tmp_path / behaviour, {WNID: [server.url(f"{behaviour}/a.tar")]}, **sections)
    rows = project.crawl_here()
    project.check_accounts()
    return rows[:-1], rows[-1]


MANY = photos_tar(40)
LOTS = {"per_class": 100}


def facts(rows: list[RawRow]) -> list[tuple[str, Status, int | None, str]]:
    """What must be the same however an archive arrives."""
    return [(row.url.partition("#")[2], row.status, row.resume_at, row.sha256) for row in rows]


@pytest.fixture
def whole(tmp_path: Path, server: Server) -> list[tuple[str, Status, int | None, str]]:
    """The members of an archive that came at once."""
    members, own = take(tmp_path, server, "tar", MANY, **LOTS)
    assert len(members) == 40
    assert (own.status, own.resume_at) == (Status.ARCHIVE, None)
    return facts(members)


def test_an_archive_is_read_no_further_than_needed(tmp_path: Path, server: Server) -> None:
    members, own = take(tmp_path, server, "tar", MANY, per_class=3)
    assert [row.status for row in members] == [OK] * 3
    assert (own.status, own.resume_at) == (Status.ARCHIVE, 3 * 2560)


@pytest.mark.parametrize("behaviour", ["tar_redirected", "tar_after_503", "tar_no_length"])
def test_an_archive_in_other_ways(
    tmp_path: Path, server: Server, whole: list[object], behaviour: str
) -> None:
    members, own = take(tmp_path, server, behaviour, MANY, **LOTS)
    assert facts(members) == whole
    assert own.status is Status.ARCHIVE


def test_an_archive_in_pieces_goes_on_where_it_was_cut(
    tmp_path: Path, server: Server, whole: list[object]
) -> None:
    members, own = take(tmp_path, server, "tar_in_pieces", MANY, **LOTS)
    assert facts(members) == whole
    assert own.status is Status.ARCHIVE
    ranges = [e.headers["range"] for e in server.log if "range" in e.headers]
    assert ranges == [f"bytes={n * 7 * 2560}-" for n in range(1, len(ranges) + 1)]


def test_an_archive_from_a_server_without_ranges(
    tmp_path: Path, server: Server, whole: list[object]
) -> None:
    members, own = take(tmp_path, server, "tar_without_range", MANY, **LOTS)
    assert facts(members) == whole
    assert own.status is Status.ARCHIVE


def test_an_archive_that_never_arrives_whole_keeps_what_came(
    tmp_path: Path, server: Server, whole: list[object]
) -> None:
    members, own = take(tmp_path, server, "tar_cut_then_reset", MANY, **LOTS)
    assert facts(members) == whole[:7]
    assert (own.status, own.detail) == (Status.CONNECTION_ERROR, "connection reset")
    assert own.resume_at == 7 * 2560


@pytest.mark.parametrize("behaviour", ["tar_wrong_range", "tar_unsure_range"])
def test_a_range_that_was_not_requested_is_refused(
    tmp_path: Path, server: Server, whole: list[object], behaviour: str
) -> None:
    members, own = take(tmp_path, server, behaviour, MANY, **LOTS)
    assert facts(members) == whole[: len(members)]
    assert len(members) == 40 or own.status is not Status.ARCHIVE


def test_the_rest_of_another_archive_is_not_taken_for_this_ones(
    tmp_path: Path, server: Server, whole: list[object]
) -> None:
    members, own = take(tmp_path, server, "tar_changed", MANY, **LOTS)
    assert facts(members) == whole[:7]
    detail = "another archive than before the break"
    assert (own.status, own.detail) == (Status.TRUNCATED, detail)
    assert own.resume_at == 7 * 2560


@pytest.mark.parametrize("behaviour", ["tar", "tar_no_length"])
def test_an_archive_that_is_cut_at_its_source(
    tmp_path: Path, server: Server, whole: list[object], behaviour: str
) -> None:
    members, own = take(tmp_path / "cut", server, behaviour, MANY[:6000], **LOTS)
    assert facts(members) == whole[:2]
    assert (own.status, own.detail) == (Status.TRUNCATED, "archive cut off")
    assert own.resume_at == 2 * 2560


def test_a_broken_header_in_the_middle(tmp_path: Path, server: Server, whole: list[object]) -> None:
    tar = MANY[:5120] + b"not a header".ljust(512, b"!") + MANY[5632:]
    members, own = take(tmp_path / "broken", server, "tar", tar, **LOTS)
    assert facts(members) == whole[:2]
    assert own.status is Status.TRUNCATED
    assert own.detail.startswith("broken header")
    assert own.resume_at == 5120


@pytest.mark.parametrize("tar", [b"", b"<html>sorry</html>", photo()], ids=["empty", "page", "jpg"])
def test_an_archive_that_is_none(tmp_path: Path, server: Server, tar: bytes) -> None:
    members, own = take(tmp_path, server, "tar", tar)
    assert members == []
    assert own.status in (Status.TRUNCATED, Status.EMPTY, Status.NOT_IMAGE)


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("status/404/a.tar", Status.HTTP_ERROR, "404"),
        ("status/500/a.tar", Status.HTTP_ERROR, "500"),
        ("reset/a.tar", Status.CONNECTION_ERROR, "connection reset"),
        ("hops/6?a.tar", Status.REDIRECT_ERROR, "more than 5 redirects"),
        ("loop/a.tar", Status.REDIRECT_ERROR, "loop"),
        ("endless/a.tar", Status.TRUNCATED, "broken header at byte 0 (bad checksum)"),
    ],
)
def test_an_archive_that_cannot_be_had(
    tmp_path: Path, server: Server, path: str, status: Status, detail: str
) -> None:
    rows = Project(tmp_path, {WNID: [server.url(path)]}).crawl()
    assert [(row.status, row.detail) for row in rows] == [(status, detail)]


def test_members_are_judged_by_their_bytes_and_named_safely(tmp_path: Path, server: Server) -> None:
    items = [
        plain("page.jpg", b"<html>"),
        plain("picture.jpg", photo("a", form="PNG")),
        plain("same.jpg", photo("b")),
        plain("same.jpg", photo("c")),
        plain("copy.jpg", photo("b")),
        plain("a/b/c d\u00e9\n.jpg", photo("d")),
        plain(".jpg", photo("e")),
        plain("CON.SAME.jpg", photo("f")),
        plain("SAME.jpg", photo("g")),
        plain("empty.jpg", b""),
    ]
    members, _ = take(tmp_path, server, "tar", make_tar(items), **LOTS)
    assert [row.status for row in members] == [
        *(Status.NOT_IMAGE, OK, OK, OK, Status.DUPLICATE, OK, OK, OK, OK, Status.EMPTY)
    ]
    names = [row.image_id for row in members if row.status is OK]
    assert names[:2] == ["picture", "same"]
    assert len({name.lower() for name in names}) == 7
    assert all(name.replace("_", "").isalnum() for name in names)


def test_a_hostile_archive_leaves_nothing_outside(tmp_path: Path, server: Server) -> None:
    hostile = [
        plain("../../out.jpg", photo("a")),
        plain(str(tmp_path / "out.jpg"), photo("b")),
        special("link", tarfile.SYMTYPE, str(tmp_path)),
        plain("link/out.jpg", photo("c")),
    ]
    before = set(tmp_path.rglob("*"))
    members, _ = take(tmp_path, server, "tar", make_tar(hostile), **LOTS)
    assert [row.status for row in members] == [BAD_URL, BAD_URL, Status.NOT_IMAGE, OK]
    new = {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - before}
    assert new == {"tar"}


# Memory

PEAK = """
import sys
from pathlib import Path
from webfaults.project import Project, WNID
from webfaults.memory import peak
from allrounder.core.tarreader import TarParser
before = peak()
{work}
print(peak() - before)
"""
ENDLESS = """
urls = [f"{sys.argv[1]}?{n}" for n in range(10)]
sections = {"download": {"max_bytes": 20_000_000}, "network": {"connections": 1}}
Project(Path("."), {WNID: urls}, **sections).crawl()
"""
MEMBERS = """
parser = TarParser(20_000_000)
header = bytes.fromhex(sys.argv[1])
members = list(parser.feed(header))
for _ in range(200):
    members += parser.feed(bytes(2**20))
"""


def growth(tmp_path: Path, work: str, argument: str) -> int:
    """How many bytes of memory some work took at most, in a process of its own."""
    paths = [str(Path(__file__).parents[1] / "scripts"), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", PEAK.replace("{work}", work), argument],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.parametrize("behaviour", ["endless", "endless_chunks", "gzip_bomb"])
def test_endless_bodies_take_little_memory(tmp_path: Path, server: Server, behaviour: str) -> None:
    assert growth(tmp_path, ENDLESS, server.url(behaviour)) < 60_000_000


def test_an_oversize_member_takes_no_memory(tmp_path: Path) -> None:
    header = oversize("big.jpg", 190 * 2**20)
    assert growth(tmp_path, MEMBERS, header.hex()) < 60_000_000


# Quota


class Answer(NamedTuple):
    """What a URL answers; `host` is the host that it is on.

    `copy`: it is another address of the last photo on that host.
    """

    status: Status
    sha256: str = ""
    host: str = "a"
    copy: bool = False


Row = tuple[str, Status, bool]
_answers = st.builds(
    Answer,
    st.sampled_from([OK, OK, OK, Status.HTTP_ERROR, *[Status.TIMEOUT] * 3, BAD_URL]),
    st.sampled_from("abcdefghij"),
    st.sampled_from("abc"),
    st.booleans(),
)
_members = st.builds(Answer, st.sampled_from([OK, Status.NOT_IMAGE]), st.sampled_from("abcdefghij"))
_classes = st.lists(_answers | st.lists(_members, max_size=4), max_size=60)
"""Candidates in rank order: an answer is a photo's, a list of them is an archive's."""


class Sequential:
    """The rows as one request at a time would write them."""

    def __init__(self, quota: int):
        self._quota, self._taken = quota, set[str]()
        self._silent: dict[str, list[int]] = {}  # by host: rows without an answer, in a row
        self._answered, self._given_up = set[str](), set[str]()
        self._photos = set[str]()
        self.rows: list[Row] = []

    @property
    def full(self) -> bool:
        return len(self._taken) >= self._quota

    def photo(self, url: str, answer: Answer) -> None:
        host = answer.host
        if photo_key(url) in self._photos:
            self.rows.append((url, Status.DUPLICATE, False))
            return
        if host in self._given_up:
            self.rows.append((url, Status.TIMEOUT, True))
            return
        self.note(url, answer)
        if answer.status is OK:
            self._photos.add(photo_key(url))
        silent = self._silent.setdefault(host, [])
        if answer.status is Status.TIMEOUT:
            silent.append(len(self.rows) - 1)
        elif answer.status is not BAD_URL:
            self._answered.add(host)
            silent.clear()
        if len(silent) == (MANY_SILENT if host in self._answered else PROBES):
            self._given_up.add(host)
            for row in silent:
                self.rows[row] = (self.rows[row][0], Status.TIMEOUT, True)

    def archive(self, url: str, members: list[Answer]) -> None:
        self._silent.clear()
        for number, answer in enumerate(members):
            if not self.full:
                self.note(f"{url}#{number}", answer)
        self.rows.append((url, Status.UNUSED, False))

    def note(self, url: str, answer: Answer) -> None:
        status = answer.status
        if status is OK and answer.sha256 in self._taken:
            status = Status.DUPLICATE
        elif status is OK:
            self._taken.add(answer.sha256)
        self.rows.append((url, status, False))


def expected(listed: list[Answer | list[Answer]], quota: int) -> list[Row]:
    """What a run that requests one thing at a time writes."""
    run = Sequential(quota)
    for url, answer in zip(_urls(listed), listed, strict=True):
        if run.full:
            run.rows.append((url, Status.UNUSED, False))
        elif isinstance(answer, Answer):
            run.photo(url, answer)
        else:
            run.archive(url, answer)
    return run.rows


def _urls(listed: list[Answer | list[Answer]]) -> list[str]:
    urls: list[str] = []
    last: dict[str, str] = {}
    for number, answer in enumerate(listed):
        if not isinstance(answer, Answer):
            urls.append(f"http://host/{number}.tar")
        elif answer.copy and (photo := last.pop(answer.host, "")):
            urls.append(photo.replace("http:", "https:"))
        else:
            last[answer.host] = f"http://{answer.host}/{number}.jpg"
            urls.append(last[answer.host])
    return urls


class Simulation:
    """A class whose requests are answered in random order, without any network."""

    def __init__(self, listed: list[Answer | list[Answer]], quota: int, window: int, doubts: bool):
        candidates = [Candidate(str(n), url) for n, url in enumerate(_urls(listed))]
        self._listed, self._window, self._doubts = listed, window, doubts
        self._doubtful, self._answering = set[str](), set[str]()
        self._quota = ClassQuota(candidates, quota, window, self._doubtful, self._answering)
        self._in_flight: list[Slot] = []
        self.rows: list[Row] = []
        self.good_asked = 0

    def run(self, chance: random.Random) -> None:
        """Request, answer and write until the class is done."""
        while not self._progress():
            assert self._in_flight, "neither done nor waiting for anything"
            assert len(self._in_flight) <= self._window
            self._answer(self._in_flight.pop(chance.randrange(len(self._in_flight))), chance)
        for candidate in self._quota.unused():
            self._write(candidate, Result(Status.UNUSED))

    def _progress(self) -> bool:
        """Write what is final and request what may be requested; returns whether all is done."""
        while True:
            for candidate, result in self._quota.settle():
                self._write(candidate, result)
            if slot := self._quota.next_slot():
                answer = self._listed[int(slot.candidate.image_id)]
                self.good_asked += isinstance(answer, Answer) and answer.status is OK
                self._in_flight.append(slot)
            elif not self._quota.can_settle:
                return self._quota.done

    def _answer(self, slot: Slot, chance: random.Random) -> None:
        answer = self._listed[int(slot.candidate.image_id)]
        if isinstance(answer, Answer):
            if self._doubts:
                for hosts in (self._doubtful, self._answering):
                    (hosts.discard if chance.random() < 0.5 else hosts.add)(answer.host)
            self._quota.record(slot, _outcome(answer.status, answer.sha256))
            return
        for number, (status, sha256, *_) in enumerate(answer):
            candidate = Candidate("", f"{slot.candidate.url}#{number}")
            self._write(candidate, self._quota.take(candidate, _outcome(status, sha256)))
            if self._quota.full:
                break
        self._quota.end_archive()
        self._write(slot.candidate, Result(Status.UNUSED))

    def _write(self, candidate: Candidate, result: Result) -> None:
        self.rows.append((candidate.url, result.status, "given up" in result.detail))


def _outcome(status: Status, sha256: str) -> Result:
    return Result(status, sha256=sha256 if status is OK else "")


@pytest.mark.parametrize(("answering", "at_once"), [((), 2), (("h",), 8)])
def test_a_host_that_answers_is_asked_for_more_at_once(
    answering: tuple[str, ...], at_once: int
) -> None:
    listed = [Candidate(str(n), f"http://h/{n}.jpg") for n in range(20)]
    known = set[str]()
    quota = ClassQuota(listed, 20, 20, answering=known)
    first = [slot for slot in iter(quota.next_slot, None) if slot]
    assert len(first) == PROBES
    known.update(answering)
    quota.record(first[0], Result(Status.BAD_URL))
    assert len([1, *iter(quota.next_slot, None)]) == at_once


@pytest.mark.parametrize("first", [Status.OK, Status.TIMEOUT])
def test_thousands_of_urls_on_a_failing_host_keep_no_other_waiting(first: Status) -> None:
    bad = [Candidate(str(n), f"http://bad/{n}.jpg") for n in range(2000)]
    good = [Candidate(f"g{n}", f"http://good{n}/1.jpg") for n in range(20)]
    doubtful = set[str]()
    quota = ClassQuota([*bad, *good], 1000, 16, doubtful)
    slot = quota.next_slot()
    assert slot
    quota.record(slot, _outcome(first, "a"))
    list(quota.settle())
    waiting = len(list(iter(quota.next_slot, None)))
    assert waiting == (8 if first is Status.OK else 1)
    doubtful.add("bad")
    asked = [slot.host for slot in iter(quota.next_slot, None) if slot]
    assert asked == [f"good{n}" for n in range(16 - waiting)]


@given(
    _classes,
    st.integers(1, 12),
    st.integers(1, 8),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_order_of_answers_gives_the_rows_of_one_at_a_time(
    listed: list[Answer | list[Answer]],
    quota: int,
    window: int,
    doubts: bool,
    chance: random.Random,
) -> None:
    run = Simulation(listed, quota, window, doubts)
    run.run(chance)
    assert run.rows == expected(listed, quota)
    used = sum(s in (OK, Status.DUPLICATE) and "#" not in url for url, s, _ in run.rows)
    if not doubts and not any(given_up for _, _, given_up in run.rows):
        assert run.good_asked - used <= SLACK


DEAD = Answer(Status.TIMEOUT)


class _LastFirst(random.Random):
    """Lets the request that was made last be answered first."""

    def randrange(self, start: int, *_: Any) -> int:
        return start - 1


@given(_classes, st.integers(1, 12))
@example([DEAD, *[Answer(OK, str(n), "b") for n in range(4)], DEAD], 9)
def test_rows_that_are_too_many_to_hold_do_not_depend_on_the_order_of_answers(
    listed: list[Answer | list[Answer]], quota: int
) -> None:
    runs = [Simulation(listed, quota, window, doubts=False) for window in (1, 8)]
    with mock.patch.object(class_quota, "_MAX_HELD_ROWS", 2):
        for run in runs:
            run.run(_LastFirst())
    assert runs[0].rows == runs[1].rows


def test_a_host_without_an_answer_gets_few_requests_and_others_go_on() -> None:
    listed: list[Answer | list[Answer]] = []
    for number in range(600):
        listed += [Answer(OK, str(number), "live"), Answer(Status.TIMEOUT, host="dead")]
    run = Simulation(listed, 300, 50, doubts=False)
    run.run(random.Random(1))
    dead = [row for row in run.rows if "//dead/" in row[0] and row[1] is not Status.UNUSED]
    assert {row[1:] for row in dead} == {(Status.TIMEOUT, True)}
    assert len(dead) == 299


def test_no_more_than_the_slack_is_requested_beyond_the_quota() -> None:
    state = ClassQuota((Candidate(str(n), f"http://host/{n}") for n in range(100)), 3, 64)
    first = state.next_slot()
    assert first
    state.record(first, _outcome(OK, "a"))
    slots = [first]
    while slot := state.next_slot():
        slots.append(slot)
    assert len(slots) == 3 + SLACK
    state.record(slots[1], _outcome(OK, "b"))
    assert state.next_slot() is None


def test_a_tar_of_the_tests_is_a_tar() -> None:
    with tarfile.open(fileobj=io.BytesIO(MANY)) as tar:
        assert len(tar.getnames()) == 40
