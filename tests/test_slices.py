"""Slices of larger files: their URLs, the walk over a tar that finds them, and their download."""

import io
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.core.tarreader import BrokenTarError, TarEntry, TarParser, tar_entries
from allrounder.core.urls import Slice, container_of, is_archive, is_local_file, is_url, parse_slice
from allrounder.web.archives import member_candidate
from shardserver import ShardServer
from webfaults.archives import Item, make_tar, plain, special
from webfaults.pictures import photo
from webfaults.project import NETWORK, Project

pytestmark = pytest.mark.usefixtures("own_folder")

BLOCK = 512


# URLs

FILES = st.text(min_size=1).map(lambda text: text + ".tar")
PLACES = st.integers(1, 2**62)


@given(FILES, st.text(), PLACES, st.integers(0, 2**62))
@example("a#b,bytes=1-2.tar", "x#y,bytes=3-4", 1, 0)
@example("http://h/a.tar?x#f", "a, b/ü%41.jpg", 512, 9)
def test_a_slice_is_read_as_it_was_written(file: str, member: str, offset: int, size: int) -> None:
    part = Slice(file, member, offset, size)
    assert parse_slice(part.url) == part
    assert container_of(part.url) == file
    assert not is_archive(part.url)
    assert part.url.isascii() or not file.isascii()


@given(st.text(st.sampled_from("ab#,=-/%. bytes0123"), max_size=30))
def test_nothing_else_is_a_slice(text: str) -> None:
    part = parse_slice(text)
    if part is None:
        assert container_of(text) == text
    else:
        assert part.offset > 0
        assert part.size >= 0
        assert text.startswith(part.file + "#")


@pytest.mark.parametrize(
    "url",
    [
        "a.tar#b", "a.tar#b,bytes=", "a.tar#b,bytes=5-3", "a.tar#b,bytes=0-3", "a.tar,bytes=1-3",
        "#b,bytes=1-3", "a.tar#b c,bytes=1-3", "a.tar#b,bytes=01-3", "a.tar#b,bytes=-1-3",
        f"a.tar#b,bytes=1-{10**20}",
    ],
)  # fmt: skip
def test_other_forms_are_no_slices(url: str) -> None:
    assert parse_slice(url) is None


def test_slices_are_no_archives_and_members_are_no_slices(tmp_path: Path) -> None:
    assert is_archive("http://h/a.tar")
    assert is_url(Slice("http://h/a.tar", "1.jpg", 512, 9).url)
    (tmp_path / "a.tar").touch()
    assert is_local_file(Slice(f"{tmp_path}/a.tar", "1.jpg", 512, 9).url)
    member = member_candidate(Candidate("a", "http://h/a.tar"), "1,bytes=1-2", 512)
    assert parse_slice(member.url) is None
    again = member_candidate(Candidate("a", "http://h/a.tar"), member.url.partition("#")[2], 512)
    assert again.url == member.url


# The walk


def walked(body: bytes, start: int = 0, end: int | None = None) -> list[TarEntry]:
    file = io.BytesIO(body)
    last = 0

    def read(position: int, size: int) -> bytes:
        nonlocal last
        assert position >= last, "positions only grow"
        assert size <= 2**20 + BLOCK, "nothing large is read at once"
        last = position
        file.seek(position)
        return file.read(size)

    return list(tar_entries(read, start, end))


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(
    st.lists(st.tuples(NAMES.filter(lambda n: not n.endswith("/")), st.binary(max_size=1500))),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.sampled_from([0, BLOCK, 7 * BLOCK]),
)
def test_the_walk_finds_what_tarfile_finds(
    items: list[tuple[str, bytes]], form: int, start: int
) -> None:
    body = make_tar((plain(name, content) for name, content in items), form)
    found = walked(bytes(start) + body + b"\xff" * 1000, start, start + len(body))
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        expected = [(info.name, info.offset_data + start, info.size) for info in tar]
    assert [(entry.name, entry.offset, entry.size) for entry in found] == expected
    streamed = list(TarParser(2000).feed(body))
    assert [(m.name, m.body_offset + start, len(m.body)) for m in streamed if m.body] == [
        one for one in expected if one[2]
    ]
    contents = (b"\0" * start + body)[:]
    assert [contents[entry.offset : entry.end] for entry in found] == [c for _, c in items]


@given(st.data())
def test_a_cut_is_never_overlooked(data: st.DataObject) -> None:
    body = make_tar(plain(f"{n}.jpg", b"x" * 700 * n) for n in range(4))
    marks = walked(body)[-1].end // BLOCK * BLOCK + BLOCK
    cut = data.draw(st.integers(0, marks))
    for end in (None, cut):
        with pytest.raises(BrokenTarError):
            walked(body[:cut], end=end)


@given(st.binary(max_size=4 * BLOCK), st.integers(0, 3000))
def test_a_broken_tar_is_only_ever_broken(noise: bytes, at: int) -> None:
    body = bytearray(make_tar([plain("ü" * 120, b"1"), plain("b", b"2" * 600)], tarfile.PAX_FORMAT))
    body[at : at + len(noise)] = noise
    try:
        for entry in walked(bytes(body), end=len(body)):
            assert 0 < entry.offset <= entry.end <= len(body)
    except BrokenTarError:
        pass


