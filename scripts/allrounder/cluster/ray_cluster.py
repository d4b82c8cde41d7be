"""Runs slices of work and workers on Ray (https://docs.ray.io); Ray is imported only here.

Nodes need the packages of requirements.txt and no shared disk: this project's code goes along. A
slice is a function of one picklable argument, and is idempotent: it may run more than once.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from allrounder.core.errors import DataError, UsageError, first_line
from allrounder.core.workers import cores

Key = TypeVar("Key")
Argument = TypeVar("Argument")
Result = TypeVar("Result")

SLICE_BYTES = 32 * 2**20
"""The size of a slice's argument at most, and of its result."""
_AHEAD = 2  # slices under way for each processor
_STORE_SHARE = 4  # slices under way take at most one fourth of one node's object store
_RETRIES = 3
"""More tries for a slice whose worker or node was lost."""
_STRAGGLER = 3.0
"""Once all slices are under way, one that takes this many times the mean is started again."""
_LOOK = 1.0  # seconds
_START = 120.0
"""Seconds in which the first worker has to start."""
_ANSWER = 10.0
"""Seconds in which the head node has to answer: Ray itself tries for minutes."""
_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALL = "pip install 'ray[client]>=2.50'"


def asked_address(network_ray: str | None) -> str:
    """The address of the cluster that `network.ray` or RAY_ADDRESS asks for, or ''."""
    return network_ray or os.environ.get("RAY_ADDRESS", "")


@dataclass(slots=True)
class _UnderWay(Generic[Key]):
    """A slice under way. `argument` is a reference to its argument in the object store."""

    key: Key
    argument: Any
    started: float


