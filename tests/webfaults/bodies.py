"""Behaviours: bodies that are not the photo they are said to be, or too much of it."""

import gzip
import io
from functools import cache

from PIL import Image

from webfaults.archives import make_tar, plain
from webfaults.pictures import photo, png_header
from webfaults.server import Exchange, behaviour

JPEG = [("Content-Type", "image/jpeg")]
GZIP = [*JPEG, ("Content-Encoding", "gzip")]
PLACEHOLDER = photo("placeholder")


@behaviour
def html(exchange: Exchange) -> None:
    """A page, said to be a JPEG."""
    exchange.reply(b"\n <!DOCTYPE html><title>Parked</title>", headers=JPEG)


@behaviour
def text(exchange: Exchange) -> None:
    """Plain text, said to be a JPEG."""
    exchange.reply(b"no such photo", headers=JPEG)


@behaviour
def svg(exchange: Exchange) -> None:
    """A drawing, said to be a JPEG."""
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    exchange.reply(b'<?xml version="1.0"?>' + drawing, headers=JPEG)


@behaviour
def empty(exchange: Exchange) -> None:
    """Nothing, said to be a JPEG."""
    exchange.reply(b"", headers=JPEG)


@behaviour
def unreadable(exchange: Exchange) -> None:
    """The first bytes of a JPEG and then noise."""
    exchange.reply(b"\xff\xd8\xff\xe0" + bytes(100), headers=JPEG)


@behaviour
def pdf(exchange: Exchange) -> None:
    """A format that is not taken."""
    exchange.reply(b"%PDF-1.4" + bytes(99), headers=JPEG)


@behaviour
def octet_stream(exchange: Exchange) -> None:
    """A photo, said to be anything."""
    exchange.reply(photo(), headers=[("Content-Type", "application/octet-stream")])


@behaviour
def no_type(exchange: Exchange) -> None:
    """A photo without a Content-Type."""
    exchange.reply(photo())


@behaviour
def format(exchange: Exchange) -> None:
    """A photo of the format that the path names, said to be a JPEG."""
    exchange.reply(photo(form=exchange.argument), headers=JPEG)


@behaviour
def placeholder(exchange: Exchange) -> None:
    """A picture that a host serves in place of any photo that is gone."""
    exchange.reply(PLACEHOLDER, headers=JPEG)


@behaviour
def placeholder_etag(exchange: Exchange) -> None:
    """A photo with the ETag of a listed placeholder."""
    exchange.reply(photo(), headers=[("ETag", 'W/"a7cb396d0db6af2e63870985cb086fa1"')])


@behaviour
def too_many_pixels(exchange: Exchange) -> None:
    """A few bytes that say they are 30,000 x 30,000 pixels."""
    exchange.reply(png_header(30_000, 30_000), headers=JPEG)


@behaviour
def some_too_many_pixels(exchange: Exchange) -> None:
    """A few bytes that say they are 11,000 x 11,000 pixels."""
    exchange.reply(png_header(11_000, 11_000), headers=JPEG)


@behaviour
def one_pixel(exchange: Exchange) -> None:
    """A counter's pixel."""
    out = io.BytesIO()
    Image.new("RGB", (1, 1)).save(out, "GIF")
    exchange.reply(out.getvalue(), headers=JPEG)


@behaviour
def half_jpeg(exchange: Exchange) -> None:
    """The first half of a JPEG, with a length that matches."""
    exchange.reply(photo()[: len(photo()) // 2], headers=JPEG)


@behaviour
def gzip_good(exchange: Exchange) -> None:
    """A photo, packed on the way."""
    exchange.reply(gzip.compress(photo()), headers=GZIP)


@behaviour
def gzip_torn(exchange: Exchange) -> None:
    """A packed photo that ends in its middle, with a length that matches."""
    exchange.reply(gzip.compress(photo())[: len(photo()) // 2], headers=GZIP)


@behaviour
def gzip_false(exchange: Exchange) -> None:
    """A plain photo, said to be packed."""
    exchange.reply(photo(), headers=GZIP)


@behaviour
def gzip_bomb(exchange: Exchange) -> None:
    """Sixty-four megabytes of zeros behind a photo in sixty-four kilobytes."""
    exchange.reply(_bomb(), headers=GZIP)


@cache
def _bomb() -> bytes:
    return gzip.compress(photo() + bytes(64 * 2**20))


@behaviour
def gzip_nested(exchange: Exchange) -> None:
    """A photo packed a hundred times."""
    body = photo()
    for _ in range(100):
        body = gzip.compress(body, 1)
    exchange.reply(body, headers=[("Content-Encoding", ", ".join(["gzip"] * 100))])


@behaviour
def endless(exchange: Exchange) -> None:
    """A body that goes on until the client has enough."""
    exchange.head(200, JPEG)
    exchange.send(photo())
    while True:
        exchange.send(bytes(2**16))


@behaviour
def endless_chunks(exchange: Exchange) -> None:
    """A chunked body that goes on until the client has enough."""
    exchange.head(200, [*JPEG, ("Transfer-Encoding", "chunked")])
    while True:
        exchange.send(b"10000\r\n" + bytes(2**16) + b"\r\n")


@behaviour
def five_gigabytes(exchange: Exchange) -> None:
    """A body that is announced as 5 GB."""
    exchange.head(200, [*JPEG, ("Content-Length", str(5 * 10**9))])
    exchange.send(photo())
    exchange.gone(None)


@behaviour
def lfs_pointer(exchange: Exchange) -> None:
    """The pointer that a Git LFS repository has in place of a photo."""
    lines = ("version https://git-lfs.github.com/spec/v1", "oid sha256:" + 64 * "0", "size 1", "")
    exchange.reply("\n".join(lines).encode())


@behaviour
def tar_body(exchange: Exchange) -> None:
    """A tar in place of a photo."""
    exchange.reply(make_tar([plain("1.jpg", photo())]))
