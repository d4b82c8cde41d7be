"""A download's requests on a cluster, here with workers in this process: hosts have one owner."""

import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from allrounder.cluster import ray_cluster
from allrounder.cluster.ray_cluster import WorkerLostError, _straggler, _UnderWay
from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import Result, Status
from allrounder.download import cluster_fetcher
from allrounder.download.cluster_fetcher import ClusterFetcher
from allrounder.params.schema import Params
from allrounder.web.fetcher import Fetcher
from manyhosts import HOSTS, ManyHosts

ALLOWED = [f"127.0.0.{host}" for host in HOSTS]


@dataclass(frozen=True, eq=False)
class Call:
    number: int
    worker: Any
    orders: Any
    sent: bytes


class FakeCluster:
    """Runs a worker's calls when they are waited for; all that is sent is pickled."""

    def __init__(self, address: str) -> None:
        self.made: list[Any] = []
        self.lost: set[int] = set()
        self.closed = False

    def workers(self, kind: Callable[..., Any], *arguments: Any) -> list[Any]:
        found = []
        for _ in range(3):
            worker = kind(*pickle.loads(pickle.dumps(arguments)))
            number = len(self.made)
            self.made.append(worker)

            def remote(orders: Any, worker: Any = worker, number: int = number) -> "Call":
                return Call(number, worker, orders, pickle.dumps(orders))

            exchange = SimpleNamespace(remote=remote)
            found.append(SimpleNamespace(number=number, exchange=exchange))
        return found

    def ready(self, refs: Sequence[Any], wait: float) -> list[Any]:
        return list(refs)

    def get(self, ref: Any) -> Any:
        if ref.number in self.lost:
            raise WorkerLostError("lost")
        return pickle.loads(pickle.dumps(ref.worker.exchange(pickle.loads(ref.sent))))

    def end(self, worker: Any) -> None:
        self.lost.add(worker.number)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def server() -> Iterator[ManyHosts]:
    with ManyHosts() as server:
        yield server


@pytest.fixture
def fetcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterFetcher]:
    monkeypatch.setattr(cluster_fetcher, "Cluster", FakeCluster)
    monkeypatch.setattr(cluster_fetcher, "_GRACE", 0.0)
    made = ClusterFetcher("local", params().network, params(), frozenset())
    yield made
    made.close()


def params() -> Params:
    return Params.model_validate(
        {
            "sources": [{"kind": "folder", "location": "data"}],
            "classes": {"n02123394": "cat"},
            "per_class": 9,
            "min_per_class": 1,
            "network": {"allow_private": ALLOWED, "per_host": 2, "backoff": 0.001, "tries": 2},
        }
    )


def results(fetcher: Any, urls: Sequence[str]) -> dict[str, tuple[Result, bytes]]:
    for url in urls:
        fetcher.submit(url, url)
    found: dict[str, tuple[Result, bytes]] = {}
    while len(found) < len(urls):
        for token, result, reply in fetcher.poll(1):
            assert token not in found
            found[token] = result, reply.body
    assert fetcher.load == 0
    return found


def urls_of(server: ManyHosts) -> list[str]:
    photos = [server.url(host, f"/photo/{host}{n}") for host in HOSTS for n in range(5)]
    redirects = [server.url(host, f"/to/{host % 6 + 1}/photo/9{host}") for host in HOSTS]
    twice = [server.url(1, "/to/2/to/3/photo/77"), server.url(2, "/to/3/refused/5")]
    refused = [server.url(host, "/refused/1") for host in (2, 3, 4)]
    return [*photos, *redirects, *twice, *refused, "http://[", server.url(5, "/none")]


def test_the_results_are_those_of_one_fetcher(server: ManyHosts, fetcher: ClusterFetcher) -> None:
    one = params()
    alone = Fetcher(one.network, one.download)
    urls = urls_of(server)
    expected = results(alone, urls)
    alone.close()
    assert results(fetcher, urls) == expected
    assert expected[server.url(4, "/refused/1")][0].status is Status.OPTED_OUT
    assert max(server.most.values()) <= 2
    files = [count for (_, path), count in server.asked.items() if path == "/robots.txt"]
    assert set(files) == {2}  # once each: alone, on the cluster
    owners = [worker._owned for worker in fetcher._cluster.made]  # type: ignore[union-attr]
    assert sum(map(len, owners)) == len(set().union(*owners)) == len(HOSTS)
    assert all(owners)


def test_what_a_lost_worker_had_to_do_is_done_by_others(
    server: ManyHosts, fetcher: ClusterFetcher
) -> None:
    urls = urls_of(server)
    lost = False

    def lose(served: int) -> None:
        nonlocal lost
        if served == 8 and not lost:
            lost = True
            fetcher._cluster.lost |= {0, 2}  # type: ignore[union-attr]

    server.seen = lose
    found = results(fetcher, urls)
    assert lost
    assert {found[url][0].status for url in urls if "/photo/" in url} == {Status.OK}
    assert len(fetcher._workers) == 1


def test_when_all_workers_are_lost_new_ones_start_and_then_no_more(
    server: ManyHosts, fetcher: ClusterFetcher
) -> None:
    fetcher.submit(1, server.url(1, "/photo/1"))

    def lose() -> None:
        while True:
            fetcher._cluster.lost |= set(range(99))  # type: ignore[union-attr]
            list(fetcher.poll(0))

    with pytest.raises(DataError, match="all workers were lost 5 times"):
        lose()


def test_a_host_of_a_lost_worker_keeps_its_wait(server: ManyHosts, fetcher: ClusterFetcher) -> None:
    fetcher.submit(1, server.url(5, "/busy"))
    while not fetcher._waits:
        list(fetcher.poll(0))
    (owner,) = {worker.number for worker in fetcher._workers if worker.hosts}
    handles = {worker.number: worker.handle for worker in fetcher._workers}
    fetcher._cluster.end(handles[owner])  # type: ignore[union-attr]
    list(fetcher.poll(0))
    assert owner not in {worker.number for worker in fetcher._workers}
    (call,) = [worker.calls[0] for worker in fetcher._workers if worker.hosts]
    assert 30 < call.orders.hosts["127.0.0.5"] <= 60
    assert server.asked[5, "/busy"] == 1


def test_only_the_oldest_slice_that_is_late_and_alone_is_a_straggler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    old, older, new = (_UnderWay(key, None, at) for key, at in (("a", 80), ("b", 70), ("c", 99)))
    assert _straggler([old, older, new], [5.0]) is older
    assert _straggler([old, older, new, older], [5.0]) is old
    assert _straggler([old, older, new], [50.0]) is None
    assert _straggler([old], []) is None
    assert _straggler([], [1.0]) is None


def test_a_missing_ray_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"network.ray: auto: the package ray is missing: pip "):
        ray_cluster.Cluster("auto")


@pytest.mark.parametrize("kind", ["ray://127.0.0.1:{}", "127.0.0.1:{}"])
def test_an_address_where_nothing_answers_is_one_line(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())  # would try for minutes
    with socket.socket() as bound:  # no connection is accepted here
        bound.bind(("127.0.0.1", 0))
        address = kind.format(bound.getsockname()[1])
        with pytest.raises(UsageError, match=rf"^network.ray: {address}: no conn.*refused.*scale"):
            ray_cluster.Cluster(address)


def test_ray_is_used_where_params_or_environment_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ray_cluster.asked_address(None) == ""
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert ray_cluster.asked_address(None) == "ray://head:10001"
    assert ray_cluster.asked_address("local") == "local"
