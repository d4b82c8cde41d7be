"""A dataset project in a folder of its own: its params, its lists, a run, and its results."""

import contextlib
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allrounder.core.corrections import HEADER
from allrounder.core.files import stage_lock
from allrounder.core.paths import CORRECTIONS, TAKEDOWNS
from allrounder.core.rows import Candidate, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.download.crawl import Crawl, Folders, Share
from allrounder.download.rounds import Quotas, crawl, rules_key
from allrounder.history.journal import Journal
from allrounder.params.schema import Params

SCRIPT = Path(__file__).parents[2] / "scripts" / "download.py"
WNID, OTHER, THIRD = "n02109961", "n02123394", "n02690373"
CLEAN_ONLY = {"kept", "surplus", "corrupt", "exact_duplicate", "near_duplicate", "cross_class"}
RAW_STATUSES = set(Status) - CLEAN_ONLY
DOWNLOAD = {"reserve": 0, "max_bytes": 1_000_000, "robots": "ignore"}
"""Tests count requests; test_robots.py has those for robots.txt."""
NETWORK = {
    "tries": 2,
    "backoff": 0.01,
    "connect_timeout": 20,
    "total_timeout": 60,
    "retry_after_max": 0.05,
    "allow_private": ["127.0.0.1", "localhost", "::1"],
}
Lists = Mapping[str, Sequence[str]]


def make_params(classes: Sequence[str] = (WNID,), **sections: Any) -> dict[str, Any]:
    """Params as a mapping; `network` and `download` are added to what the tests need."""
    return {
        "sources": sections.get("sources", [{"kind": "folder", "location": "photos"}]),
        "classes": dict.fromkeys(classes),
        "per_class": sections.get("per_class", 10),
        "min_per_class": 1,
        "clean": {},
        "split": {},
        "dataset": {},
        "report": {},
        "download": DOWNLOAD | sections.get("download", {}),
        "network": NETWORK | sections.get("network", {}),
    }


class Project:
    """A folder with params.yaml and data/urls; the current folder while `crawl` runs in it."""

    def __init__(self, folder: Path, lists: Lists, **sections: Any):
        self.folder, self.lists = folder, lists
        self.params = make_params(list(lists), **sections)
        urls = folder / "data" / "urls"
        urls.mkdir(parents=True)
        for wnid, asked in lists.items():
            listed = [Candidate(f"{wnid}_{n}", url) for n, url in enumerate(asked)]
            write_csv(urls / f"{wnid}.csv", Candidate, listed, ("image_id", "url"))
        (folder / "params.yaml").write_text(json.dumps(self.params), encoding="utf-8")
        for name in (CORRECTIONS, TAKEDOWNS):
            (folder / name).write_text(",".join(HEADER) + "\n", encoding="utf-8")

    def crawl(self) -> list[RawRow]:
        """Download in this process, which stands in the folder; returns the first class's rows."""
        params = Params.model_validate(self.params)
        self.raw.mkdir(exist_ok=True)
        with stage_lock("download") as work:
            journal = Journal(work, rules_key(params), fresh=False)
            folders = Folders(Path("data/urls"), Path("data/raw"), work)

            def make(number: int, quotas: Quotas, share: Share) -> Crawl:
                own = journal.of_process(number) if number else journal
                return Crawl(params, quotas, share, folders, own)

            try:
                crawl(params, params.quotas, make)
                journal.complete()
            finally:
                journal.close()
        return self.rows()

    def crawl_here(self) -> list[RawRow]:
        """`crawl` in this project's folder."""
        with contextlib.chdir(self.folder):
            return self.crawl()

    @property
    def raw(self) -> Path:
        """The folder of the photos and tables."""
        return self.folder / "data" / "raw"

    @property
    def work(self) -> Path:
        """The folder of the journal."""
        return self.folder / ".allrounder" / "download"

    def rows(self, wnid: str = "") -> list[RawRow]:
        """The rows of a class, or of the first one."""
        return list(read_csv(self.raw / f"{wnid or next(iter(self.lists))}.csv", RawRow))

    def photos(self, wnid: str = "") -> dict[str, bytes]:
        """The photos of a class, or of the first one, by name."""
        path = self.raw / f"{wnid or next(iter(self.lists))}.tar"
        with tarfile.open(path, "r:") as tar:
            return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]

    def journaled(self) -> set[str]:
        """The URLs whose result is in a complete line of the journal."""
        path = self.work / "journal.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return {json.loads(line)["url"] for line in lines if line.endswith(b"\n")}

    def check_accounts(self) -> None:
        """Every candidate has one row, in order; every good photo is in the archive, no other."""
        for wnid, asked in self.lists.items():
            with (self.raw / f"{wnid}.csv").open(encoding="utf-8", newline="") as file:
                assert {row["status"] for row in csv.DictReader(file)} <= RAW_STATUSES
            rows = self.rows(wnid)
            assert [row.url for row in rows if "#" not in row.url] == list(asked)
            assert len({row.url for row in rows}) == len(rows)
            good = {row.image_id: row.sha256 for row in rows if row.status is Status.OK}
            kept = {
                name.rpartition(".")[0]: hashlib.sha256(body).hexdigest()
                for name, body in self.photos(wnid).items()
            }
            assert kept == good

    def start(self, **environment: str) -> "subprocess.Popen[str]":
        """Start the stage script as a process of its own."""
        proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
        clean = {name: value for name, value in os.environ.items() if name.lower() not in proxies}
        return subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            cwd=self.folder,
            env=clean | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, **environment: str) -> tuple[int, str]:
        """Run the stage script to its end; returns its exit code and what it said on stderr."""
        process = self.start(**environment)
        _, said = process.communicate()
        return process.returncode, said

    def result(self) -> dict[str, bytes]:
        """The bytes of data/raw, by file name."""
        return {path.name: path.read_bytes() for path in sorted(self.raw.iterdir())}


def kill(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> None:
    """Send a signal to a process of ours."""
    os.kill(process.pid, number)
