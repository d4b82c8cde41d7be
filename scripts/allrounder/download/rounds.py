"""Downloads in rounds: the quota of every class, then more for those that clean would leave short.

A round starts a class again with a larger quota. Earlier rounds' results are in the pins and the
journal, so only the difference is requested. Each round ends with a summary.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from allrounder.catalogue.synsets import class_name
from allrounder.cluster.ray_cluster import asked_address
from allrounder.core.errors import DataError
from allrounder.core.rows import Status
from allrounder.core.text import text_table
from allrounder.download.class_quota import ClassResult
from allrounder.download.cluster_fetcher import why_here
from allrounder.download.crawl import Crawl, Folders, Share
from allrounder.download.processes import Quotas, crawl
from allrounder.history.confirm import confirm_output
from allrounder.history.journal import Journal
from allrounder.params.schema import Params
from allrounder.web.fetcher import Traffic, nothing_reached
from allrounder.web.policy import OFFLINE_SWITCH, is_offline

LargerQuotas = Callable[[Mapping[str, int]], Mapping[str, int]]
"""The quotas of the next round, from those of all classes so far; empty: it was the last one."""


class Rounds:
    """All rounds of one run of the download."""

    def __init__(
        self,
        params: Params,
        folders: Folders,
        journal: Journal,
        taken_down: frozenset[str] = frozenset(),
    ):
        self._params, self._folders, self._journal = params, folders, journal
        self._taken_down = taken_down

    def run(self, larger: LargerQuotas) -> None:
        """Download until `larger` wants no more; prints a summary of each round.

        Raises DataError when nothing can be reached, or a class is below min_per_class.
        """
        results: dict[str, ClassResult] = {}
        quotas: dict[str, int] = {}
        killed = False
        wanted: Mapping[str, int] = self._params.quotas
        try:
            while wanted:
                if results:
                    more = sum(quota - quotas[key] for key, quota in wanted.items())
                    print(
                        f"clean would leave {len(wanted)} of {len(quotas)} classes below per_class "
                        f"({self._params.per_class}): taking up to {more} more photos",
                        file=sys.stderr,
                    )
                    self._journal = self._journal.next_round()
                quotas |= wanted
                results |= self._round(wanted)
                wanted = larger(quotas)
            print_incomplete(results.values(), quotas)
            self._journal.compared()
            confirm_output("download", self._folders.raw)
            self._journal.complete()
        except KeyboardInterrupt:
            killed = True
            raise
        finally:
            self._journal.close(killed)

    def _round(self, quotas: Quotas) -> dict[str, ClassResult]:
        ray = self._ray(quotas)
        results, traffic = crawl(self._params, quotas, partial(self._crawl, True), ray)
        if _is_unreached(traffic) and not any(one.first_requests for one in results):
            print("warning: nothing could be reached; prior failures stay", file=sys.stderr)
            results, traffic = crawl(self._params, quotas, partial(self._crawl, False), ray)
        print_table(results, traffic)
        check_results(results, self._params, quotas, traffic)
        return {result.key: result for result in results}

    def _ray(self, quotas: Quotas) -> str:
        """The address of the cluster whose workers make the requests, or ''."""
        address = "" if is_offline() else asked_address(self._params.network.ray)
        if address and (why := why_here(self._params, self._folders.urls, quotas)):
            print(f"Ray: this machine alone downloads: {why}", file=sys.stderr)
            return ""
        return address

    def _crawl(self, retry: bool, number: int, quotas: Quotas, share: Share) -> Crawl:
        """The crawl of a process; number 0 is this process. `retry`: transient failures."""
        journal = self._journal.of_process(number) if number else self._journal
        folders, taken_down = self._folders, self._taken_down
        return Crawl(self._params, quotas, share, folders, journal, retry, taken_down)


def rules_key(params: Params, taken_down: Collection[str] = ()) -> str:
    """A key for the params that decide whether a photo is good, and for what is taken down."""
    rules = params.download.model_dump(exclude={"reserve"})
    if taken_down:
        rules["taken_down"] = sorted(taken_down)
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def print_table(results: Sequence[ClassResult], traffic: Traffic) -> None:
    """Print on stderr how many URLs of each class have which status."""
    seen = [status for status in Status if any(one.counts[status] for one in results)]
    rows = [
        [" ".join({one.key: 0, class_name(one.key): 0}), *(one.counts[status] for status in seen)]
        for one in results
    ]
    for line in text_table([["class", *seen], *rows]):
        print(line, file=sys.stderr)
    print(f"{traffic.requests} requests, {traffic.bytes / 1e6:.1f} MB", file=sys.stderr)


def check_results(
    runs: Sequence[ClassResult], params: Params, quotas: Mapping[str, int], traffic: Traffic
) -> None:
    """Raise DataError when nothing was reached, or a class is short or (offline) incomplete."""
    if absent := [run for run in runs if run.unrequested]:
        raise _incomplete_offline(absent, len(params.classes), quotas)
    if _is_unreached(traffic):
        raise nothing_reached(traffic)
    if short := [run for run in runs if run.taken < params.min_per_class]:
        raise DataError(
            f"{len(short)} of {len(params.classes)} classes have fewer photos than min_per_class "
            f"({params.min_per_class}): {'; '.join(map(_short, short[:5]))}"
            f"{'; ...' if len(short) > 5 else ''}. {_contact_advice(short, params)}Add a source, "
            "lower min_per_class, or remove the class"
        )


def _is_unreached(traffic: Traffic) -> bool:
    """Whether requests were made and nothing answered any of them."""
    return traffic.requests > 0 and not traffic.answers


def print_incomplete(runs: Iterable[ClassResult], quotas: Mapping[str, int]) -> None:
    """Warn on stderr of classes that may get more photos from a later run."""
    for run in runs:
        quota = quotas[run.key]
        if run.taken < quota and run.transient:
            print(
                f"warning: {run.key} has {run.taken} of {quota} photos; {run.transient} URLs "
                "had transient failures: make repro tries them again",
                file=sys.stderr,
            )


def _contact_advice(short: Sequence[ClassResult], params: Params) -> str:
    """Many hosts refuse a User-Agent without a contact by 403 (Wikimedia's policy, for one)."""
    refused = sum(run.codes[403] for run in short)
    others = sum(run.codes.total() for run in short) - refused
    if params.network.contact or refused <= others:
        return ""
    return "Many hosts answer 403 unless network.contact names somebody: set it. "


def _incomplete_offline(
    absent: Sequence[ClassResult], classes: int, quotas: Mapping[str, int]
) -> DataError:
    lacking = (
        f"{run.key} lacks {max(0, (quota := quotas[run.key]) - run.taken)} of {quota} photos, "
        f"{len(run.unrequested)} URLs would have to be requested "
        f"({', '.join(run.unrequested[:2])}{', ...' * (len(run.unrequested) > 2)})"
        for run in absent[:5]
    )
    return DataError(
        f"offline: {len(absent)} of {classes} classes are incomplete: {'; '.join(lacking)}"
        f"{'; ...' * (len(absent) > 5)}. Run once without {OFFLINE_SWITCH}, or dvc pull a version "
        "that has them"
    )


def _short(run: ClassResult) -> str:
    codes = ", ".join(f"{count} x {code}" for code, count in run.codes.most_common(3))
    reasons = ", ".join(
        f"{count} {status}{f' ({codes})' if status is Status.HTTP_ERROR else ''}"
        for status, count in run.counts.most_common()
        if status not in (Status.OK, Status.ARCHIVE)
    )
    return f"{run.key} has {run.taken} of {run.listed} listed" + f" ({reasons})" * bool(reasons)
