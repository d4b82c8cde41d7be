"""Asks the URLs of a version's photos again, as politely as the download did."""

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from errno import ENOENT
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from allrounder.core.errors import DataError
from allrounder.core.files import FileHashes, hash_file, hash_files
from allrounder.core.interrupts import Interrupts
from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import Candidate, RawRow, Result, Status
from allrounder.core.tables import read_csv
from allrounder.core.tars import StoredBytes
from allrounder.core.tarreader import Member
from allrounder.core.text import PROJECT
from allrounder.core.urls import is_archive, is_local_file, is_url, parse_slice
from allrounder.history.versions import VersionFiles, folder_list, outputs, repository
from allrounder.params.schema import Download, Params
from allrounder.verify.validators import Validator, Validators
from allrounder.web.archives import ArchiveDownload, new_member
from allrounder.web.dataset_rows import DatasetRows
from allrounder.web.decisions import opt_out_directive
from allrounder.web.fetcher import NOTHING_REACHED, POLL, Fetcher, Traffic, nothing_reached
from allrounder.web.transfer import Reply

RAW = "data/raw"


class Form(StrEnum):
    """How a URL is asked."""

    PAGE = "page"  # one request
    FILE = "file"  # a file of this machine
    SLICE = "slice"  # a part of a file of this machine
    ARCHIVE = "archive"  # a member, `<tar>#<name>`: the tar once for all of its members
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TakenPhoto:
    """A photo that the download took, as it was then."""

    wnid: str
    image_id: str
    url: str
    sha256: str  # of the bytes as served
    size: int  # bytes

    @property
    def form(self) -> Form:
        """How its URL is asked; UNKNOWN is never asked, but counted."""
        if parse_slice(self.url):
            return Form.PAGE if is_url(self.url) else Form.SLICE
        base, mark, member = self.url.partition("#")
        if mark and is_archive(base):
            return Form.ARCHIVE if member and "#" not in member else Form.UNKNOWN
        if is_url(self.url):
            return Form.UNKNOWN if mark else Form.PAGE
        return Form.FILE if not mark or is_local_file(self.url) else Form.UNKNOWN

    @property
    def archive(self) -> str:
        """The URL of the tar that it is in."""
        return self.url.partition("#")[0]


def taken_photos(folder: Path) -> list[TakenPhoto]:
    """Every photo that is `ok` in this version's data/raw, classes by wnid, in rank order.

    The tables come from the work tree, or else through DVC into `folder`; the photos need not be
    here. Raises DataError when a table cannot be had.
    """
    found = []
    for table in _tables(folder):
        for row in read_csv(table, RawRow):
            if row.status is Status.OK:
                size = row.bytes or 0
                found.append(TakenPhoto(table.stem, row.image_id, row.url, row.sha256, size))
    return found


def _tables(folder: Path) -> list[Path]:
    with repository() as repo:
        out = next((one for one in outputs(repo) if one.path == RAW), None)
        if out is None or not out.md5:
            raise DataError(f"dvc.lock names no {RAW}; run dvc repro, which builds it")
        listed = folder_list(repo, out)
    tables, files = [], VersionFiles()
    for path, md5 in sorted(listed.items()):
        if not path.endswith(".csv"):
            continue
        table = Path(path)
        if hash_file(table).md5 != md5:
            table = folder / table.name
            table.write_bytes(files.read(path))
        tables.append(table)
    return tables


def sample_photos(found: Sequence[TakenPhoto], count: int) -> list[TakenPhoto]:
    """`count` photos, the same ones for everybody: each class's smallest by SHA-256 of the URL.

    The classes are gone through in turn, so that each has as many as the others, if it has them.
    """
    classes: dict[str, list[TakenPhoto]] = {}
    for photo in found:
        classes.setdefault(photo.wnid, []).append(photo)
    ranked = [sorted(classes[wnid], key=_rank) for wnid in sorted(classes)]
    turns: Iterable[TakenPhoto | None] = chain.from_iterable(zip_longest(*ranked))
    return [photo for photo in turns if photo][:count]


def _rank(photo: TakenPhoto) -> str:
    return hashlib.sha256(photo.url.encode("utf-8", "surrogatepass")).hexdigest()


ALIKE = 3
"""So many URLs that all serve the same other picture now serve a placeholder."""


class Drift(StrEnum):
    """What a URL gives now, next to what it gave then."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    PLACEHOLDER = "placeholder"
    OPTED_OUT = "opted_out"
    UNREACHABLE = "unreachable"  # a fault that may pass, so nobody knows
    NOT_ASKED = "not_asked"  # no form of URL that is known here


@dataclass(frozen=True, slots=True)
class DriftResult:
    """The drift of one photo."""

    photo: TakenPhoto
    drift: Drift
    detail: str = ""
    final_url: str = ""  # where it is not the photo's own
    sha256: str = ""  # of what came, if it is a picture
    unmodified: bool = False  # the host said so and sent no body


def drift_of_bytes(photo: TakenPhoto, sha256: str, final_url: str = "") -> DriftResult:
    """Of a good picture's bytes, by their hash."""
    drift = Drift.SAME if sha256 == photo.sha256 else Drift.CHANGED
    detail = "" if drift is Drift.SAME else "other bytes"
    return DriftResult(photo, drift, detail, _elsewhere(photo, final_url), sha256)


