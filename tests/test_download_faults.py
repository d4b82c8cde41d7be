"""Each fault of the web leads to one row, with this status and these words, on every run."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allrounder.core.photos import _placeholders, placeholder_host_of_url
from allrounder.core.rows import RawRow, Status
from allrounder.web import policy
from allrounder.web.decisions import opt_out_directive
from allrounder.web.hosts import Hosts
from allrounder.web.policy import retry_after
from webfaults import bodies, pictures, tls
from webfaults.project import WNID, Project
from webfaults.server import Server

pytestmark = pytest.mark.usefixtures("own_folder")

OK = Status.OK
HTTP, RESET, TRUNCATED = Status.HTTP_ERROR, Status.CONNECTION_ERROR, Status.TRUNCATED
REDIRECT, OPTED_OUT = Status.REDIRECT_ERROR, Status.OPTED_OUT
MOST = "more than 1000000 bytes"
Row = tuple[str, str]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def ask(tmp_path: Path, server: Server, url: str, **sections: object) -> RawRow:
    """The row of a URL; a good photo listed behind it must come through, and all must add up."""
    project = Project(tmp_path, {WNID: [url, server.url("good/control")]}, **sections)
    rows = project.crawl()
    project.check_accounts()
    assert rows[1].status is OK
    return rows[0]


def to(server: Server, url: str) -> str:
    """The URL of a redirect to `url`."""
    return server.url(f"to/1.jpg?url={quote(url, safe='')}")


ANSWERS: list[tuple[str, Status, str, int | None]] = [
    # behaviour, status, detail, requests
    ("status/404", HTTP, "404", 1),
    ("status/410", HTTP, "410", 1),
    ("status/403", HTTP, "403", None),  # asked again if the host has served a photo before
    ("status/401", Status.NO_ACCESS, "401", 1),
    ("status/451", HTTP, "451", 1),
    ("status/204", HTTP, "204", 1),
    ("status/304", HTTP, "304", 1),
    ("partial_content", HTTP, "206", 1),
    ("status/408", HTTP, "408", 2),
    ("status/425", HTTP, "425", 2),
    ("status/429", HTTP, "429", 2),
    ("status/500", HTTP, "500", 2),
    ("status/503", HTTP, "503", 2),
    ("status/599", HTTP, "599", 2),
    ("then_fine/503", OK, "", 2),
    ("then_fine/429", OK, "", 2),
    ("retry_seconds", HTTP, "429", 2),
    ("retry_date", HTTP, "429", 2),
    ("retry_absurd", HTTP, "429", 2),
    ("retry_nonsense", HTTP, "429", 2),
    ("error_short", HTTP, "404", 1),
    ("error_huge", HTTP, "404", 1),
    ("error_gzip", HTTP, "404", 1),
    ("early_hints", OK, "", 1),
    ("good/1.jpg", OK, "", 1),
    ("code_of_a_photo/201", OK, "", 1),
    ("code_of_a_photo/203", OK, "", 1),
    ("code_of_a_photo/202", HTTP, "202", 1),
    ("encoded/utf-8", OK, "", 2),
    ("encoded/none", OK, "", 1),
    ("encoded/br", TRUNCATED, "broken content encoding", 1),
]

BODIES = [
    ("html", Status.NOT_IMAGE, "a web page (HTML)", 1),
    ("lfs_pointer", Status.NOT_IMAGE, "a Git LFS pointer; git lfs pull fetches the file", 1),
    ("tar_body", Status.NOT_IMAGE, "a tar", 1),
    ("text", Status.NOT_IMAGE, "text", 1),
    ("svg", Status.NOT_IMAGE, "SVG", 1),
    ("pdf", Status.NOT_IMAGE, "format PDF is not accepted", 1),
    ("unreadable", Status.NOT_IMAGE, "unreadable header", 1),
    ("empty", Status.EMPTY, "", 1),
    ("octet_stream", OK, "", 1),
    ("no_type", OK, "", 1),
    ("format/PNG", OK, "", 1),
    ("format/WEBP", OK, "", 1),
    ("format/GIF", OK, "", 1),
    ("format/BMP", OK, "", 1),
    ("half_jpeg", OK, "", 1),
    ("placeholder_etag", Status.PLACEHOLDER, "imgur", 1),
    ("too_many_pixels", Status.TOO_MANY_PIXELS, "30000x30000", 1),
    ("some_too_many_pixels", Status.TOO_MANY_PIXELS, "11000x11000", 1),
    ("one_pixel", Status.TOO_SMALL, "1x1", 1),
    ("gzip_good", OK, "", 1),
    ("gzip_false", TRUNCATED, "broken content encoding", 1),
    ("gzip_torn", TRUNCATED, "broken content encoding", 1),
    ("gzip_bomb", Status.TOO_LARGE, MOST, 1),
    ("gzip_nested", TRUNCATED, "broken content encoding", 1),
    ("endless", Status.TOO_LARGE, MOST, 1),
    ("endless_chunks", Status.TOO_LARGE, MOST, 1),
    ("five_gigabytes", Status.TOO_LARGE, MOST, 1),
]

WIRES: list[tuple[str, Status, str, int | None]] = [
    ("reset", RESET, "connection reset", 2),
    ("reset_once", OK, "", 2),
    ("reset_in_body", OK, "", 2),
    ("hang_up", RESET, "no answer", 2),
    ("short", TRUNCATED, "body cut off", 2),
    ("short_once", OK, "", 2),
    ("no_length", OK, "", 1),
    ("lengths_conflict", RESET, "malformed answer", 1),
    ("length_negative", RESET, "malformed answer", 1),
    ("chunks", OK, "", 1),
    ("chunk_missing", TRUNCATED, "body cut off", 2),
    ("chunk_broken", RESET, "malformed answer", None),
    ("chunk_oversized", RESET, "malformed answer", None),
    ("header_flood", RESET, "headers too large", 1),
    ("header_endless", RESET, "headers too large", 1),
    ("no_http", RESET, "not HTTP", 1),
]

REDIRECTS = [
    ("relative", OK, "", 1),
    ("hops/5", OK, "", 1),
    ("hops/6", REDIRECT, "more than 5 redirects", 1),
    ("loop/a", REDIRECT, "loop", 1),
    ("cookie_wall", OK, "", 2),
    ("cookie_loop", REDIRECT, "loop", 2),
    ("backslashes", OK, "", 1),
    ("nowhere", HTTP, "302", 1),
    ("hop_reset", OK, "", 1),
    ("not_ascii", OK, "", 1),
    ("far", REDIRECT, "to a bad URL: too long", 1),
]


@pytest.mark.parametrize(
    ("path", "status", "detail", "requests"), [*ANSWERS, *BODIES, *WIRES, *REDIRECTS]
)
def test_one_row_for_each_behaviour(
    tmp_path: Path, server: Server, path: str, status: Status, detail: str, requests: int | None
) -> None:
    row = ask(tmp_path, server, server.url(path))
    assert (row.status, row.detail) == (status, detail)
    if requests is not None:
        assert server.asked(path) == requests


def test_a_cookie_is_sent_within_its_chain_of_redirects_only(
    tmp_path: Path, server: Server
) -> None:
    paths = ["cookie_wall/1", "cookie_leak/1", "cookie_wall/2"]
    rows = Project(tmp_path, {WNID: [server.url(path) for path in paths]}).crawl()
    assert [row.status for row in rows] == [OK, Status.DUPLICATE, Status.DUPLICATE]


def test_another_address_of_a_photo_is_requested_when_the_first_one_fails(
    tmp_path: Path, server: Server
) -> None:
    failing, fine = server.url("then_fine/404"), server.url("good/1.jpg")
    asked = [failing, fine, f"{failing}#again", f"{fine}#again"]
    rows = Project(tmp_path, {WNID: asked}).crawl()
    assert [row.status for row in rows] == [HTTP, OK, OK, Status.DUPLICATE]
    assert rows[3].detail == f"same photo as {rows[1].image_id}, at another address"
    assert server.asked("good/1.jpg") == 1


def test_a_photo_that_takes_too_long_is_a_timeout_after_two_tries(
    tmp_path: Path, server: Server
) -> None:
    slow = ["silent", "silent_in_body", "drip", "drip_headers"]
    paths = ["good/1.jpg", *slow, "silent_once"]  # a host that answers is not given up
    urls = [server.url(path) for path in paths]
    project = Project(tmp_path, {WNID: urls}, network={"total_timeout": 1.5})
    by_url = {row.url: (row.status, row.detail) for row in project.crawl()}
    project.check_accounts()
    assert by_url[urls[0]][0] is OK
    for path in slow:
        assert by_url[server.url(path)] == (Status.TIMEOUT, "")
        assert server.asked(path) == 2
    assert by_url[server.url("silent_once")][0] is OK


def test_a_photo_that_comes_too_slowly_is_a_timeout(tmp_path: Path, server: Server) -> None:
    row = ask(tmp_path, server, server.url("drip"), network={"low_speed_time": 1, "tries": 1})
    assert (row.status, row.detail) == (Status.TIMEOUT, "")


def test_a_handshake_that_takes_too_long_is_a_timeout(tmp_path: Path, server: Server) -> None:
    url = f"https://127.0.0.1:{server.port}/"
    row = ask(tmp_path, server, url, network={"connect_timeout": 1.5})
    assert (row.status, row.detail) == (Status.TIMEOUT, "")


def test_a_refused_connection(tmp_path: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    row = ask(tmp_path, server, f"http://127.0.0.1:{port}/1.jpg")
    assert (row.status, row.detail) == (RESET, "could not connect")


def test_a_host_that_has_no_address(tmp_path: Path, server: Server) -> None:
    row = ask(tmp_path, server, "http://nohost.invalid/1.jpg")
    assert (row.status, row.detail) == (RESET, "host not found")


def test_the_bytes_of_a_good_photo_are_unpacked_hashed_and_counted(
    tmp_path: Path, server: Server
) -> None:
    row = ask(tmp_path, server, server.url("gzip_good"))
    assert row.sha256 == hashlib.sha256(pictures.photo()).hexdigest()
    assert row.bytes == len(pictures.photo())


def test_a_placeholder_that_is_served_directly(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = hashlib.md5(bodies.PLACEHOLDER, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(_placeholders(), ("md5", md5), "flickr")
    row = ask(tmp_path, server, server.url("placeholder"))
    assert (row.status, row.detail) == (Status.PLACEHOLDER, "flickr")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://s.yimg.com/pw/images/en-us/photo_unavailable.png", "flickr"),
        ("https://l.yimg.com/g/images/photo_unavailable_s.gif", "flickr"),
        ("https://combo.staticflickr.com:443/pw/images/photo_unavailable_m.png?a=b/c", "flickr"),
        ("https://www.flickr.com/Photo_Unavailable.gif", "flickr"),
        ("https://i.imgur.com/removed.png", "imgur"),
        ("https://h.example/s.yimg.com/photo_unavailable.png", ""),
        ("https://yimg.com.h.example/photo_unavailable.png", ""),
        ("https://live.staticflickr.com/1/2_abc.jpg?photo_unavailable.png", ""),
        ("", ""),
    ],
)
def test_a_placeholder_is_known_by_its_address_in_all_sizes(url: str, host: str) -> None:
    assert placeholder_host_of_url(url) == host


def test_a_signed_url_that_a_redirect_leads_to_is_written_without_its_signature(
    tmp_path: Path, server: Server
) -> None:
    row = ask(tmp_path, server, server.url("signed"))
    assert row.status is Status.OK
    assert row.final_url == server.url("good/1.jpg")


def test_a_placeholder_by_redirect_is_not_requested(tmp_path: Path, server: Server) -> None:
    url = to(server, "https://s.yimg.com/pw/images/en-us/photo_unavailable.png")
    row = ask(tmp_path, server, url)
    assert (row.status, row.detail) == (Status.PLACEHOLDER, "flickr")


@pytest.mark.parametrize(
    ("target", "detail"),
    [
        ("file:///etc/passwd", "to a bad URL: scheme file"),
        ("ftp://127.0.0.1/1.jpg", "to a bad URL: scheme ftp"),
        ("gopher://127.0.0.1/1", "to a bad URL: scheme gopher"),
        ("data:image/png;base64,AAAA", "to a bad URL: scheme data"),
        ("http://me:secret@127.0.0.1/1.jpg", "to a bad URL: userinfo"),
        ("http://bad host/1.jpg", "to a bad URL: bad host"),
        ("http://-bad-.example/1.jpg", "to a bad URL: bad host"),
        ("https://", "to a bad URL: bad host"),
        ("http://[::1/1.jpg", "to a bad URL: malformed"),
        ("http://127.0.0.1:99999/1.jpg", "to a bad URL: malformed"),
    ],
)
def test_a_redirect_to_what_may_not_be_requested(
    tmp_path: Path, server: Server, target: str, detail: str
) -> None:
    row = ask(tmp_path, server, to(server, target))
    assert (row.status, row.detail) == (REDIRECT, detail)


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1/1.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00::1]/1.jpg",
        "http://[::ffff:127.0.0.1]/1.jpg",
        "http://2130706433/1.jpg",
        "http://0x7f000001/1.jpg",
        "http://0177.0.0.1/1.jpg",
        "http://127.1/1.jpg",
    ],
)
def test_a_redirect_to_a_private_address_is_blocked(
    tmp_path: Path, server: Server, target: str
) -> None:
    row = ask(tmp_path, server, to(server, target))
    assert (row.status, row.detail) == (Status.BLOCKED, "private address")


def test_a_private_address_is_not_even_connected_to(tmp_path: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.2", 0)) as private:
        private.setblocking(False)
        url = f"http://127.0.0.2:{private.getsockname()[1]}/1.jpg"
        row = ask(tmp_path, server, to(server, url))
        with pytest.raises(BlockingIOError):
            private.accept()
    assert (row.status, row.detail) == (Status.BLOCKED, "private address")


def test_a_host_with_one_private_address_is_reached_at_its_public_one(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As hosts with a 6to4 address beside their real one: the first is refused, not the photo."""
    monkeypatch.setattr(policy, "is_public_address", lambda address: address == "127.0.0.1")
    url = f"http://localhost:{server.port}/good/1"  # libcurl: ::1, then 127.0.0.1
    row = ask(tmp_path, server, url, network={"allow_private": []})
    assert (row.status, row.detail) == (OK, "")


