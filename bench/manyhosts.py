"""How fast is the download stage on many slow and dead hosts, compared with img2dataset?"""

import random
import sys
from pathlib import Path

import downloaders
import photos
from downloaders import IMG2DATASET, Job
from harness import WNIDS, Report, Run, installed, main, ratios, running

PORT = 18080
TIMEOUT = 10  # seconds for one photo, one try
DEAD_HOSTS = 0.15  # refuse connections
KINDS = {"ok": 0.67, "gone": 0.25, "flaky": 0.05, "silent": 0.03}  # of the URLs of live hosts


def measure(report: Report, folder: Path) -> None:
    """Fetch the same list with both, in turns."""
    options = report.options
    hosts, count = (50, 400) if options.quick else (400, 6_000)
    rng = random.Random(20120914)
    names = [f"127.{n // 250 + 1}.{n % 250}.{rng.randrange(1, 255)}" for n in range(hosts)]
    live = names[int(hosts * DEAD_HOSTS) :]
    photo = next((photos.made(options.cache, WNIDS, 30) / WNIDS[0]).iterdir())
    program = installed(options.cache, "img2dataset", IMG2DATASET) / "img2dataset"
    job = _job(names, live, count, rng)
    server = [sys.executable, Path(__file__).with_name("webserver.py"), photo, str(PORT), *live]

    def ours() -> Run:
        with running(server, live[-1], PORT):
            return downloaders.ours(job, folder / "run", options.scripts)

    def theirs() -> Run:
        with running(server, live[-1], PORT):
            return downloaders.img2dataset(job, folder / "run", program, timeout=TIMEOUT, retries=1)

    mine, other = report.turns(f"{count} URLs on {hosts} hosts", ours, theirs)
    report.figure("many hosts: URLs", count)
    report.figure("many hosts: good photos", job.photos)
    for run, pair in zip(mine, ratios(mine, other), strict=True):
        report.figure("many hosts: URLs a second of ours", count / run.seconds)
        report.figure("many hosts: rate / img2dataset's", pair)


def _job(hosts: list[str], live: list[str], count: int, rng: random.Random) -> Job:
    """The list, class by class: hosts of very unequal shares, as on the web."""
    weights = [1 / (place + 1) ** 0.7 for place in range(len(hosts))]
    chosen = rng.choices(rng.sample(hosts, len(hosts)), weights, k=count)
    kinds = rng.choices(list(KINDS), list(KINDS.values()), k=count)
    listed = list(enumerate(zip(chosen, kinds, strict=True)))
    urls = [f"http://{host}:{PORT}/{kind}{n}.jpg" for n, (host, kind) in listed]
    good = {urls[n] for n, (host, kind) in listed if host in live and kind in ("ok", "flaky")}
    # All classes have one quota: leave out good photos beyond the fewest that a class has.
    lists = {wnid: urls[place :: len(WNIDS)] for place, wnid in enumerate(WNIDS)}
    quota = min(sum(url in good for url in each) for each in lists.values())
    for wnid, each in lists.items():
        surplus = set([url for url in each if url in good][quota:])
        lists[wnid] = [url for url in each if url not in surplus]
    network = {"total_timeout": TIMEOUT, "connect_timeout": TIMEOUT, "tries": 2, "per_host": 16}
    private = {"allow_private": hosts}
    return Job(lists, quota * len(WNIDS), network=network | private)


if __name__ == "__main__":
    sys.exit(main(str(__doc__), measure))
