"""A download that is killed, interrupted, doubled or out of disk goes on where it was."""

import errno
import hashlib
import os
import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from allrounder.core.errors import run
from allrounder.core.rows import Result, Status
from allrounder.history import journal
from allrounder.history.journal import Journal, discard_committed
from webfaults.archives import ARCHIVES, photos_tar
from webfaults.project import OTHER, THIRD, WNID, Project, kill
from webfaults.server import Exchange, Server

PACE = {"connections": 4, "per_host": 4}
TAR = "tar_in_pieces/kill.tar"


@pytest.fixture
def server() -> Iterator[Server]:
    ARCHIVES["kill.tar"] = photos_tar(24, "kill")
    with Server() as running:
        yield running


def lists(server: Server, archive: str) -> dict[str, list[str]]:
    """Two classes of 30 URLs, a few of them bad, and one of an archive that comes in pieces."""
    bad = {3: "status/404", 7: "html", 11: "reset", 15: "short", 19: "hops/2"}
    web = {
        wnid: [server.url(_path(bad.get(n, "good"), f"{wnid}{n}")) for n in range(30)]
        for wnid in (WNID, OTHER)
    }
    return {THIRD: [server.url(archive)]} | web


def _path(behaviour: str, name: str) -> str:
    return f"{behaviour}/{name}" if behaviour == "good" else f"{behaviour}?{name}"


def project(folder: Path, server: Server, archive: str = TAR) -> Project:
    """A project of the lists above."""
    folder.mkdir()
    return Project(folder, lists(server, archive), per_class=20, network=PACE)


class Trigger:
    """Does something at the n-th request from now, before it is answered."""

    def __init__(self, server: Server, number: int):
        self.reached, self._left, self._lock = threading.Event(), number, threading.Lock()
        self.go_on = threading.Event()
        server.on_request = self._count

    def _count(self, exchange: Exchange) -> None:
        with self._lock:
            self._left -= 1
            now = self._left == 0
        if now:
            self.reached.set()
        if self._left <= 0:
            self.go_on.wait()


def stopped_at(server: Server, project: Project, number: int, sent: int) -> tuple[int, str]:
    """Run until the n-th request, send the signal, return how it ended."""
    trigger = Trigger(server, number)
    process = project.start()
    while not trigger.reached.wait(0.05) and process.poll() is None:
        pass
    if process.poll() is None:
        kill(process, sent)
    if sent == signal.SIGKILL:
        process.wait()
    trigger.go_on.set()
    _, said = process.communicate()
    server.on_request = lambda exchange: None
    return process.returncode, said


def paths(urls: set[str], server: Server) -> set[str]:
    """The paths of URLs of the server."""
    return {url.removeprefix(server.root) for url in urls}


@pytest.mark.parametrize("seed", range(2))
def test_killed_again_and_again_it_ends_as_if_never_killed(
    tmp_path: Path, server: Server, seed: int
) -> None:
    straight = project(tmp_path / "straight", server)
    assert straight.run()[0] == 0
    killed = project(tmp_path / "killed", server)
    chance, kills = random.Random(seed), 0
    for _ in range(5):
        fetched, before = paths(killed.journaled(), server), Counter(server.requests)
        kills += stopped_at(server, killed, chance.randint(1, 14), signal.SIGKILL)[0] == -9
        asked = {path for path, count in server.requests.items() if count > before[path]}
        assert not fetched & asked
    fetched, before = paths(killed.journaled(), server), Counter(server.requests)
    code, said = killed.run()
    assert code == 0, said
    assert not fetched & {path for path, count in server.requests.items() if count > before[path]}
    assert kills >= 3
    killed.check_accounts()
    assert killed.result() == straight.result()


def test_killed_after_an_archive_was_read_it_is_not_read_again(
    tmp_path: Path, server: Server
) -> None:
    straight = project(tmp_path / "straight", server, "tar/kill.tar")
    assert straight.run()[0] == 0
    killed = project(tmp_path / "killed", server, "tar/kill.tar")
    hold = threading.Event()
    server.on_request = lambda exchange: None if "tar" in exchange.path else _wait(hold)
    process = killed.start()
    while sum("#" in url for url in killed.journaled()) < 20:
        assert process.poll() is None
        hold.wait(0.02)
    kill(process)
    process.communicate()
    server.on_request = lambda exchange: None
    hold.set()
    before = server.asked("tar/kill.tar")
    assert killed.run()[0] == 0
    assert server.asked("tar/kill.tar") == before
    assert killed.result() == straight.result()