def sized(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header that states a size, whatever follows it."""
    info = tarfile.TarInfo(name)
    info.size, info.type = max(size, 0), kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if size < 0:
        header[124:136] = b"\xff" * 4 + struct.pack(">q", size)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def pax(records: bytes) -> bytes:
    head = sized("pax", len(records), tarfile.XHDTYPE)
    return head + records + bytes(-len(records) % BLOCK)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><p>We have moved", "no tar; it starts with b'<!DOCTYPE"),
        (b"\x1f\x8b\x08 and more", "gzip-compressed; unpack"),
        (sized("a", 2**62), "a member of 4611686018427387904 bytes at byte 0|cut off before"),
        (sized("a", -5), "a member of -5 bytes at byte 0"),
        (sized("a", 2**40, tarfile.XHDTYPE), "a member of .* goes beyond|an extra header"),
        (sized("a", 2**40, tarfile.GNUTYPE_LONGNAME), "goes beyond|an extra header"),
        (pax(b"12 size=-99\n"), "a member of b'-99'"),
        (pax(b"99999999 path=x\n"), "broken pax header"),
        (pax(b"0 path=x\n"), "broken pax header"),
        (pax(b"5010 path=" + b"x" * 4999 + b"\n"), "a name of 4999 bytes"),
        (sized("a", 0, tarfile.GNUTYPE_SPARSE), "a sparse file at byte 0"),
        (pax(b"22 GNU.sparse.major=1\n") + sized("a", 0), "a sparse file at byte 1024"),
        (sized("a", 0)[:-1] + b"!", "no tar"),
        (sized("a", 0) + b"no header" * 100, "broken header at byte 512"),
    ],
)
def test_a_hostile_tar_is_named_for_what_it_is(body: bytes, words: str) -> None:
    for end in (None, len(body)):
        with pytest.raises(BrokenTarError, match=words):
            walked(body, end=end)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_huge_extra_header_is_not_read(kind: bytes) -> None:
    def read(position: int, size: int) -> bytes:
        assert size == BLOCK
        return sized("bomb", 2**40, kind)

    with pytest.raises(BrokenTarError, match="an extra header of 1099511627776 bytes"):
        list(tar_entries(read, 0, 2**50))


def test_what_is_no_plain_file_is_passed_over() -> None:
    items: list[Item] = [
        special("folder", tarfile.DIRTYPE),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard", tarfile.LNKTYPE, "../../x"),
        special("device", tarfile.CHRTYPE),
        plain("/etc/passwd", b"1"),
        plain("../../up.jpg", b"2"),
    ]
    body = make_tar(items)
    found = walked(body)
    assert [body[entry.offset : entry.end] for entry in found] == [b"1", b"2"]
    assert [Slice("a.tar", e.name, e.offset, e.size).url.partition(",")[0] for e in found] == [
        "a.tar#/etc/passwd",
        "a.tar#../../up.jpg",
    ]


# The download

CUT, PAD = 1000, b"\xff" * 700
PHOTOS = [photo(f"slice{n}") for n in range(6)]
FILE = PAD + PAD.join(PHOTOS)


def slices(file: str) -> list[str]:
    return [
        Slice(file, f"a, b#{n}.jpg", FILE.index(body), len(body)).url
        for n, body in enumerate(PHOTOS)
    ]


@pytest.fixture
def server() -> Iterator[ShardServer]:
    with ShardServer({"/a.tar": FILE}) as running:
        yield running


def project(folder: Path, urls: list[str], **sections: object) -> Project:
    return Project(folder, {"n02109961": urls}, **sections)


def results(rows: list[RawRow]) -> list[tuple[str, str]]:
    return [(row.status, row.detail) for row in rows]


def bodies(made: Project) -> list[bytes]:
    return list(made.photos().values())


def test_slices_of_the_web_are_requested_and_nothing_else(
    tmp_path: Path, server: ShardServer
) -> None:
    made = project(tmp_path / "p", slices(f"{server.base}/a.tar"))
    rows = made.crawl_here()
    assert bodies(made) == PHOTOS
    assert [row.bytes for row in rows] == list(map(len, PHOTOS))
    assert {row.final_url for row in rows} == {f"{server.base}/a.tar"}
    expected = (f"bytes={FILE.index(b)}-{FILE.index(b) + len(b) - 1}" for b in PHOTOS)
    assert server.slices == sorted(expected)
    assert not server.whole


def test_slices_of_files_here_are_read(tmp_path: Path) -> None:
    (tmp_path / "photos, #1").mkdir()
    path = tmp_path / "photos, #1" / "ä.tar"
    path.write_bytes(FILE)
    sources = [{"kind": "folder", "location": str(path.parent)}]
    made = project(tmp_path / "p", slices(str(path)), sources=sources)
    made.crawl_here()
    assert bodies(made) == PHOTOS
    outside = tmp_path / "outside.tar"
    outside.write_bytes(FILE)
    parts = [*slices(str(outside)), Slice(str(path), "cut", len(FILE) - 9, 99).url]
    parts += [Slice(str(path), "none", 9, 0).url, Slice(str(path), "huge", 9, 2**40).url]
    parts += [Slice(str(path.parent / "gone.tar"), "1", 9, 9).url, Slice("a\0", "1", 9, 9).url]
    parts += [f"{path.parent}/../outside.tar#x,bytes=9-99"]
    other = project(tmp_path / "q", parts, sources=sources, per_class=20)
    assert results(other.crawl_here()) == [
        *[("bad_url", "not a URL, and not in a folder of the sources")] * 6,
        ("truncated", "file cut off"),
        ("empty", ""),
        ("too_large", "more than 1000000 bytes"),
        ("connection_error", "file: No such file or directory"),
        ("bad_url", "not a URL, and not in a folder of the sources"),
        ("bad_url", "not a URL, and not in a folder of the sources"),
    ]
    assert not bodies(other)


def test_a_server_without_ranges_is_hung_up_on(tmp_path: Path, server: ShardServer) -> None:
    server.files["/a.tar"] = FILE + bytes(50_000_000)
    server.ranges = False
    made = project(tmp_path / "p", slices(f"{server.base}/a.tar"))
    assert results(made.crawl_here()) == [("http_error", "no ranges")] * 6
    assert len(server.log) == 6


def test_another_range_is_no_photo(tmp_path: Path, server: ShardServer) -> None:
    urls = slices(f"{server.base}/a.tar")
    server.shift = 1
    wrong = ("truncated", "another range than requested")
    assert results(project(tmp_path / "p", urls).crawl_here()) == [wrong] * 6
    server.shift = 0
    server.files["/a.tar"] = FILE[:-9]
    assert results(project(tmp_path / "q", urls).crawl_here())[-2:] == [("ok", ""), wrong]
    server.files["/a.tar"] = FILE[:9]
    assert results(project(tmp_path / "r", urls).crawl_here()) == [("http_error", "416")] * 6


@pytest.mark.parametrize(
    ("codes", "result", "requested"),
    [
        ([404], ("http_error", "404"), 1),
        ([401], ("no_access", "401"), 1),
        ([403], ("http_error", "403"), 1),
        ([429], ("ok", ""), 2),
        ([503, 503], ("http_error", "503"), 2),
    ],
)
def test_refusals_of_slices_are_handled_like_those_of_photos(
    tmp_path: Path, server: ShardServer, codes: list[int], result: tuple[str, str], requested: int
) -> None:
    server.codes["/a.tar"] = codes
    made = project(tmp_path / "p", slices(f"{server.base}/a.tar")[:1])
    assert results(made.crawl_here()) == [result]
    assert len(server.log) == requested


def test_a_body_that_breaks_off_is_requested_again(tmp_path: Path, server: ShardServer) -> None:
    server.cut["/a.tar"] = [CUT]
    made = project(tmp_path / "p", slices(f"{server.base}/a.tar")[:1])
    assert results(made.crawl_here()) == [("ok", "")]
    server.cut["/a.tar"] = [CUT] * NETWORK["tries"]  # type: ignore[operator]
    other = project(tmp_path / "q", slices(f"{server.base}/a.tar")[:1])
    assert results(other.crawl_here()) == [("truncated", "body cut off")]


def test_a_moved_file_keeps_its_address_and_no_signature(
    tmp_path: Path, server: ShardServer
) -> None:
    server.moved["/old.tar"] = "/a.tar?signature=secret&expires=1"
    urls = slices(f"{server.base}/old.tar")
    made = project(tmp_path / "p", urls)
    rows = made.crawl_here()
    assert [row.url for row in rows] == urls
    assert {row.final_url for row in rows} == {f"{server.base}/a.tar"}
    assert bodies(made) == PHOTOS


def test_opting_out_holds_for_slices(tmp_path: Path, server: ShardServer) -> None:
    server.headers["X-Robots-Tag"] = "noai"
    made = project(tmp_path / "p", slices(f"{server.base}/a.tar"))
    assert results(made.crawl_here()) == [("opted_out", "X-Robots-Tag: noai")] * 6


def test_slices_of_the_web_are_bounded_without_a_request(
    tmp_path: Path, server: ShardServer
) -> None:
    file = f"{server.base}/a.tar"
    urls = [Slice(file, "none", 9, 0).url, Slice(file, "huge", 9, 2**40).url]
    made = project(tmp_path / "p", urls)
    assert results(made.crawl_here()) == [("empty", ""), ("too_large", "more than 1000000 bytes")]
    assert not server.log


def test_a_slice_that_is_no_photo_is_reported(tmp_path: Path, server: ShardServer) -> None:
    made = project(tmp_path / "p", [Slice(f"{server.base}/a.tar", "pad", 1, 600).url])
    assert [row.status for row in made.crawl_here()] == [Status.NOT_IMAGE]
