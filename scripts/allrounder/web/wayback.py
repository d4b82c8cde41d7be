"""Rescues photos that are gone: asks the Wayback Machine for its capture nearest to a date.

Two requests a photo: the availability API names the capture, and `id_` behind the capture's time
gives the bytes as they were captured, without the archive's own changes. All requests are in one
lane of the Fetcher: one at a time, `network.rescue_interval` seconds apart.
Sources: https://archive.org/help/wayback_api.php; https://en.wikipedia.org/wiki/Help:Using_the_Wayback_Machine
"""

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from allrounder.core.photos import ends_whole, placeholder_host_of_etags, placeholder_host_of_url
from allrounder.core.rows import Result, Status
from allrounder.core.urls import BadUrlError, host_of, request_url
from allrounder.params.schema import Download
from allrounder.web.decisions import header_opt_out
from allrounder.web.fetcher import RESCUE_LANE
from allrounder.web.transfer import Reply

GONE_CODES = (404, 410)
NO_ANSWER = (Status.TIMEOUT, Status.CONNECTION_ERROR)
MOST_SILENT = 3
"""Photos in a row without any answer after which the archive gets no more requests in this run."""
_CAPTURE = re.compile(r"(https?)://([^/]+)/web/(\d{4,14})(?:[a-z]{2}_)?/(.+)", re.DOTALL)
_ORIGINAL = b"x-archive-orig-"  # before the name of a header that the host sent


def is_gone(result: Result) -> bool:
    """Whether to look a photo up in the archive: its host lost it or does not answer."""
    if result.status is Status.HTTP_ERROR:
        return result.http_status in GONE_CODES
    return result.status is Status.PLACEHOLDER or result.status in NO_ANSWER


def availability_url(api: str, url: str, date: int) -> str:
    """The API's URL for the capture of `url` nearest to a date. Raises BadUrlError."""
    return f"{api}?{urlencode({'url': request_url(url), 'timestamp': date})}"


def raw_capture(body: bytes, api: str) -> str:
    """The URL of the raw capture that the API names, or '' if it names none.

    A capture on another site than the API's is not requested.
    """
    try:
        closest = json.loads(body)["archived_snapshots"]["closest"]
        named = _capture(closest["url"], api) if closest["available"] is True else None
        if named is None or str(closest["status"]) != "200":
            return ""
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    scheme, place, time, url = named.groups()
    scheme = "https" if api.startswith("https:") else scheme
    return f"{scheme}://{place}/web/{time}id_/{url}"


def _capture(url: str, api: str) -> re.Match[str] | None:
    """The parts of a capture's URL; None for other URLs and on another site than the API's."""
    found, site = _CAPTURE.fullmatch(url), host_of(api)
    host = host_of(f"{found[1]}://{found[2]}/") if found else ""
    return found if host == site or host.endswith(f".{site}") else None


def is_photo(result: Result, reply: Reply, rules: Download) -> bool:
    """Whether a capture is a whole photo, which its host served as such and without an opt-out."""
    if result.status is not Status.OK or not ends_whole(reply.body, result.suffix):
        return False
    captured = _capture(result.final_url, rules.rescue_api)
    if captured is None or placeholder_host_of_url(captured[4]):
        return False
    headers = {name.removeprefix(_ORIGINAL): values for name, values in reply.headers.items()
               if name.startswith(_ORIGINAL)}  # fmt: skip
    if placeholder_host_of_etags(headers.get(b"etag", ())):
        return False
    return not (rules.honour_opt_out and header_opt_out(headers))


@dataclass(slots=True, eq=False)
class Rescue:
    """A photo that is gone, and what its own host answered. `capture`: once the API named it."""

    token: Any
    url: str
    lost: Result
    is_wanted: Callable[[], bool]
    capture: str = ""


class Wayback:
    """The rescues of a run, one after the other.

    `submit` is a Fetcher's; the results of these URLs must be given to `end`.
    """

    def __init__(self, submit: Callable[..., None], rules: Download):
        self._submit_url, self._rules = submit, rules
        self._queue: deque[Rescue] = deque()
        self._busy = False
        self._silent = 0  # photos in a row without any answer of the archive

    def add(self, rescue: Rescue) -> None:
        """Queue a photo."""
        self._queue.append(rescue)

    def start(self) -> Iterator[tuple[Rescue, Result]]:
        """Start the next rescue that is wanted; yields those that end without a request."""
        while self._queue and not self._busy:
            rescue = self._queue.popleft()
            if not rescue.is_wanted():
                continue
            if self._silent >= MOST_SILENT:
                yield rescue, self._failed(rescue, Result(Status.CONNECTION_ERROR, "given up"))
                continue
            try:
                api, date = self._rules.rescue_api, self._rules.rescue_date
                url = availability_url(api, rescue.url, date)
            except BadUrlError:
                yield rescue, rescue.lost
                continue
            self._submit(rescue, url)

    def end(self, rescue: Rescue, result: Result, reply: Reply) -> Result | None:
        """The photo's result, with `rescued_from` if the archive has it; None if not done yet."""
        self._busy = False
        self._silent = 0 if reply.code else self._silent + 1
        if not rescue.capture and reply.code == 200 and not reply.error:
            rescue.capture = raw_capture(reply.body, self._rules.rescue_api)
            if not rescue.capture:
                return rescue.lost
            self._submit(rescue, rescue.capture)
            return None
        if rescue.capture and is_photo(result, reply, self._rules):
            at, lost = result.final_url or rescue.capture, rescue.lost
            code = 200 if lost.status is Status.PLACEHOLDER else lost.http_status
            return replace(result, rescued_from=at, final_url="", http_status=code)
        return self._failed(rescue, result)

    def _submit(self, rescue: Rescue, url: str) -> None:
        self._busy = True
        self._submit_url(rescue, url, lane=RESCUE_LANE)

    def _failed(self, rescue: Rescue, result: Result) -> Result:
        """The host's result, or the archive's failure if only that is transient."""
        if rescue.lost.transient or not result.transient:
            return rescue.lost
        detail = f"{rescue.lost.detail}; Wayback Machine: {result.detail or result.status}"
        return replace(result, detail=detail, final_url=self._rules.rescue_api, bytes=None)
