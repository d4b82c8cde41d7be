"""What the clean stage says at its end: whether each class is good enough, and how to mend it.

Not for cleaning: that is cleaning.py.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from allrounder.csvfiles import read_csv
from allrounder.errors import DataError
from allrounder.params import Params
from allrounder.records import CleanRow, RawRow, Status


def check(rows: Mapping[str, Sequence[CleanRow]], params: Params, raw: Path) -> list[str]:
    """Warnings for classes below per_class while candidates are left.

    Raises DataError when a class is below min_per_class.
    """
    kept = {wnid: sum(row.status is Status.KEPT for row in part) for wnid, part in rows.items()}
    left = {
        wnid: sum(row.status is Status.UNUSED for row in read_csv(raw / f"{wnid}.csv", RawRow))
        for wnid in kept
    }
    short = [wnid for wnid, count in kept.items() if count < params.min_per_class]
    if short:
        words = "; ".join(f"{_loss(wnid, rows[wnid])}, {left[wnid]} unused" for wnid in short[:5])
        raise DataError(
            f"{len(short)} of {len(kept)} classes keep fewer photos than min_per_class "
            f"({params.min_per_class}): {words}. Raise download.reserve where candidates are "
            f"unused, add a source, {'widen clean.licenses, ' if params.clean.licenses else ''}"
            "lower min_per_class, or remove the class"
        )
    return [
        f"warning: {_loss(wnid, rows[wnid])}, below per_class ({params.per_class}), but "
        f"{left[wnid]} candidates are unused: raise download.reserve"
        for wnid, count in kept.items()
        if count < params.per_class and left[wnid]
    ]


def _loss(wnid: str, rows: Sequence[CleanRow]) -> str:
    counts = Counter(row.status for row in rows)
    kept = counts.pop(Status.KEPT, 0)
    reasons = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{wnid} keeps {kept} of {len(rows)} ({reasons or 'none dropped'})"
