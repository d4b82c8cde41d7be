"""Counts which lines of a source were used or passed over, so that none is lost silently."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from allrounder.catalogue.labels import ClassPart, synsets_named
from allrounder.catalogue.synsets import class_name
from allrounder.core.text import one_line

_SHOWN = 160  # characters
_MOST = 10_000  # labels that are looked up


@dataclass(slots=True)
class Tally:
    """Lines of one source: table rows, files, photos in tars or answers about a class."""

    what: str
    read: int = 0
    used: int = 0
    absent: int = 0  # classes of which the source says that it does not have them
    passed_over: dict[str, int] = field(default_factory=dict)
    _ambiguous: dict[str, list[str]] = field(default_factory=dict)
    """The synsets of labels that name several, one of which is a class of the params."""
    _first: dict[str, str] = field(default_factory=dict)

    def pass_over(self, reason: str, line: object = "") -> None:
        """Count a line that is not used, though its class is wanted or unknown."""
        self.passed_over[reason] = self.passed_over.get(reason, 0) + 1
        if reason not in self._first:
            text = line[:_SHOWN].decode("utf-8", "replace") if isinstance(line, bytes) else line
            self._first[reason] = one_line(str(text)[:_SHOWN])

    def print_counts(self) -> None:
        """Print one line about the source, and one for each reason."""
        passed = sum(self.passed_over.values())
        others = max(0, self.read - self.used - passed)
        counts = f"{self.read:,} read, {self.used:,} used, {others:,} of other classes"
        print(f"{self.what}: {counts}, {passed:,} passed over", file=sys.stderr)
        for reason, count in self.passed_over.items():
            first = f" (the first: {self._first[reason]})" if self._first[reason] else ""
            self.warn(f"{count:,} passed over: {reason}{first}")
        for hint in self.ambiguity_hints():
            self.warn(hint)

    def check_ambiguous(self, label: str, parts: Sequence[ClassPart]) -> None:
        """Remember a normalized label that matched no class, if it names one and other synsets."""
        if label not in self._ambiguous and len(self._ambiguous) < _MOST:
            wnids = synsets_named(label)
            self._ambiguous[label] = wnids if {part.wnid for part in parts} & {*wnids} else []

    def ambiguity_hints(self) -> list[str]:
        """A sentence for each ambiguous label."""
        return [
            f"its label {label!r} is ambiguous: "
            f"{' or '.join(f'{wnid} ({class_name(wnid)})' for wnid in wnids)}; say which in "
            f"labels, e.g. labels: {{{wnids[0]}: {label}}}"
            for label, wnids in self._ambiguous.items()
            if wnids
        ]

    def note(self, words: str) -> None:
        """Print a note about the source."""
        print(f"note: {self.what}: {words}", file=sys.stderr)

    def warn(self, words: str) -> None:
        """Print a warning about the source."""
        print(f"warning: {self.what}: {words}", file=sys.stderr)
