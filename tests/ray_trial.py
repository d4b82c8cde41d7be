"""A download and a cleaning on a real Ray cluster, against the same on this machine alone.

Nodes are lost, workers and the driver are killed. Runs in a network namespace with only loopback,
in a folder of its own; prints what it saw as JSON. test_ray.py starts it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster as TestCluster

from allrounder.clean import on_cluster, slices
from allrounder.clean.cleaning import clean
from allrounder.cluster import ray_cluster
from allrounder.cluster.ray_cluster import Cluster
from allrounder.core.paths import CLEAN, RAW, URLS
from allrounder.core.rows import Candidate
from allrounder.core.tables import write_csv
from allrounder.download import cluster_fetcher
from allrounder.download.crawl import Folders
from allrounder.download.rounds import Rounds
from allrounder.history.journal import Journal
from allrounder.params.schema import Params
from manyhosts import HOSTS, ManyHosts

CLASSES = {"n02123394": "cat", "n02084071": "dog", "n02690373": "aeroplane"}
PER_HOST, LISTED, TAKEN = 3, 60, 50
SCRIPT = os.path.abspath(__file__)
WORK = Path(".allrounder/download")


# Workers that start before the driver lack its code. Nobody else is in this namespace.
os.environ.update(RAY_prestart_worker_first_driver="0", RAY_AUTH_MODE="disabled")


def params(ray: str | None) -> Params:
    return Params.model_validate(
        {
            "sources": [{"kind": "folder", "location": "data"}],
            "classes": CLASSES,
            "per_class": TAKEN,
            "min_per_class": 1,
            "download": {"reserve": 0},
            "network": {
                "allow_private": [f"127.0.0.{host}" for host in HOSTS],
                "per_host": PER_HOST,
                "processes": 1,
                "ray": ray,
            },
        }
    )


def list_photos(server: ManyHosts) -> None:
    """Write the lists of candidates: photos on all hosts, redirects, refused and missing ones."""
    URLS.mkdir(parents=True)
    RAW.mkdir(parents=True)
    for number, key in enumerate(CLASSES, start=1):
        rows = []
        for n in range(LISTED):
            host, photo = n % len(HOSTS) + 1, 1000 * number + n
            path = f"/photo/{photo}"
            if n % 10 == 7:
                path = f"/to/{(host + 1) % len(HOSTS) + 1}{path}"
            if n % 15 == 3:
                path = f"/refused/{photo}"
            if n % 20 == 19:
                path = "/none"
            rows.append(Candidate(f"{key}_{n}", server.url(host, path)))
        write_csv(URLS / f"{key}.csv", Candidate, rows)


def download(ray: str | None) -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    rounds = Rounds(params(ray), Folders(URLS, RAW, WORK), Journal(WORK, "", fresh=False))
    rounds.run(lambda quotas: {})


def cleaned(ray: str | None, raw: Path) -> None:
    work = Path("work")
    for folder in (work, CLEAN):
        folder.mkdir(parents=True)
    clean(params(ray), URLS, raw, CLEAN, work)


def files(*folders: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix in (".csv", ".tar")
    }


def journalled() -> set[str]:
    """The URLs in the journal, without its torn tail."""
    lines = (WORK / "journal.jsonl").read_bytes().splitlines(keepends=True)
    return {json.loads(line)["url"] for line in lines if line.endswith(b"\n")}


def kill_once(mark: str) -> str:
    """A slice that ends its worker in the first try."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return "done"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def end_worker(argument: str) -> None:
    """A slice that ends its worker in each try."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - start, 1)


@contextlib.contextmanager
def one_connection(address: str) -> Iterator[Cluster]:
    """A connection that download and clean take instead of one each, to save time."""
    with Cluster(address) as connected, pytest.MonkeyPatch.context() as patch:
        patch.setattr(connected, "close", lambda: None)
        for module in (cluster_fetcher, on_cluster):
            patch.setattr(module, "Cluster", lambda address: connected)
        patch.setattr(ray_cluster, "_RETRIES", 1)
        yield connected
    ray.shutdown()


def slices_seen(cluster: Cluster, root: Path) -> dict[str, Any]:
    """What comes of slices one of which ends its worker, and of one that always does."""
    pulled, ahead, results = 0, [], dict[int, str | None]()

    def marks() -> Iterator[tuple[int, str]]:
        nonlocal pulled
        for pulled in range(1, 21):
            yield pulled, str(root / "mark")

    for key, result in cluster.run(kill_once, marks()):
        assert key not in results
        results[key] = result
        ahead.append(pulled - len(results))
    done = sorted(results) == list(range(1, 21)) and set(results.values()) == {"done"}
    hopeless = list(cluster.run(end_worker, [("key", "")])) == [("key", None)]
    return {"slices": done, "ahead": max(ahead), "under way": cluster._most, "hopeless": hopeless}


def trial(root: Path) -> dict[str, Any]:
    seen: dict[str, Any] = {"seconds": {}}
    step = partial(timed, seconds=seen["seconds"])
    with ManyHosts() as server:
        here, there = root / "here", root / "there"
        for folder in (here, there):
            folder.mkdir()
            os.chdir(folder)
            list_photos(server)
        os.chdir(here)
        with step("local"):
            download(None)
            cleaned(None, RAW)
        expected = files(RAW, CLEAN)
        server.most.clear()
        server.pause = 0.005
        with step("cluster"):
            small = {"num_cpus": 2, "object_store_memory": 600_000_000}
            cluster: Any = TestCluster(True, head_node_args={**small, "include_dashboard": False})
        os.chdir(there)

        with step("killed driver"):
            server.served = 0
            driver = subprocess.Popen([sys.executable, SCRIPT, "drive", cluster.address])
            server.seen = lambda served: driver.kill() if served == 60 else None
            seen["killed"] = driver.wait() == -signal.SIGKILL
        kept, asked = journalled(), server.asked.copy()
        seen["kept"] = len(kept)

        with step("node"):
            node = cluster.add_node(**small)
        with one_connection(cluster.address) as connected:
            with step("slices"):
                seen |= slices_seen(connected, root)
            with step("clean"), pytest.MonkeyPatch.context() as patch:
                patch.setattr(slices, "write_slice", None)  # nothing is left to this machine
                cleaned(cluster.address, here / RAW)
            with step("download"):
                server.served = 0
                removal = threading.Thread(target=cluster.remove_node, args=(node,))
                server.seen = lambda served: removal.start() if served == 20 else None
                download(cluster.address)
                seen["node lost"] = removal.ident is not None
            again = {server.url(*one) for one, count in server.asked.items() if count > asked[one]}
            seen["asked again"] = len(again & kept)
            seen["most"], seen["per host"] = max(server.most.values()), PER_HOST
            seen["same"] = files(RAW, CLEAN) == expected
        cluster.shutdown()
    return seen


if __name__ == "__main__":
    if sys.argv[1] == "drive":
        download(sys.argv[2])
    else:
        print(json.dumps(trial(Path(sys.argv[1]))))