@pytest.mark.parametrize(
    ("tags", "directive"),
    [
        (["noai"], "noai"),
        (["noimageai"], "noimageai"),
        (["noindex"], "noindex"),
        (["noimageindex"], "noimageindex"),
        (["noml"], "noml"),
        (["none"], "none"),
        (["NoAI"], "noai"),
        (["nofollow, noai"], "noai"),
        (["nofollow", "noai"], "noai"),
        (["imagenet-all-rounder: noai"], "noai"),
        (["otherbot: noindex, imagenet-all-rounder: noai"], "noai"),
        (["otherbot: noindex", "noai"], "noai"),
        (["max-image-preview: large, noai"], "noai"),
        (["unavailable_after: 25 Jun 2034 15:00:00 PST, noai"], "noai"),
        (["unavailable_after: Sunday, 25-Jun-34 15:00:00 UTC, noai"], "noai"),
        (["nofollow, noarchive"], ""),
        (["otherbot: noai"], ""),
        (["otherbot: nofollow, noindex"], ""),
        (["noaid"], ""),
    ],
    ids=lambda value: " | ".join(value) if isinstance(value, list) else None,
)
def test_a_host_that_opts_out(
    tmp_path: Path, server: Server, tags: list[str], directive: str
) -> None:
    query = "&".join(f"tag={quote(tag)}" for tag in tags)
    row = ask(tmp_path, server, server.url(f"robots?{query}"))
    evidence = f"X-Robots-Tag: {directive}" if directive else ""
    status = OPTED_OUT if directive else OK
    assert (row.status, row.detail, row.opt_out) == (status, evidence, evidence)


