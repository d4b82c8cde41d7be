"""Reports the drift of URLs: by host and by class for people, everything for programs."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from allrounder.core.errors import DataError
from allrounder.core.text import printable, text_table
from allrounder.core.urls import BadUrlError, host_of, is_url, request_url
from allrounder.verify.drift import Drift, DriftResult
from allrounder.verify.web import WebResult
from allrounder.web.fetcher import nothing_reached

HERE = "(this machine)"
MOST_ROWS = 15
"""Hosts or classes in a table at most; --json has all of them."""


def lines(result: WebResult) -> Iterator[str]:
    """The report for people: every photo that has drifted, then two tables."""
    for answer in _drifted(result):
        photo = answer.photo
        to = f" -> {answer.final_url}" if answer.final_url else ""
        words = f"{answer.detail}: " if answer.detail else ""
        yield printable(f"{answer.drift:<11} {photo.key} {words}{photo.url}{to}")
    for name, key in (("host", _host), ("class", _class)):
        yield from _table(name, _counts(result.answers, key))
        yield ""
    unmodified = sum(answer.unmodified for answer in result.answers)
    yield (
        f"{len(result.answers)} of {result.photos} photos; {unmodified} unmodified (304); "
        f"{result.traffic.requests} requests, {result.traffic.bytes / 1e6:.1f} MB"
    )


def as_json(result: WebResult) -> dict[str, Any]:
    """The report for programs."""
    drifts = Counter(answer.drift for answer in result.answers)
    return {
        "check": "web",
        "ok": not _faults(result),
        "photos": result.photos,
        "checked": len(result.answers),
        "counts": {str(drift): drifts[drift] for drift in Drift},
        "unmodified": sum(answer.unmodified for answer in result.answers),
        "requests": result.traffic.requests,
        "bytes": result.traffic.bytes,
        "hosts": _plain(_counts(result.answers, _host)),
        "classes": _plain(_counts(result.answers, _class)),
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
            for answer in _drifted(result)
        ],
    }


def raise_if_drifted(result: WebResult) -> None:
    """Raise DataError when a requested photo has drifted, or none could be requested."""
    if result.traffic.requests and not result.traffic.answers:
        raise nothing_reached(result.traffic)
    if faults := _faults(result):
        words = ", ".join(f"{count} {drift}" for drift, count in faults.items())
        raise DataError(f"of {len(result.answers)} photos: {words}; see above")
    if all(answer.drift is Drift.NOT_ASKED for answer in result.answers):
        raise DataError("no URL of this version could be requested again; see above")


def _faults(result: WebResult) -> dict[Drift, int]:
    counts = Counter(answer.drift for answer in result.answers)
    well = (Drift.SAME, Drift.NOT_ASKED)
    return {drift: counts[drift] for drift in Drift if counts[drift] and drift not in well}


def _drifted(result: WebResult) -> list[DriftResult]:
    return [
        answer for answer in result.answers if answer.drift not in (Drift.SAME, Drift.NOT_ASKED)
    ]


def _counts(
    answers: Sequence[DriftResult], key: Callable[[DriftResult], str]
) -> dict[str, Counter[Drift]]:
    counts: dict[str, Counter[Drift]] = {}
    for answer in answers:
        counts.setdefault(key(answer), Counter())[answer.drift] += 1
    return dict(sorted(counts.items()))


def _plain(counts: Mapping[str, Counter[Drift]]) -> dict[str, dict[str, int]]:
    return {
        name: {str(drift): row[drift] for drift in Drift if row[drift]}
        for name, row in counts.items()
    }


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


def _class(answer: DriftResult) -> str:
    return answer.photo.key


def _host(answer: DriftResult) -> str:
    if not is_url(answer.photo.url):
        return HERE
    try:
        return host_of(request_url(answer.photo.url))
    except BadUrlError:
        return "(no host)"