def _wait(event: threading.Event) -> None:
    event.wait()


def test_only_the_rest_of_an_archive_is_requested_again(tmp_path: Path, server: Server) -> None:
    only = Project(tmp_path, {THIRD: [server.url(TAR)]}, per_class=20, network=PACE)
    assert stopped_at(server, only, 2, signal.SIGKILL)[0] == -9
    assert len(only.journaled()) == 7
    ranges = len(server.log)
    assert only.run()[0] == 0
    assert server.log[ranges].headers["range"] == f"bytes={7 * 2560}-"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_in_order_and_goes_on(
    tmp_path: Path, server: Server, number: int
) -> None:
    straight = project(tmp_path / "straight", server)
    assert straight.run()[0] == 0
    stopped = project(tmp_path / "stopped", server)
    code, said = stopped_at(server, stopped, 12, number)
    assert code == 130
    assert said == "error: interrupted; what was fetched is kept, run it again to go on\n"
    assert stopped.run()[0] == 0
    assert stopped.result() == straight.result()


def test_a_second_run_names_the_first(tmp_path: Path, server: Server) -> None:
    one = project(tmp_path / "one", server)
    trigger = Trigger(server, 3)
    first = one.start()
    assert trigger.reached.wait(60)
    code, said = one.run()
    trigger.go_on.set()
    first.communicate()
    assert code == 1
    assert said.startswith("error: another download is running here")
    assert f"process {first.pid}" in said
    assert said.count("\n") == 1
    assert first.returncode == 0


def test_the_lock_of_a_killed_run_does_not_hold(tmp_path: Path, server: Server) -> None:
    one = project(tmp_path / "one", server)
    assert stopped_at(server, one, 3, signal.SIGKILL)[0] == -9
    assert one.run()[0] == 0


# The ends of the journal's files


def journaled(folder: Path, *urls: str) -> None:
    """Journal a good photo for each URL."""
    kept = Journal(folder, "key", fresh=False)
    for url in urls:
        kept.add(url, _good(url), url.encode())
    kept.close()


def _good(url: str) -> Result:
    body = url.encode()
    sha256 = hashlib.sha256(body).hexdigest()
    return Result(Status.OK, final_url=url, bytes=len(body), sha256=sha256, suffix="jpg")


def remembered(folder: Path, *urls: str) -> list[str]:
    """The URLs whose complete photo is in the journal."""
    kept = Journal(folder, "key", fresh=False)
    try:
        found = {url: kept.get(url) for url in urls}
        for url, entry in found.items():
            if entry:
                assert entry.stored
                assert entry.stored.read() == url.encode()
        return [url for url, entry in found.items() if entry]
    finally:
        kept.close()


def cut(path: Path, count: int) -> None:
    """Take bytes off a file's end."""
    os.truncate(path, path.stat().st_size - count)


@pytest.mark.parametrize(("killed", "found"), [(True, Status.TIMEOUT), (False, None)])
def test_a_failure_that_is_transient_holds_until_its_run_has_ended(
    tmp_path: Path, killed: bool, found: Status | None
) -> None:
    kept = Journal(tmp_path, "key", fresh=False)
    kept.add("http://host/1", Result(Status.TIMEOUT))
    kept.add("http://host/2", Result(Status.EMPTY))
    kept.close(killed)
    kept = Journal(tmp_path, "key", fresh=False)
    results = kept.get("http://host/1"), kept.get("http://host/2")
    kept.close()
    assert [result and result.status for result in results] == [found, Status.EMPTY]


@pytest.mark.parametrize(
    ("complete", "pinned", "cached", "left"),
    [
        (True, "new", True, False),
        (True, "new", False, True),  # DVC wrote the lock and could not fill its cache
        (True, "old", True, True),
        (False, "new", True, True),
    ],
)
def test_the_journal_stays_until_its_output_is_in_the_cache(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    complete: bool,
    pinned: str,
    cached: bool,
    left: bool,
) -> None:
    kept = Journal(tmp_path, "key", fresh=False, pinned="old")
    kept.add("one", _good("one"), b"one")
    if complete:
        kept.complete()
    kept.close()
    monkeypatch.setattr(journal, "locked_output", lambda stage: pinned)
    monkeypatch.setattr(journal, "output_is_cached", lambda stage: cached)
    discard_committed(tmp_path)
    assert bool(remembered(tmp_path, "one")) is left


