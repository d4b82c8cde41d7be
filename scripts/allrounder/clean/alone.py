"""Decodes a photo within bounds: a worker that takes too much CPU time ends; others may crash.

Each worker writes down which photo it decodes. If it ends, that photo is decoded again, alone in a
new process: only what happens there too is the photo's own fault.
"""

import errno
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

from allrounder.clean.decode import Photo, normalize
from allrounder.core.errors import DataError
from allrounder.core.rows import Status
from allrounder.core.tars import StoredBytes
from allrounder.core.workers import signals_blocked, start_worker
from allrounder.params.schema import Clean

_SECONDS = 120  # of CPU time; what `normalize` accepts takes about 10 s at most
_TIMER = hasattr(signal, "setitimer")  # Windows has none
_CRASHES = {
    -getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS")
    if hasattr(signal, name)
}


def decode(body: bytes, rules: Clean) -> Photo:
    """Decode a photo and normalize it. The process ends if that takes too much time."""
    if not _TIMER:
        return normalize(body, rules)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    try:
        return normalize(body, rules)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def decode_alone(name: str, stored: StoredBytes, rules: Clean) -> Photo:
    """Decode a photo in a process of its own; a photo that crashes the decoder is corrupt.

    Raises DataError if this machine is at fault: it has not enough memory, or ends the process.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_answer, args=(sender, stored, rules), daemon=True)
    with signals_blocked():
        process.start()
    sender.close()
    try:
        photo: Photo = receiver.recv()
        return photo
    except EOFError:  # the process ended without an answer
        process.join()
    finally:
        process.kill()  # on Ctrl-C, too
        process.join()
    code = process.exitcode or 0
    if _TIMER and code == -signal.SIGPROF:
        return Photo(Status.CORRUPT, f"took the decoder more than {_SECONDS} s")
    if code in _CRASHES or (code > 0 and code != errno.ENOMEM):
        return Photo(Status.CORRUPT, "crashed the decoder")
    why = "not enough memory" if code == errno.ENOMEM else f"its process was ended ({code})"
    raise DataError(
        f"{name} cannot be decoded on this machine now: {why}; nothing was recorded. Give it more "
        "memory (ulimit -v, fewer processes), and run it again"
    )


def _answer(sender: Connection, stored: StoredBytes, rules: Clean) -> None:
    start_worker()
    try:
        sender.send(decode(stored.read(), rules))
    except MemoryError:
        os._exit(errno.ENOMEM)
