"""What the clean stage says at its end: whether each class is good enough, and how to mend it.

Not for cleaning: that is cleaning.py.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

from allrounder import licences
from allrounder.csvfiles import read_csv
from allrounder.errors import DataError
from allrounder.origins import candidates
from allrounder.params import MAX_RESERVE, Params
from allrounder.records import CleanRow, RawRow, Status


def check(
    rows: Mapping[str, Sequence[CleanRow]], params: Params, urls: Path, raw: Path
) -> list[str]:
    """Warnings for classes below per_class while candidates are left that may be used.

    Raises DataError when a class is below min_per_class.
    """
    kept = {wnid: sum(row.status is Status.KEPT for row in part) for wnid, part in rows.items()}
    below = [wnid for wnid, count in kept.items() if count < params.per_class]
    left = {wnid: _left(wnid, params, urls, raw) for wnid in below}
    under = " under your licences" if params.clean.licenses else ""
    short = [wnid for wnid, count in kept.items() if count < params.min_per_class]
    if short:
        words = "; ".join(
            f"{_loss(wnid, rows[wnid])}, {left[wnid]} unused{under}" for wnid in short[:5]
        )
        raise DataError(
            f"{len(short)} of {len(kept)} classes keep fewer photos than min_per_class "
            f"({params.min_per_class}): {words}. Raise download.reserve where candidates are "
            f"unused, add a source, {'widen clean.licenses, ' if params.clean.licenses else ''}"
            "lower min_per_class, or remove the class"
        )
    return [
        f"warning: {_loss(wnid, rows[wnid])}, below per_class ({params.per_class}), but "
        f"{left[wnid]} candidates{under} are unused: raise download.reserve to about "
        f"{_reserve(kept[wnid], len(rows[wnid])):g}"
        for wnid in below
        if left[wnid]
    ]


def _left(wnid: str, params: Params, urls: Path, raw: Path) -> int:
    """How many of a class's candidates were not needed and have a licence that will do."""
    accepted = licences.accepted(params.clean.licenses)
    unused = (row for row in read_csv(raw / f"{wnid}.csv", RawRow) if row.status is Status.UNUSED)
    if accepted is None:
        return sum(1 for _ in unused)
    origin = candidates(urls / f"{wnid}.csv")
    return sum(not licences.refused(origin(row.url).license, accepted) for row in unused)


def _reserve(kept: int, taken: int) -> float:
    """The reserve with which per_class would be kept, if as many of the photos are as now."""
    return min(ceil(10 * (taken / kept - 1)) / 10, MAX_RESERVE) if kept else MAX_RESERVE


def _loss(wnid: str, rows: Sequence[CleanRow]) -> str:
    counts = Counter(row.status for row in rows)
    kept = counts.pop(Status.KEPT, 0)
    reasons = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{wnid} keeps {kept} of {len(rows)} ({reasons or 'none dropped'})"
