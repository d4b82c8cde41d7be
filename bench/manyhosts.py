"""How fast is the download stage on many slow and dead hosts, compared with img2dataset?"""

import json
import random
import sys
import urllib.request
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import downloaders
import photos
from downloaders import IMG2DATASET, Job
from harness import PARAMS, WNIDS, Report, Run, installed, main, ratios, running

PORT = 18080
TIMEOUT = 10  # seconds that img2dataset waits for one photo
THREADS = (64, 128, 256)  # of each of img2dataset's two processes; the faster run counts
GONE = 0.1  # of the URLs answer 404
DEAD = 0.05  # of the hosts accept connections and never answer
SILENT = 2_000  # URLs on one dead host
NETWORK = {name: PARAMS["network"][name] for name in ("connections", "per_host")}  # defaults
LONGEST = 180  # seconds for these, while the other photos arrive


def measure(report: Report, folder: Path) -> None:
    """Fetch three lists: all hosts answer, some are dead, one dead host has thousands of URLs."""
    options = report.options
    hosts, count = (60, 400) if options.quick else (300, 3_000)
    rng = random.Random(20120914)
    names = [f"127.{n // 250 + 1}.{n % 250}.{rng.randrange(1, 255)}" for n in range(hosts)]
    dead = set(rng.sample(names[:-1], round(DEAD * hosts)))
    photo = next((photos.made(options.cache, WNIDS, 30) / WNIDS[0]).iterdir())
    program = installed(options.cache, "img2dataset", IMG2DATASET) / "img2dataset"
    command = [sys.executable, Path(__file__).with_name("webserver.py"), photo, str(PORT)]
    requests: list[int] = []

    def serving(silent: set[str]) -> AbstractContextManager[None]:
        hosts = (f"{name}!" if name in silent else name for name in names)
        return running([*command, *hosts], names[-1], PORT)

    def ours(job: Job, silent: set[str]) -> Run:
        with serving(silent):
            run = downloaders.ours(job, folder / "run", options.scripts)
            with urllib.request.urlopen(f"http://{names[-1]}:{PORT}/requests") as reply:
                requests.append(json.load(reply))
        return run

    def theirs(job: Job, silent: set[str], threads: int) -> Run:
        with serving(silent):
            run = downloaders.img2dataset(job, folder / "run", program, TIMEOUT, threads=threads)
        return replace(run, name=f"img2dataset {threads}")

    lists = {"all hosts answer": (2.5, set[str]()), "dead hosts": (1.0, dead)}
    for title, (bound, silent) in lists.items():
        job = _job(names, silent, count)
        turns = [partial(ours, job, silent), *(partial(theirs, job, silent, n) for n in THREADS)]
        mine, *others = report.turns(f"{count} URLs on {hosts} hosts, {title}", *turns)
        best = [max(runs, key=lambda run: run.rate) for runs in zip(*others, strict=True)]
        report.target(f"{title}: rate / img2dataset's best", ratios(mine, best), bound)
        report.figure(f"{title}: photos a second of CPU", mine[-1].photos / mine[-1].cpu)
        report.figure(f"{title}: share taken of what can be had", mine[-1].photos / job.photos)
        report.figure(f"{title}: requests a URL", requests[-1] / len(job.listed))
        report.figure(f"{title}: requests a host", requests[-1] / hosts)
        report.figure(f"{title}: requests without a photo", requests[-1] - job.photos)
    job = _job(names, dead, count, [f"http://{min(dead)}:{PORT}/ok/" for _ in range(SILENT)])
    [runs] = report.turns(f"{SILENT} URLs on one dead host", partial(ours, job, dead))
    seconds = [run.seconds for run in runs]
    report.target("one dead host: seconds", seconds, LONGEST, at_least=False)


def _job(hosts: list[str], silent: set[str], count: int, more: list[str] | None = None) -> Job:
    """The list, class by class. `silent` hosts never answer; `more` URLs come first."""
    rng = random.Random(1)
    urls = [f"{url}{n}.jpg" for n, url in enumerate(more or [])]
    good = set[str]()
    for number in range(count):
        host = rng.choice(hosts)
        kind = "gone" if rng.random() < GONE else "ok"
        url = f"http://{host}:{PORT}/{kind}/{number}.jpg"
        urls.append(url)
        if kind == "ok" and host not in silent:
            good.add(url)
    lists = {wnid: urls[place :: len(WNIDS)] for place, wnid in enumerate(WNIDS)}
    network = NETWORK | {"allow_private": hosts}
    least = min(sum(url in good for url in each) for each in lists.values())
    return Job(lists, len(good), network=network, min_per_class=least)


if __name__ == "__main__":
    sys.exit(main(str(__doc__), measure))
