"""`detail` is text for people: other wording changes no result of a later run."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allrounder.core.errors import DataError
from allrounder.core.funnel import class_funnel
from allrounder.core.photos import Bounds
from allrounder.core.rows import Candidate, CleanRow, RawRow, Result, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import atomic_tar
from allrounder.download import class_quota
from allrounder.download.crawl import ArchiveRun
from allrounder.history import prior_results
from allrounder.history.journal import Journal
from allrounder.history.prior_results import PinnedResults, PriorResults
from allrounder.params.schema import Params
from allrounder.report.entries import original_of

KEY = "n02109961"
TAR = "http://host/a.tar"
BODIES = [f"photo {number}".encode() for number in range(6)]
WORDING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=30)
"""Among them texts that look like HTTP codes or positions."""
DETAILS = st.lists(WORDING | st.sampled_from(["404", "503", "byte 7", "of a_1"]), min_size=12)
BOUNDS = Bounds(100, 1, 100)


def raw_rows() -> list[RawRow]:
    """A row of every kind: photos, members of an archive, failures, an archive's own row."""
    sha256s = [hashlib.sha256(body).hexdigest() for body in BODIES]
    photo = RawRow("p0", "http://host/0", Status.OK, "", "http://host/0", 7, sha256s[0])
    members = [
        RawRow(f"m{n}", f"{TAR}#{n}.jpg", Status.OK, "", TAR, 7, sha256s[n], resume_at=1024 * n)
        for n in (1, 2)
    ]
    return [
        photo,
        RawRow("p9", "http://host/9", Status.DUPLICATE, "same", "", 7, sha256s[0]),
        RawRow("a", "http://host/a", Status.HTTP_ERROR, "404", "", http_status=404),
        RawRow("b", "http://host/b", Status.HTTP_ERROR, "503", "", http_status=503),
        RawRow("c", "http://host/c", Status.NO_ACCESS, "401", "", http_status=401),
        RawRow("d", "http://host/d", Status.TIMEOUT),
        RawRow("e", "http://host/e", Status.NOT_IMAGE, "HTML"),
        *members,
        RawRow("t", TAR, Status.ARCHIVE, "the rest was not needed", resume_at=2048),
        RawRow("f", "http://host/f", Status.UNUSED),
        RawRow("g", "http://host/g", Status.REDIRECT_ERROR, "loop"),
    ]


def reworded(rows: list[RawRow], details: list[str]) -> list[RawRow]:
    return [replace(row, detail=detail) for row, detail in zip(rows, details, strict=False)]


def wordless(value: Any) -> Any:
    return replace(value, detail="") if value else value


