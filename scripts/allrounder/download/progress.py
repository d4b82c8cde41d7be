"""Shows how the download goes: one tqdm bar for the whole job, silent when not on a terminal."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from tqdm import tqdm


class Counts(NamedTuple):
    """How far a process is: photos taken, URLs whose fate is known, bytes received."""

    taken: int = 0
    tried: int = 0
    bytes: int = 0


class Progress:
    """Photos taken of all that are wanted, with MB/s and the share of URLs that failed."""

    def __init__(self, total: int):
        self._bar = tqdm(total=total, unit=" photos", disable=None, dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bar.close()

    def show(self, processes: Sequence[Counts]) -> None:
        """Bring the bar up to date."""
        if self._bar.disable:
            return
        taken, tried, received = (sum(column) for column in zip(*processes, strict=True))
        seconds = self._bar.format_dict["elapsed"] or 1
        failed = 1 - taken / tried if tried else 0
        self._bar.set_postfix_str(
            f"{received / seconds / 1e6:.1f} MB/s, {failed:.0%} failed", refresh=False
        )
        self._bar.update(taken - self._bar.n)
