"""Archives: the own row counts as no candidate, and whatever they hold, they end."""

import tarfile
from pathlib import Path

import pytest

from allrounder.clean.preview import has_more
from allrounder.core.funnel import class_funnel
from allrounder.core.photos import Bounds
from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.core.tables import write_csv
from allrounder.params.loading import load_params
from allrounder.web import archives
from allrounder.web.archives import ArchiveDownload
from allrounder.web.transfer import Reply

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = Bounds(10**6, 1, 10**6)
TAR = "http://host/n1.tar"
MEMBERS = [
    RawRow(f"{n}", f"{TAR}#{n}.jpg", Status.OK, sha256=f"{n}", resume_at=n) for n in (1, 2, 3)
]


def own_row(resume_at: int | None) -> RawRow:
    return RawRow("n1", TAR, Status.ARCHIVE, resume_at=resume_at)


@pytest.mark.parametrize("resume_at", [None, 4])
def test_the_funnel_counts_the_members_only(resume_at: int | None) -> None:
    funnel = class_funnel([*MEMBERS, own_row(resume_at)], [], {})
    assert funnel.steps["listed"] == funnel.steps["taken"] == 3
    assert not funnel.lost


@pytest.mark.parametrize("resume_at", [None, 4])
def test_a_class_has_more_only_while_its_archive_has(tmp_path: Path, resume_at: int | None) -> None:
    write_csv(tmp_path / "n1.csv", Candidate, [Candidate("n1", TAR)])
    (tmp_path / "raw").mkdir()
    write_csv(tmp_path / "raw/n1.csv", RawRow, [*MEMBERS, own_row(resume_at)])
    params = load_params(ROOT / "params.yaml")
    assert has_more("n1", 3, params, tmp_path, tmp_path / "raw") == (resume_at is not None)


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "piece",
    [
        header("d/", tarfile.DIRTYPE),
        header("a.jpg"),
        header("L", tarfile.GNUTYPE_LONGNAME, 512) + b"a" * 512,
        header("a.jpg", tarfile.SYMTYPE),
    ],
    ids=["folders", "empty files", "long names", "links"],
)
def test_an_archive_of_nothing_ends(piece: bytes) -> None:
    download = ArchiveDownload(lambda member: True, BOUNDS)
    fed = sum(1 for _ in range(10_000) if download.feed(piece))
    assert fed <= 1_000
    assert "1,000 headers without a file" in download.result().detail


def test_an_archive_has_a_size_a_number_of_members_and_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    member = header("a.jpg", size=512) + bytes(512)
    for name in ("MAX_ARCHIVE", "MAX_MEMBERS"):
        with monkeypatch.context() as patch:
            patch.setattr(archives, name, 5)
            download = ArchiveDownload(lambda member: True, BOUNDS)
            assert sum(1 for _ in range(100) if download.feed(member)) <= 5
            assert download.result().status is Status.TRUNCATED
    now = 0.0
    download = ArchiveDownload(lambda member: True, BOUNDS, clock=lambda: now)
    now = 10_000.0  # waiting for the host is no fault of the archive
    download.begin()
    assert download.sink(Reply(code=200), member)
    now = 11_000.0
    assert not download.sink(Reply(code=200), member)
    assert download.result().detail == "too slow"