class Pinned:
    """The pins of a lock with one class whose tables are in a folder."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        self.folder = folder
        held = {
            "classes": {KEY: "dog"},
            "sources": [{"kind": "url-list", "location": "http://h/l"}],
        }
        patch.setattr(prior_results, "pinned_params", lambda stage: held | {"download": {}})
        patch.setattr(prior_results, "pinned_file", lambda name, to: folder / Path(name).name)
        with atomic_tar(folder / f"{KEY}.tar") as tar:
            for row in raw_rows():
                if row.status is Status.OK:
                    tar.add(f"{row.image_id}.jpg", BODIES[int(row.image_id[1:])])

    def prior(self, rows: list[RawRow], retry: bool) -> PriorResults:
        write_csv(self.folder / f"{KEY}.csv", RawRow, rows)
        params = Params.model_validate(
            {
                "sources": [{"kind": "url-list", "location": "http://h/l"}],
                "classes": {KEY: "dog"},
                "per_class": 5,
                "min_per_class": 1,
            }
        )
        journal = Journal(self.folder / "journal", "key", fresh=True)
        journal.close()
        return PriorResults(PinnedResults(KEY, params, self.folder), journal, BOUNDS, retry)


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pinned:
    monkeypatch.setattr(prior_results, "judge", lambda body, bounds: _good(body))
    return Pinned(tmp_path, monkeypatch)


def _good(body: bytes) -> Result:
    return Result(Status.OK, bytes=len(body), sha256=hashlib.sha256(body).hexdigest(), suffix="jpg")


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(details=DETAILS, retry=st.booleans())
def test_other_wording_gives_the_same_prior_results(
    pinned: Pinned, details: list[str], retry: bool
) -> None:
    rows = raw_rows()
    plain = pinned.prior(rows, retry)
    before = [(wordless(plain.get(row.url)), plain.of_archive(row.url)) for row in rows]
    members = [(url, wordless(result)) for url, result in plain.members(TAR)]
    other = pinned.prior(reworded(rows, details), retry)
    after = [(wordless(other.get(row.url)), other.of_archive(row.url)) for row in rows]
    assert [(a, wordless(b)) for a, b in after] == [(a, wordless(b)) for a, b in before]
    assert [(url, wordless(result)) for url, result in other.members(TAR)] == members


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(details=DETAILS, quota=st.integers(1, 4))
def test_other_wording_replays_an_archive_in_the_same_way(
    pinned: Pinned, details: list[str], quota: int
) -> None:
    def replayed(rows: list[RawRow]) -> tuple[int, Result | None, list[RawRow]]:
        urls, raw = pinned.folder / "urls", pinned.folder / "raw"
        urls.mkdir(exist_ok=True)
        raw.mkdir(exist_ok=True)
        write_csv(urls / f"{KEY}.csv", Candidate, [Candidate("t", TAR)])
        prior = pinned.prior(rows, retry=True)
        class_of_one = class_quota.ClassQuota([Candidate("t", TAR)], quota, 4)
        run = class_quota.ClassRun(KEY, urls, raw, class_of_one)
        slot = run.quota.next_slot()
        assert slot
        journal = Journal(pinned.folder / "journal", "key", fresh=True)
        archive = ArchiveRun(run, slot.candidate, prior, journal, BOUNDS)
        offset, result = archive.replay()
        run.end_archive(slot, result or Result(Status.ARCHIVE))
        journal.close()
        run.finish()
        written = [wordless(row) for row in read_csv(raw / f"{KEY}.csv", RawRow)]
        return offset, wordless(result), written

    assert replayed(reworded(raw_rows(), details)) == replayed(raw_rows())


@given(details=DETAILS)
def test_other_wording_gives_the_same_funnel(details: list[str]) -> None:
    rows = raw_rows()
    assert class_funnel(reworded(rows, details), [], {}) == class_funnel(rows, [], {})


@given(detail=WORDING, other=WORDING)
def test_other_wording_gives_the_same_duplicates(detail: str, other: str) -> None:
    row = CleanRow("a", Status.NEAR_DUPLICATE, detail, duplicate_of=f"{KEY}/b_1")
    assert original_of(row) == original_of(replace(row, detail=other)) == (KEY, "b_1")


# Tables of older versions, where codes and positions are in the details


def old_table(path: Path, rows: list[RawRow]) -> None:
    names = ["image_id", "url", "status", "detail", "final_url", "bytes", "sha256"]
    write_csv(path, RawRow, rows, names)


def without_archives() -> Iterator[RawRow]:
    for row in raw_rows():
        if TAR not in row.url:
            status = Status.HTTP_ERROR if row.status is Status.NO_ACCESS else row.status
            yield replace(row, status=status)


def test_pins_of_an_older_table_are_understood(pinned: Pinned) -> None:
    prior = pinned.prior(raw_rows(), retry=False)
    new = {row.url: prior.get(row.url) for row in without_archives()}
    old = pinned.prior([], retry=False)
    old_table(pinned.folder / f"{KEY}.csv", list(without_archives()))
    assert {url: old.get(url) for url in new} == new
    assert new["http://host/c"] == Result(Status.NO_ACCESS, "401", http_status=401)


def test_pins_of_an_older_archive_are_refused_with_the_command_to_go_on(pinned: Pinned) -> None:
    prior = pinned.prior([], retry=False)
    rows = [row for row in raw_rows() if row.url == TAR]
    old_table(pinned.folder / f"{KEY}.csv", [replace(rows[0], status=Status.UNUSED)])
    with pytest.raises(DataError, match="ALLROUNDER_PINS=ignore dvc repro --force"):
        prior.get("http://host/0")
