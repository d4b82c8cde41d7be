"""Runs DVC's command line in forks of one process that has imported it already: 0.5 s sooner.

Each command has a process of its own all the same, which starts as good as new and ends with it.
Not for anything but tests; Project.dvc asks it, and where it cannot work, plain `dvc` is run.
"""

import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

POSSIBLE = sys.platform == "linux"
_IMPORTS = (
    "dvc.cachemgr", "dvc.cli.parser", "dvc.data_cloud", "dvc.dirs", "dvc.lock",
    "dvc.repo.open_repo", "dvc.repo.reproduce", "dvc.repo.stage", "dvc.rwlock", "dvc.scm",
    "dvc.utils.strictyaml", "dvc_data.fs", "dvc_data.hashfile.db.local", "dvc_render",
    "configobj", "dulwich.client", "dulwich.worktree", "networkx", "pygit2", "ruamel.yaml",
)  # fmt: skip
"""What commands import, of DVC and of what it uses."""


def dvc(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit code of a command in a folder, and what it printed on both streams."""
    request = {"arguments": arguments, "folder": str(folder), "environment": environment}
    with TemporaryFile() as out:
        _, connection = _server()
        socket.send_fds(connection, [json.dumps(request).encode()], [out.fileno()])
        code = int(connection.recv(100))
        out.seek(0)
        return code, out.read().decode()


@cache
def _server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, and the connection to it, with which it ends."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, __file__, str(its.fileno())]
        return subprocess.Popen(command, pass_fds=[its.fileno()]), ours


def end() -> None:
    """End the process, if there is one."""
    if _server.cache_info().currsize:
        process, connection = _server()
        connection.close()
        process.wait()
        _server.cache_clear()


def _serve(asked: socket.socket) -> None:
    for name in _IMPORTS:
        import_module(name)
    gc.freeze()  # or each fork would look through, and so copy, what was imported
    while True:
        body, files, _, _ = socket.recv_fds(asked, 2**18, 1)
        if not body:
            return
        child = os.fork()
        if not child:
            asked.close()
            os._exit(_run(json.loads(body), files[0]))
        os.close(files[0])
        asked.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _run(request: dict[str, Any], out: int) -> int:
    from dvc.cli import main

    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["dvc", *request["arguments"]]
    code = 1
    with contextlib.suppress(SystemExit):
        try:
            code = main(request["arguments"])
        except Exception:
            traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code) % 256


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
