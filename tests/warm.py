"""Runs DVC and the project's scripts in forks of one process that has imported libraries already.

Starting Python and importing DVC or numpy takes 0.3 to 1 s, which is most of what a short stage
takes. Each command still has a process of its own, whose modules of the project come from the clone
it runs in. Stages that DVC starts run in forks as well: its PATH starts with a `python` that passes
the command on. Project.run starts commands the usual way.
"""

import atexit
import contextlib
import gc
import inspect
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

_POSSIBLE = sys.platform == "linux"  # it passes descriptors over abstract sockets
_DVC = (
    "dvc.cachemgr", "dvc.cli.parser", "dvc.data_cloud", "dvc.dirs", "dvc.lock", "dvc.render.match",
    "dvc.repo.brancher", "dvc.repo.datasets", "dvc.repo.experiments.utils", "dvc.repo.graph",
    "dvc.repo.index", "dvc.repo.metrics.show", "dvc.repo.open_repo", "dvc.repo.plots",
    "dvc.repo.reproduce", "dvc.repo.stage", "dvc.repo.trie", "dvc.repo.worktree", "dvc.rwlock",
    "dvc.scm", "dvc.utils.strictyaml", "dvc_data.fs", "dvc_data.hashfile.db.local",
    "dvc_data.index.checkout", "dvc_data.index.push", "dvc_render", "configobj", "dulwich.client",
    "dulwich.ignore", "dulwich.index", "dulwich.worktree", "fsspec.implementations.memory",
    "networkx", "pygit2", "ruamel.yaml",
)  # fmt: skip
_SCRIPTS = (
    "certifi", "concurrent.futures.process", "filelock", "idna", "jinja2", "multiprocessing.pool",
    "multiprocessing.popen_fork", "multiprocessing.synchronize", "numpy.ma", "numpy.typing",
    "PIL.ImageCms", "PIL.ImageOps", "pillow_heif", "protego", "pycurl", "pydantic.fields",
    "pydantic.functional_validators", "pydantic.type_adapter", "pydantic.types", "requests",
    "rich.table", "simplejpeg", "splitfolders", "sysconfig", "tarfile", "tqdm",
    "urllib3.util.retry", "yaml", "zipfile", "zoneinfo",
)  # fmt: skip
_PROGRAM = """#!{python} -IS
import os, socket, sys
import json
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect("\\0{server}")
command = {{"command": {command}, "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(connection, [json.dumps(command).encode()], [0, 1, 2])
os._exit(int(connection.recv(100) or b"137"))
"""
"""A `python` or `dvc` on a PATH: passes its command line, folder, environment and streams on."""
_MAX = 2**18  # bytes of a request
_SHARED = "ALLROUNDER_WARM"


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path | None = None
) -> tuple[int, str]:
    """Return the exit code of `dvc ...` or `<script>.py ...`, and its output on both streams.

    With `out`, standard output goes to that file.
    """
    with TemporaryFile() as both, open(out or os.devnull, "wb") as apart:
        code = (_forked if _POSSIBLE else _started)(
            command, folder, environment, (apart if out else both).fileno(), both.fileno()
        )
        both.seek(0)
        return code, both.read().decode(errors="replace")


def install(folder: Path) -> None:
    """Replace the `python` and `dvc` of a virtual environment's folder by ones that start sooner.

    `python` runs scripts only.
    """
    if _POSSIBLE:
        _write_programs(folder, folder / "python3", _programs().name)


def _write_programs(folder: Path, python: Path, server: str) -> None:
    for name, command in {"python": "sys.argv[1:]", "dvc": "['dvc', *sys.argv[1:]]"}.items():
        program = folder / name
        program.unlink(missing_ok=True)
        text = _PROGRAM.format(python=python, server=server, command=command)
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)


def _started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], out: int, error: int
) -> int:
    python = ["-m", "dvc", *command[1:]] if command[0] == "dvc" else command
    return subprocess.run(
        [sys.executable, *python],
        cwd=folder,
        env=environment,
        stdout=out,
        stderr=error,
        check=False,
    ).returncode


