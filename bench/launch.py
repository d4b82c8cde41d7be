"""Starts one command from a small process and writes what it took: `launch.py FILE COMMAND...`.

A process inherits the peak memory of the one it was started from (Linux keeps it across exec), so
that a command started from a large process would seem as large. What hangs is killed. Used by
measure.py.
"""

import json
import os
import signal
import sys
import time

LIMIT = 300  # seconds

if __name__ == "__main__":
    start = time.perf_counter()
    pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(LIMIT)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        json.dump({"seconds": seconds, "cpu": cpu, "peak_mb": peak}, file)
    sys.exit(min(abs(os.waitstatus_to_exitcode(status)), 255))