class Cluster:
    """A connection to a cluster, or to a new one of this machine alone for `local`.

    Raises UsageError when Ray is missing or cannot be reached.
    """

    def __init__(self, address: str) -> None:
        # By default, Ray sends usage statistics to its developers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if address == "auto":  # a head node that was lost: by default, Ray tries for 12 minutes
            os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
        try:
            import ray
        except ImportError:
            raise UsageError(
                f"network.ray: {address}: the package ray is missing: {_INSTALL}"
            ) from None
        local = {"num_cpus": cores(), "include_dashboard": False} if address == "local" else {}
        code = {"py_modules": [str(_PACKAGE)], "excludes": ["__pycache__"]}
        try:
            _check_listening(address)
            ray.init(address, runtime_env=code, log_to_driver=False, logging_level="ERROR", **local)
        except Exception as error:  # ConnectionError, RuntimeError, ValueError and Ray's own
            raise UsageError(
                f"network.ray: {address}: no connection ({first_line(error)}); start a cluster "
                "(docs/scale.md), correct the address, or remove it"
            ) from None
        self._ray: Any = ray

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and what this program runs on the cluster."""
        self._ray.shutdown()

    def run(
        self, function: Callable[[Argument], Result], slices: Iterable[tuple[Key, Argument]]
    ) -> Iterator[tuple[Key, Result | None]]:
        """Run slices, taken from `slices` only as fast as they end; yields their results by key.

        They are in the order in which they end. A result is None if the slice ended its worker in
        every try: the caller then does it itself. Raises the function's DataError.
        """
        ray, rest, more = self._ray, iter(slices), True
        task = ray.remote(function).options(max_retries=_RETRIES, scheduling_strategy="SPREAD")
        under_way: dict[Any, _UnderWay[Key]] = {}
        seconds: list[float] = []
        while more or under_way:
            while more and len(under_way) < self._most:
                if more := (one := next(rest, None)) is not None:
                    started = _UnderWay(one[0], ray.put(one[1]), time.monotonic())
                    under_way[task.remote(started.argument)] = started
            if not more and (late := _straggler(list(under_way.values()), seconds)):
                under_way[task.remote(late.argument)] = late
            for ref in ray.wait(list(under_way), timeout=_LOOK)[0] if under_way else ():
                if (ended := under_way.pop(ref, None)) is None:
                    continue  # the other one of a straggler
                for other in [other for other, one in under_way.items() if one is ended]:
                    del under_way[other]
                    ray.cancel(other, force=True)
                seconds.append(time.monotonic() - ended.started)
                yield ended.key, self._result(ref)

    @property
    def _most(self) -> int:
        """The most slices under way now. All arguments are in one node's object store."""
        has = self._ray.cluster_resources()
        nodes = sum(n for key, n in has.items() if key.startswith("node:") and "__" not in key)
        store = has.get("object_store_memory", 0) / max(1, nodes)
        fit = int(store) // (_STORE_SHARE * SLICE_BYTES)
        return max(1, min(_AHEAD * int(has.get("CPU", 1)), fit))

    def _result(self, ref: Any) -> Any:
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, MemoryError):
                return None
            raise _of_worker(error) from None
        except self._ray.exceptions.RayError as error:
            print(f"warning: Ray: {first_line(error)}: this machine does it", file=sys.stderr)
            return None

    def workers(self, kind: type[Any], *arguments: object) -> list[Any]:
        """Start a worker on each processor that is free; returns handles of those that started.

        Raises DataError when none starts.
        """
        ray = self._ray
        start = ray.remote(kind).options(num_cpus=1, scheduling_strategy="SPREAD")
        free = int(ray.available_resources().get("CPU", 0))
        handles = [start.remote(*arguments) for _ in range(max(1, free))]
        starting = {handle.ready.remote(): handle for handle in handles}
        deadline, started, fault = time.monotonic() + _START, list[Any](), ""
        while starting and (not started or time.monotonic() < deadline):
            wait = deadline - time.monotonic()
            refs, _ = ray.wait(list(starting), num_returns=1, timeout=max(0.0, wait))
            if not refs:
                break
            handle = starting.pop(refs[0])
            try:
                started.append(self.get(refs[0]) and handle)
            except WorkerLostError as error:
                fault = str(error)
        for late in starting.values():
            self.end(late)
        if not started:
            why = fault or f"no processor was free within {_START:.0f} s"
            raise DataError(f"network.ray: no worker could be started: {why}")
        return started

    def ready(self, refs: Sequence[Any], wait: float) -> list[Any]:
        """Those references whose values are there, after up to `wait` seconds for the first."""
        if refs and self._ray.wait(list(refs), timeout=wait)[0]:
            found: list[Any] = self._ray.wait(list(refs), num_returns=len(refs), timeout=0)[0]
            return found
        return []

    def get(self, ref: Any) -> Any:
        """The value of a reference. Raises WorkerLostError, and the worker's own DataError."""
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise _of_worker(error) from None
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(first_line(error)) from None

    def end(self, worker: Any) -> None:
        """End a worker, if it is still there."""
        self._ray.kill(worker)


def _check_listening(address: str) -> None:
    """Raise OSError if nothing listens at an address with a port."""
    from allrounder.web.transfer import check_listening  # most runs have no cluster

    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        check_listening(host.strip("[]"), int(port), _ANSWER)


class WorkerLostError(Exception):
    """A worker, or its node, is no more."""


def _straggler(
    under_way: Sequence[_UnderWay[Key]], seconds: Sequence[float]
) -> "_UnderWay[Key] | None":
    """The slice to start again: the oldest that runs once, if it takes far longer than others."""
    alone = [one for one in under_way if sum(one is other for other in under_way) == 1]
    oldest = min(alone, key=lambda one: one.started, default=None)
    if not oldest or not seconds:
        return None
    late = max(_LOOK, _STRAGGLER * sum(seconds) / len(seconds))
    return oldest if time.monotonic() - oldest.started > late else None


def _of_worker(error: Any) -> Exception:
    """The error for one that a worker raised."""
    cause = error.cause
    if isinstance(cause, DataError | UsageError):
        return cause
    if isinstance(cause, ImportError):
        return DataError(f"network.ray: a node lacks a package ({cause}): install requirements.txt")
    return RuntimeError(str(error))
