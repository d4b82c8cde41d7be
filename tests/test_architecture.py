"""The layers of scripts/allrounder, and that dvc.yaml's dependencies follow from the imports."""

import os
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "scripts/allrounder"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def test_imports_keep_to_the_layers() -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": "scripts"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("allrounder", cache_dir=None)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_just_the_packages_that_it_imports(
    stage: str, graph: grimp.ImportGraph
) -> None:
    script = (ROOT / f"scripts/{stage}.py").read_text(encoding="utf-8")
    direct = set(re.findall(r"^from (allrounder\.[a-z_.]+) import", script, re.MULTILINE))
    modules = direct.union(*(graph.find_upstream_modules(module) for module in direct))
    packages = {module.split(".")[1] for module in modules if "." in module}
    depends = {dep for dep in STAGES[stage]["deps"] if dep.startswith(PACKAGE)}
    assert depends == {f"{PACKAGE}/{package}" for package in packages}


def test_clean_depends_on_the_decoders_that_decide_its_bytes() -> None:
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.findall(
        r"^((?:numpy|pillow|pillow-heif|simplejpeg)==\S+)", requirements, re.MULTILINE
    )
    listed = (ROOT / PACKAGE / "clean/decoders.txt").read_text(encoding="utf-8")
    assert listed.split() == pinned
    assert len({pin.partition("==")[0] for pin in pinned}) == 4
