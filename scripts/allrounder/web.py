"""Asks listings and APIs of the web: requests with retries and timeouts, streamed.

Not for photos: those are many, and fetched by transfer.py.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from allrounder.agent import user_agent
from allrounder.errors import DataError
from allrounder.params import Network

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
MAX_PAGE = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of whatever code, with its whole body; the headers' names in any case."""

    code: int
    headers: Mapping[str, str]
    body: bytes


class _Bearer(AuthBase):
    """Sends a token. requests drops it at a redirect to another scheme, host or port.

    It is no plain header, for in place of one requests would send what ~/.netrc has for the host.
    """

    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Web:
    """One session for all listings of a run."""

    def __init__(self, network: Network):
        self.allow_private = tuple(network.allow_private)
        retry = Retry(
            total=network.tries - 1,
            backoff_factor=0.5,
            backoff_jitter=0.5,
            status_forcelist=TRANSIENT,
            retry_after_max=int(network.retry_after_max),
            raise_on_status=False,
        )
        self.tries = network.tries
        self._timeout = (network.connect_timeout, network.total_timeout)
        self._session = requests.Session()
        self._session.headers["User-Agent"] = user_agent(network)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    @contextmanager
    def _asked(
        self, url: str, what: str, token: str = "", headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        auth = _Bearer(token) if token else None
        try:
            with self._session.get(
                url, stream=True, timeout=self._timeout, auth=auth, headers=headers
            ) as response:
                yield response
        except requests.RequestException as error:
            raise DataError(f"{what}: {url} cannot be read: {_words(error)}") from None

    @contextmanager
    def stream(
        self, url: str, what: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Open a URL; the body is not read yet. Who asks for a Range may get 200 or 206.

        Raises DataError that starts with `what` when it cannot be reached or answers no 200,
        also while the caller reads the body.
        """
        with self._asked(url, what, headers=headers) as response:
            partial = "Range" in (headers or ()) and response.status_code == 206
            if response.status_code != 200 and not partial:
                raise DataError(f"{what}: {url} answered {response.status_code} {response.reason}")
            yield response

    def page(self, url: str, what: str) -> bytes:
        """A whole small answer, at most MAX_PAGE bytes. Raises DataError as `stream` does."""
        with self.stream(url, what) as response:
            return _body(response, url, what)

    def answer(self, url: str, what: str, token: str = "") -> Answer:
        """An API's answer, also one of another code than 200; `token` goes along as its bearer's.

        Raises DataError when it cannot be reached or has more than MAX_PAGE bytes.
        """
        with self._asked(url, what, token) as response:
            body = _body(response, url, what)
            return Answer(response.status_code, response.headers, body)


def _body(response: requests.Response, url: str, what: str) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(2**16):
        body += chunk
        if len(body) > MAX_PAGE:
            raise DataError(f"{what}: {url} answered more than {MAX_PAGE:,} bytes")
    return bytes(body)


def _words(error: requests.RequestException) -> str:
    """The innermost reason, without addresses of objects."""
    reason: BaseException = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    reason = getattr(reason, "reason", None) or reason
    return str(reason).split("object at")[-1].partition(">: ")[2] or str(reason)
