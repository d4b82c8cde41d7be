"""Downloads in rounds: the quota of every class, then more for those that clean would leave short.

A round starts a class again with a larger quota. Earlier rounds' results are in the pins and the
journal, so only the difference is requested. Each round is spread over processes, on which the
photos do not depend, and ends with a summary.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from traceback import format_exception
from typing import Any

from tqdm import tqdm

from allrounder.catalogue.synsets import class_name
from allrounder.cluster.ray_cluster import asked_address
from allrounder.core.errors import DataError, UsageError
from allrounder.core.files import remove_tree
from allrounder.core.interrupts import Interrupts
from allrounder.core.paths import WORK
from allrounder.core.progress import progress
from allrounder.core.rows import Status
from allrounder.core.text import text_table
from allrounder.core.workers import cores
from allrounder.download.cached_classes import CachedClasses
from allrounder.download.class_quota import ClassResult
from allrounder.download.cluster_fetcher import why_here
from allrounder.download.crawl import Counts, Crawl, Folders, Share
from allrounder.history.confirm import confirm_output
from allrounder.history.journal import Journal
from allrounder.params.schema import Network, Params
from allrounder.params.sources import reads_parquet
from allrounder.web.fetcher import Traffic, nothing_reached, sum_of
from allrounder.web.hosts import WAITS
from allrounder.web.policy import OFFLINE_SWITCH, is_offline

MIN_SHARE = 500
"""Photos below which another process costs more than it saves."""
_MIN_CONNECTIONS = 8
MAX_ACTIVE = 32
"""The most classes under way at once: enough to keep the connections busy despite slow hosts."""
_FILES_A_CLASS = 4  # list, table, tar and a photo that is copied
_OTHER_FILES = 40  # of Python, libcurl, the journal and the pipes
_WAIT = 0.2  # seconds
_ROBOTS = WORK / "robots"

Quotas = Mapping[str, int]
"""The photos to take for each class, in the params' order."""
MakeCrawl = Callable[[int, Quotas, Share], Crawl]
"""Makes the crawl of a process: its number, its classes' quotas, its share of the network."""
LargerQuotas = Callable[[Mapping[str, int]], Mapping[str, int]]
"""The quotas of the next round, from those of all classes so far; empty: it was the last one."""


@dataclass
class Rounds:
    """All rounds of one run of the download."""

    params: Params
    folders: Folders
    journal: Journal
    taken_down: frozenset[str] = frozenset()
    cached: CachedClasses | None = None
    reference: str = ""  # a URL that was answered in an earlier round

    def run(self, larger: LargerQuotas) -> None:
        """Download until `larger` wants no more; prints a summary of each round.

        Raises DataError when nothing can be reached, or a class is below min_per_class.
        """
        results: dict[str, ClassResult] = {}
        quotas: dict[str, int] = {}
        killed = False
        wanted: Mapping[str, int] = self.params.quotas
        try:
            while wanted:
                if results:
                    more = sum(quota - quotas[key] for key, quota in wanted.items())
                    print(
                        f"clean would leave {len(wanted)} of {len(quotas)} classes below per_class "
                        f"({self.params.per_class}): taking up to {more} more photos",
                        file=sys.stderr,
                    )
                    self.journal = self.journal.next_round()
                quotas |= wanted
                results |= self._round(wanted)
                wanted = larger(quotas)
            print_incomplete(results.values(), quotas)
            self.journal.compared()
            confirm_output("download", self.folders.raw)
            self.journal.complete()
        except KeyboardInterrupt:
            killed = True
            raise
        finally:
            self.journal.close(killed)

    def _round(self, quotas: Quotas) -> dict[str, ClassResult]:
        if cached := self.cached.restore(quotas) if self.cached else {}:
            print(f"{len(cached)} of {len(quotas)} classes are as in the last run", file=sys.stderr)
        new = {key: quota for key, quota in quotas.items() if key not in cached}
        ray = self._ray(new)
        found, traffic = crawl(self.params, new, partial(self._crawl, True), ray)
        if _is_unreached(traffic) and not any(one.first_requests for one in found):
            print("warning: nothing could be reached; prior failures stay", file=sys.stderr)
            found, traffic = crawl(self.params, new, partial(self._crawl, False), ray)
        self.reference = traffic.reference
        by_key = cached | {result.key: result for result in found}
        results = [by_key[key] for key in quotas]
        print_table(results, traffic)
        check_results(results, self.params, quotas, traffic)
        return by_key

    def _ray(self, quotas: Quotas) -> str:
        """The address of the cluster whose workers make the requests, or ''."""
        address = "" if is_offline() else asked_address(self.params.network.ray)
        if address and (why := why_here(self.params, self.folders.urls, quotas)):
            print(f"Ray: this machine alone downloads: {why}", file=sys.stderr)
            return ""
        return address

    def _crawl(self, retry: bool, number: int, quotas: Quotas, share: Share) -> Crawl:
        """The crawl of a process; number 0 is this process. `retry`: transient failures."""
        journal = self.journal.of_process(number) if number else self.journal
        share = replace(share, reference=self.reference)
        folders, taken_down = self.folders, self.taken_down
        return Crawl(self.params, quotas, share, folders, journal, retry, taken_down, self.cached)


