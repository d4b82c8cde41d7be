"""Remembers outcomes: those that dvc.lock pins, and those of a run that was cut off.

A remembered photo is read, hashed and judged again before it counts.
"""

import hashlib
import sys
from dataclasses import replace

from allrounder import pins
from allrounder.download.classrun import ClassRun
from allrounder.download.outcomes import Outcome
from allrounder.download.photo import Bounds, judge
from allrounder.download.spool import Spool
from allrounder.records import Status
from allrounder.urltext import is_file_here


class Known:
    """Looks an outcome up in the pins of a class first, then in the spool."""

    def __init__(self, spool: Spool, bounds: Bounds):
        self._spool, self._bounds = spool, bounds

    def outcome(self, run: ClassRun, url: str) -> Outcome | None:
        """The remembered outcome of a URL, if it still holds under today's bounds."""
        if is_file_here(url):
            return None  # files here may have changed; reading them costs nothing
        known = run.pins.get(url)
        if known is not None and run.retry and pins.retried(known):
            known = None
        return self.rechecked(known or self._spool.get(url))

    def rechecked(self, known: Outcome | None) -> Outcome | None:
        """A remembered outcome, its photo judged again; None when its bytes are damaged."""
        if known is None or known.stored is None:
            return known
        body = known.stored.read()
        if hashlib.sha256(body).hexdigest() != known.sha256:
            print(f"warning: damaged, asked again: {known.final_url}", file=sys.stderr)
            return None
        verdict = judge(body, self._bounds)
        if verdict.status is Status.OK:
            return known
        return replace(known, status=verdict.status, detail=verdict.detail, suffix="", stored=None)
