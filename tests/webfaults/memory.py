"""How much memory this process has held at most."""

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak() -> int:
    """Peak memory in bytes; from /proc if possible, as getrusage's includes the parent's."""
    if STATUS.exists():
        lines = STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
