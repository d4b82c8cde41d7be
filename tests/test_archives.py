"""An archive's own row is bookkeeping: it counts as no candidate."""

from pathlib import Path

import pytest

from allrounder.clean.cleaning import check_classes
from allrounder.core.funnel import class_funnel
from allrounder.core.rows import Candidate, CleanRow, RawRow, Status
from allrounder.core.tables import write_csv
from allrounder.params.loading import load_params

ROOT = Path(__file__).resolve().parent.parent
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


@pytest.mark.parametrize(
    ("resume_at", "warnings"), [(None, 0), (4, 1)], ids=["read to its end", "the rest unread"]
)
def test_a_larger_reserve_is_advised_only_while_the_archive_has_more(
    tmp_path: Path, resume_at: int | None, warnings: int
) -> None:
    write_csv(tmp_path / "n1.csv", Candidate, [Candidate("n1", TAR)])
    (tmp_path / "raw").mkdir()
    write_csv(tmp_path / "raw/n1.csv", RawRow, [*MEMBERS, own_row(resume_at)])
    params = load_params(ROOT / "params.yaml")
    wanted = params.model_copy(update={"per_class": 10, "min_per_class": 1})
    rows = [CleanRow(row.image_id, Status.KEPT) for row in MEMBERS]
    found = check_classes({"n1": rows}, wanted, tmp_path, tmp_path / "raw")
    assert len(found) == warnings
