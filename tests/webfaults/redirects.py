"""Behaviours: redirects that must not be followed."""

from urllib.parse import parse_qs, urlsplit

from webfaults.pictures import photo
from webfaults.server import Exchange, behaviour


@behaviour
def to(exchange: Exchange) -> None:
    """A redirect to `?url=` of the query."""
    target = parse_qs(urlsplit(exchange.path).query)["url"][0]
    exchange.reply(code=302, headers=[("Location", target)])


@behaviour
def relative(exchange: Exchange) -> None:
    """A redirect to a photo beside it."""
    exchange.reply(code=301, headers=[("Location", "../no_type/1.jpg?a=b#fragment")])


@behaviour
def nowhere(exchange: Exchange) -> None:
    """A redirect without a target."""
    exchange.reply(code=302)


@behaviour
def loop(exchange: Exchange) -> None:
    """A redirect from a to b and from b to a."""
    exchange.reply(code=307, headers=[("Location", "a" if exchange.argument == "b" else "b")])


@behaviour
def hops(exchange: Exchange) -> None:
    """As many redirects as the path says, then the photo."""
    left = int(exchange.argument)
    if left:
        return exchange.reply(code=308, headers=[("Location", str(left - 1))])
    exchange.reply(photo())


@behaviour
def hop_reset(exchange: Exchange) -> None:
    """A redirect to a photo that comes on the second try."""
    exchange.reply(code=303, headers=[("Location", "/reset_once/hop")])


@behaviour
def not_ascii(exchange: Exchange) -> None:
    """A redirect whose target has bytes that are no ASCII, in two encodings."""
    exchange.send(b"HTTP/1.1 302 Found\r\nLocation: /good/\xc3\xa9\xe9 1.jpg\r\n")
    exchange.send(b"Content-Length: 0\r\nConnection: close\r\n\r\n")


@behaviour
def far(exchange: Exchange) -> None:
    """A redirect to a URL that is longer than any that is meant."""
    exchange.reply(code=302, headers=[("Location", "/" + 9000 * "a")])


@behaviour
def signed(exchange: Exchange) -> None:
    """A redirect to a photo at a signed URL, another one at each asking."""
    exchange.reply(code=302, headers=[("Location", f"/good/1.jpg?expires={exchange.nth}&sig=abc")])


@behaviour
def cookie_wall(exchange: Exchange) -> None:
    """A redirect to itself that sets a cookie; with the cookie the photo."""
    if "seen=1" in exchange.headers.get("cookie", ""):
        return exchange.reply(photo())
    exchange.reply(
        code=302, headers=[("Set-Cookie", "seen=1; Path=/"), ("Location", exchange.path)]
    )


@behaviour
def cookie_loop(exchange: Exchange) -> None:
    """A redirect to itself that sets the same cookie each time."""
    exchange.reply(code=302, headers=[("Set-Cookie", "seen=1"), ("Location", exchange.path)])


@behaviour
def cookie_leak(exchange: Exchange) -> None:
    """A photo without a cookie in the request, 400 with one."""
    exchange.reply(photo(), 400 if "cookie" in exchange.headers else 200)


@behaviour
def backslashes(exchange: Exchange) -> None:
    """A redirect whose target has backslashes."""
    exchange.reply(code=302, headers=[("Location", "\\good\\1.jpg")])
