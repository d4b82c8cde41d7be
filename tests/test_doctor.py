"""Each fault is made for real; the doctor names it, and the command that it prints mends it."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import doctor
import tiny
from allrounder.core.errors import run as run_main
from allrounder.core.files import folder_md5
from tiny import DATASET, RAW, md5, place, write

ONE = md5(DATASET["train/cat/1.jpg"])
DATASET_LIST = folder_md5({name: md5(body) for name, body in DATASET.items()})
LIST = folder_md5({name: md5(body) for name, body in RAW.items()})


Findings = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _project(own_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("project").mkdir()
    monkeypatch.chdir("project")
    tiny.environment(monkeypatch, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    tiny.make("store", ".dvc/cache")


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Callable[[], Findings]:
    """Runs the doctor; returns the words and the command of each finding."""

    def run() -> Findings:
        capsys.readouterr()  # what DVC has printed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["doctor.py"])
            code = run_main(doctor.main)
        lines = capsys.readouterr().out.splitlines()
        if lines == ["no fault found"]:
            assert code == 0
            return []
        assert code == 1
        pairs = zip(lines[::2], lines[1::2], strict=True)
        return [(words.partition(". ")[2], command.strip()) for words, command in pairs]

    return run


def damage(path: Path) -> None:
    write(path, b"damaged")


def mend(command: str) -> None:
    """Run a command as printed; DVC in this process, where it is imported already."""
    for part in command.split(" && "):
        if part.startswith("dvc "):
            assert tiny.dvc(shlex.split(part)[1:]) == 0
        else:
            subprocess.run(["bash", "-ec", part], check=True, capture_output=True)


def cut(old: str, new: str) -> None:
    text = Path("dvc.lock").read_text()
    assert old in text
    Path("dvc.lock").write_text(text.replace(old, new, 1))


def cut_off(name: str) -> None:
    write(name, b'{"stages":')


def zip_without_git() -> None:
    shutil.rmtree(".git")


def moved_venv() -> None:
    write(".venv/bin/dvc", b"#!/home/other/.venv/bin/python\n")


def shallow() -> None:
    tiny.git("commit", "-q", "--allow-empty", "-m", "more")
    Path(".git").rename("../origin.git")
    tiny.git("clone", "-q", "--depth=1", f"file://{Path('../origin.git').resolve()}", "../shallow")
    Path("../shallow/.git").rename(".git")


def conflict() -> None:
    """A merge that stops, as that of two branches which each add a class."""
    for switch, per_class in ((["-b", "other"], "6"), (["-"], "7")):
        tiny.git("checkout", "-q", *switch)
        write("params.yaml", tiny.PARAMS.replace("5", per_class).encode())
        tiny.commit(per_class)
    with pytest.raises(subprocess.CalledProcessError):
        tiny.git("merge", "other")


def markers() -> None:
    write("dvc.lock", b"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n")


def no_file() -> None:
    Path("dvc.lock").unlink()
    Path("dvc.lock").mkdir()


def journal() -> None:
    write(".allrounder/download/photos.blob", b"p" * 2000)
    write(".allrounder/download/run.json", b'{"key": "k", "ended": false}')


def pointer() -> None:
    write("photo.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    tiny.commit("a pointer")


def linked() -> None:
    """A file that is a link to the object in the cache, as with cache.type hardlink, was edited."""
    path = Path("data/dataset/train/cat/1.jpg")
    path.unlink()
    path.hardlink_to(place(ONE))
    damage(path)


def nowhere_but_here() -> None:
    damage(place(ONE))
    place(LIST).unlink()
    shutil.rmtree("store")


FAULTS = [
    (zip_without_git, "this folder is no git repository, as in an unpacked ZIP", "git init"),
    (shallow, "a shallow clone: older versions are missing", "git fetch -q --unshallow"),
    (pointer, "photo.jpg is a Git LFS pointer, not the file", "git lfs pull"),
    (moved_venv, "the project was moved or copied", "rm -rf .venv"),
    (conflict, "a merge of two versions has stopped at params.yaml", "python scripts/merge.py"),
    (markers, "dvc.lock has conflict markers, and no merge", "git checkout HEAD -- dvc.lock"),
    (lambda: write("params.yaml", b"classes"), "params.yaml, line 1: ", "scripts/check_params"),
    (lambda: cut("  split:", "  splt:"), "has the stage splt, which dvc.yaml does", "git checkout"),
    (lambda: cut("outs:", "outs"), "is not as DVC writes it", "git checkout HEAD -- dvc.lock"),
    (lambda: cut(DATASET_LIST, "12"), "is not as DVC writes", "git checkout HEAD -- d"),
    (lambda: cut(DATASET_LIST, f"{0:032}.dir"), "by hand: nothing has d", "git checko"),
    (lambda: cut_off("dvc.lock"), "dvc.lock is cut off: a build was k", "scripts/check_params"),
    (lambda: cut_off(".dvc/tmp/rwlock"), ".dvc/tmp/rwlock is cut off: a b", "scripts/check_params"),
    (lambda: Path(".dvc/config").unlink(), ".dvc/config is missing, and git has", "git checko"),
    (lambda: Path("params.yaml").unlink(), "params.yaml is missing, and gi", "git checkout HEAD"),
    (lambda: write(".dvc/config.local", b"[core"), "config file error", "mv .dvc/config.local "),
    (lambda: write("dvc.yaml", b"- a"), "dvc.yaml cannot be read", "git checkout HEAD -- dvc.yaml"),
    (lambda: Path("dvc.yaml").unlink(), "dvc.yaml is missing, and git has it", "git checkout HEAD"),
    (lambda: os.chdir("data"), "run this in the project's folder", 'cd "$(dvc root)"'),
    (no_file, "dvc.lock is no file", "rm -r dvc.lock && git checkout HEAD"),
    (lambda: write(".dvc/config", b"[core"), "config file error", "git checkout .dvc/config"),
    (lambda: cut(LIST, f"{'0' * 32}.dir"), "dvc.lock mixes two builds: split was", "dvc repro"),
    (lambda: cut("size: 600", f"size: {10**18}"), "is nearly full: ", "dvc gc -"),
    (lambda: damage(place(ONE)), "data/dataset/train/cat/1.jpg: damaged in DVC's c", "rm -f "),
    (linked, "train/cat/1.jpg: damaged in DVC's c", "data/dataset/train/cat/1.jpg && dvc"),
    (lambda: place(ONE).unlink(), "data/dataset/train/cat/1.jpg: missing from", "dvc pull data/d"),
    (lambda: damage(place(LIST)), "data/raw: damaged in DVC's cache; the remote has", "rm -f"),
    (journal, "an earlier download failed or was killed; its 0.0 MB are kept", "dvc repro"),
    (lambda: write(".dvc/config", b""), "no default DVC remote is configured", "remote add"),
    (lambda: tiny.remote("gs://b/x"), "DVC needs the package dvc-gs for it", "pip install dvc-gs"),
    (lambda: tiny.remote("http://127.0.0.1:1/x"), "cannot be reached", "dvc config --list"),
    (lambda: tiny.remote("s3://b/x"), "access is denied (NoCredentials", "dvc remote modify --lo"),
]  # fmt: skip
MENDED_HERE = (
    "git checkout",
    "git fetch",
    "dvc pull",
    "rm -r dvc.lock",
    "rm -f",
    "git init",
    "mv .dvc",
)
"""Commands that a test can run: the others build, or need a login or the internet."""


@pytest.mark.parametrize(("fault", "words", "command"), FAULTS, ids=[f[1][:25] for f in FAULTS])
def test_each_fault_is_named_with_the_command_that_mends_it(
    examine: Callable[[], Findings], fault: Callable[[], None], words: str, command: str
) -> None:
    fault()
    ((said, then),) = examine()
    assert words in said
    assert command in then
    if then.startswith(MENDED_HERE):
        mend(then)
        assert examine() == []


def test_a_whole_clone_has_no_finding_and_one_without_data_has_one(
    examine: Callable[[], Findings],
) -> None:
    assert examine() == []
    shutil.rmtree(".dvc/cache")
    assert examine() == [
        (
            "data/raw, data/dataset: not in DVC's cache, but on the remote",
            "dvc pull data/raw data/dataset",
        )
    ]


def test_without_a_git_that_works_nothing_else_is_examined(
    examine: Callable[[], Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    ((words, command),) = examine()
    assert words == "git refuses this folder, which another user owns"
    assert command == f"git config --global --add safe.directory {Path.cwd()}"
    monkeypatch.setenv("PATH", "")
    assert examine() == [("git is not installed; DVC needs it", "apt install git")]


def test_no_advice_to_pull_what_the_remote_has_not_got(examine: Callable[[], Findings]) -> None:
    nowhere_but_here()
    found = examine()
    assert [words.rpartition("; ")[2] for words, _ in found] == ["the local files are whole"] * 2
    for _, command in found:
        mend(command)
    assert examine() == []
    damage(place(ONE))
    Path("data/dataset/train/cat/1.jpg").unlink()
    ((words, command),) = examine()
    assert "neither the remote nor data/ has a copy" in words
    assert command.endswith("ALLROUNDER_PINS=confirm dvc repro --force")
    tiny.remote("gs://b/x")
    assert examine()[1][1] == "python scripts/doctor.py"
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("data")
    _, (words, command) = examine()
    assert words.startswith("data/raw: missing from DVC's cache (and 1 more); the remote may have")
    assert command == "python scripts/doctor.py"


def test_links_that_the_disks_do_not_allow(
    examine: Callable[[], Findings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = next(
        (Path(one) for one in ("/dev/shm", "/run", "/tmp") if _is_elsewhere(Path(one), tmp_path)),
        None,
    )
    if elsewhere is None:  # one disk only: as a file system that has no links
        monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(OSError(1, "no")))
        elsewhere = tmp_path
    cache = elsewhere / f"cache-{os.getpid()}"
    shutil.move(".dvc/cache", cache)
    write(".dvc/config.local", f"[cache]\n    dir = {cache}\n    type = hardlink\n".encode())
    try:
        ((words, command),) = examine()
        assert f"cache.type cannot be used between the cache {cache}" in words
        assert command == "dvc config --local cache.type symlink"
        mend(command)
        assert examine() == []
    finally:
        shutil.rmtree(cache)


def _is_elsewhere(folder: Path, here: Path) -> bool:
    return os.access(folder, os.W_OK) and folder.stat().st_dev != here.stat().st_dev


@pytest.mark.skipif(os.name == "nt", reason="no orphans")
def test_a_stage_that_outlived_its_dvc_is_named(examine: Callable[[], Findings]) -> None:
    code = (
        "from allrounder.core.files import stage_lock; import time, sys\n"
        "with stage_lock('download'): print('held', flush=True); time.sleep(60)"
    )
    scripts = str(Path(doctor.__file__).parent)
    command = f'PYTHONPATH={scripts} "{sys.executable}" -c "{code}" & sleep 60'
    shell = subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, start_new_session=True
    )
    assert shell.stdout
    assert shell.stdout.readline() == b"held\n"
    assert examine() == []  # a stage that runs is no fault
    shell.kill()
    shell.wait()
    ((words, then),) = examine()
    assert "download still runs, though the dvc that started it was killed" in words
    mend(then)
    shell.stdout.close()
    os.killpg(shell.pid, 9)


def test_a_full_disk_is_named_also_beside_what_it_broke(
    examine: Callable[[], Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage, cache = shutil.disk_usage("."), str(Path(".dvc/cache/files/md5").resolve())
    free = {".": 10**10, cache: 1}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free[path]))
    ((words, _),) = examine()
    assert words.startswith(f"the disk of {cache} is nearly full: 0 MB are free")
    free["."] = 1
    cut(LIST, f"{'0' * 32}.dir")
    (broken, _), (words, _) = examine()
    assert broken.startswith("dvc.lock mixes two builds: ")
    assert words.startswith("the disk of . is nearly full: 0 MB are free")
