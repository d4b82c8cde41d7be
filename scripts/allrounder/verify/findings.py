"""What a check of a version's files or objects finds: a `Problem` each, and a report by output.

Not for finding them: that is verifylocal.py and verifyremote.py.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from allrounder.verify.reporting import shown, table


class Kind(StrEnum):
    """What is wrong with a file or an object."""

    BAD = "bad"  # other bytes than the version's
    MISSING = "missing"
    EXTRA = "extra"  # the version does not name it
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or object that is not as it should be, and what to do about it."""

    kind: Kind
    path: str
    detail: str
    fix: str


@dataclass(frozen=True, slots=True)
class OutReport:
    """What was found of one output."""

    path: str
    files: int  # that the version names; of a remote, its objects
    size: int  # bytes read
    problems: tuple[Problem, ...]


def lines(reports: Sequence[OutReport], unit: str) -> Iterator[str]:
    """The report for people: every problem, then a table of the outputs."""
    for report in reports:
        for problem in report.problems:
            yield f"{problem.kind:<10} {shown(problem.path)}: {problem.detail}; {problem.fix}"
    header = ("", unit, *Kind, "MB read")
    yield from table([header, *(_cells(report) for report in reports)])
    if not any(report.problems for report in reports):
        yield f"all {sum(report.files for report in reports)} {unit} are as dvc.lock says"


def _cells(report: OutReport) -> list[object]:
    counts = Counter(problem.kind for problem in report.problems)
    return [report.path, report.files, *(counts[kind] for kind in Kind), f"{report.size / 1e6:.1f}"]


def as_json(check: str, reports: Sequence[OutReport], unit: str) -> dict[str, Any]:
    """The report for programs."""
    problems = [asdict(problem) for report in reports for problem in report.problems]
    return {
        "check": check,
        "ok": not problems,
        "outs": {
            report.path: {
                unit: report.files,
                "bytes_read": report.size,
                "problems": len(report.problems),
            }
            for report in reports
        },
        "problems": problems,
    }
