"""How fast a host is asked that answers 503, in simulated time."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest

from allrounder.core.rows import Status
from allrounder.params.schema import Download, Network
from allrounder.web.fetcher import Fetcher
from allrounder.web.transfer import Reply, Request, Transfers
from hostile import encoded, picture

Host = Callable[[int, float], int]
"""The code that a host answers for a URL, by its number, at a time."""
URLS, LATENCY = 300, 0.05
PHOTO = encoded(picture(1, (90, 60)), "JPEG")


class Simulated:
    """The transfers from one host, whose time passes as they are waited for."""

    def __init__(self, host: Host):
        self.host, self.now = host, 0.0
        self._busy: list[tuple[float, int, Any, str]] = []
        self._started = 0

    @property
    def in_flight(self) -> int:
        return len(self._busy)

    def start(self, token: Any, request: Request) -> None:
        self._started += 1
        heapq.heappush(self._busy, (self.now + LATENCY, self._started, token, request.url))

    def step(self, wait: float) -> list[tuple[Any, Reply]]:
        if not self._busy or self._busy[0][0] > self.now + wait:
            self.now += wait
            return []
        when, _, token, url = heapq.heappop(self._busy)
        self.now = max(self.now, when)
        reply = Reply(code=self.host(int(url.rpartition("/")[2]), self.now), has_head=True)
        if reply.code == 200:
            reply.headers[b"content-type"] = [b"image/jpeg"]
            reply.chunks, reply.size = [PHOTO], len(PHOTO)
        return [(token, reply)]

    def close(self) -> None:
        """Nothing is open."""


def run(host: Host) -> tuple[Counter[Status], float]:
    """The results of all URLs, and the seconds that they took."""
    simulated = Simulated(host)
    download, rng = Download(robots="ignore"), random.Random(0)
    fetcher = Fetcher(Network(per_host=16), download, lambda: simulated.now, rng)
    fetcher._transfers = cast(Transfers, simulated)
    for number in range(URLS):
        fetcher.submit(number, f"http://host.example/{number}")
    found = Counter[Status]()
    while fetcher.load:
        found.update(result.status for _, result, _ in fetcher.poll(5))
    return found, simulated.now


@pytest.mark.parametrize("share", [2, 3, 10])
def test_a_host_that_answers_503_for_missing_files_is_not_slow_for_hours(share: int) -> None:
    found, seconds = run(lambda number, now: 200 if number % share else 503)
    assert found == {Status.OK: URLS - URLS // share, Status.HTTP_ERROR: URLS // share}
    assert seconds < 1000


@pytest.mark.parametrize(("rate", "burst"), [(2, 10), (5, 20), (20, 50)])
def test_a_host_that_throttles_by_503_loses_one_photo_at_most(rate: float, burst: int) -> None:
    left, last = float(burst), 0.0

    def bucket(number: int, now: float) -> int:
        nonlocal left, last
        left, last = min(burst, left + (now - last) * rate), now
        left -= (served := left >= 1)
        return 200 if served else 503

    found, _ = run(bucket)
    assert found[Status.OK] >= URLS - 1
