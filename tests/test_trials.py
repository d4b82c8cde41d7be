"""Trials of the pipeline: kills, an outage, few open files, no commit. The end is the same.

ALLROUNDER_TRIALS=N makes N times as many kills; they take about 10 seconds each.
"""

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from allrounder.core.rows import Status
from allrounder.params.schema import Download, Network
from allrounder.web import outage
from allrounder.web.fetcher import Fetcher
from photoserver import PhotoServer
from project import Project as Clone
from webfaults.project import OTHER, THIRD, WNID, Project
from webfaults.server import Server

pytestmark = pytest.mark.usefixtures("own_folder")

FACTOR = int(os.environ.get("ALLROUNDER_TRIALS", "1"))


def use(clone: Clone, server: PhotoServer) -> None:
    """Point a clone at the server, with few photos of three classes."""
    clone.edit(
        sources=[{"kind": "imagenet-api", "location": server.base}],
        classes={WNID: "dog", OTHER: "cat", THIRD: "aeroplane"},
        per_class=8,
        min_per_class=5,
        network={"allow_private": ["127.0.0.1"], "backoff": 0.01, "tries": 2},
    )


def start(clone: Clone) -> "subprocess.Popen[bytes]":
    """Start `dvc repro` in a process group of its own; what it says goes to a file beside."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with said_by(clone).open("wb") as said:
        return subprocess.Popen(
            ["dvc", "repro"],
            cwd=clone.folder,
            env=os.environ | {"PATH": path},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def said_by(clone: Clone) -> Path:
    """The file with the output of `start`."""
    return clone.folder.with_suffix(".said")


def ends_well(clone: Clone) -> None:
    """Mend as `make repro` does, then run to the end; a failure shows the end of the output."""
    clone.script("check_params")
    code = start(clone).wait()
    assert code == 0, said_by(clone).read_text(encoding="utf-8")[-4000:]


@pytest.mark.parametrize("seed", range(FACTOR))
def test_killed_at_random_moments_it_ends_as_if_never_killed(
    clone: Clone, cloned_once: Path, server: PhotoServer, tmp_path: Path, seed: int
) -> None:
    straight = Clone.copied(cloned_once, tmp_path / "straight")
    use(straight, server)
    begun = time.monotonic()
    ends_well(straight)
    whole = time.monotonic() - begun
    use(clone, server)
    chance = random.Random(seed)
    for number in range(4):
        clone.script("check_params")  # a kill may cut off a file of DVC's own
        process = start(clone)
        time.sleep(chance.uniform(0.2, 1.0) * whole)
        sent = signal.SIGINT if number == 3 else signal.SIGKILL
        if process.poll() is None:
            os.killpg(process.pid, sent)  # DVC and the stage, as a session that ends
        process.wait()
    ends_well(clone)
    assert clone.read("dvc.lock") == straight.read("dvc.lock")
    assert clone.files("data/dataset") == straight.files("data/dataset")


@pytest.fixture
def photos() -> Iterator[Server]:
    with Server() as running:
        yield running


class Gate:
    """Lets a server's requests through, or resets all while the network is out."""

    def __init__(self, server: Server, out_after: int, back_after: int):
        self._lock, self.requests = threading.Lock(), 0
        self._out_after, self._back_after = out_after, back_after
        server.on_request = self._request

    def _request(self, exchange: object) -> None:
        with self._lock:
            self.requests += 1
            out = self._out_after < self.requests <= self._back_after
        if out:
            raise OSError("the network is out")  # the server closes the connection


def test_an_outage_is_no_result_of_a_photo(
    tmp_path: Path, photos: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "_LONGEST_PAUSE", 0.01)
    listed = [photos.url(f"good/{n}.jpg") for n in range(120)]
    gate = Gate(photos, out_after=30, back_after=130)
    rows = Project(tmp_path, {WNID: listed}, per_class=120).crawl()
    assert [row.status for row in rows] == [Status.OK] * 120
    assert gate.requests > 130


def test_an_outage_that_lasts_ends_the_run_and_loses_nothing(
    tmp_path: Path, photos: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(outage, "PATIENCE", 0.1)
    listed = [photos.url(f"good/{n}.jpg") for n in range(60)]
    Gate(photos, out_after=30, back_after=10**9)
    project = Project(tmp_path, {WNID: listed}, per_class=60)
    with pytest.raises(Exception, match="nothing has answered for"):
        project.crawl()
    photos.on_request = lambda exchange: None
    before = photos.requests.total()
    rows = project.crawl()
    assert [row.status for row in rows] == [Status.OK] * 60
    assert photos.requests.total() - before < 60


@pytest.mark.parametrize("most", [60, 100])
def test_few_open_files_change_no_row(tmp_path: Path, photos: Server, most: int) -> None:
    lists = {
        wnid: [photos.url(f"good/{wnid}/{n}.jpg") for n in range(40)]
        for wnid in (WNID, OTHER, THIRD)
    }
    free, bound = (Project(tmp_path / name, lists, per_class=40) for name in ("free", "bound"))
    assert free.run()[0] == 0
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = Path(__file__).parents[1] / "scripts/download.py"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n {most}; exec {sys.executable} {script}"],
        cwd=bound.folder,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"{most} open files are allowed" in done.stderr
    assert bound.result() == free.result()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


def test_what_dvc_could_not_commit_is_not_fetched_again(clone: Clone, server: PhotoServer) -> None:
    use(clone, server)
    cache = clone.folder / ".dvc/cache/files/md5"
    clone.repro("fetch_urls")
    clone.repro("download", "--no-commit")
    server.asked.clear()
    assert not list(cache.rglob("*.dir"))[1:]
    clone.edit(per_class=7)
    clone.repro("clean")
    assert not server.photos_asked


def test_a_retry_that_is_due_costs_no_time_while_the_network_is_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    download, network = Download(robots="ignore"), Network(allow_private=["127.0.0.1"])
    fetcher = Fetcher(network, download, clock=lambda: 100.0)
    waits: list[float] = []

    def step(wait: float) -> list[object]:
        waits.append(wait)
        return []

    monkeypatch.setattr(fetcher._transfers, "step", step)
    monkeypatch.setattr(fetcher._transfers, "start", lambda job, request: None)
    fetcher._outage.answered("host", "http://127.0.0.1/1.jpg", 90.0)
    fetcher._outage.hold(SimpleNamespace())  # type: ignore[arg-type]
    fetcher._outage.idle()
    fetcher._hosts.add_later("host", SimpleNamespace(), 95.0)  # type: ignore[arg-type]
    list(fetcher.poll(0.2))
    fetcher.close()
    assert waits == [0.2]


def test_a_cache_that_is_partly_unwritable_loses_nothing(clone: Clone, server: PhotoServer) -> None:
    use(clone, server)
    clone.repro("fetch_urls")
    clone.stage("download")
    objects = clone.folder / ".dvc/cache/files/md5"
    tars = (clone.folder / "data/raw").glob("*.tar")
    blocked = [objects / hashlib.md5(tar.read_bytes()).hexdigest()[:2] for tar in tars]
    for place in blocked:
        if not place.exists():
            place.write_text("no folder")  # like a full disk: objects here cannot be written
    server.asked.clear()
    clone.dvc("repro", "download", expect=255)
    for place in blocked:
        if place.is_file():
            place.unlink()
    clone.edit(per_class=7)
    clone.repro("clean")
    assert not server.photos_asked
