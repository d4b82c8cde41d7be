"""Requests the URLs of a version's photos again, as politely as the download did; reports drift.

It writes only the validators (ETag, Last-Modified) of unchanged bodies to .allrounder/, so that
hosts need not send the bodies again (RFC 9110, section 13).
"""

import hashlib
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from allrounder.core.errors import DataError
from allrounder.core.files import hash_file, in_threads, replace_text
from allrounder.core.interrupts import Interrupts
from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import Candidate, Result, Status
from allrounder.core.tarreader import Member
from allrounder.core.tars import StoredBytes
from allrounder.core.text import printable, text_table
from allrounder.core.urls import is_url, parse_byte_range, shown_host
from allrounder.core.workers import cores
from allrounder.history.local_files import LocalPlaces
from allrounder.params.schema import Download, Params
from allrounder.verify.drift import (
    Drift,
    DriftResult,
    Form,
    TakenPhoto,
    drift_of,
    find_placeholders,
)
from allrounder.web.archives import ArchiveDownload, new_member
from allrounder.web.dataset_rows import DatasetRows
from allrounder.web.decisions import header_opt_out
from allrounder.web.fetcher import (
    NOTHING_REACHED,
    POLL,
    RESCUE_LANE,
    Fetcher,
    Traffic,
    nothing_reached,
)
from allrounder.web.transfer import Reply

_CONDITION = re.compile(
    r'If-None-Match: (W/)?"[\x21\x23-\x7e]{0,200}"'  # RFC 9110, 8.8.3, less what is not ASCII
    r"|If-Modified-Since: [A-Za-z0-9 :,+-]{10,40}"
)


class Validators:
    """The conditional request headers of bodies that were unchanged, by the URL requested.

    A missing or damaged file holds none, since they only save work.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            self._by_url = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._by_url = {}

    def headers(self, url: str, content: str) -> dict[str, tuple[str, ...]] | None:
        """The header lines for the URL that sent this content (a hash) last time, if any."""
        try:
            recorded, sender, lines = self._by_url[url]
            usable = recorded == content and all(map(_CONDITION.fullmatch, lines))
        except (KeyError, TypeError, ValueError):
            return None
        return {sender: tuple(lines)} if usable else None

    def keep(
        self, url: str, content: str, sender: str, headers: Mapping[bytes, Sequence[bytes]]
    ) -> None:
        """Store the validators that the sender gave for the content, if any."""
        names = {"If-None-Match": b"etag", "If-Modified-Since": b"last-modified"}
        given = {line: (headers.get(name) or [b""])[-1] for line, name in names.items()}
        lines = [f"{name}: {value.decode('latin-1')}" for name, value in given.items()]
        if lines := [line for line in lines if _CONDITION.fullmatch(line)]:
            self._by_url[url] = content, sender, lines

    def drop(self, url: str) -> None:
        """Remove a URL whose content has changed."""
        self._by_url.pop(url, None)

    def save(self) -> None:
        """Write the file."""
        replace_text(self._path, json.dumps(self._by_url, indent=1, sort_keys=True))


class TarCheck:
    """Compares the photos taken from one tar with its members as they stream in."""

    def __init__(self, url: str, wanted: Sequence[TakenPhoto], bounds: Bounds):
        self.url = url
        self.answers: list[DriftResult] = []
        self.download = ArchiveDownload(self.take, bounds)
        self._bounds = bounds
        self._archive = Candidate("", url)
        self._wanted = {photo.url: photo for photo in wanted}
        self._seen: set[str] = set()
        pairs = sorted((photo.url, photo.sha256) for photo in wanted)
        self.content = hashlib.sha256(repr(pairs).encode("utf-8", "surrogatepass")).hexdigest()

    def take(self, member: Member) -> bool:
        """Compare a member; returns False when no more are wanted."""
        url = new_member(self._archive, member, self._seen).url
        self._seen.add(url)
        if photo := self._wanted.pop(url, None):
            self.answers.append(self._compared(photo, member))
        return bool(self._wanted)

    def _compared(self, photo: TakenPhoto, member: Member) -> DriftResult:
        if member.status is Status.OK:
            return drift_of(photo, judge(member.body, self._bounds))
        return drift_of(photo, Result(member.status, member.detail))

    def end(self, result: Result, unmodified: bool = False) -> list[DriftResult]:
        """All answers, once the tar is at its end, unmodified or could not be downloaded."""
        for photo in self._wanted.values():
            same = DriftResult(photo, Drift.SAME, unmodified=True)
            self.answers.append(same if unmodified else self._missing(photo, result))
        self._wanted.clear()
        return self.answers

    def read_local(self, path: Path) -> list[DriftResult]:
        """Compare a local tar."""
        try:
            self.download.read(path)
        except OSError as error:
            return self.end(_unread(path, error.strerror))
        return self.end(self.download.result())

    def _missing(self, photo: TakenPhoto, result: Result) -> DriftResult:
        """The answer for a photo that did not arrive."""
        if result.status is Status.ARCHIVE:
            return DriftResult(photo, Drift.GONE, "not in the archive")
        if self.download.broken:
            return DriftResult(photo, Drift.GONE, f"no longer a tar: {self.download.broken}")
        return drift_of(photo, result)


Show = Callable[[int], object]
"""Gets the number of photos that are done since the last call."""


@dataclass(frozen=True, slots=True)
class WebResult:
    """The answers for the requested photos, the number of photos in the version, the traffic."""

    answers: tuple[DriftResult, ...]
    photos: int
    traffic: Traffic

    @property
    def drifted(self) -> list[DriftResult]:
        """The answers for photos whose URLs do not give the same bytes."""
        return [answer for answer in self.answers if answer.drifted]

    @property
    def unmodified(self) -> int:
        """The number of photos of which the host replied that they are unmodified."""
        return sum(answer.unmodified for answer in self.answers)


def check(
    params: Params, chosen: Sequence[TakenPhoto], photos: int, validators: Validators, show: Show
) -> WebResult:
    """Request the photos. Raises DataError when nothing at all can be reached."""
    forms: dict[Form, list[TakenPhoto]] = {form: [] for form in Form}
    rows = DatasetRows(params.sources, params.network.allow_private)
    for photo in chosen:
        is_row = photo.form is Form.UNKNOWN and rows.lists(photo.url)
        forms[Form.PAGE if is_row else photo.form].append(photo)
    answers = [DriftResult(photo, Drift.NOT_ASKED) for photo in forms[Form.UNKNOWN]]
    places = LocalPlaces(params.sources)
    answers += in_threads(lambda one: _local(one, places), forms[Form.FILE], 4 * cores())
    show(len(answers))
    download = _unbounded(params.download, chosen)
    fetcher = Fetcher(params.network, download, sources=params.sources)
    members: dict[str, list[TakenPhoto]] = defaultdict(list)
    for photo in forms[Form.ARCHIVE]:
        members[photo.archive].append(photo)
    tars = [TarCheck(url, wanted, fetcher.bounds) for url, wanted in members.items()]
    jobs: list[TakenPhoto | TarCheck] = [*forms[Form.PAGE]]
    for tar in tars:
        if is_url(tar.url):
            jobs.append(tar)
        else:
            answers += tar.read_local(Path(places.path(tar.url)))
            show(len(tar.answers))
    try:
        answers += _request(fetcher, jobs, validators, download.honour_opt_out, show)
    finally:
        fetcher.close()
        validators.save()
    order = {photo: place for place, photo in enumerate(chosen)}
    answers.sort(key=lambda answer: order[answer.photo])
    return WebResult(tuple(find_placeholders(answers)), photos, fetcher.traffic)


def _unbounded(download: Download, chosen: Sequence[TakenPhoto]) -> Download:
    """The download's rules without bounds on sizes, which may have changed since."""
    largest = max([download.max_bytes, *(photo.size for photo in chosen)])
    return download.model_copy(update={"max_bytes": largest, "min_side": 1, "max_pixels": 2**62})


