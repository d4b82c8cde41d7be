"""The comparisons, each one method: runs its contenders in turns and compares them pair by pair.

Not for calling the contenders (contenders.py) or for the command line (download.py).
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import contenders
import photos
from contenders import Job, Settings, with_dead
from measure import BenchError, Run, Target, ratios, table
from nginx import Server, wrk_rate

DELAY = 0.05  # seconds
SLOW_CONNECTIONS = 256
DEAD_SHARE = 0.4
_FORMS = ("files", "webdataset")


@dataclass
class Bench:
    """What all comparisons share, and what they have found so far."""

    server: Server
    made: dict[str, list[Path]]
    out: Path
    program: Path
    scripts: Path
    per_class: int
    rounds: int
    settings: Settings = field(default_factory=Settings)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def choose_settings(self) -> None:
        """Find the setting that img2dataset is fastest with on this machine."""
        choices = [Settings(n, t, f) for n in (1, 2) for t in (8, 32) for f in _FORMS]
        tried = {each: self._img2dataset(self._job(), each).seconds for each in choices}
        self.settings = min(tried, key=lambda each: tried[each])
        self.notes["img2dataset_seconds"] = {str(each): tried[each] for each in choices}
        print(f"img2dataset is fastest with {self.settings}")

    def speed(self) -> None:
        """Ours, curl and img2dataset on the same photos."""
        job = self._job()
        turns = (self._ours, self._curl, self._img2dataset)
        mine, curl, other = self._turns("plain", job, turns)
        self._at_least("plain: rate of ours / curl", mine, curl, 0.7)
        self._at_least(f"plain: rate of ours / img2dataset, {job.photos}", mine, other, 10)

    def marginal(self) -> None:
        """Rates beyond the first photos, where starting up no longer counts."""
        small, large = self._job(), self._job(4)
        turns = (self._ours, self._curl, self._img2dataset)
        runs = self._turns("large", large, turns)
        kinds, rates = ("ours", "curl", "img2dataset"), []
        for kind, big in zip(kinds, runs, strict=True):
            first = self.runs[f"plain {kind}"]
            pairs = zip(first, big, strict=False)  # there may be fewer large rounds
            more = large.photos - small.photos
            rates.append([more / (late.seconds - early.seconds) for early, late in pairs])
        spread = ratios(rates[0], rates[2])
        name = f"plain: marginal rate of ours / img2dataset, {large.photos}"
        self.targets.append(Target(name, spread["median"], 3, spread=spread))
        self.notes["marginal_rates"] = dict(zip(kinds, rates, strict=True))

    def latency(self) -> None:
        """50 ms before each answer: what is reached of what so many connections could.

        Four times the photos, so that the first and the last connections hardly count.
        """
        job = self._job(4, self.server.slow, connections=SLOW_CONNECTIONS)
        mine, curl = self._turns("slow", job, (self._ours, self._curl))
        in_flight = SLOW_CONNECTIONS / DELAY
        url = job.listed[0]
        server = statistics.median(wrk_rate(url, SLOW_CONNECTIONS) for _ in range(self.rounds))
        bound = min(in_flight, server)
        self.notes["slow"] = {"in_flight_bound": in_flight, "server_rate": server}
        self.notes["slow"]["curl_rate"] = statistics.median(run.rate for run in curl)
        rates = [run.rate for run in mine]
        spread = ratios(rates, [bound] * len(rates))
        name = f"{DELAY * 1000:.0f} ms: rate of ours / bound ({bound:.0f}/s)"
        self.targets.append(Target(name, spread["median"], 0.7, spread=spread))

    def tls(self) -> None:
        """A new TLS connection for each photo."""
        authority = str(self.server.authority)
        extra = {"SSL_CERT_FILE": authority, "CURL_CA_BUNDLE": authority}
        job = self._job(base=self.server.tls, extra=extra)
        turns = (self._ours, self._curl, self._img2dataset)
        mine, _, other = self._turns("tls", job, turns)
        self._at_least("TLS: rate of ours / img2dataset", mine, other, 10)

    def dead(self) -> None:
        """A list of which 40 % is gone: a request must cost no more than in an all-good run."""
        good, job = self._job(), self._job()
        for wnid, urls in job.urls.items():
            job.urls[wnid] = with_dead(urls, DEAD_SHARE)
        costs: tuple[list[float], list[float]] = ([], [])
        for turn in range(self.rounds):
            for place, (name, each) in enumerate((("dead ours", job), ("good ours", good))):
                run, asked = self._asked(name, each)
                costs[place].append(run.seconds / asked)
                print(f"round {turn + 1}: {name}: {asked} requests in {run.seconds:.2f} s")
        spread = ratios(*costs)
        name = "40 % dead: seconds a request / those of an all-good run"
        self.targets.append(Target(name, spread["median"], 1.15, False, spread))

    def start_up(self) -> None:
        """CPU seconds of a run with nothing to do."""
        wnid = next(iter(self.made))
        path = photos.tiny(self.made[wnid][0].parent.parent / "tiny" / "tiny.jpg")
        url = f"{self.server.plain}/tiny/{path.name}"
        job = Job({wnid: [url]}, 1, path.stat().st_size)
        cpu = [self._noted("start-up ours", self._ours(job)).cpu for _ in range(5)]
        spread = {"min": min(cpu), "max": max(cpu)}
        self.targets.append(Target("start-up: CPU s", statistics.median(cpu), 0.3, False, spread))

    def memory(self) -> None:
        """The largest peak of all of our runs."""
        peaks = [run.peak_mb for runs in self.runs.values() for run in runs if run.name == "ours"]
        self.targets.append(Target("peak memory of ours, MB", max(peaks), 200, False))

    def _turns(
        self, name: str, job: Job, turns: tuple[Callable[[Job], Run], ...]
    ) -> list[list[Run]]:
        """Run each contender in turn, as many rounds as asked; returns the runs by contender."""
        found: list[list[Run]] = [[] for _ in turns]
        for turn in range(self.rounds):
            for place, contender in enumerate(turns):
                run = contender(job)
                found[place].append(self._noted(f"{name} {run.name}", run))
            print(f"\n{name}, round {turn + 1}\n{table([runs[-1] for runs in found])}")
        return found

    def _at_least(self, name: str, mine: list[Run], other: list[Run], bound: float) -> None:
        spread = ratios([run.rate for run in mine], [run.rate for run in other])
        self.targets.append(Target(name, spread["median"], bound, spread=spread))

    def _noted(self, name: str, run: Run) -> Run:
        self.runs.setdefault(name, []).append(run)
        return run

    def _job(self, times: int = 1, base: str = "", **more: Any) -> Job:
        """All photos of the first `times` x `per_class` of each class."""
        chosen = {wnid: paths[: times * self.per_class] for wnid, paths in self.made.items()}
        base = base or self.server.plain
        urls = {w: [f"{base}/{w}/{path.name}" for path in paths] for w, paths in chosen.items()}
        sizes = [path.stat().st_size for paths in chosen.values() for path in paths]
        return Job(urls, len(sizes), sum(sizes), **more)

    def _asked(self, name: str, job: Job) -> tuple[Run, int]:
        folder = self._fresh()
        run = self._noted(name, contenders.ours(job, folder, self.scripts))
        asked = contenders.requests_of(folder)
        if asked < job.photos:
            raise BenchError(f"ours says it made {asked} requests for {job.photos} photos")
        return run, asked

    def _fresh(self) -> Path:
        folder = self.out / "run"
        contenders.remove(folder)
        return folder

    def _ours(self, job: Job) -> Run:
        return contenders.ours(job, self._fresh(), self.scripts)

    def _curl(self, job: Job) -> Run:
        return contenders.curl(job, self._fresh())

    def _img2dataset(self, job: Job, settings: Settings | None = None) -> Run:
        return contenders.img2dataset(job, self._fresh(), self.program, settings or self.settings)
