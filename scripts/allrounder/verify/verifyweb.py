"""Asks the URLs of a version's photos again, as politely as the download did: what has drifted?

Redirects, retries, caps and robots tags are the download's own (fetch.py). It changes nothing but
what validators.py remembers.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path

from allrounder.agent import NAME
from allrounder.download.archivefetch import ArchiveJob
from allrounder.download.crawl import NOTHING_REACHED, POLL, nothing_reached
from allrounder.download.fetch import Fetched, Fetcher, Traffic
from allrounder.download.headers import opted_out
from allrounder.download.interrupts import Interrupts
from allrounder.download.outcomes import Stored
from allrounder.download.photo import Bounds
from allrounder.download.rowpages import RowPages
from allrounder.hashing import Digest, digests
from allrounder.params import Download, Params
from allrounder.records import Status
from allrounder.slices import parse
from allrounder.urltext import is_web
from allrounder.verify.drift import Answer, Drift, find_placeholders, of_bytes, of_failure
from allrounder.verify.tarcheck import TarCheck
from allrounder.verify.validators import Validator, Validators
from allrounder.verify.webphotos import Form, Photo

Show = Callable[[int], object]
"""Is told how many more photos are done."""


@dataclass(frozen=True, slots=True)
class WebResult:
    """What became of the photos asked, of so many in the version, and what it cost."""

    answers: tuple[Answer, ...]
    photos: int
    traffic: Traffic


def check(
    params: Params, asked: Sequence[Photo], photos: int, remembered: Validators, show: Show
) -> WebResult:
    """Ask for the photos. Raises DataError when nothing at all can be reached."""
    forms: dict[Form, list[Photo]] = {form: [] for form in Form}
    rows = RowPages(params.sources, params.network.allow_private)
    for photo in asked:
        is_row = photo.form is Form.UNKNOWN and rows.job(photo.url)
        forms[Form.PAGE if is_row else photo.form].append(photo)
    answers = [Answer(photo, Drift.NOT_ASKED) for photo in forms[Form.UNKNOWN]]
    answers += _files(forms[Form.FILE])
    answers += map(_slice, forms[Form.SLICE])
    show(len(answers))
    download = _unbounded(params.download, asked)
    fetcher = Fetcher(params.network, download, rows=rows, sources=params.sources)
    asker = _Asker(fetcher, download, remembered)
    tars = [
        TarCheck(url, wanted, asker.bounds)
        for url, wanted in _by_archive(forms[Form.ARCHIVE]).items()
    ]
    for tar in tars:
        if not is_web(tar.url):
            answers += tar.read_local()
            show(len(tar.answers))
    try:
        answers += asker.ask([*forms[Form.PAGE], *(tar for tar in tars if is_web(tar.url))], show)
    finally:
        asker.close()
        remembered.save()
    order = {photo: place for place, photo in enumerate(asked)}
    answers.sort(key=lambda answer: order[answer.photo])
    return WebResult(tuple(find_placeholders(answers)), photos, asker.traffic)


def _unbounded(download: Download, asked: Sequence[Photo]) -> Download:
    """The download's rules without those on sizes: they are today's, the photos are from then."""
    largest = max([download.max_bytes, *(photo.size for photo in asked)])
    return download.model_copy(update={"max_bytes": largest, "min_side": 1, "max_pixels": 2**62})


def _by_archive(members: Sequence[Photo]) -> dict[str, list[Photo]]:
    archives: dict[str, list[Photo]] = {}
    for photo in members:
        archives.setdefault(photo.archive, []).append(photo)
    return archives


def _files(here: Sequence[Photo]) -> list[Answer]:
    """The answers of files of this machine."""
    hashed = digests([Path(photo.url) for photo in here])
    return [_file(photo, one) for photo, one in zip(here, hashed, strict=True)]


def _file(photo: Photo, one: Digest) -> Answer:
    if one.error == os.strerror(ENOENT):
        return of_failure(photo, Status.BAD_URL, "no such file")
    if one.error:
        return of_failure(photo, Status.CONNECTION_ERROR, f"file: {one.error}")
    return of_bytes(photo, one.sha256)


def _slice(photo: Photo) -> Answer:
    """The answer of a part of a file of this machine."""
    part = parse(photo.url)
    assert part
    try:
        body = Stored(Path(part.file), part.offset, part.size).read()
    except OSError as error:
        gone = error.errno == ENOENT
        status = Status.BAD_URL if gone else Status.CONNECTION_ERROR
        return of_failure(photo, status, "no such file" if gone else f"file: {error.strerror}")
    return of_bytes(photo, hashlib.sha256(body).hexdigest())


class _Asker:
    """Asks the web, many URLs at a time."""

    def __init__(self, fetcher: Fetcher, download: Download, remembered: Validators):
        self._fetcher = fetcher
        self._honour, self._remembered = download.honour_opt_out, remembered
        self._ended = 0

    @property
    def bounds(self) -> Bounds:
        """What a body may be."""
        return self._fetcher.bounds

    @property
    def traffic(self) -> Traffic:
        """What went over the network."""
        return self._fetcher.traffic

    def close(self) -> None:
        """Hang up everything."""
        self._fetcher.close()

    def ask(self, jobs: Sequence[Photo | TarCheck], show: Show) -> list[Answer]:
        """Ask for photos and tars until all have answered."""
        waiting, answers = deque(jobs), list[Answer]()
        with Interrupts() as interrupts:
            while waiting or self._fetcher.load:
                while waiting and self._fetcher.hungry:
                    self._submit(waiting.popleft())
                with interrupts.deferred():
                    ended = list(self._fetcher.poll(POLL))
                for fetched in ended:
                    got = self._answers(fetched)
                    answers += got
                    show(len(got))
                self._ended += len(ended)
                if self._ended >= NOTHING_REACHED and not self.traffic.answers:
                    raise nothing_reached(self.traffic)
        return answers

    def _submit(self, job: Photo | TarCheck) -> None:
        content = job.content if isinstance(job, TarCheck) else job.sha256
        known = self._remembered.get(job.url, content)
        headers = known.headers if known else None
        archive = ArchiveJob(job.take, self.bounds.max_bytes) if isinstance(job, TarCheck) else None
        self._fetcher.submit((job, content, known), job.url, archive, headers)

    def _answers(self, fetched: Fetched) -> list[Answer]:
        """The answers that an ended fetch gives; what was the same is remembered."""
        job, content, known = fetched.token
        answers = self._judged(job, known, fetched)
        if all(answer.drift is Drift.SAME for answer in answers):
            self._remembered.keep(job.url, content, fetched.final_url, fetched.headers)
        elif not all(answer.drift is Drift.UNREACHABLE for answer in answers):
            self._remembered.drop(job.url)
        return answers

    def _judged(
        self, job: Photo | TarCheck, known: Validator | None, fetched: Fetched
    ) -> list[Answer]:
        verdict, url = fetched.verdict, fetched.final_url
        if known and (verdict.status, verdict.detail) == (Status.HTTP_ERROR, "304"):
            if isinstance(job, TarCheck):
                return job.unmodified()
            words = opted_out(fetched.headers.get(b"x-robots-tag", ()), NAME)
            if self._honour and words:
                return [of_failure(job, Status.OPTED_OUT, words, url)]
            return [Answer(job, Drift.SAME, unmodified=True)]
        if isinstance(job, TarCheck):
            return job.end(verdict, url)
        if verdict.status is Status.OK:
            return [of_bytes(job, hashlib.sha256(fetched.body).hexdigest(), url)]
        return [of_failure(job, verdict.status, verdict.detail, url)]