def _local(photo: TakenPhoto, places: LocalPlaces) -> DriftResult:
    """The answer for a local file, or a byte range of one."""
    part = parse_byte_range(photo.url)
    path = Path(places.path(part.file if part else photo.url))
    if not part:
        hashed = hash_file(path)
        whole = Result(Status.OK, sha256=hashed.sha256)
        return drift_of(photo, _unread(path, hashed.error) if hashed.error else whole)
    try:
        body = StoredBytes(path, part.offset, part.size).read()
    except OSError as error:
        return drift_of(photo, _unread(path, error.strerror))
    return drift_of(photo, Result(Status.OK, sha256=hashlib.sha256(body).hexdigest()))


def _unread(path: Path, words: str | None) -> Result:
    """The result of a local file that cannot be read."""
    if not path.exists():
        return Result(Status.BAD_URL, "no such file")
    return Result(Status.CONNECTION_ERROR, f"file: {words}")


def _request(
    fetcher: Fetcher,
    jobs: Sequence[TakenPhoto | TarCheck],
    validators: Validators,
    honour_opt_out: bool,
    show: Show,
) -> list[DriftResult]:
    """Request photos and tars, many at a time, until all have an answer.

    Validators of unchanged bodies are kept.
    """
    waiting, answers, done = deque(jobs), list[DriftResult](), 0
    with Interrupts() as interrupts:
        while waiting or fetcher.load:
            while waiting and fetcher.wants_more:
                job = waiting.popleft()
                content = job.content if isinstance(job, TarCheck) else job.sha256
                headers = validators.headers(job.url, content)
                archive = job.download if isinstance(job, TarCheck) else None
                lane = RESCUE_LANE if isinstance(job, TakenPhoto) and job.rescued else ""
                fetcher.submit((job, content, bool(headers)), job.url, archive, headers, lane)
            with interrupts.deferred():
                ended = list(fetcher.poll(POLL))
            for (job, content, conditional), result, reply in ended:
                unmodified = conditional and result.http_status == 304
                got = _answers(job, unmodified, honour_opt_out, result, reply)
                if all(answer.drift is Drift.SAME for answer in got):
                    validators.keep(job.url, content, result.final_url, reply.headers)
                elif not all(answer.drift is Drift.UNREACHABLE for answer in got):
                    validators.drop(job.url)
                answers += got
                show(len(got))
            done += len(ended)
            if done >= NOTHING_REACHED and not fetcher.traffic.answers:
                raise nothing_reached(fetcher.traffic)
    return answers


