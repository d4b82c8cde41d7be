"""The downloaders that are compared: how each is called, and whether it fetched everything."""

import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import BenchError, Run, emptied, project, timed

IMG2DATASET = "img2dataset==1.47.0"


NETWORK = {"connections": 64, "per_host": 64, "allow_private": ["127.0.0.1"]}
"""The params for one fast host on this machine."""


@dataclass(frozen=True)
class Job:
    """The URLs to fetch, by class, and how many photos and bytes must arrive (bytes 0: any)."""

    urls: Mapping[str, Sequence[str]]
    photos: int
    bytes: int = 0
    min_per_class: int = 0  # 0: all classes have the same number
    network: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def listed(self) -> list[str]:
        """All URLs, class by class."""
        return [url for urls in self.urls.values() for url in urls]

    def check(self, run: Run, sizes: Sequence[int]) -> Run:
        """Return the run. Raises BenchError unless all photos arrived with all their bytes."""
        if len(sizes) != self.photos or (self.bytes and sum(sizes) != self.bytes):
            wanted = f"{self.photos} with {self.bytes} bytes"
            raise BenchError(f"{run.name}: {len(sizes)} photos of {sum(sizes)} bytes, not {wanted}")
        return run


def ours(job: Job, folder: Path, scripts: Path) -> Run:
    """The download stage, called as in dvc.yaml, in a project of its own."""
    quota = job.min_per_class or job.photos // len(job.urls)
    most = max(map(len, job.urls.values())) if job.min_per_class else quota
    network = NETWORK | job.network
    project(
        folder, scripts, classes=dict.fromkeys(job.urls), per_class=most, min_per_class=quota,
        download={"reserve": 0}, network=network,
    )  # fmt: skip
    (folder / "data/urls").mkdir(parents=True)
    (folder / "photos").mkdir()
    for wnid, urls in job.urls.items():
        rows = ["image_id,url", *(f"{wnid}_{number},{url}" for number, url in enumerate(urls)), ""]
        (folder / f"data/urls/{wnid}.csv").write_text("\n".join(rows), encoding="utf-8")
    command = [sys.executable, "scripts/download.py"]
    run = timed("ours", job.photos, command, folder, job.environment)
    tars = [tarfile.open(path).getmembers() for path in folder.glob("data/raw/*.tar")]  # noqa: SIM115
    return job.check(run, [member.size for members in tars for member in members])


def curl(job: Job, folder: Path) -> Run:
    """`curl --parallel` with one config file of all URLs."""
    emptied(folder)
    parts = [f'url = "{u}"\noutput = "photos/{n}.jpg"\n' for n, u in enumerate(job.listed)]
    (folder / "urls.conf").write_text("".join(parts), encoding="utf-8")
    (folder / "photos").mkdir()
    command = ["curl", "--parallel", "--parallel-max", str(job.network.get("connections", 64))]
    command += ["--silent", "--show-error", "--fail", "--config", "urls.conf"]
    run = timed("curl", job.photos, command, folder, job.environment)
    return job.check(run, [path.stat().st_size for path in folder.glob("photos/*")])


def img2dataset(
    job: Job, folder: Path, program: Path, timeout: int = 60, retries: int = 0, threads: int = 32
) -> Run:
    """img2dataset as lean as it goes: no decoding, no hash, no EXIF; two processes, plain files."""
    emptied(folder)
    (folder / "urls.txt").write_text("\n".join(job.listed) + "\n", encoding="utf-8")
    shard = min(-(-len(job.listed) // 4), 1000)
    command: list[str | Path] = [program, "--url_list", "urls.txt", "--output_folder", "photos"]
    command += ["--processes_count", "2", "--thread_count", str(threads)]
    command += ["--number_sample_per_shard", str(shard), "--output_format", "files"]
    command += ["--timeout", str(timeout), "--retries", str(retries), "--resize_mode", "no"]
    command += ["--disable_all_reencoding", "True", "--compute_hash", "None"]
    command += ["--extract_exif", "False", "--enable_wandb", "False"]
    environment = {"NO_ALBUMENTATIONS_UPDATE": "1", **job.environment}
    run = timed("img2dataset", job.photos, command, folder, environment)
    return job.check(run, [path.stat().st_size for path in folder.glob("photos/*/*.jpg")])
