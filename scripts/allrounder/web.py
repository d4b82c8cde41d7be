"""Asks listings and APIs of the web: requests with retries and timeouts, streamed.

Not for photos: those are many, and fetched by transfer.py. What is worth keeping goes through
webcache.py.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from allrounder import offline
from allrounder.agent import user_agent
from allrounder.errors import DataError
from allrounder.params import Network

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class BrokenBodyError(DataError):
    """An answer that began and did not come whole; another try may go on."""


class Web:
    """One session for all listings of a run; offline, it asks for nothing."""

    def __init__(self, network: Network):
        self.tries, self._backoff = network.tries, network.backoff
        retry = Retry(
            total=network.tries - 1,
            backoff_factor=0.5,
            backoff_jitter=0.5,
            status_forcelist=TRANSIENT,
            retry_after_max=int(network.retry_after_max),
            raise_on_status=False,
        )
        self._timeout = (network.connect_timeout, network.total_timeout)
        self._session = requests.Session()
        self._session.headers["User-Agent"] = user_agent(network)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    @contextmanager
    def stream(
        self,
        url: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        expect: Sequence[int] = (200,),
    ) -> Iterator[requests.Response]:
        """Open a URL; the body is not read yet.

        Raises DataError that starts with `what` when it cannot be reached or answers no status
        of `expect`, or we are offline; BrokenBodyError while the caller reads the body.
        """
        if offline.offline():
            raise offline.not_here(what, url)
        kind = DataError
        try:
            with self._session.get(
                url, stream=True, timeout=self._timeout, headers=headers
            ) as response:
                if response.status_code not in expect:
                    raise DataError(
                        f"{what}: {url} answered {response.status_code} {response.reason}"
                    )
                kind = BrokenBodyError
                yield response
        except requests.RequestException as error:
            raise kind(f"{what}: {url} cannot be read: {_words(error)}") from None

    def wait(self, number: int) -> None:
        """Wait before try `number` (from 1 on) of something that broke off, at random."""
        time.sleep(random.uniform(0, self._backoff * 2**number))


def _words(error: requests.RequestException) -> str:
    """The innermost reason, without addresses of objects."""
    reason: BaseException = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    reason = getattr(reason, "reason", None) or reason
    return str(reason).split("object at")[-1].partition(">: ")[2] or str(reason)