def _answers(
    job: TakenPhoto | TarCheck, unmodified: bool, honour_opt_out: bool, result: Result, reply: Reply
) -> list[DriftResult]:
    if isinstance(job, TarCheck):
        return job.end(result, unmodified)
    if unmodified:
        refusal = header_opt_out(reply.headers)
        if not honour_opt_out or not refusal:
            return [DriftResult(job, Drift.SAME, unmodified=True)]
        result = replace(refusal, final_url=result.final_url)
    return [drift_of(job, result)]


MOST_ROWS = 15
"""Hosts or classes in a table at most; --json has all of them."""


def web_lines(result: WebResult) -> Iterator[str]:
    """The report for people: every photo that has drifted, then two tables."""
    for answer in result.drifted:
        photo = answer.photo
        to = f" -> {answer.final_url}" if answer.final_url else ""
        words = f"{answer.detail}: " if answer.detail else ""
        yield printable(f"{answer.drift:<11} {photo.key} {words}{photo.url}{to}")
    for name, key in (("host", _host), ("class", attrgetter("photo.key"))):
        yield from _table(name, _counts(result.answers, key))
        yield ""
    yield (
        f"{len(result.answers)} of {result.photos} photos; {result.unmodified} unmodified (304); "
        f"{result.traffic.requests} requests, {result.traffic.bytes / 1e6:.1f} MB"
    )


def web_json(result: WebResult) -> dict[str, Any]:
    """The report for programs."""
    drifts = Counter(answer.drift for answer in result.answers)
    return {
        "check": "web",
        "ok": not result.drifted,
        "photos": result.photos,
        "checked": len(result.answers),
        "counts": {str(drift): drifts[drift] for drift in Drift},
        "unmodified": result.unmodified,
        "requests": result.traffic.requests,
        "bytes": result.traffic.bytes,
        "hosts": _counts(result.answers, _host),
        "classes": _counts(result.answers, attrgetter("photo.key")),
        "problems": [
            {
                "drift": str(answer.drift),
                "detail": answer.detail,
                "wnid": answer.photo.key,
                "image_id": answer.photo.image_id,
                "url": answer.photo.url,
                "final_url": answer.final_url,
                "sha256": answer.photo.sha256,
                "sha256_now": answer.sha256,
            }
            for answer in result.drifted
        ],
    }


def raise_if_drifted(result: WebResult) -> None:
    """Raise DataError when a requested photo has drifted, or none could be requested."""
    if result.traffic.requests and not result.traffic.answers:
        raise nothing_reached(result.traffic)
    if faults := Counter(answer.drift for answer in result.drifted):
        words = ", ".join(f"{faults[drift]} {drift}" for drift in Drift if faults[drift])
        raise DataError(f"of {len(result.answers)} photos: {words}; see above")
    if all(answer.drift is Drift.NOT_ASKED for answer in result.answers):
        raise DataError("no URL of this version could be requested again; see above")


def _counts(
    answers: Sequence[DriftResult], key: Callable[[DriftResult], str]
) -> dict[str, Counter[Drift]]:
    counts: dict[str, Counter[Drift]] = defaultdict(Counter)
    for answer in answers:
        counts[key(answer)][answer.drift] += 1
    return dict(sorted(counts.items()))


def _table(name: str, counts: Mapping[str, Counter[Drift]]) -> Iterator[str]:
    """A table of the rows with most drift, and a sum of the others."""
    seen = [drift for drift in Drift if any(row[drift] for row in counts.values())]
    rows = sorted(counts.items(), key=lambda row: (row[1][Drift.SAME] - row[1].total(), row[0]))
    first, rest = rows[:MOST_ROWS], rows[MOST_ROWS:]
    if rest:
        total = sum((row for _, row in rest), Counter[Drift]())
        first.append((f"{len(rest)} more", total))
    cells = [[key, *(row[drift] for drift in seen)] for key, row in first]
    yield from text_table([[name, *seen], *cells])


def _host(answer: DriftResult) -> str:
    return shown_host(answer.photo.url)
