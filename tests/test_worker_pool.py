"""Worker processes end with the process that started them, however it ends, in silence."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from allrounder.core import workers
from allrounder.core.errors import DataError

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
PROGRAM = """
import os, signal, sys, threading
from allrounder.core.errors import DataError, run
from allrounder.core.workers import worker_pool

def hang(number):
    print("working", flush=True)
    threading.Event().wait()

def fail(number):
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise DataError("the class is broken")

def main():
    with worker_pool(3) as pool:
        list(pool.map(fail if sys.argv[1:] else hang, range(3)))

sys.exit(run(main))
"""


ALONE = """
import multiprocessing, sys, threading
from allrounder.core.workers import start_worker

def hang():
    start_worker()
    print("working", flush=True)
    threading.Event().wait()

process = multiprocessing.Process(target=hang)
process.start()
process.join()
"""


def started(*arguments: str, program: str = PROGRAM) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("program", [PROGRAM, ALONE])
def test_workers_of_a_killed_process_end_and_let_go_of_its_output(program: str) -> None:
    process = started(program=program)
    assert process.stdout
    process.stdout.readline()
    process.kill()
    process.communicate(timeout=60)  # returns when the last holder of stdout has ended


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_of_all_processes_is_reported_in_one_line(number: signal.Signals) -> None:
    process = started()
    assert process.stdout
    process.stdout.readline()
    os.killpg(process.pid, number)
    _, output = process.communicate(timeout=60)
    assert output.startswith("error: interrupted") or number == signal.SIGTERM
    assert output.count("\n") == (number == signal.SIGINT)


@pytest.mark.parametrize(("how", "words"), [("killed", "was killed"), ("fails", "is broken")])
def test_a_worker_that_fails_is_reported_in_one_line(how: str, words: str) -> None:
    process = started(how)
    _, output = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words in output
    assert output.count("\n") == 1


def test_there_are_as_many_workers_as_processors_are_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    assert workers.cores() == 1
    with workers.worker_pool(8) as pool:
        assert pool._max_workers == 1  # type: ignore[attr-defined]
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert workers.cores() == 1


def test_a_pool_that_could_not_start_its_threads_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(self: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", start)
    with pytest.raises(DataError, match="no more threads"), workers.worker_pool(2):
        pass