def test_a_finished_run_that_added_nothing_leaves_no_doubt_about_the_pins(tmp_path: Path) -> None:
    for fetched, doubt in (((), False), (("one",), True)):
        kept = Journal(tmp_path, "key", fresh=False)
        for url in fetched:
            kept.add(url, _good(url), url.encode())
        kept.complete()
        kept.close()
        again = Journal(tmp_path, "key", fresh=False)
        assert again.uncommitted is doubt  # else lost pins are not noticed
        again.close()


@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_torn_line_of_the_journal_is_cut_off(tmp_path: Path, count: int) -> None:
    """Also one that lacks only its newline: the next line must not be glued to it."""
    journaled(tmp_path, "one", "two")
    cut(tmp_path / "journal.jsonl", count)
    journaled(tmp_path, "three")
    journaled(tmp_path, "four")
    assert set(remembered(tmp_path, "one", "three", "four")) == {"one", "three", "four"}


@pytest.mark.parametrize("tail", [b"\0" * 100, b"{}\n", b'{"url": 1}\n', b"[]\n", b"\xff\n", b"1"])
def test_noise_at_the_journals_end_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    journaled(tmp_path, "one")
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(tail)
    journaled(tmp_path, "two")
    assert remembered(tmp_path, "one", "two") == ["one", "two"]


def test_a_torn_photo_is_forgotten(tmp_path: Path) -> None:
    journaled(tmp_path, "one", "two")
    cut(tmp_path / "photos.blob", 1)
    assert remembered(tmp_path, "one", "two") == ["one"]


def test_bytes_that_no_line_vouches_for_are_cut_off(tmp_path: Path) -> None:
    journaled(tmp_path, "one")
    with (tmp_path / "photos.blob").open("ab") as file:
        file.write(b"tw")
    journaled(tmp_path, "two")
    assert remembered(tmp_path, "one", "two") == ["one", "two"]


@pytest.mark.parametrize("name", ["photos.blob", "journal.jsonl", "run.json"])
def test_a_missing_file_costs_no_more_than_what_it_held(tmp_path: Path, name: str) -> None:
    journaled(tmp_path, "one")
    (tmp_path / name).unlink()
    journaled(tmp_path, "two")
    assert "two" in remembered(tmp_path, "one", "two")


# The disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds less than the photos; root can make one."""
    place = tmp_path / "disk"
    place.mkdir()
    size = "size=160k"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], capture_output=True)
    if made.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_reported_in_one_line_and_a_rerun_goes_on(
    tmp_path: Path, server: Server, small_disk: Path
) -> None:
    straight = project(tmp_path / "straight", server)
    assert straight.run()[0] == 0
    full = project(small_disk / "full", server)
    code, said = full.run()
    assert code == 1
    assert said.startswith("error: disk full")
    assert said.count("\n") == 1
    fetched, before = paths(full.journaled(), server), Counter(server.requests)
    assert fetched
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert full.run()[0] == 0
    assert not fetched & {path for path, count in server.requests.items() if count > before[path]}
    assert full.result() == straight.result()


LISTS = {
    "photos": [f"good/{n}" for n in range(10)],
    "archive": ["tar/kill.tar"],
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_full_disk_under_the_journal_is_reported_in_one_line(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    small = Project(tmp_path, {WNID: [server.url(path) for path in LISTS[kind]]})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Disk(10_000).write)
        assert run(lambda: _ignore(small.crawl())) == 1
    assert capsys.readouterr().err == "error: disk full; make room and run it again to go on\n"
    fetched, before = paths(small.journaled(), server), Counter(server.requests)
    assert fetched
    small.crawl()
    small.check_accounts()
    assert not fetched & {path for path, count in server.requests.items() if count > before[path]}


class Disk:
    """Takes so many bytes and no more."""

    def __init__(self, room: int):
        self._room, self._write = room, os.write

    def write(self, descriptor: int, data: bytes) -> int:
        """`os.write` that fails where the disk is full."""
        written = self._write(descriptor, bytes(data)[: self._room])
        self._room -= written
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written


def _ignore(value: object) -> None:
    """Nothing: `run` wants a function without a result."""
