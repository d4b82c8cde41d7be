"""Behaviours: answers that are well-formed and say no, not now, or not for you."""

import email.utils
import time
from urllib.parse import parse_qs, urlsplit

from webfaults.pictures import photo
from webfaults.server import Exchange, behaviour


@behaviour
def good(exchange: Exchange) -> None:
    """A good photo, another one for each path."""
    exchange.reply(photo(exchange.argument))


@behaviour
def status(exchange: Exchange) -> None:
    """An error page with the code that the path names."""
    exchange.reply(b"<html>sorry</html>", int(exchange.argument[:3]))


@behaviour
def then_fine(exchange: Exchange) -> None:
    """The code that the path names once, then the photo."""
    exchange.reply(photo(), 200 if exchange.nth > 1 else int(exchange.argument))


@behaviour
def retry_seconds(exchange: Exchange) -> None:
    """429 that asks to wait for no seconds at all."""
    exchange.reply(code=429, headers=[("Retry-After", "0")])


@behaviour
def retry_date(exchange: Exchange) -> None:
    """429 that asks to wait until a date an hour ahead."""
    when = email.utils.formatdate(time.time() + 3600, usegmt=True)
    exchange.reply(code=429, headers=[("Retry-After", when)])


@behaviour
def retry_absurd(exchange: Exchange) -> None:
    """429 that asks to wait longer than the universe has stood."""
    exchange.reply(code=429, headers=[("Retry-After", "9" * 300)])


@behaviour
def retry_nonsense(exchange: Exchange) -> None:
    """429 whose Retry-After cannot be parsed."""
    exchange.reply(code=429, headers=[("Retry-After", "Thu, 99 Foo -1 99:99:99 GMT\x80")])


@behaviour
def robots(exchange: Exchange) -> None:
    """The photo, with the X-Robots-Tag headers `?tag=` of the query."""
    tags = parse_qs(urlsplit(exchange.path).query)["tag"]
    exchange.reply(photo(), headers=[("X-Robots-Tag", tag) for tag in tags])


@behaviour
def early_hints(exchange: Exchange) -> None:
    """103 with a robots tag, then a photo without one."""
    exchange.send(b"HTTP/1.1 103 Early Hints\r\nX-Robots-Tag: noai\r\n\r\n")
    exchange.reply(photo())


@behaviour
def partial_content(exchange: Exchange) -> None:
    """206 although no range was asked for."""
    exchange.reply(photo(), 206, [("Content-Range", "bytes 0-9/10")])


@behaviour
def error_short(exchange: Exchange) -> None:
    """404 whose page is shorter than its Content-Length."""
    exchange.head(404, [("Content-Length", "100")])
    exchange.send(b"not found")


@behaviour
def error_huge(exchange: Exchange) -> None:
    """404 whose page is 5 GB long."""
    exchange.head(404, [("Content-Length", str(5 * 10**9))])
    exchange.gone(None)


@behaviour
def error_gzip(exchange: Exchange) -> None:
    """404 whose page says it is gzip and is not."""
    exchange.reply(b"not found", 404, [("Content-Encoding", "gzip")])


@behaviour
def code_of_a_photo(exchange: Exchange) -> None:
    """The photo, with the code that the path names."""
    exchange.reply(photo(), int(exchange.argument))


@behaviour
def encoded(exchange: Exchange) -> None:
    """The photo as it is, with the Content-Encoding that the path names."""
    exchange.reply(photo(), headers=[("Content-Encoding", exchange.argument)])