def drift_of_failure(photo: TakenPhoto, result: Result) -> DriftResult:
    """Classify a result that is not a good photo."""
    words = f"{result.status} {result.detail}".strip()
    return DriftResult(photo, _drift(result), words, _elsewhere(photo, result.final_url))


def _drift(result: Result) -> Drift:
    if result.status is Status.PLACEHOLDER:
        return Drift.PLACEHOLDER
    if result.status is Status.OPTED_OUT:
        return Drift.OPTED_OUT
    if result.transient:
        return Drift.UNREACHABLE
    if result.status in (Status.HTTP_ERROR, Status.REDIRECT_ERROR, Status.BAD_URL):
        return Drift.GONE
    return Drift.CHANGED  # a complete body that is not a good photo


def find_placeholders(answers: Sequence[DriftResult]) -> list[DriftResult]:
    """The same answers, those that changed to one and the same picture told as placeholders."""
    counts = Counter(answer.sha256 for answer in answers if answer.drift is Drift.CHANGED)
    return [
        replace(
            answer, drift=Drift.PLACEHOLDER, detail=f"the same behind {counts[answer.sha256]} URLs"
        )
        if answer.drift is Drift.CHANGED and answer.sha256 and counts[answer.sha256] >= ALIKE
        else answer
        for answer in answers
    ]


def _elsewhere(photo: TakenPhoto, final_url: str) -> str:
    return "" if final_url == photo.url else final_url


class TarCheck:
    """One tar and the photos asked of it."""

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
        """Photos asked of it."""
        return len(self._wanted) + len(self.answers)

    def take(self, member: Member) -> bool:
        """Compare a member; False when no more are wanted."""
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
        """All answers, when the host says that the tar is as it was."""
        same = [DriftResult(photo, Drift.SAME, unmodified=True) for photo in self._wanted.values()]
        self._wanted.clear()
        self.answers += same
        return self.answers

    def read_local(self) -> list[DriftResult]:
        """Compare a tar of this machine."""
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
"""Is told how many more photos are done."""


@dataclass(frozen=True, slots=True)
class WebResult:
    """What became of the photos asked, of so many in the version, and what it cost."""

    answers: tuple[DriftResult, ...]
    photos: int
    traffic: Traffic


def check(
    params: Params, asked: Sequence[TakenPhoto], photos: int, remembered: Validators, show: Show
) -> WebResult:
    """Ask for the photos. Raises DataError when nothing at all can be reached."""
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
    asker = _Asker(fetcher, download, remembered)
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
        remembered.save()
    order = {photo: place for place, photo in enumerate(asked)}
    answers.sort(key=lambda answer: order[answer.photo])
    return WebResult(tuple(find_placeholders(answers)), photos, asker.traffic)


def _unbounded(download: Download, asked: Sequence[TakenPhoto]) -> Download:
    """The download's rules without those on sizes: they are today's, the photos are from then."""
    largest = max([download.max_bytes, *(photo.size for photo in asked)])
    return download.model_copy(update={"max_bytes": largest, "min_side": 1, "max_pixels": 2**62})


def _by_archive(members: Sequence[TakenPhoto]) -> dict[str, list[TakenPhoto]]:
    archives: dict[str, list[TakenPhoto]] = {}
    for photo in members:
        archives.setdefault(photo.archive, []).append(photo)
    return archives


def _files(here: Sequence[TakenPhoto]) -> list[DriftResult]:
    """The answers of files of this machine."""
    hashed = hash_files([Path(photo.url) for photo in here])
    return [_file(photo, one) for photo, one in zip(here, hashed, strict=True)]


def _file(photo: TakenPhoto, one: FileHashes) -> DriftResult:
    if one.error == os.strerror(ENOENT):
        return drift_of_failure(photo, Result(Status.BAD_URL, "no such file"))
    if one.error:
        return drift_of_failure(photo, Result(Status.CONNECTION_ERROR, f"file: {one.error}"))
    return drift_of_bytes(photo, one.sha256)


def _slice(photo: TakenPhoto) -> DriftResult:
    """The answer of a part of a file of this machine."""
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

    def ask(self, jobs: Sequence[TakenPhoto | TarCheck], show: Show) -> list[DriftResult]:
        """Ask for photos and tars until all have answered."""
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
        known = self._remembered.get(job.url, content)
        headers = known.headers if known else None
        archive = job.download if isinstance(job, TarCheck) else None
        self._fetcher.submit((job, content, known), job.url, archive, headers)

    def _answers(self, token: Any, result: Result, reply: Reply) -> list[DriftResult]:
        """The answers that follow from a result; validators of unchanged bodies are kept."""
        job, content, known = token
        answers = self._judged(job, known, result, reply)
        if all(answer.drift is Drift.SAME for answer in answers):
            self._remembered.keep(job.url, content, result.final_url, reply.headers)
        elif not all(answer.drift is Drift.UNREACHABLE for answer in answers):
            self._remembered.drop(job.url)
        return answers

    def _judged(
        self, job: TakenPhoto | TarCheck, known: Validator | None, result: Result, reply: Reply
    ) -> list[DriftResult]:
        if known and result.http_status == 304:
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