def _forked(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], out: int, error: int
) -> int:
    server = _programs()
    path = os.pathsep.join([server.bin, environment["PATH"]])
    request = {
        "command": command,
        "folder": str(folder),
        "environment": dict(environment) | {"PATH": path},
    }
    with (
        open(os.devnull, "rb") as nothing,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
    ):
        connection.connect("\0" + server.name)
        streams = [nothing.fileno(), out, error]
        socket.send_fds(connection, [json.dumps(request).encode()], streams)
        return int(connection.recv(100) or b"137")  # no answer from a process that was killed


@dataclass(frozen=True)
class _Programs:
    """The name of the process that forks, and the folder of the `python` that asks it."""

    name: str
    bin: str


class _Server:
    """The process that forks, and the folder of the `python` that asks it."""

    def __init__(self) -> None:
        self.name = f"warm-{os.getpid()}"
        self._folder = TemporaryDirectory(prefix="warm-")
        self.bin = self._folder.name
        _write_programs(Path(self.bin), Path(sys.executable), self.name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind("\0" + self.name)
            listening.listen(16)
            ends, self._stop = os.pipe()
            fds = [listening.fileno(), ends]
            command = [sys.executable, __file__, *map(str, fds)]
            self.process = subprocess.Popen(command, pass_fds=fds)
            os.close(ends)

    def end(self) -> None:
        """End the process; it ends by itself when this one does."""
        os.close(self._stop)
        self.process.wait()
        self._folder.cleanup()


@cache
def _server() -> _Server:
    return _Server()


def _programs() -> _Programs:
    """Of the process that pytest's workers share, else of one of this process."""
    if shared := os.environ.get(_SHARED):
        return _Programs(*json.loads(shared))
    return _Programs(_server().name, _server().bin)


def share() -> None:
    """Start the process for this process and all that it starts from now on."""
    if _POSSIBLE:
        os.environ[_SHARED] = json.dumps([_server().name, _server().bin])


def end() -> None:
    """End the process, if this one started it."""
    if _server.cache_info().currsize:
        _server().end()
        _server.cache_clear()


def _import_libraries() -> None:
    for name in (*_DVC, *_SCRIPTS):
        import_module(name)
    for name in import_module("PIL")._plugins:
        with contextlib.suppress(ImportError):  # two need packages that nobody has
            import_module(f"PIL.{name}")
    import_module("pydantic").create_model("Any")  # looks for plugins, once
    inspect.getmodule(sys._getframe())  # keeps where each module is; pydantic asks for each class


def _serve(listening: socket.socket, ends: int) -> None:
    _import_libraries()
    gc.freeze()  # or each fork would look through, and so copy, what was imported
    while True:
        ready, _, _ = select.select([listening.fileno(), ends], [], [])
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if ends in ready:
            return
        connection, _ = listening.accept()
        if not os.fork():
            listening.close()
            os.close(ends)
            _answer(connection)
        connection.close()


def _answer(connection: socket.socket) -> None:
    """Run the command that comes over a connection, answer with its exit code, and end."""
    body, streams, _, _ = socket.recv_fds(connection, _MAX, 3)
    request = json.loads(body)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    code = _code(_dvc if request["command"][0] == "dvc" else _script, request["command"])
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for printed in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            printed.flush()
    connection.send(str(code).encode())
    os._exit(code)


def _code(main: Callable[[list[str]], Any], command: list[str]) -> int:
    """The exit code of a command, as Python would give it."""
    try:
        code = main(command)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    return int(code or 0) % 256


def _dvc(command: list[str]) -> Any:
    from dvc.cli import main

    sys.argv = command
    return main(command[1:])


def _script(command: list[str]) -> None:
    # Streams as Python opens them: this process has others, which DVC wraps.
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False
    )
    sys.argv = command
    sys.path[0] = str(Path(command[0]).parent.absolute())
    runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
