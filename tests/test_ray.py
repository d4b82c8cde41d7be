"""Download and clean on a real Ray cluster, if possible in a network namespace of its own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
UNSHARE = ["unshare", "-n"] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["unshare", "-rn"]
ALONE = [*UNSHARE, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def alone() -> list[str]:
    """What starts a command in a network namespace of its own; empty if there can be none."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return []
    ended = subprocess.run([*ALONE, "true"], capture_output=True, text=True, check=False)
    return [] if ended.returncode else ALONE


def test_a_cluster_gives_what_one_machine_gives_whatever_is_lost(tmp_path: Path) -> None:
    if not importlib.util.find_spec("ray"):
        pytest.skip("ray is not installed")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "ALLROUNDER_"))}
    paths = os.pathsep.join([str(TESTS.parent / "scripts"), str(TESTS)])
    ended = subprocess.run(
        [*alone(), sys.executable, str(TESTS / "ray_trial.py"), str(tmp_path)],
        env=environment | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout.splitlines()[-1])
    print(seen["seconds"])
    assert seen["same"]
    assert seen["killed"]  # the driver, while it downloaded
    assert seen["kept"] > 0  # what it had is not requested again
    assert seen["asked again"] == 0
    assert seen["node lost"]
    assert 0 < seen["most"] <= seen["per host"]
    assert seen["slices"]
    assert seen["hopeless"]
    assert 0 < seen["ahead"] <= seen["under way"]