def test_opting_out_is_not_honoured_where_the_params_say_so(tmp_path: Path, server: Server) -> None:
    url = server.url("robots?tag=noai")
    assert ask(tmp_path, server, url, download={"honour_opt_out": False}).status is OK


def test_a_bound_above_what_pillow_opens_by_default_holds(tmp_path: Path, server: Server) -> None:
    url = server.url("too_many_pixels")
    row = ask(tmp_path, server, url, download={"max_pixels": 900_000_000})
    assert (row.status, row.detail) == (OK, "")


@pytest.mark.parametrize(
    ("certificate", "status", "detail"),
    [
        (tls.good, OK, ""),
        (tls.wrong_host, RESET, "TLS certificate"),
        (tls.expired, RESET, "TLS certificate"),
        (tls.stranger, RESET, "TLS certificate"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_certificate(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    certificate: tls.Maker,
    status: Status,
    detail: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", tls.trust(tmp_path))
    with Server(tls=certificate()) as secure:
        row = ask(tmp_path, server, secure.url("good/1"))
    assert (row.status, row.detail) == (status, detail)


def test_a_server_that_does_not_speak_tls(tmp_path: Path, server: Server) -> None:
    with tls.Plain(b"HTTP/1.1 400 Bad\r\n\r\n") as plain:
        row = ask(tmp_path, server, plain.url)
    assert (row.status, row.detail) == (RESET, "TLS failed")


def test_a_reset_within_the_handshake_is_tried_again(tmp_path: Path, server: Server) -> None:
    with tls.Plain(b"") as resetting:
        row = ask(tmp_path, server, resetting.url)
    assert row.status is RESET
    assert resetting.connections == 2


def test_a_photo_over_ipv6(tmp_path: Path, server: Server) -> None:
    try:
        six = Server("::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with six:
        assert ask(tmp_path, server, six.url("good/1")).status is OK


def test_the_rows_are_the_same_on_every_run(tmp_path: Path, server: Server) -> None:
    paths = [path for path, *_ in [*BODIES, *REDIRECTS] if path != "hop_reset"]
    urls = [server.url(path) for path in paths]
    first, second = (
        Project(tmp_path / name, {WNID: urls}, per_class=100, network={"connections": number})
        for name, number in (("a", 1), ("b", 64))
    )
    for project in (first, second):
        project.crawl_here()
        project.check_accounts()
    assert first.result() == second.result()


def test_a_wait_that_is_requested_holds_the_whole_host() -> None:
    hosts = Hosts[str](total=8, per_host=8, min_interval=0)
    hosts.add("a", "first")
    assert list(hosts.start(0)) == ["first"]
    hosts.end("a", 0, 429, asked_wait=60)
    hosts.add("a", "second")
    hosts.add("b", "other host")
    assert list(hosts.start(59)) == ["other host"]
    assert list(hosts.start(60)) == ["second"]


@given(st.binary(max_size=60) | st.text("0123456789 :,-GMTFriJan", max_size=40).map(str.encode))
def test_no_header_of_the_web_raises(value: bytes) -> None:
    assert (retry_after([value]) or 0) >= 0
    opt_out_directive([value], "imagenet-all-rounder")
