"""README and docs: their shell blocks run as they stand, their links lead somewhere."""

import csv
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import warm
from allrounder.catalogue.synsets import VOC_LABELS, find_synset
from allrounder.core.rows import Status
from params_reference import markdown
from project import Project

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, *sorted(ROOT.glob("*/README.md")), *sorted(ROOT.glob("scripts/**/README.md"))]
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```sh\n(?P<code>.*?)^```$", re.M | re.S
)
REASONS = {
    "installs the development packages": 1,
    "it would delete objects": 1,
    "it would run this very test": 1,
    "marked.csv is yours": 1,
    "needs a Ray cluster": 3,
    "needs a remote of yours": 1,
    "needs a test set": 1,
    "needs photos of your own": 1,
    "needs the internet": 5,
    "takes minutes": 1,
    "tests of the remotes run it, with a server of their own": 3,
}
"""The only reasons not to run a block, and for how many blocks they hold."""


def _blocks(page: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(page.read_text(encoding="utf-8")))


WITH_BLOCKS = [page for page in PAGES if any(not block["reason"] for block in _blocks(page))]


def _environment(clone: Project) -> dict[str, str]:
    """The environment of a shell in a clone in which `make repro` has set up .venv.

    It would install everything again if .venv's programs did not name the clone.
    """
    venv = clone.folder / ".venv"
    (venv / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", venv)
    (venv / "lib").symlink_to(Path(sys.prefix) / "lib")
    for program in (Path(sys.prefix) / "bin").iterdir():
        (venv / "bin" / program.name).symlink_to(program)
    warm.install(venv / "bin")
    (venv / "ready").touch()
    path = os.pathsep.join([str(venv / "bin"), os.environ["PATH"]])
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ALLROUNDER_")}
    return kept | {"PATH": path}


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment, as make's")
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.name)
def test_the_shell_blocks_run_as_they_stand(page: Path, pulled: Project) -> None:
    """One after the other in a clone whose version is the second one."""
    pulled.git("commit", "-q", "--allow-empty", "-m", "a second version")
    environment = _environment(pulled)
    for block in _blocks(page):
        if not block["reason"]:
            ended = subprocess.run(
                ["bash", "-e", "-c", block["code"]], cwd=pulled.folder, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            assert ended.returncode == 0, f"{block['code']}\n{ended.stdout}"
            assert "setting up" not in ended.stdout
    assert pulled.changes in ("", " M .dvc/config\n")  # versions.md names a remote


def test_blocks_that_are_not_run_have_a_known_reason() -> None:
    counts = dict.fromkeys(REASONS, 0)
    for page in PAGES:
        text, blocks = page.read_text(encoding="utf-8"), _blocks(page)
        assert len(blocks) == text.count("```sh\n"), page
        assert text.count("\n<!-- not run") == sum(bool(block["reason"]) for block in blocks), page
        for block in filter(lambda block: block["reason"], blocks):
            counts[block["reason"]] += 1
    assert counts == REASONS


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if ":" not in link and not (target.exists() and (not anchor or anchor in _anchors(target))):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in readme] == []


def test_the_pages_list_every_status_where_it_belongs() -> None:
    def listed(page: str, heading: str) -> set[str]:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
        cells = re.findall(r"^\| (`.+?) \|", text.partition("\n## ")[0], re.M)
        return set(re.findall(r"`(\w+)`", " ".join(cells)))

    raw, clean = listed("network.md", "Statuses of the download"), listed("cleaning.md", "Statuses")
    assert raw | clean == set(Status)
    sizes = {Status.TOO_SMALL, Status.TOO_MANY_PIXELS}
    assert raw & clean == sizes | {Status.PLACEHOLDER, Status.CHANGED}


def test_params_md_is_what_the_schema_says() -> None:
    assert (ROOT / "docs/params.md").read_text(encoding="utf-8") == markdown()


def test_the_glossary_has_at_most_20_entries_and_the_way_of_a_photo_8_files() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    way = text.partition("## The way of one photo")[2].partition("\n## ")[0]
    assert 1 <= len(re.findall(r"^[0-9]+\. \[", way, re.M)) <= 8
    glossary = text.partition("## Glossary")[2].partition("\n## ")[0]
    assert 1 <= glossary.count("\n| ") - 1 <= 20


def test_the_funnel_of_the_cartoon_sample_is_that_of_the_metrics() -> None:
    metrics = json.loads((ROOT / "data/metrics.json").read_text(encoding="utf-8"))["all"]
    table = (ROOT / "docs/cleaning.md").read_text(encoding="utf-8").partition("## The funnel")[2]
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\| (\d+) \|(.*)\|$", table, re.M)
    assert {step: int(count) for step, count, _ in rows} == {
        step: metrics[step] for step in ("listed", "tried", "taken", "valid", "unique", "kept")
    }
    lost = {
        step: {reason: int(count) for count, reason in re.findall(r"(\d+) `(\w+)`", cell)}
        for step, _, cell in rows
    }
    assert {step: reasons for step, reasons in lost.items() if reasons} == metrics["lost"]


def test_the_example_joins_every_folder_to_voc_and_ilsvrc(pulled: Project) -> None:
    """The join needs no torch: the suite has none."""
    folder_labels = runpy.run_path(str(ROOT / "examples/labels.py"))["folder_labels"]
    dataset = pulled.folder / "data/dataset"
    folders = sorted(path.name for path in (dataset / "train").iterdir())
    with (dataset / "manifest.csv").open(encoding="utf-8", newline="") as file:
        classes = {row["file"].split("/")[1]: row for row in csv.DictReader(file)}
    assert len(folders) == 10
    for folder, one in zip(folders, folder_labels(dataset, folders), strict=True):
        synset, voc = find_synset(classes[folder]["wnid"]), classes[folder]["voc"]
        assert synset
        assert (one.folder, one.voc, one.voc_index) == (folder, voc, VOC_LABELS.index(voc))
        assert one.ilsvrc == (synset.ilsvrc_index,)


def test_the_example_joins_shared_folders_and_classes_without_labels(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(
        "class_index,folder,wnid,voc,ilsvrc_index,voc_index\n"
        "0,dog,n02109961,dog,248,11\n1,other,n00007846+,,,\n2,dog,n02099601,dog,207,11\n",
        encoding="utf-8",
    )
    folder_labels = runpy.run_path(str(ROOT / "examples/labels.py"))["folder_labels"]
    dog, other = folder_labels(tmp_path, ["dog", "other"])
    assert (dog.voc, dog.voc_index, dog.ilsvrc) == ("dog", 11, (248, 207))
    assert (other.voc, other.voc_index, other.ilsvrc) == ("", None, ())
    with pytest.raises(KeyError):
        folder_labels(tmp_path, ["cat"])
