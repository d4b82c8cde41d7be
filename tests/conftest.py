"""Fixtures that many tests share: real programs, real clones, real servers on loopback."""

import compileall
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

import warm
from photoserver import PhotoServer
from project import Project, made_once, snapshot

ROOT = Path(__file__).resolve().parent.parent
MEMORY = Path("/dev/shm")
# Each script that a test starts would be compiled again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["DVC_NO_ANALYTICS"] = "1"  # or a command outside clones starts one more
settings.register_profile("repeatable", derandomize=True)
if "ALLROUNDER_NO_SKIPS" in os.environ:  # CI repeats its examples; `make test` tries new ones
    settings.load_profile("repeatable")
_SITE = pytest.StashKey[str]()
WHOLE = ("test_report.py", "test_report_dvc.py", "test_verify.py", "test_describe.py")
"""Files whose tests share slow builds: one worker runs all tests of such a file."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers a core: tests spend much of their time waiting for programs and servers."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """The workers share one process that has imported libraries; it starts while they do.

    Hundreds of clones are made and removed. In memory this takes half as long: an ext4 without a
    journal searches for inodes that were not removed lately (`recently_deleted` in its ialloc.c).
    """
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
        os.environ.setdefault("TMPDIR", str(MEMORY))
        tempfile.tempdir = None  # asks again
    if not hasattr(config, "workerinput"):  # not one of xdist's workers, which inherit it
        config.stash[_SITE] = tempfile.mkdtemp(prefix="dvc-site-")
        os.environ["DVC_SITE_CACHE_DIR"] = config.stash[_SITE]  # else DVC keeps a folder a clone
    if getattr(config.option, "dist", "no") != "no" and config.option.tx:
        warm.share()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it, or this worker's own."""
    warm.end()
    if site := config.stash.get(_SITE, ""):
        shutil.rmtree(site, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that build in a clone come first: with a long one last, one worker runs alone."""
    items.sort(key=lambda item: "origin" not in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Where nothing may be skipped (CI), a skip is a failure."""
    report = yield
    if report.skipped and os.environ.get("ALLROUNDER_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Replaces xdist_group: xdist 3.8 does not write groups where pytest 9.2 reads them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(WHOLE) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out the files of WHOLE undivided, and other tests one by one."""
    return _ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run in a folder of their own: what they cache must not enter the checkout."""
    before = set((ROOT / ".allrounder").rglob("*"))
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        yield
    assert set((ROOT / ".allrounder").rglob("*")) <= before, "a test wrote into .allrounder"


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository that holds the work tree as it is, committed."""
    return made_once(tmp_path_factory, "origin", lambda folder: snapshot(ROOT, folder))


def _compiled(origin: Path, folder: Path) -> Project:
    """A clone whose scripts are compiled: its copies start hundreds of them."""
    clone = Project.cloned(origin, folder)
    compileall.compile_dir(folder / "scripts", quiet=2)
    return clone


@pytest.fixture(scope="session")
def pulled_once(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with all its data, not to be changed."""
    return made_once(
        tmp_path_factory, "pulled", lambda folder: _compiled(origin, folder).dvc("pull")
    )


@pytest.fixture
def pulled(pulled_once: Path, tmp_path: Path) -> Project:
    """A clone with its data, of the test's own."""
    return Project.copied(pulled_once, tmp_path / "clone")


@pytest.fixture(scope="session")
def cloned_once(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, not to be changed."""
    return made_once(tmp_path_factory, "cloned", lambda folder: _compiled(origin, folder))


@pytest.fixture
def clone(cloned_once: Path, tmp_path: Path) -> Project:
    """A fresh clone of the project, of the test's own."""
    return Project.copied(cloned_once, tmp_path / "clone")


@pytest.fixture
def server() -> Iterator[PhotoServer]:
    """A web server on loopback that serves the cartoon sample the way ImageNet was."""
    with PhotoServer(ROOT / "data" / "sample") as running:
        yield running


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs in a folder of its own, and without the user's proxies."""
    monkeypatch.chdir(tmp_path)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
