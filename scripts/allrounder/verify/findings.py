"""Problems that a check of files or remote objects finds, and how they are printed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from allrounder.core.text import printable, text_table


class Kind(StrEnum):
    """The kind of a problem."""

    BAD = "bad"  # bytes that differ from the version's
    MISSING = "missing"
    EXTRA = "extra"  # not part of the version
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with a file or object, and how to fix it."""

    kind: Kind
    path: str
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class OutReport:
    """The result of checking one output."""

    path: str
    files: int  # in the version; for a remote, its objects
    size: int  # bytes read
    problems: tuple[Problem, ...]
    unread: int = 0  # of the files: not in the subset, or left out when the time was over


def findings_lines(reports: Sequence[OutReport], unit: str) -> Iterator[str]:
    """The report for people: every problem, then a table of the outputs."""
    for report in reports:
        for problem in report.problems:
            yield f"{problem.kind:<10} {printable(problem.path)}: {problem.detail}; {problem.fix}"
    header = ("", unit, *Kind, "MB read")
    yield from text_table([header, *(_cells(report) for report in reports)])
    if not any(report.problems for report in reports):
        files, unread = (sum(getattr(one, name) for one in reports) for name in ("files", "unread"))
        some = f"{files - unread} of {files} {unit} read; they" if unread else f"all {files} {unit}"
        yield f"{some} match dvc.lock"


def _cells(report: OutReport) -> list[object]:
    counts = Counter(problem.kind for problem in report.problems)
    return [report.path, report.files, *(counts[kind] for kind in Kind), f"{report.size / 1e6:.1f}"]


def findings_json(check: str, reports: Sequence[OutReport], unit: str) -> dict[str, Any]:
    """The report for programs."""
    problems = [asdict(problem) for report in reports for problem in report.problems]
    return {
        "check": check,
        "ok": not problems,
        "outs": {
            one.path: {
                unit: one.files,
                "unread": one.unread,
                "bytes_read": one.size,
                "problems": len(one.problems),
            }
            for one in reports
        },
        "problems": problems,
    }
