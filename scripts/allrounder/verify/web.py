"""Requests the URLs of a version's photos again, as politely as the download did.

It changes nothing but the validators (ETag, Last-Modified) of unchanged bodies, which it keeps in
.allrounder/, so that hosts need not send them again (RFC 9110, section 13).
"""

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from errno import ENOENT
from pathlib import Path
from typing import Any

from allrounder.core.files import FileHashes, atomic_write, hash_files
from allrounder.core.interrupts import Interrupts
from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import Candidate, Result, Status
from allrounder.core.tarreader import Member
from allrounder.core.tars import StoredBytes
from allrounder.core.text import PROJECT
from allrounder.core.urls import is_url, parse_slice
from allrounder.params.schema import Download, Params
from allrounder.verify.drift import (
    Drift,
    DriftResult,
    Form,
    TakenPhoto,
    drift_of_bytes,
    drift_of_failure,
    find_placeholders,
)
from allrounder.web.archives import ArchiveDownload, new_member
from allrounder.web.dataset_rows import DatasetRows
from allrounder.web.decisions import opt_out_directive
from allrounder.web.fetcher import NOTHING_REACHED, POLL, Fetcher, Traffic, nothing_reached
from allrounder.web.transfer import Reply

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,200}"')  # RFC 9110, 8.8.3, less what is not ASCII
_DATE = re.compile(r"[A-Za-z0-9 :,+-]{10,40}")


@dataclass(frozen=True, slots=True)
class Validator:
    """A host's validators for a body whose hash is `content`."""

    content: str
    url: str  # that sent it, after redirects
    etag: str = ""
    modified: str = ""

    @property
    def headers(self) -> dict[str, tuple[str, ...]]:
        """Conditional request headers, by URL."""
        lines = [f"If-None-Match: {self.etag}"] * bool(self.etag)
        lines += [f"If-Modified-Since: {self.modified}"] * bool(self.modified)
        return {self.url: tuple(lines)}


class Validators:
    """The stored validators, by the URL that is requested."""

    def __init__(self, path: Path):
        self._path = path
        self._by_url = dict(_read(path))

    def get(self, url: str, content: str) -> Validator | None:
        """The validator of a URL, if its body had this content at the last request."""
        validator = self._by_url.get(url)
        return validator if validator and validator.content == content else None

    def keep(
        self, url: str, content: str, final_url: str, headers: Mapping[bytes, Sequence[bytes]]
    ) -> None:
        """Store the host's validators for the content, if it sent any."""
        etag, modified = _one(headers, b"etag", _ETAG), _one(headers, b"last-modified", _DATE)
        if etag or modified:
            self._by_url[url] = Validator(content, final_url, etag, modified)

    def drop(self, url: str) -> None:
        """Remove a URL whose content has changed."""
        self._by_url.pop(url, None)

    def save(self) -> None:
        """Write the file."""
        rows = {url: asdict(validator) for url, validator in sorted(self._by_url.items())}
        with atomic_write(self._path) as file:
            json.dump(rows, file, indent=1)


def _one(headers: Mapping[bytes, Sequence[bytes]], name: bytes, form: re.Pattern[str]) -> str:
    text = (headers.get(name) or [b""])[-1].decode("latin-1")
    return text if form.fullmatch(text) else ""


