"""Worker processes: as many as may run here. They end with the process that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from threading import Event, Thread
from typing import TypeVar

from allrounder.core.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MANY = 100
"""Classes that are worth starting workers for, if each takes some milliseconds."""
_MOST = 61  # processes of a pool: Windows allows no more
_THREADS = 3  # one more than a pool needs
_PATIENCE = 5.0  # seconds for a thread to end
_ENDING = (signal.SIGINT, signal.SIGTERM)


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

    Raises DataError when a worker is killed, or when no thread can be started.
    """
    _check_threads()
    pool = ProcessPoolExecutor(
        max(1, min(most, cores(), _MOST)), initializer=start_worker, initargs=(initializer,)
    )
    with pool:
        try:
            with signals_blocked():
                pool.submit(int)  # starts all workers
            yield pool
        except DataError:  # a task's own: the pool is sound
            pool.shutdown(cancel_futures=True)
            raise
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            # Python wakes the pool's own thread at exit without a lock: it must have ended by then.
            for thread in threading.enumerate():
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join(_PATIENCE)
            if isinstance(error, BrokenProcessPool):
                raise killed() from None
            raise


def map_classes(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call a function for something of each class, in worker processes if there are many."""
    if len(items) < _MANY:
        return [*map(function, items)]
    with worker_pool(cores()) as pool:
        return [*pool.map(function, items, chunksize=10)]


def _check_threads() -> None:
    """Raise DataError if this process may not start threads: a pool without them would hang."""
    end = Event()
    try:
        for _ in range(_THREADS):
            Thread(target=end.wait, daemon=True).start()
    except RuntimeError:
        raise DataError(
            "no more threads can be started: raise ulimit -v or -u and run it again"
        ) from None
    finally:
        end.set()


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block Ctrl-C and SIGTERM while a worker starts; `start_worker` unblocks them there.

    Otherwise a signal would end it in Python's own code, with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(initializer: Callable[[], None] | None = None) -> None:
    """Set up a worker: it ignores Ctrl-C, since the first process ends it, and ends with that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    Thread(target=_end_with_parent, daemon=True).start()
    if initializer:
        initializer()


def _end_with_parent() -> None:
    """End this process when its parent ends, also if that is killed.

    Only the parent and later workers hold the sentinel, a pipe, so the last worker ends first.
    """
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)
