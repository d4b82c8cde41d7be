"""Worker processes: as many as may run here, and none that outlives the process that started it."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from threading import Thread

from allrounder.core.errors import DataError


def cores() -> int:
    """The number of processors that this process may use, e.g. under `taskset`."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def killed() -> DataError:
    """The error for a run one of whose processes was killed."""
    return DataError("a process of this run was killed, perhaps for want of memory; run it again")


@contextmanager
def worker_pool(
    most: int, initializer: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Start up to `most` workers, which call `initializer` first; an error ends them at once.

    Raises DataError when a worker is killed.
    """
    pool = ProcessPoolExecutor(
        min(most, cores()), initializer=start_worker, initargs=(initializer,)
    )
    with pool:
        try:
            yield pool
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise killed() from None
            raise


def start_worker(initializer: Callable[[], None] | None = None) -> None:
    """Begin in a worker: leave Ctrl-C to the first process, which ends the workers; watch it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    if initializer:
        initializer()


def _end_with_parent() -> None:
    """End this process with its parent, also if that is killed.

    The sentinel is a pipe that only the parent and later workers hold, and the last worker ends
    first.
    """
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)
