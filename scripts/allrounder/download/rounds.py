"""Downloads in rounds: the quota of every class, then more for those that clean would leave short.

A round starts a class again with a larger quota. What the rounds before fetched is in the pins and
the journal, so that only the difference is requested.
"""

import sys
from collections.abc import Callable, Mapping

from allrounder.cluster.ray_cluster import asked_address
from allrounder.download import summary
from allrounder.download.class_quota import ClassResult
from allrounder.download.cluster_fetcher import why_here
from allrounder.download.crawl import Crawl, Folders, Share
from allrounder.download.processes import Quotas, crawl
from allrounder.history.confirm import confirm_output
from allrounder.history.journal import Journal
from allrounder.params.schema import Params
from allrounder.web.policy import is_offline

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
            summary.print_incomplete(results.values(), quotas)
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
        results, traffic = crawl(self._params, quotas, self._make(retry=True), ray)
        if summary.is_unreached(traffic) and not any(one.first_requests for one in results):
            print("warning: nothing could be reached; prior failures stay", file=sys.stderr)
            results, traffic = crawl(self._params, quotas, self._make(retry=False), ray)
        summary.print_table(results, traffic)
        summary.check_results(results, self._params, quotas, traffic)
        return {result.key: result for result in results}

    def _ray(self, quotas: Quotas) -> str:
        """The address of the cluster whose workers make the requests, or ''."""
        address = "" if is_offline() else asked_address(self._params.network.ray)
        if address and (why := why_here(self._params, self._folders.urls, quotas)):
            print(f"Ray: this machine alone downloads: {why}", file=sys.stderr)
            return ""
        return address

    def _make(self, retry: bool) -> Callable[[int, Quotas, Share], Crawl]:
        def make(number: int, quotas: Quotas, share: Share) -> Crawl:
            own = self._journal.of_process(number) if number else self._journal
            folders, taken_down = self._folders, self._taken_down
            return Crawl(self._params, quotas, share, folders, own, retry, taken_down)

        return make
