"""Behaviours: connections that break, stall, or carry what is hardly HTTP."""

from webfaults.pictures import photo
from webfaults.server import Exchange, behaviour

CHUNKED = [("Transfer-Encoding", "chunked")]


@behaviour
def reset(exchange: Exchange) -> None:
    """A TCP reset in place of an answer."""
    exchange.reset()


@behaviour
def reset_once(exchange: Exchange) -> None:
    """A reset, then the photo."""
    exchange.reply(photo()) if exchange.nth > 1 else exchange.reset()


@behaviour
def reset_in_body(exchange: Exchange) -> None:
    """A reset within the body, then the photo."""
    if exchange.nth > 1:
        return exchange.reply(photo())
    exchange.head(200, [("Content-Length", str(len(photo())))])
    exchange.send(photo()[:1000])
    exchange.reset()


@behaviour
def hang_up(exchange: Exchange) -> None:
    """The connection is closed without a word."""


@behaviour
def silent(exchange: Exchange) -> None:
    """No answer, for as long as the client waits."""
    exchange.gone(None)


@behaviour
def silent_once(exchange: Exchange) -> None:
    """No answer for as long as the client waits; the next time, the photo."""
    exchange.reply(photo()) if exchange.nth > 1 else silent(exchange)


@behaviour
def silent_in_body(exchange: Exchange) -> None:
    """Half of the photo, then nothing for as long as the client waits."""
    exchange.head(200, [("Content-Length", str(len(photo())))])
    exchange.send(photo()[:1000])
    exchange.gone(None)


@behaviour
def drip(exchange: Exchange) -> None:
    """The photo, one byte at a time, for as long as the client waits."""
    exchange.head(200, [("Content-Length", str(len(photo())))])
    for byte in photo():
        if exchange.gone(0.05):
            return
        exchange.send(bytes([byte]))


@behaviour
def drip_headers(exchange: Exchange) -> None:
    """Headers without end, a few bytes at a time."""
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while not exchange.gone(0.05):
        exchange.send(b"X-A: b\r\n")


@behaviour
def short(exchange: Exchange) -> None:
    """A body that ends before its Content-Length."""
    exchange.head(200, [("Content-Length", str(len(photo())))])
    exchange.send(photo()[:-100])


@behaviour
def short_once(exchange: Exchange) -> None:
    """A body that ends before its Content-Length, then a whole one."""
    exchange.reply(photo()) if exchange.nth > 1 else short(exchange)


@behaviour
def lengths_conflict(exchange: Exchange) -> None:
    """Two Content-Lengths, one of them right."""
    exchange.head(200, [("Content-Length", str(len(photo()))), ("Content-Length", "100")])
    exchange.send(photo())


@behaviour
def length_negative(exchange: Exchange) -> None:
    """A Content-Length below nothing."""
    exchange.head(200, [("Content-Length", "-5")])
    exchange.send(photo())


@behaviour
def no_length(exchange: Exchange) -> None:
    """A body that ends where the connection does."""
    exchange.head()
    exchange.send(photo())


@behaviour
def chunks(exchange: Exchange) -> None:
    """A body in proper chunks."""
    exchange.head(200, CHUNKED)
    for part in (photo()[:1000], photo()[1000:], b""):
        exchange.send(b"%x;why=not\r\n%s\r\n" % (len(part), part))


@behaviour
def chunk_broken(exchange: Exchange) -> None:
    """A chunk whose size is no number."""
    exchange.head(200, CHUNKED)
    exchange.send(b"%x\r\n%s\r\nzz\r\n" % (len(photo()), photo()))


@behaviour
def chunk_oversized(exchange: Exchange) -> None:
    """A chunk that says it is larger than any number of 64 bits."""
    exchange.head(200, CHUNKED)
    exchange.send(b"f" * 40 + b"\r\n" + photo())


@behaviour
def chunk_missing(exchange: Exchange) -> None:
    """Chunks without the last, empty one."""
    exchange.head(200, CHUNKED)
    exchange.send(b"%x\r\n%s\r\n" % (len(photo()), photo()))


@behaviour
def header_flood(exchange: Exchange) -> None:
    """Headers without end."""
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        exchange.send(b"X-Flood: %s\r\n" % (b"x" * 1000) * 50)


@behaviour
def header_endless(exchange: Exchange) -> None:
    """A single header without end."""
    exchange.send(b"HTTP/1.1 200 OK\r\nX-Flood: ")
    while True:
        exchange.send(b"x" * 50_000)


@behaviour
def no_http(exchange: Exchange) -> None:
    """The photo alone, without a status line."""
    exchange.send(photo())