# Over processes


@dataclass(frozen=True, slots=True)
class _Ended:
    """The results of a process, or its error."""

    results: list[ClassResult]
    traffic: Traffic
    error: Exception | None = None


def shares(params: Params, quotas: Quotas) -> list[Quotas]:
    """The classes of each process; one share where more would not pay or cannot be started."""
    classes, network = list(quotas.items()), params.network
    most = (
        # One queue for the web archive; a row group that several classes need is fetched once.
        1 if params.download.rescue or reads_parquet(params.sources) else network.processes,
        cores(),
        len(classes),
        network.per_host,
        network.connections // _MIN_CONNECTIONS,
        sum(quotas.values()) // MIN_SHARE,
    )
    can_fork = "fork" in multiprocessing.get_all_start_methods() and os.name != "nt"
    count = max(1, min(most)) if can_fork else 1
    return [dict(classes[number::count]) for number in range(count)]


def crawl(
    params: Params, quotas: Quotas, make: MakeCrawl, ray: str = ""
) -> tuple[list[ClassResult], Traffic]:
    """Download these classes; returns the results in their order, and the traffic.

    With `ray`, the address of a cluster, its workers make the requests for this one process.
    Raises what `Crawl.run` raises, in whichever process; the others are then ended.
    """
    parts = [quotas] if ray else shares(params, quotas)
    context: Any = multiprocessing.get_context("fork" if len(parts) > 1 else None)
    waits = context.RawArray("d", WAITS) if len(parts) > 1 else [0.0] * WAITS
    network, active = fit_open_files(_network(params.network, len(parts)))
    robots = _ROBOTS if len(parts) > 1 else None
    remove_tree(_ROBOTS)  # of a killed run
    if robots:
        robots.mkdir(parents=True)
    share = Share(network, waits, active, robots, ray)
    others = [
        _Process(context, make, number, part, share)
        for number, part in enumerate(parts[1:], start=1)
    ]
    with Interrupts() as interrupts, progress(total=sum(quotas.values()), unit=" photos") as bar:
        try:

            def show(counts: Counts) -> None:
                interrupts.check_parent()
                _show(bar, [counts, *(other.counts() for other in others)])

            first = make(0, parts[0], share)
            ended = [_Ended(first.run(interrupts, show), first.traffic)]
            for other in others:
                while (end := other.ended(_WAIT)) is None:
                    show(first.counts())
                ended.append(end)
        finally:
            for other in others:
                other.stop()
            remove_tree(_ROBOTS)
    results = {result.key: result for part in ended for result in part.results}
    return [results[key] for key in quotas], sum_of([part.traffic for part in ended])


