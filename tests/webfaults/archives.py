"""Tars of all kinds, and behaviours that serve them whole, cut, or from another place."""

import io
import tarfile
from collections.abc import Iterable

from webfaults.pictures import photo
from webfaults.server import Exchange, behaviour

Item = tuple[tarfile.TarInfo, bytes]


def plain(name: str, body: bytes) -> Item:
    """An ordinary file."""
    info = tarfile.TarInfo(name)
    info.size = len(body)
    return info, body


def special(name: str, kind: bytes, target: str = "") -> Item:
    """A link, a device, a folder or a pipe."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def make_tar(items: Iterable[Item], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of items, as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, body in items:
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def photos_tar(count: int, seed: str = "tar") -> bytes:
    """A tar of good photos."""
    return make_tar(plain(f"p_{n}.JPEG", photo(f"{seed}{n}")) for n in range(count))


ARCHIVES: dict[str, bytes] = {}
"""What the behaviours below serve: filled by tests, by name."""


def _stored(exchange: Exchange) -> tuple[bytes, int]:
    """The archive that is asked for, and the place to start at."""
    start = exchange.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
    return ARCHIVES[exchange.argument], int(start)


def _ranged(
    exchange: Exchange, body: bytes, start: int, sent: int | None = None, etag: str = ""
) -> None:
    """An answer of body[start:], as a range if it is one, cut off after `sent` bytes."""
    if start and start >= len(body):
        return exchange.reply(code=416, headers=[("Content-Range", f"bytes */{len(body)}")])
    place = ("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    length = ("Content-Length", str(len(body) - start))
    headers = [length] + [place] * bool(start) + [("ETag", etag)] * bool(etag)
    exchange.head(206 if start else 200, headers)
    exchange.send(body[start:][:sent])


@behaviour
def tar(exchange: Exchange) -> None:
    """The archive, from the requested byte on."""
    _ranged(exchange, *_stored(exchange))


@behaviour
def tar_redirected(exchange: Exchange) -> None:
    """A redirect to the archive."""
    exchange.reply(b"over there", 302, [("Location", f"/tar/{exchange.argument}")])


@behaviour
def tar_after_503(exchange: Exchange) -> None:
    """Busy once, then the archive."""
    exchange.reply(b"busy", 503) if exchange.nth == 1 else tar(exchange)


@behaviour
def tar_in_pieces(exchange: Exchange) -> None:
    """At most 20,000 bytes of the archive, from the requested byte on, then a cut."""
    _ranged(exchange, *_stored(exchange), sent=20_000)


@behaviour
def tar_cut_then_reset(exchange: Exchange) -> None:
    """At most 20,000 bytes of the archive; after that only resets."""
    if exchange.nth > 1:
        return exchange.reset()
    tar_in_pieces(exchange)


@behaviour
def tar_without_range(exchange: Exchange) -> None:
    """The archive from its start, cut after 20,000 bytes more than the last time."""
    body, _ = _stored(exchange)
    _ranged(exchange, body, 0, sent=20_000 * exchange.nth)


@behaviour
def tar_wrong_range(exchange: Exchange) -> None:
    """Cut after 20,000 bytes; then always the end of the archive, whatever is asked for."""
    body, start = _stored(exchange)
    _ranged(exchange, body, start and len(body) - 30 * 512, sent=None if start else 20_000)


@behaviour
def tar_unsure_range(exchange: Exchange) -> None:
    """Cut after 20,000 bytes; then a range of the archive's start, and it says so."""
    body, start = _stored(exchange)
    if not start:
        return _ranged(exchange, body, 0, sent=20_000)
    place = ("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}")
    exchange.reply(body, 206, [place])


@behaviour
def tar_changed(exchange: Exchange) -> None:
    """Cut after 20,000 bytes; then the rest of another archive, as its ETag says."""
    body, start = _stored(exchange)
    body = photos_tar(40, "another") if start else body
    etag = '"two"' if start else '"one"'
    _ranged(exchange, body, start, None if start else 20_000, etag)


@behaviour
def tar_no_length(exchange: Exchange) -> None:
    """The archive, without a length, so that only its own end marks tell that it is whole."""
    exchange.head()
    exchange.send(_stored(exchange)[0])
