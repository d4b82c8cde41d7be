"""What does each stage cost as the dataset grows, and what would ImageNet-1k's size cost?

Builds datasets of 10, 100 and 1,000 classes with `dvc repro`, from photos that nginx serves.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import yaml

import photos
from download import nginx
from downloaders import NETWORK
from harness import LAUNCH, Report, Run, main, project, table, timed

STAGES = ("fetch_urls", "download", "clean", "split", "report")
DVC = "DVC"
FULL = 1_300_000
SIZE = (120, 90)
"""Small photos, since memory and DVC's time go with their number; --side draws larger ones."""
_LIMIT = "86400"  # seconds of a build


def measure(report: Report, folder: Path) -> None:
    """Build each size; fit the growth of every stage, and extrapolate it."""
    sizes = (3, 6, 12) if report.options.quick else (10, 100, 1000)
    each = max((report.options.photos or (120 if report.options.quick else 20_000)) // sizes[-1], 5)
    side = report.options.side
    source = _made(report.options.cache, sizes[-1], each, (side, side * 3 // 4))
    # nginx's workers may not read the cache.
    served = shutil.copytree(source, folder / "www", copy_function=os.link)
    with nginx(served, folder / "nginx") as (address, _):
        builds = [
            _build(report, folder / f"of{count}", source, address, count, each) for count in sizes
        ]
    for at, name in enumerate((*STAGES, DVC)):
        runs = [build[at] for build in builds]
        power = exponent([(run.photos, run.cpu) for run in runs[-2:]])
        report.figure(f"{name}: CPU seconds grow with the photos to the power of", power)
        for what in ("seconds", "cpu", "peak_mb"):
            points = [(run.photos, getattr(run, what)) for run in runs[-2:]]
            report.figure(f"{name}: {what} at {FULL:,}", round(extrapolated(points, FULL), 1))
    whole, dvc = (sum(run.seconds for run in part) for part in (builds[-1], builds[-1][-1:]))
    report.figure("DVC's share of the largest build", dvc / whole)
    report.figure(
        "split: seconds / seconds to copy its photos", _against_copy(folder, sizes[-1], builds)
    )
    if report.options.ray:
        _on_ray(report, folder / f"of{sizes[-1]}", builds[-1][0].photos)
    if report.options.add:
        _one_class_more(report, folder / "more", source, sizes[-1], each)


def exponent(points: Sequence[tuple[int, float]]) -> float:
    """The power of growth between two points (photos, cost)."""
    (few, low), (many, high) = points
    return math.log(max(high, 1e-3) / max(low, 1e-3)) / math.log(many / few)


def extrapolated(points: Sequence[tuple[int, float]], photos: int) -> float:
    """The cost for so many photos: on a line through two points, which has the fixed part.

    If the cost has grown faster than the photos, it goes on to grow with that power.
    """
    (few, low), (many, high) = points
    power = exponent(points)
    if power > 1:
        return high * (photos / many) ** power
    return high + max(high - low, 0) / (many - few) * (photos - many)


def _build(
    report: Report, folder: Path, source: Path, address: str, classes: int, each: int
) -> list[Run]:
    """Run `dvc repro` on the first classes; the runs of the stages, and what DVC adds to them."""
    names = _names(classes)
    listed = {"kind": "csv", "location": "data/sample/photos.csv"}
    place = _project(report, folder, listed, names, each)
    with (place / "data/sample/photos.csv").open("w", encoding="utf-8") as file:
        print("label", "url", sep=",", file=file)
        for name in names:
            for path in sorted((source / name).iterdir()):
                print(name, f"{address}/{name}/{path.name}", sep=",", file=file)
    return _repro(place, f"{classes:,} classes of {each:,} photos", classes * each)


def _one_class_more(report: Report, folder: Path, source: Path, classes: int, each: int) -> None:
    """Build all classes but the last from a local folder, then add that one.

    DVC links its cache, so that the stages can use the files of the first build again.
    """
    names, listed = _names(classes), {"kind": "folder", "location": str(source)}
    place = _project(report, folder, listed, names[:-1], each)
    subprocess.run([*_DVC, "config", "cache.type", "hardlink"], cwd=place, check=True)
    full = _repro(place, f"{classes - 1:,} classes from a folder", (classes - 1) * each)
    params = yaml.safe_load((place / "params.yaml").read_text(encoding="utf-8"))
    params["classes"] = dict.fromkeys(names)
    (place / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    more = _repro(place, "one class more", classes * each)
    whole = sum(run.seconds for run in full)
    stages = sum(run.seconds for run in more[:-1])
    report.figure(
        "one class more: seconds of the stages / seconds of the full build", stages / whole
    )
    report.figure("one class more: DVC's own seconds", more[-1].seconds)


_DVC = (sys.executable, "-m", "dvc")


def _project(
    report: Report, folder: Path, source: dict[str, str], classes: Sequence[str], each: int
) -> Path:
    """A DVC project whose stages write down what they use."""
    place = project(
        folder,
        report.options.scripts,
        sources=[source],
        classes=dict.fromkeys(classes),
        per_class=each,
        network=NETWORK,
    )
    (place / "data/sample").mkdir(parents=True)  # dvc.yaml names it
    (place / "data/sample/README").touch()
    (place / "launch.py").write_text(LAUNCH, encoding="utf-8")
    pipeline = yaml.safe_load(
        (report.options.scripts.parent / "dvc.yaml").read_text(encoding="utf-8")
    )
    stages = {name: pipeline["stages"][name] for name in STAGES}
    for name, stage in stages.items():
        stage["cmd"] = (
            f"{sys.executable} launch.py usage-{name}.json {sys.executable} scripts/{name}.py"
        )
    (place / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    subprocess.run([*_DVC, "init", "-q", "--no-scm"], cwd=place, check=True)
    return place


def _repro(place: Path, what: str, count: int) -> list[Run]:
    """Run `dvc repro`; the runs of the stages, and what DVC adds to them."""
    whole = timed("all", count, [*_DVC, "repro", "-q"], place, {"BENCH_LIMIT": _LIMIT})
    runs = [
        Run(name, count, **json.loads((place / f"usage-{name}.json").read_text(encoding="utf-8")))
        for name in STAGES
    ]
    rest = {
        name: getattr(whole, name) - sum(getattr(run, name) for run in runs)
        for name in ("seconds", "cpu")
    }
    runs.append(replace(whole, name=DVC, **rest))
    print(f"\n{what}\n{table(runs)}")
    return runs


def _against_copy(folder: Path, classes: int, builds: Sequence[Sequence[Run]]) -> float:
    dataset = folder / f"of{classes}/data/dataset"
    copy = timed("copy", builds[-1][0].photos, ["cp", "-r", dataset, folder / "copy"], folder)
    return builds[-1][STAGES.index("split")].seconds / copy.seconds


def _on_ray(report: Report, place: Path, count: int) -> None:
    """Let clean decode the largest build's photos again, on 1 to N workers of a Ray cluster here.

    Seconds are those of the stage, with its start and its own work; CPU and memory the driver's.
    """
    runs: list[Run] = []
    for workers in range(1, report.options.ray + 1):
        shutil.rmtree(place / ".allrounder/decoded")
        with _ray_cluster(workers) as address:
            extra = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled", "BENCH_LIMIT": _LIMIT}
            command = [sys.executable, "scripts/clean.py"]
            runs.append(timed(f"clean, workers: {workers}", count, command, place, extra))
    print(f"\n{table(runs)}")
    for before, run in pairwise(runs):
        report.figure(f"{run.name}: rate / rate with one worker less", run.rate / before.rate)


@contextmanager
def _ray_cluster(workers: int) -> Iterator[str]:
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_prestart_worker_first_driver": "0"}
    from ray.cluster_utils import Cluster  # no benchmark without --ray needs it

    cluster = Cluster(True, head_node_args={"num_cpus": workers, "include_dashboard": False})
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def _names(classes: int) -> list[str]:
    return [f"class_{number:04}" for number in range(classes)]


def _made(cache: Path, classes: int, each: int, size: tuple[int, int]) -> Path:
    """A folder `<class>/<number>.jpg` of distinct photos."""
    root = cache / f"scale-{classes}x{each}-{size[0]}"
    if not root.exists():
        print(f"making {classes * each:,} photos", flush=True)
        part = root.with_name(root.name + ".part")
        with ProcessPoolExecutor() as pool:
            list(
                pool.map(
                    partial(_class, part, each, size), range(classes), _names(classes), chunksize=4
                )
            )
        part.rename(root)
    return root


def _class(root: Path, each: int, size: tuple[int, int], place: int, name: str) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    for number in range(each):
        body = photos.encoded(photos.picture((place, number), size))
        (root / name / f"{number:06}.jpg").write_bytes(body)


if __name__ == "__main__":
    sys.exit(
        main(
            str(__doc__),
            measure,
            photos={"type": int, "metavar": "N", "help": "photos of the largest build (20,000)"},
            add={"action": "store_true", "help": "add a class to the largest build, too"},
            ray={"type": int, "metavar": "N", "help": "decode on 1 to N Ray workers, too"},
            side={"type": int, "default": SIZE[0], "help": "longer side of a photo (120 pixels)"},
        )
    )
