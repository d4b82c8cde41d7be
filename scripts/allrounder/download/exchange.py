"""What travels to a host and back: a `Request` to make, the `Reply` to it.

Not for making it (transfer.py) or for what follows from a reply (fates.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Reply:
    """What came back: libcurl's error (0: none), the HTTP code, headers we use, the body."""

    error: int = 0
    words: str = ""  # libcurl's, of the error
    code: int = 0
    headers: dict[bytes, list[bytes]] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0  # of the body so far
    refused: bool = False  # the address was not public
    over: bool = False  # the body was longer than it may be
    stopped: bool = False  # the sink had enough
    raised: BaseException | None = None  # by the sink

    @property
    def body(self) -> bytes:
        """The body in one piece."""
        if len(self.chunks) > 1:
            self.chunks[:] = [b"".join(self.chunks)]
        return self.chunks[0] if self.chunks else b""


Sink = Callable[[Reply, bytes], bool]
"""Takes a piece of a body as it comes, with the reply so far; False ends the transfer."""


@dataclass(slots=True)
class Request:
    """One request to make; `sink` takes the body instead of `Reply.body`.

    With a `size`, only so many bytes from `offset` on are asked for; else all from there on.
    `headers` are lines of this request alone: what they hold goes to no other. `login` says
    whether it may carry what ~/.netrc has for the host.
    """

    url: str
    max_bytes: int
    sink: Sink | None = None
    offset: int = 0
    size: int = 0
    headers: tuple[str, ...] = ()
    login: bool = False

    @property
    def kind(self) -> tuple[object, ...]:
        """All but its URL that a handle is set up for."""
        return self.sink is None, self.max_bytes, self.offset, self.size, self.headers, self.login
