"""A download over several processes: the same as over one, also when one of them fails."""

import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, MutableSequence, Sequence
from pathlib import Path
from typing import Any

import pytest

from allrounder.core.errors import DataError
from allrounder.download import rounds as workers
from allrounder.download.class_quota import ClassResult
from allrounder.download.crawl import Counts, Crawl, Share
from allrounder.download.rounds import Quotas, crawl, shares
from allrounder.history import journal
from allrounder.history.journal import _write_all
from allrounder.params.schema import Params
from allrounder.web.fetcher import Traffic
from allrounder.web.hosts import Hosts
from webfaults.project import OTHER, SCRIPT, THIRD, WNID, Project, make_params
from webfaults.server import Server

FOURTH = "n02917067"
START = f"""
import sys, runpy, allrounder.download.rounds as w
w.MIN_SHARE = 1
sys.argv = [{str(SCRIPT)!r}]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MIN_SHARE", 1)
    monkeypatch.setattr(workers, "cores", lambda: 4)


def project(folder: Path, server: Server, processes: int) -> Project:
    folder.mkdir()
    lists = {
        wnid: [server.url(f"good/{wnid}{n}") for n in range(25)]
        for wnid in (WNID, OTHER, THIRD, FOURTH)
    }
    return Project(folder, lists, per_class=10, network={"processes": processes})


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_processes_change_nothing_of_what_is_downloaded(tmp_path: Path, server: Server) -> None:
    one, three = project(tmp_path / "1", server, 1), project(tmp_path / "3", server, 3)
    one.crawl_here()
    three.crawl_here()
    three.check_accounts()
    assert files(three.raw) == files(one.raw)
    assert len(list(three.work.glob("journal*.jsonl"))) == 3


def test_what_one_process_has_fetched_no_process_requests_again(
    tmp_path: Path, server: Server
) -> None:
    again = project(tmp_path / "1", server, 3)
    again.crawl_here()
    server.requests.clear()
    again.params["network"]["processes"] = 2
    again.crawl_here()
    taken = {f"/good/{wnid}{n}" for wnid in again.lists for n in range(10)}
    assert not taken & set(server.requests)  # what was beyond the quota may still be on its way


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 2),
        ({"processes": 1}, 1),
        ({"processes": 9, "per_host": 3}, 3),
        ({"processes": 9, "connections": 16}, 2),
        ({"per_host": 1}, 1),
    ],
)
def test_classes_and_connections_are_shared_out(changes: dict[str, int], count: int) -> None:
    params = Params.model_validate(make_params([WNID, OTHER, THIRD, FOURTH], network=changes))
    parts = shares(params, params.quotas)
    assert len(parts) == count
    assert sorted(wnid for part in parts for wnid in part) == sorted(params.classes)


def test_a_small_job_is_done_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MIN_SHARE", 500)
    params = Params.model_validate(make_params([WNID, OTHER]))
    assert len(shares(params, params.quotas)) == 1


def test_an_error_of_another_process_is_raised(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, write = os.getpid(), _write_all

    def full(descriptor: int, data: bytes) -> None:
        if os.getpid() != here:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(descriptor, data)

    monkeypatch.setattr(journal, "_write_all", full)
    with pytest.raises(OSError, match="No space left"):
        project(tmp_path / "full", server, 2).crawl_here()


def test_a_process_that_is_killed_is_noticed(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, advance = os.getpid(), Crawl._advance

    def killed(self: Crawl, run: object) -> None:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        advance(self, run)  # type: ignore[arg-type]

    monkeypatch.setattr(Crawl, "_advance", killed)
    lost = project(tmp_path / "lost", server, 2)
    with pytest.raises(DataError, match="a process of this run was killed; run it again"):
        lost.crawl_here()
    monkeypatch.undo()
    lost.crawl_here()
    lost.check_accounts()


def test_kill_9_ends_all_processes_and_the_next_run_goes_on(tmp_path: Path, server: Server) -> None:
    straight, killed = project(tmp_path / "1", server, 1), project(tmp_path / "2", server, 2)
    straight.crawl_here()
    for count in (10, 20, 30):
        process = started(killed)
        target = server.requests.total() + count
        while server.requests.total() < target and process.poll() is None:
            pass
        process.kill()
        process.wait()
    last = started(killed)
    _, output = last.communicate()
    assert last.returncode == 0, output
    assert files(killed.raw) == files(straight.raw)


def started(project: Project) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", START],
        cwd=project.folder,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
    )


def test_a_host_that_asks_one_process_to_wait_is_left_alone_by_all() -> None:
    waits: list[float] = [0.0] * 16
    one, other = (Hosts[str](8, 8, 0, waits) for _ in range(2))
    one.add("busy.example", "a")
    assert list(one.start(100.0)) == ["a"]
    one.end("busy.example", 101.0, 429, asked_wait=30)
    other.add("busy.example", "b")
    assert list(other.start(102.0)) == []
    assert other.wait(102.0) == 29
    assert list(other.start(131.0)) == ["b"]


class Writer:
    """Stands for a crawl: the second process writes on the board, the first waits to read it."""

    traffic = Traffic()

    def __init__(self, number: int, wnids: Sequence[str], waits: MutableSequence[float]):
        self.number, self.wnids, self.waits = number, wnids, waits

    def run(self, interrupts: object, show: Any) -> list[ClassResult]:
        if self.number:
            self.waits[3] = 7.5
        while self.waits[3] != 7.5:
            show(Counts())
        return [ClassResult(wnid, Counter(), Counter()) for wnid in self.wnids]


def test_the_processes_of_a_run_share_one_board() -> None:
    def make(number: int, quotas: Quotas, share: Share) -> Any:
        return Writer(number, [*quotas], share.waits)

    params = Params.model_validate(make_params([WNID, OTHER], network={"processes": 2}))
    results, _ = crawl(params, params.quotas, make)
    assert [result.key for result in results] == [WNID, OTHER]
