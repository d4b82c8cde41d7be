"""The three downloaders under comparison: how each is called, and whether it fetched everything."""

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from measure import BenchError, Run, timed

IMG2DATASET = "img2dataset==1.47.0"
SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@dataclass(frozen=True)
class Job:
    """What is to be fetched: URLs by class, and what must be there in the end."""

    urls: dict[str, list[str]]
    photos: int
    bytes: int
    connections: int = 64
    extra: dict[str, str] = field(default_factory=dict)  # environment

    @property
    def listed(self) -> list[str]:
        """All URLs, class by class."""
        return [url for urls in self.urls.values() for url in urls]


def ours(job: Job, folder: Path, scripts: Path = SCRIPTS) -> Run:
    """The download stage, called as dvc.yaml does, in a project folder of its own."""
    write_project(job, folder, scripts)
    command = [sys.executable, "scripts/download.py"]
    run = timed("ours", job.photos, command, folder, job.extra)
    count, size = _members(folder.glob("data/raw/*.tar"))
    check(run, job, count, size)
    return run


def write_project(job: Job, folder: Path, scripts: Path = SCRIPTS) -> None:
    """Write a project folder: params.yaml and the list of each class."""
    per_class = job.photos // len(job.urls)
    params = {
        "sources": [{"kind": "folder", "location": "data/sample"}],
        "classes": dict.fromkeys(job.urls),
        "per_class": per_class,
        "min_per_class": per_class,
        "download": {"reserve": 0},
        "clean": {},
        "split": {},
        "network": {
            "connections": job.connections,
            "per_host": job.connections,
            "allow_private": ["127.0.0.1"],
        },
    }
    (folder / "data/urls").mkdir(parents=True)
    (folder / "data/sample").mkdir()
    (folder / "scripts").symlink_to(scripts)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    for wnid, urls in job.urls.items():
        rows = [f"{wnid}_{number},{url}\n" for number, url in enumerate(urls)]
        text = "image_id,url\n" + "".join(rows)
        (folder / f"data/urls/{wnid}.csv").write_text(text, encoding="utf-8")


def requests_of(folder: Path) -> int:
    """How many requests the download stage says it has made."""
    log = folder.with_name(folder.name + ".log").read_text(encoding="utf-8")
    found = re.search(r"^(\d+) requests", log, re.MULTILINE)
    return int(found[1]) if found else 0


def curl(job: Job, folder: Path, discard: bool = False) -> Run:
    """`curl --parallel` with one config file of all URLs; `discard`: nothing is written."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    lines = []
    for number, url in enumerate(job.listed):
        target = "/dev/null" if discard else photos / f"{number}.jpg"
        lines.append(f'url = "{url}"\noutput = "{target}"\n')
    (folder / "urls.conf").write_text("".join(lines), encoding="utf-8")
    command = ["curl", "--parallel", "--parallel-max", str(job.connections)]
    command += ["--silent", "--show-error", "--fail", "--config", "urls.conf"]
    run = timed("curl", job.photos, command, folder, job.extra)
    if not discard:
        files = list(photos.iterdir())
        check(run, job, len(files), sum(file.stat().st_size for file in files))
    return run


def with_dead(urls: list[str], share: float) -> list[str]:
    """The URLs with dead ones spread evenly between them, `share` of all."""
    mixed: list[str] = []
    dead = 0
    for number, url in enumerate(urls, 1):
        while dead < number * share / (1 - share) - 0.5:
            mixed.append(f"{url.rpartition('/')[0]}/gone_{dead}.jpg")
            dead += 1
        mixed.append(url)
    return mixed


@dataclass(frozen=True)
class Settings:
    """How img2dataset is set; which setting is its fastest is measured."""

    processes: int = 2
    threads: int = 8
    form: str = "files"


def img2dataset(job: Job, folder: Path, program: Path, settings: Settings) -> Run:
    """img2dataset as lean as it goes: no decoding, no hash, no EXIF."""
    folder.mkdir(parents=True)
    (folder / "urls.txt").write_text("\n".join(job.listed) + "\n", encoding="utf-8")
    shard = -(-job.photos // (2 * settings.processes))
    command: list[str | Path] = [program, "--url_list", "urls.txt", "--output_folder", "photos"]
    command += ["--processes_count", str(settings.processes)]
    command += ["--thread_count", str(settings.threads)]
    command += ["--number_sample_per_shard", str(min(shard, 1000))]
    command += ["--output_format", settings.form, "--resize_mode", "no"]
    command += ["--disable_all_reencoding", "True", "--compute_hash", "None"]
    command += ["--extract_exif", "False", "--enable_wandb", "False"]
    environment = {"NO_ALBUMENTATIONS_UPDATE": "1", **job.extra}
    run = timed("img2dataset", job.photos, command, folder, environment)
    if settings.form == "files":
        files = list(folder.glob("photos/*/*.jpg"))
        count, size = len(files), sum(file.stat().st_size for file in files)
    else:
        count, size = _members(folder.glob("photos/*.tar"), ".jpg")
    check(run, job, count, size)
    return run


def install_img2dataset(cache: Path) -> Path:
    """img2dataset in a virtual environment of its own; returns the program."""
    program = cache / "img2dataset" / "bin" / "img2dataset"
    if not program.exists():
        venv = program.parent.parent
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        pip = [str(venv / "bin/pip"), "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, IMG2DATASET], check=True)
    return program


def check(run: Run, job: Job, count: int, size: int) -> None:
    """Raise BenchError unless all photos arrived with all their bytes."""
    if (count, size) != (job.photos, job.bytes):
        raise BenchError(
            f"{run.name}: {count} photos with {size} bytes arrived, "
            f"not {job.photos} with {job.bytes}"
        )


def remove(folder: Path) -> None:
    """Remove what a run left."""
    shutil.rmtree(folder, ignore_errors=True)
    for suffix in (".log", ".usage"):
        folder.with_name(folder.name + suffix).unlink(missing_ok=True)


def _members(paths: Iterable[Path], suffix: str = "") -> tuple[int, int]:
    count = size = 0
    for path in paths:
        with tarfile.open(path) as tar:
            sizes = [info.size for info in tar if info.name.endswith(suffix)]
        count, size = count + len(sizes), size + sum(sizes)
    return count, size