def _read(path: Path) -> Mapping[str, Validator]:
    """The stored validators; none if the file is missing or damaged, since they only save work."""
    try:
        rows: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {url: _checked(row) for url, row in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _checked(row: dict[str, str]) -> Validator:
    validator = Validator(**row)
    if (validator.etag and not _ETAG.fullmatch(validator.etag)) or (
        validator.modified and not _DATE.fullmatch(validator.modified)
    ):
        raise ValueError("invalid")
    return validator


class TarCheck:
    """Compares the photos taken from one tar with its members as they stream in."""

    def __init__(self, url: str, wanted: Sequence[TakenPhoto], bounds: Bounds):
        self.url = url
        self.answers: list[DriftResult] = []
        self.download = ArchiveDownload(self.take, bounds.max_bytes)
        self._bounds = bounds
        self._archive = Candidate("", url)
        self._wanted = {photo.url: photo for photo in wanted}
        self._seen: set[str] = set()
        pairs = sorted((photo.url, photo.sha256) for photo in wanted)
        self.content = hashlib.sha256(repr(pairs).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def asked(self) -> int:
        """The number of photos to compare."""
        return len(self._wanted) + len(self.answers)

    def take(self, member: Member) -> bool:
        """Compare a member; returns False when no more are wanted."""
        url = new_member(self._archive, member, self._seen).url
        self._seen.add(url)
        if photo := self._wanted.pop(url, None):
            self.answers.append(self._compared(photo, member))
        return bool(self._wanted)

    def _compared(self, photo: TakenPhoto, member: Member) -> DriftResult:
        if member.status is not Status.OK:
            return drift_of_failure(photo, Result(member.status, member.detail))
        result = judge(member.body, self._bounds)
        if result.status is not Status.OK:
            return drift_of_failure(photo, result)
        return drift_of_bytes(photo, result.sha256)

    def end(self, result: Result) -> list[DriftResult]:
        """All answers, once the tar is at its end or could not be downloaded."""
        rest = [self._without(photo, result) for photo in self._wanted.values()]
        self._wanted.clear()
        self.answers += rest
        return self.answers

    def unmodified(self) -> list[DriftResult]:
        """All answers, when the host says that the tar is unchanged."""
        same = [DriftResult(photo, Drift.SAME, unmodified=True) for photo in self._wanted.values()]
        self._wanted.clear()
        self.answers += same
        return self.answers

    def read_local(self) -> list[DriftResult]:
        """Compare a local tar."""
        try:
            self.download.read(Path(self.url))
        except FileNotFoundError:
            return self.end(Result(Status.BAD_URL, "no such file"))
        except OSError as error:
            return self.end(Result(Status.CONNECTION_ERROR, f"file: {error.strerror}"))
        return self.end(self.download.result())

    def _without(self, photo: TakenPhoto, result: Result) -> DriftResult:
        """The answer for a photo that did not arrive."""
        if result.status is Status.ARCHIVE:
            return DriftResult(photo, Drift.GONE, "not in the archive")
        if self.download.broken:
            return DriftResult(photo, Drift.GONE, f"no longer a tar: {self.download.broken}")
        return drift_of_failure(photo, result)


Show = Callable[[int], object]
"""Gets the number of photos that are done since the last call."""


@dataclass(frozen=True, slots=True)
class WebResult:
    """The answers for the requested photos, the number of photos in the version, the traffic."""

    answers: tuple[DriftResult, ...]
    photos: int
    traffic: Traffic


def check(
    params: Params, asked: Sequence[TakenPhoto], photos: int, validators: Validators, show: Show
) -> WebResult:
    """Request the photos. Raises DataError when nothing at all can be reached."""
    forms: dict[Form, list[TakenPhoto]] = {form: [] for form in Form}
    rows = DatasetRows(params.sources, params.network.allow_private)
    for photo in asked:
        is_row = photo.form is Form.UNKNOWN and rows.job(photo.url)
        forms[Form.PAGE if is_row else photo.form].append(photo)
    answers = [DriftResult(photo, Drift.NOT_ASKED) for photo in forms[Form.UNKNOWN]]
    answers += _files(forms[Form.FILE])
    answers += map(_slice, forms[Form.SLICE])
    show(len(answers))
    download = _unbounded(params.download, asked)
    fetcher = Fetcher(params.network, download, rows=rows, sources=params.sources)
    asker = _Requests(fetcher, download, validators)
    tars = [
        TarCheck(url, wanted, asker.bounds)
        for url, wanted in _by_archive(forms[Form.ARCHIVE]).items()
    ]
    for tar in tars:
        if not is_url(tar.url):
            answers += tar.read_local()
            show(len(tar.answers))
    try:
        answers += asker.ask([*forms[Form.PAGE], *(tar for tar in tars if is_url(tar.url))], show)
    finally:
        asker.close()
        validators.save()
    order = {photo: place for place, photo in enumerate(asked)}
    answers.sort(key=lambda answer: order[answer.photo])
    return WebResult(tuple(find_placeholders(answers)), photos, asker.traffic)


def _unbounded(download: Download, asked: Sequence[TakenPhoto]) -> Download:
    """The download's rules without bounds on sizes, which may have changed since."""
    largest = max([download.max_bytes, *(photo.size for photo in asked)])
    return download.model_copy(update={"max_bytes": largest, "min_side": 1, "max_pixels": 2**62})


def _by_archive(members: Sequence[TakenPhoto]) -> dict[str, list[TakenPhoto]]:
    archives: dict[str, list[TakenPhoto]] = {}
    for photo in members:
        archives.setdefault(photo.archive, []).append(photo)
    return archives


def _files(photos: Sequence[TakenPhoto]) -> list[DriftResult]:
    """The answers for local files."""
    hashed = hash_files([Path(photo.url) for photo in photos])
    return [_file(photo, one) for photo, one in zip(photos, hashed, strict=True)]


def _file(photo: TakenPhoto, one: FileHashes) -> DriftResult:
    if one.error == os.strerror(ENOENT):
        return drift_of_failure(photo, Result(Status.BAD_URL, "no such file"))
    if one.error:
        return drift_of_failure(photo, Result(Status.CONNECTION_ERROR, f"file: {one.error}"))
    return drift_of_bytes(photo, one.sha256)


def _slice(photo: TakenPhoto) -> DriftResult:
    """The answer for a part of a local file."""
    part = parse_slice(photo.url)
    assert part
    try:
        body = StoredBytes(Path(part.file), part.offset, part.size).read()
    except OSError as error:
        gone = error.errno == ENOENT
        status = Status.BAD_URL if gone else Status.CONNECTION_ERROR
        detail = "no such file" if gone else f"file: {error.strerror}"
        return drift_of_failure(photo, Result(status, detail))
    return drift_of_bytes(photo, hashlib.sha256(body).hexdigest())


class _Requests:
    """Requests many URLs at a time."""

    def __init__(self, fetcher: Fetcher, download: Download, validators: Validators):
        self._fetcher = fetcher
        self._honour, self._validators = download.honour_opt_out, validators
        self._ended = 0

    @property
    def bounds(self) -> Bounds:
        """The bounds of a body."""
        return self._fetcher.bounds

    @property
    def traffic(self) -> Traffic:
        """What went over the network."""
        return self._fetcher.traffic

    def close(self) -> None:
        """Close all connections."""
        self._fetcher.close()

    def ask(self, jobs: Sequence[TakenPhoto | TarCheck], show: Show) -> list[DriftResult]:
        """Request photos and tars until all have an answer."""
        waiting, answers = deque(jobs), list[DriftResult]()
        with Interrupts() as interrupts:
            while waiting or self._fetcher.load:
                while waiting and self._fetcher.hungry:
                    self._submit(waiting.popleft())
                with interrupts.deferred():
                    ended = list(self._fetcher.poll(POLL))
                for token, result, reply in ended:
                    got = self._answers(token, result, reply)
                    answers += got
                    show(len(got))
                self._ended += len(ended)
                if self._ended >= NOTHING_REACHED and not self.traffic.answers:
                    raise nothing_reached(self.traffic)
        return answers

    def _submit(self, job: TakenPhoto | TarCheck) -> None:
        content = job.content if isinstance(job, TarCheck) else job.sha256
        validator = self._validators.get(job.url, content)
        headers = validator.headers if validator else None
        archive = job.download if isinstance(job, TarCheck) else None
        self._fetcher.submit((job, content, validator), job.url, archive, headers)

    def _answers(self, token: Any, result: Result, reply: Reply) -> list[DriftResult]:
        """The answers that follow from a result; validators of unchanged bodies are kept."""
        job, content, validator = token
        answers = self._judged(job, validator, result, reply)
        if all(answer.drift is Drift.SAME for answer in answers):
            self._validators.keep(job.url, content, result.final_url, reply.headers)
        elif not all(answer.drift is Drift.UNREACHABLE for answer in answers):
            self._validators.drop(job.url)
        return answers

    def _judged(
        self, job: TakenPhoto | TarCheck, validator: Validator | None, result: Result, reply: Reply
    ) -> list[DriftResult]:
        if validator and result.http_status == 304:
            if isinstance(job, TarCheck):
                return job.unmodified()
            directive = opt_out_directive(reply.headers.get(b"x-robots-tag", ()), PROJECT)
            if self._honour and directive:
                opted_out = Result(Status.OPTED_OUT, directive, final_url=result.final_url)
                return [drift_of_failure(job, opted_out)]
            return [DriftResult(job, Drift.SAME, unmodified=True)]
        if isinstance(job, TarCheck):
            return job.end(result)
        if result.status is Status.OK:
            return [drift_of_bytes(job, result.sha256, result.final_url)]
        return [drift_of_failure(job, result)]
