"""Pushes that are killed, repeated, or run at once with others: the remote is whole afterwards."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

import doctor
import push
import tiny
import verify
import warm

CLEARING = """
from dvc_data.hashfile.db.index import ObjectDBIndex
def clear(self):
    # diskcache removes a hundred rows at a time, of which this project has seven: both lists, here
    few = "SELECT rowid FROM Cache ORDER BY rowid LIMIT 5"
    self._cache._con.execute(f"DELETE FROM Cache WHERE rowid IN ({few})")
    os.kill(os.getpid(), 9)
ObjectDBIndex.clear = clear
"""
UPLOADING = """
from dvc_objects.fs.local import FsspecLocalFileSystem as Files
put, number = Files.put_file, 0
def put_file(*arguments, **options):
    global number
    put(*arguments, **options)
    number += 1
    after(number)
Files.put_file = put_file
"""
KILL = UPLOADING + "after = lambda number: os.kill(os.getpid(), 9)\n"
MEANWHILE = (
    UPLOADING
    + """
codes = {}
def after(number):
    if number in %(numbers)s:
        codes[number] = subprocess.run(["dvc", "%(command)s", "-q"], cwd="../other").returncode
        Path("../codes.json").write_text(json.dumps(codes))
"""
)


@pytest.fixture(autouse=True)
def _project(own_folder: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    Path("project").mkdir()
    monkeypatch.chdir("project")
    tiny.make(".dvc/cache")


def objects(store: str) -> dict[str, bytes]:
    found = {path.relative_to(store).as_posix(): path for path in Path(store).rglob("*")}
    return {name: path.read_bytes() for name, path in found.items() if path.is_file()}


def pushed(changed: str) -> int:
    """The exit code of `dvc push` by a DVC with these changes."""
    code = f"import json, os, subprocess, sys\nfrom pathlib import Path\n{changed}"
    tiny.write(
        "../changed.py", f"{code}\nfrom dvc.cli import main\nsys.exit(main(['push']))".encode()
    )
    script = str(Path("../changed.py").resolve())
    return warm.run([script], Path.cwd(), dict(os.environ))[0]


@pytest.mark.parametrize("killed", [CLEARING, KILL], ids=["while clearing", "while uploading"])
def test_a_push_after_a_killed_one_is_whole(
    killed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.dvc(["push"]) == 0
    whole = objects("store")
    shutil.rmtree("store")
    assert pushed(killed) in (137, -9, 9)
    if killed is CLEARING:
        tiny.call(doctor.main, expect=1)
        assert "a wrong index of what the remote has" in capsys.readouterr().out
        assert tiny.dvc(["push"]) == 0  # wrong, as long as DVC has this fault
        tiny.call(doctor.main, expect=1)
        output = capsys.readouterr().out
        assert re.search(
            r"the remote has the list of (\S+), but not \1/.*: a push was killed", output
        )
        assert "   python scripts/push.py" in output.splitlines()
    tiny.call(push.main)
    assert objects("store") == whole
    tiny.call(doctor.main)


def test_clones_that_push_different_versions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("../other").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir("../other")
        patch.setitem(tiny.DATASET, "train/cat/3.jpg", b"three")
        tiny.make(".dvc/cache")
    for folder in ("../other", "."):
        Path(folder, ".dvc/config.local").write_text(
            f"['remote \"r\"']\n    url = {Path('store').resolve()}\n"
        )
    assert pushed(MEANWHILE % {"numbers": (2,), "command": "push"}) == 0
    assert json.loads(Path("../codes.json").read_text()) == {"2": 0}
    for folder in ("../other", "."):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            tiny.call(verify.main, "--remote")
    assert len(objects("store")) == 9


def test_a_pull_during_a_push_is_whole_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(".", "../other", ignore=shutil.ignore_patterns("data", "cache", "tmp"))
    Path("../other/.dvc/config.local").write_text(
        f"['remote \"r\"']\n    url = {Path('store').resolve()}\n"
    )
    assert pushed(MEANWHILE % {"numbers": (1, 4, 6, 7), "command": "pull"}) == 0
    codes = json.loads(Path("../codes.json").read_text())
    assert all(codes[number] for number in ("1", "4", "6"))
    assert codes["7"] == 0
    monkeypatch.chdir("../other")
    tiny.call(verify.main)


def test_what_cannot_be_pushed_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(lock: object) -> None:
        raise PermissionError(13, "Permission denied", ".dvc/tmp/lock")

    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0)
    tiny.call(push.main, "data", expect=2)
    with Repo(".").lock:
        tiny.call(push.main, expect=1)
    with monkeypatch.context() as patch:
        patch.setattr("dvc.lock.Lock.lock", denied)
        tiny.call(push.main, expect=1)
    tiny.place(tiny.md5(b"one")).unlink()
    tiny.call(push.main, "./data/dataset/", expect=1)
    tiny.place(tiny.md5(b"one")).write_bytes(b"one")
    tiny.write("dvc.lock", Path("dvc.lock").read_bytes().partition(b"  split:")[0])
    tiny.call(push.main, expect=1)
    shutil.rmtree("store")
    tiny.write(".dvc/config", b"[core]\nremote = gone")
    tiny.call(push.main, expect=2)
    tiny.write(".dvc/config", b"")
    tiny.call(push.main, expect=2)
    assert capsys.readouterr().err.splitlines() == [
        "error: data: no output to push; take from data/raw, data/dataset",
        "error: another DVC is running here; wait for it, then push again",
        "error: .dvc/tmp/lock: Permission denied; give yourself access",
        "error: data/dataset/train/cat/1.jpg: in neither DVC's cache nor the remote; "
        "python scripts/doctor.py",
        "error: dvc.lock names no data/dataset; run dvc repro, then push again",
        "error: no DVC remote gone is configured: dvc remote add --default gone ../dataset-store",
        "error: no default DVC remote is configured: dvc remote add --default mine "
        "../dataset-store",
    ]
    assert not Path("store").exists()  # no list without its files