def fit_open_files(network: Network) -> tuple[Network, int]:
    """The network with as many connections as a process may have, and the classes it may open.

    The soft limit on open files is raised as far as it may be; macOS starts with 256.
    """
    if os.name == "nt":
        return network, MAX_ACTIVE
    import resource  # POSIX only

    wanted = _OTHER_FILES + MAX_ACTIVE * _FILES_A_CLASS + 2 * network.connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    spare = max(0, (wanted if soft == resource.RLIM_INFINITY else soft) - _OTHER_FILES)
    active = max(1, min(MAX_ACTIVE, spare // (4 * _FILES_A_CLASS)))
    connections = max(1, min(network.connections, (spare - active * _FILES_A_CLASS) // 2))
    if connections < network.connections:
        print(
            f"warning: {soft} open files are allowed, so {connections} connections instead of "
            f"{network.connections}; ulimit -n raises it",
            file=sys.stderr,
        )
    return network.model_copy(update={"connections": connections}), active


def _show(bar: "tqdm[Any]", processes: Sequence[Counts]) -> None:
    """Update the bar: photos taken, MB/s and the share of tried URLs that gave no photo."""
    taken, tried, received = (sum(column) for column in zip(*processes, strict=True))
    seconds = bar.format_dict["elapsed"] or 1
    failed = 1 - taken / tried if tried else 0
    bar.set_postfix_str(f"{received / seconds / 1e6:.1f} MB/s, {failed:.0%} failed", refresh=False)
    bar.update(taken - bar.n)


class _Process:
    """Another process of the run."""

    def __init__(self, context: Any, make: MakeCrawl, number: int, part: Quotas, share: Share):
        self._shared = context.RawArray("q", 3)
        self._pipe, far_end = context.Pipe(duplex=False)
        self._end: _Ended | None = None
        arguments = partial(make, number, part, share), self._shared, far_end, os.getpid()
        self._process = context.Process(target=_main, args=arguments, daemon=True)
        self._process.start()
        far_end.close()

    def counts(self) -> Counts:
        """Its progress. Raises as `ended` does."""
        self.ended(0)
        return Counts(*self._shared)

    def ended(self, wait: float) -> _Ended | None:
        """Its results, or None if it has not ended after `wait` seconds.

        Raises the error that it ended with, DataError when it was killed.
        """
        if self._end is None and self._pipe.poll(wait):
            try:
                self._end = self._pipe.recv()
            except EOFError:
                raise DataError("a process of this run was killed; run it again to go on") from None
        if self._end and self._end.error:
            raise self._end.error
        return self._end

    def stop(self) -> None:
        """End it if it still runs."""
        self._process.terminate()
        self._process.join()
        self._pipe.close()


def _main(make: Callable[[], Crawl], shared: Any, pipe: Connection, parent: int) -> None:
    def show(counts: Counts) -> None:
        interrupts.check_parent()
        shared[:] = counts.taken, counts.tried, counts.bytes

    with Interrupts(parent) as interrupts:
        try:
            crawl = make()
            pipe.send(_Ended(crawl.run(interrupts, show), crawl.traffic))
        except KeyboardInterrupt:
            pass  # the first process was interrupted too, or ended this one
        except (DataError, UsageError, OSError) as error:
            if os.getppid() == parent:
                pipe.send(_Ended([], Traffic(), error))
        except Exception as error:  # a fault of our own: the first process shows where
            pipe.send(_Ended([], Traffic(), RuntimeError("".join(format_exception(error)))))


def _network(network: Network, count: int) -> Network:
    parts = {"connections": network.connections // count, "per_host": network.per_host // count}
    return network.model_copy(update=parts | {"min_interval": network.min_interval * count})


# The summary


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
        [
            " ".join(dict.fromkeys((one.key, class_name(one.key)))),
            *(one.counts[status] for status in seen),
        ]
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
    """Whether requests failed and none was answered; those that a full class ends are neither."""
    return bool(traffic.failures) and not traffic.answers


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
