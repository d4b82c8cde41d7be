"""Spreads a download over processes and shows its progress. The photos do not depend on it."""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from traceback import format_exception
from typing import Any

from tqdm import tqdm

from allrounder.core.errors import DataError, UsageError
from allrounder.core.files import remove_tree
from allrounder.core.interrupts import Interrupts
from allrounder.core.paths import WORK
from allrounder.core.progress import progress
from allrounder.core.workers import cores
from allrounder.download.class_quota import ClassResult
from allrounder.download.crawl import Counts, Crawl, Share
from allrounder.params.schema import Network, Params
from allrounder.params.sources import reads_parquet
from allrounder.web.fetcher import Traffic, sum_of
from allrounder.web.hosts import WAITS

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
        arguments = (make, number, part, share, self._shared, far_end, os.getpid())
        self._end: _Ended | None = None
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


def _main(
    make: MakeCrawl,
    number: int,
    part: Quotas,
    share: Share,
    shared: Any,
    pipe: Connection,
    parent: int,
) -> None:
    def show(counts: Counts) -> None:
        interrupts.check_parent()
        shared[:] = counts.taken, counts.tried, counts.bytes

    with Interrupts(parent) as interrupts:
        try:
            one = make(number, part, share)
            pipe.send(_Ended(one.run(interrupts, show), one.traffic))
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
