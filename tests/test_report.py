"""The report in a real browser: numbers, filters, keyboard, and no requests to the web."""

import csv
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Locator, Page, expect

from allrounder.core.errors import DataError
from allrounder.core.funnel import Funnel, clean_step, raw_step, stage_of
from allrounder.core.paths import Stages
from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import StoredBytes
from allrounder.params.classes import read_classes
from allrounder.params.loading import load_params
from allrounder.params.schema import Params
from allrounder.report import build as building
from allrounder.report import render, stats
from allrounder.report.build import build, params_digest
from allrounder.report.entries import Entry, words
from allrounder.report.gather import rows_each, sample
from allrounder.report.stats import Bars, Counts, nice_ticks
from browser import CHROMIUM, cards, chromium, count, result, show, watched
from crowd import crowd
from faults import COPIES
from project import Project

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs chromium: apt install chromium")
ROOT = Path(__file__).resolve().parent.parent
STEPS = ("listed", "tried", "taken", "valid", "unique", "kept", "train", "val")

Table = list[dict[str, str]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def built(pulled_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    clone = Project.copied(pulled_once, tmp_path_factory.mktemp("report") / "clone")
    for stage in ("split", "report"):
        clone.stage(stage)
    return clone


@pytest.fixture
def page(browser: Browser, built: Project) -> Iterator[Page]:
    with watched(browser, viewport={"width": 1280, "height": 900}) as opened:
        show(opened, built.folder / "reports")
        yield opened


def table(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def manifest(built: Project) -> Table:
    return table(built.folder / "data/dataset/manifest.csv")


def wnids(built: Project) -> list[str]:
    return [row["wnid"] for row in table(built.folder / "data/dataset/classes.csv")]


def counted(built: Project, wnid: str) -> tuple[dict[str, int], Counter[str]]:
    """A class's funnel and losses, counted from the stages' tables."""
    raw = Counter(row["status"] for row in table(built.folder / f"data/raw/{wnid}.csv"))
    clean = Counter(row["status"] for row in table(built.folder / f"data/clean/{wnid}.csv"))
    by_split = Counter(row["split"] for row in manifest(built) if row["wnid"] == wnid)
    taken, kept = raw["ok"], clean["kept"]
    copies = clean["near_duplicate"] + clean["exact_duplicate"] + clean["cross_class"]
    unique = kept + clean["surplus"]
    listed = sum(raw.values())
    numbers = (listed, listed - raw["unused"], taken, unique + copies, unique, kept)
    lost = {f"download.{status}": n for status, n in raw.items() if status != "ok"}
    lost |= {f"clean.{status}": n for status, n in clean.items() if status != "kept"}
    steps = dict(zip(STEPS, (*numbers, by_split["train"], by_split["val"]), strict=True))
    return steps, Counter(lost)


def shown_count(chip: Locator) -> int:
    number = re.search("\u2212([0-9,]+) ", chip.inner_text())
    assert number
    return int(number[1].replace(",", ""))


def chips(page: Page, within: str) -> dict[str, int]:
    return {
        chip.get_attribute("data-reason") or "": shown_count(chip)
        for chip in page.locator(f"{within} .chip").all()
    }


# Numbers


def test_the_funnel_on_the_page_equals_the_tables(page: Page, built: Project) -> None:
    whole: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for wnid in wnids(built):
        steps, lost = counted(built, wnid)
        row = f'tr[data-class="{wnid}"]'
        assert {s: count(page, f'{row} [data-step="{s}"]') for s in STEPS} == steps
        assert chips(page, row) == lost
        whole.update(steps)
        gone += lost
    assert {s: count(page, f'.steps [data-step="{s}"]') for s in STEPS} == whole
    assert chips(page, ".steps") == gone
    assert whole["listed"] == 260


def test_the_top_equals_the_tables_and_the_metrics(page: Page, built: Project) -> None:
    rows = manifest(built)
    sizes = [(built.folder / "data/dataset" / row["file"]).stat().st_size for row in rows]
    assert count(page, "#fact-photos") == len(rows)
    assert count(page, "#fact-classes") == len(wnids(built))
    assert page.locator("#fact-bytes").get_attribute("title") == f"{sum(sizes):,} bytes"
    for side in ("train", "val"):
        assert count(page, f"#fact-{side}") == sum(row["split"] == side for row in rows)
    metrics = json.loads(built.read("data/metrics.json"))
    for where, part in [(".steps", metrics["all"])] + [
        (f'tr[data-class="{wnid}"]', part) for wnid, part in metrics["classes"].items()
    ]:
        assert {s: count(page, f'{where} [data-step="{s}"]') for s in STEPS} == {
            s: part[s] for s in STEPS
        }
        assert chips(page, where) == {
            f"{stage_of(step)}.{status}": n
            for step, reasons in part["lost"].items()
            for status, n in reasons.items()
        }


def test_every_loss_leads_to_the_photos_it_counts(page: Page) -> None:
    links = [
        (chip.get_attribute("href") or "", shown_count(chip))
        for chip in page.locator(".chip").all()
    ]
    assert len(links) > 30
    for fragment, expected in links:
        page.locator(f'.chip[href="{fragment}"]').click()
        wanted = dict(pair.split("=") for pair in fragment[1:].split("&"))
        expect(page.locator("#class")).to_have_value(wanted.get("class", ""))
        expect(page.locator("#reason")).to_have_value(wanted["reason"])
        assert (result(page), cards(page)) == (expected, expected), fragment
        expect(page.locator("#gallery-title")).to_be_focused()


@pytest.mark.parametrize("status", Status)
def test_every_status_has_one_place_in_the_funnel(status: Status) -> None:
    lost = {raw_step(status), clean_step(status)} - {""}
    assert lost <= set(STEPS)
    assert {raw_step(Status.OK), clean_step(Status.KEPT)} == {""}


def test_the_charts_numbers_equal_the_tables(page: Page, built: Project) -> None:
    rows = manifest(built)
    for name in ("shorter_pixels", "longer_pixels", "width_by_height", "size_kib"):
        cells = page.locator(f"#chart-{name} td").all_text_contents()
        assert sum(map(int, cells)) == len(rows), name
    classes = page.locator("#chart-classes tbody tr").all()
    for wnid, row in zip(wnids(built), classes, strict=True):
        sides = Counter(one["split"] for one in rows if one["wnid"] == wnid)
        assert row.locator("td").all_text_contents() == [str(sides["train"]), str(sides["val"])]
    assert page.locator(".chart svg text", has_text="Eskimo dog").count() == 1
    for name in ("sources", "hosts", "failures"):  # one bar: all are local files
        expect(page.locator(f"#chart-{name}")).to_have_count(0)


# The gallery


def test_the_gallery_is_divided_by_class_and_split(page: Page, built: Project) -> None:
    cards(page)
    parts = Counter((row["wnid"], row["split"]) for row in manifest(built))
    shown = {
        (wnid, side): page.locator(
            f'.class[data-class="{wnid}"] .part[data-part="{side}"] .card'
        ).count()
        for wnid, side in parts
    }
    assert shown == parts
    assert page.locator("#walls .card").count() == len(manifest(built)) == result(page)


def test_filters_and_search_show_just_what_matches(page: Page, built: Project) -> None:
    rows = manifest(built)

    def matching(**cells: str) -> int:
        return sum(all(row[name] == cell for name, cell in cells.items()) for row in rows)

    page.select_option("#class", "n02123394")
    assert result(page) == cards(page) == matching(wnid="n02123394")
    page.select_option("#split", "val")
    assert result(page) == cards(page) == matching(wnid="n02123394", split="val")
    page.reload()  # the filters are in the address
    assert result(page) == matching(wnid="n02123394", split="val")
    page.click("button[type=reset]")
    assert result(page) == len(rows)
    page.select_option("#source", "folder")
    assert result(page) == matching(source="folder") == len(rows)
    page.select_option("#size", "0-199")
    assert result(page) == sum(min(int(r["width"]), int(r["height"])) < 200 for r in rows) > 0
    page.select_option("#size", "800-")
    assert result(page) == 0
    expect(page.locator("#result")).to_contain_text("No photo matches")
    page.click("button[type=reset]")
    one = rows[7]
    for text in (one["sha256"], one["image_id"].upper(), f"{one['wnid']} {one['image_id']}"):
        page.fill("#q", text)
        assert result(page) == cards(page) == 1
    page.fill("#q", "")
    page.select_option("#reason", "clean.corrupt")
    assert result(page) == 2
    page.select_option("#reason", "any")
    assert result(page) == 260
    page.select_option("#reason", "lost")
    assert result(page) == 60


def test_clearing_the_filters_shows_all_at_once(page: Page, built: Project) -> None:
    page.fill("#q", "train")
    page.select_option("#class", "n02123394")
    page.select_option("#reason", "lost")
    output = page.evaluate(
        """() => {
          document.querySelector("button[type=reset]").click();
          return document.getElementById("result").textContent;
        }"""
    )  # at once: the page must not show the old result first
    everything = len(manifest(built))
    assert output == f"Showing {everything} of 260"
    assert result(page) == cards(page) == everything
    assert (page.locator("#q").input_value(), page.locator("#class").input_value()) == ("", "")
    expect(page.locator("#reason")).to_have_value("kept")
    assert page.url.endswith("#gallery")


def test_a_photo_opens_large_with_its_provenance(page: Page, built: Project) -> None:
    row = manifest(built)[3]
    page.fill("#q", row["sha256"])
    page.locator("#walls .card").click()
    facts = page.locator("#large-facts").inner_text()
    for cell in ("image_id", "url", "source", "sha256", "file"):
        assert row[cell] in facts
    clean = {r["sha256"]: r for r in table(built.folder / f"data/clean/{row['wnid']}.csv")}
    assert clean[row["sha256"]]["perceptual_hash"] in facts
    assert f"{row['width']} \u00d7 {row['height']} pixels" in facts
    assert "Licence\nnot stated" in facts
    photo = page.locator("#large-photo img")
    whole = "width => document.querySelector('#large-photo img').naturalWidth === width"
    page.wait_for_function(whole, arg=int(row["width"]))  # a moment before, it is the thumbnail
    assert (photo.get_attribute("src") or "").endswith(row["file"])


def test_without_the_dataset_beside_it_a_photo_opens_as_its_thumbnail(
    browser: Browser, built: Project, tmp_path: Path
) -> None:
    shutil.copytree(built.folder / "reports", tmp_path / "reports")
    context = browser.new_context()
    alone = context.new_page()
    show(alone, tmp_path / "reports")
    alone.locator("#walls .card").first.click()
    image = alone.locator("#large-photo img")
    expect(image).to_have_attribute("src", re.compile("^data:image/webp"))
    assert image.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
    context.close()


def change_cells(path: Path, kind: type[Any], where: str, is_: str, **cells: Any) -> None:
    """Change cells of the rows of a table whose column `where` is `is_`."""
    rows = [
        replace(row, **cells) if getattr(row, where) == is_ else row for row in read_csv(path, kind)
    ]
    write_csv(path, kind, rows)


def test_licences_are_the_manifests_and_refused_ones_have_their_place(
    browser: Browser, built: Project, tmp_path: Path
) -> None:
    """A photo whose licence was refused, and one that may be used by its second URL."""
    shutil.copytree(built.folder / "data", tmp_path / "data")
    wnid, data = "n02109961", tmp_path / "data"
    again = next(r for r in table(data / f"raw/{wnid}.csv") if r["status"] == "duplicate")
    first = again["detail"].split()[-1]
    free = {"license": "CC BY 2.0", "author": "Ann"}
    change_cells(data / f"urls/{wnid}.csv", Candidate, "url", again["url"], **free)
    manifest = data / "dataset/manifest.csv"
    change_cells(manifest, ManifestRow, "image_id", first, url=again["url"], **free)
    refused = {"status": Status.LICENSE, "detail": "mit"}
    change_cells(data / f"clean/{wnid}.csv", CleanRow, "status", "surplus", **refused)
    with watched(browser) as page:
        show(page, make(tmp_path, load_params(built.folder / "params.yaml")))
        step = page.locator(".steps li", has=page.locator("[data-step=unique]"))
        expect(step.locator("[data-reason='clean.license']")).to_have_count(1)
        expect(step.locator(".what")).to_contain_text("licences")
        page.fill("#q", f"{wnid} {again['url']}")
        assert result(page) == 1
        page.locator("#walls .card").click()
        facts = page.locator("#large-facts").inner_text()
        for words in (first, again["url"], "Licence\nCC BY 2.0", "Author\nAnn"):
            assert words in facts


def test_removed_photos_stand_beside_the_photo_they_duplicate(page: Page) -> None:
    pairs = page.locator(".pair").all_inner_texts()
    for copy, first in COPIES.items():
        mine = [pair for pair in pairs if Path(copy).stem in pair]
        assert len(mine) == 1
        assert Path(first).stem in mine[0]
    crossed = page.locator(".kind", has=page.locator("h3", has_text="In two classes"))
    assert crossed.locator(".pair").count() == 2
    assert all(
        "n03376595_010" in p and "n04344873_012" in p
        for p in crossed.locator(".pair").all_inner_texts()
    )
    corrupt = page.locator(".kind", has=page.locator("h3", has_text="Corrupt")).locator("img")
    assert corrupt.count() == 2
    for image in corrupt.all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("one => one.decode().then(() => one.naturalWidth)") > 100
    placeholders = page.locator(".kind", has=page.locator("h3", has_text="Placeholders"))
    assert placeholders.locator("img").count() == 3


def test_it_can_be_used_with_the_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("n02109961 train")
    found = result(page)
    assert 0 < found < 20
    first = page.locator("#walls .card").first
    for _ in range(12):
        page.keyboard.press("Tab")
        if first.evaluate("one => one === document.activeElement"):
            break
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#walls .card").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#large")).to_be_visible()
    before = page.locator("#large-facts").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#large-facts").inner_text() != before
    page.keyboard.press("ArrowLeft")
    assert page.locator("#large-facts").inner_text() == before
    page.keyboard.press("Escape")
    expect(page.locator("#large")).to_be_hidden()
    expect(page.locator("#walls .card").nth(1)).to_be_focused()


def test_the_keys_of_the_large_view_work_at_the_ends_and_after_following_a_duplicate(
    page: Page,
) -> None:
    title, at = page.locator("#large-title"), re.compile(r"Eskimo dog: train, 2 of \d+")
    page.locator("#walls .card").nth(1).focus()
    page.keyboard.press("Enter")
    expect(title).to_have_text(at)
    for key, place in (("ArrowLeft", 1), ("ArrowLeft", 1), ("ArrowRight", 2), ("End", 2)):
        page.keyboard.press(key)
        expect(title).to_have_text(re.compile(f"Eskimo dog: train, {place} of "))
    page.keyboard.press("Escape")
    page.locator(".pair .card").first.click()
    first = title.inner_text()
    page.locator("#large-facts .plain").click()
    expect(page.locator("#close")).to_be_focused()
    expect(title).not_to_have_text(first)
    page.keyboard.press("Enter")
    expect(page.locator("#large")).to_be_hidden()


# For everyone


def test_screen_readers_find_names_and_landmarks(page: Page) -> None:
    page.select_option("#reason", "any")
    page.locator("#walls .card").first.click()
    problems = page.evaluate(
        """() => {
        const all = (css) => [...document.querySelectorAll(css)], bad = [];
        for (const one of all("img")) 
          if (!one.alt && !one.closest("a")?.textContent.trim()) bad.push("img without alt");
        for (const one of all("input, select")) if (!one.labels.length) bad.push(one.id);
        for (const one of all("button, a"))
          if (!(one.textContent.trim() || one.ariaLabel || one.querySelector("img")?.alt))
            bad.push("nameless " + one.outerHTML);
        const ids = all("[id]").map((one) => one.id);
        for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push("twice " + id);
        for (const one of all("[aria-labelledby]"))
          if (!document.getElementById(one.getAttribute("aria-labelledby"))) bad.push("label");
        let level = 0;
        for (const one of all("body > :not(dialog) :is(h1, h2, h3, h4)")) {
          const own = Number(one.tagName[1]);
          if (own > level + 1) bad.push("skips to " + one.textContent);
          level = own;
        }
        return bad;
      }"""
    )
    assert problems == []
    for landmark in ("main", "header", "footer", "nav[aria-label]", "[role=search]"):
        assert page.locator(landmark).count() == 1, landmark
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("#result").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_both_schemes_and_nothing_is_wider_than_a_phone(
    browser: Browser, built: Project, scheme: Any
) -> None:
    size = {"width": 360, "height": 740}
    with watched(browser, viewport=size, color_scheme=scheme, has_touch=True) as phone:
        show(phone, built.folder / "reports")
        phone.select_option("#reason", "any")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360
        rows = phone.locator(".funnel tbody tr")
        assert max(rows.evaluate_all("all => all.map((one) => one.offsetHeight)")) < 120
        phone.locator("#walls .card").first.click()
        assert phone.locator("#large").evaluate("one => one.scrollWidth <= one.clientWidth")
        low = phone.evaluate(CONTRASTS)
        assert low == []
        paper = phone.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(20, 24, 29)") == (scheme == "dark")


CONTRASTS = """() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const paper = (node) => {
    for (; node; node = node.parentElement) {
      const found = rgb(getComputedStyle(node).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
  };
  const low = [];
  for (const node of document.querySelectorAll("body *:not(script):not(style):not(option)")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || node.closest("[aria-disabled=true]") || node.closest(".hidden")) continue;
    const style = getComputedStyle(node);
    const ink = node.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(rgb(ink)), light(paper(node))].sort().reverse();
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${node.tagName} ${node.textContent.slice(0, 30)} ${ratio}`);
  }
  return low.slice(0, 5);
}"""
"""WCAG 2.2, 1.4.3: text has at least this contrast with what is behind it."""


# Charts


@given(low=st.integers(0, 10**7), span=st.integers(1, 10**7), most=st.integers(2, 20))
def test_ticks_are_few_even_and_round(low: int, span: int, most: int) -> None:
    ticks = nice_ticks(low, low + span, most)
    assert ticks[0] <= low < low + span <= ticks[-1]
    assert 1 <= len(ticks) - 1 <= most
    assert ticks[0] % ticks.step == 0
    assert str(ticks.step).rstrip("0") in ("1", "2", "5")


@given(low=st.integers(0, 10**4), span=st.integers(1, 10**4), most=st.integers(2, 20))
def test_no_smaller_round_step_would_do(low: int, span: int, most: int) -> None:
    step = nice_ticks(low, low + span, most).step
    for smaller in (n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if n < step):
        assert -(-(low + span) // smaller) - low // smaller > most


COUNTS = st.lists(st.integers(0, 10**6), min_size=3, max_size=3)


@given(
    label=st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    series=st.lists(COUNTS, min_size=1, max_size=15).filter(lambda all_: any(map(any, all_))),
    horizontal=st.booleans(),
)
def test_a_chart_is_valid_xml_with_bars_as_long_as_their_counts(
    label: str, series: list[list[int]], horizontal: bool
) -> None:
    named = {f"{label}{n}": counts for n, counts in enumerate(series)}
    bars = Bars("x", "X", "", [label, "a", "<b>&"], named, horizontal)
    svg = render.chart(bars, standalone=True)
    assert svg == render.chart(bars, standalone=True)
    assert "var(" not in svg
    root = ElementTree.fromstring(svg)
    texts = [text.text for text in root.findall(".//{*}text")]
    assert "<b>&" in texts
    assert all(len(text or "") <= 28 for text in texts)
    totals = [sum(counts) for counts in zip(*series, strict=True)]
    assert Counter(f"{total:,}" for total in totals) <= Counter(texts)
    groups = [one.findall("{*}rect") for one in root.findall("{*}g")][: len(series)]
    lengths = [float(r.get("width" if horizontal else "height", "")) for g in groups for r in g]
    drawn = [count for counts in series for count in counts if count]
    assert len(lengths) == len(drawn)
    unit = max(lengths) / max(drawn)
    assert all(abs(a - unit * b) < 0.11 for a, b in zip(lengths, drawn, strict=True))  # rounded


def test_a_charts_colours_follow_the_pages_or_are_fixed() -> None:
    bars = Bars("x", "X", "", ["a"], {"train": [3], "val": [1]}, True)
    inline, alone = (render.chart(bars, standalone=alone) for alone in (False, True))
    assert "fill:var(--bar0)" in inline
    assert "fill:#2a7f86" in alone
    assert "#" not in inline


# Nothing from the web is markup


EVIL = (
    "<script>window.pwned=1</script>",
    "javascript:window.pwned=1//",
    "\"'><img src=x onerror=window.pwned=1>",
    "</script><script>window.pwned=1</script>",
    "<!--<script>{{ 7*7 }}{% raw %}${window.pwned=1}",
    "data:text/html,<script>parent.pwned=1</script>",
    'https://h.example/"onmouseover="window.pwned=1"><svg onload=window.pwned=1>',
    'http://"><script>window.pwned=1</script>.example/a.jpg',
    "\u202e\u2028=cmd|' /C calc'!A0 $x^{2}$",
)


def rewrite(path: Path, own: tuple[str, ...], where: dict[str, str]) -> None:
    """Put hostile text into every free cell of a table; URLs stay unique, and the same in both."""
    rows = table(path)
    for number, row in enumerate(rows):
        for at, name in enumerate(own):
            if name == "url":
                row[name] = where.setdefault(
                    row[name], f"{EVIL[len(where) % len(EVIL)]}#{len(where)}"
                )
            elif name != "image_id" or row.get("status") not in ("ok", None):
                row[name] = EVIL[(number + at) % len(EVIL)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def hostile(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the sample in which every cell that the web could fill is an attack."""
    root = tmp_path_factory.mktemp("hostile")
    shutil.copytree(built.folder / "data", root / "data")
    shutil.copy(built.folder / "params.yaml", root)
    where: dict[str, str] = {}
    listed = ("url", "license", "author", "landing_url", "source", "synset", "image_id")
    for wnid in wnids(built):
        rewrite(root / f"data/urls/{wnid}.csv", listed, where)
        raw = ("url", "detail", "final_url", "image_id", "rescued_from")
        rewrite(root / f"data/raw/{wnid}.csv", raw, where)
        rewrite(root / f"data/clean/{wnid}.csv", ("detail", "perceptual_hash", "group"), where)
    own = ("url", "license", "author", "landing_url", "source", "synset")
    rewrite(root / "data/dataset/manifest.csv", own, where)
    return make(root, load_params(root / "params.yaml"))


def make(root: Path, params: Params) -> Path:
    """Build a report of a project's data, in this process."""
    data, out = root / "data", root / "reports"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    stages = Stages(data / "urls", data / "raw", data / "clean")
    build(params, stages, data / "dataset", out, root / "thumbnails", root / "work")
    return out


def test_nothing_from_the_web_runs_or_becomes_markup(browser: Browser, hostile: Path) -> None:
    with watched(browser) as page:
        show(page, hostile)
        scripts = page.locator("script").count()
        page.select_option("#reason", "any")
        assert cards(page) == result(page) == 260
        shown: set[str] = set()
        for number in range(0, 260, 7):
            page.locator("#walls .card").nth(number).click()
            shown.add(page.locator("#large-facts").inner_text())
            page.keyboard.press("Escape")
        assert all(any(text in facts for facts in shown) for text in EVIL)  # as text, whole
        assert page.evaluate("window.pwned") is None
        assert page.locator("script").count() == scripts == 2
        assert (
            page.locator("[onerror], [onload], [onmouseover], iframe, object, svg[onload]").count()
            == 0
        )
        for href in page.locator("a").evaluate_all("all => all.map((one) => one.protocol)"):
            assert href in ("file:", "http:", "https:")


def test_links_send_no_referrer(browser: Browser, hostile: Path) -> None:
    with watched(browser) as page:
        show(page, hostile)
        rels: list[str] = []
        for number in range(24):
            page.locator("#walls .card").nth(number).click()
            links = page.locator("#large-facts a[href^=http]")
            rels += links.evaluate_all("all => all.map((one) => one.rel)")
            page.keyboard.press("Escape")
        assert len(rels) > 5
        assert {*rels} == {"noopener noreferrer nofollow"}


def test_the_page_cannot_send_requests(browser: Browser, built: Project) -> None:
    context = browser.new_context()
    page = context.new_page()
    show(page, built.folder / "reports")
    blocked = page.evaluate(
        """async () => {
          const seen = [];
          const note = (one) => seen.push(one.effectiveDirective);
          document.addEventListener("securitypolicyviolation", note);
          const add = (tag, what) =>
            document.body.append(Object.assign(document.createElement(tag), what));
          await fetch("https://h.example/").catch(() => {});
          add("img", { src: "https://h.example/a.png" });
          add("script", { src: "https://h.example/a.js" });
          add("script", { textContent: "window.pwned = 1" });
          while (seen.length < 4) await new Promise(requestAnimationFrame);
          return [...seen, window.pwned];
        }"""
    )
    assert blocked.pop() is None
    assert sorted(blocked) == ["connect-src", "img-src", "script-src-elem", "script-src-elem"]
    context.close()


# The same dataset, the same report


def test_the_report_is_reproducible_in_another_environment(
    built: Project, cloned_once: Path, tmp_path: Path
) -> None:
    other = Project.copied(cloned_once, tmp_path / "elsewhere")
    shutil.copytree(built.folder / "data", other.folder / "data", dirs_exist_ok=True)
    other.run(
        sys.executable, "scripts/report.py",
        TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7", SOURCE_DATE_EPOCH="9",
    )  # fmt: skip
    assert other.files("reports") == built.files("reports")
    assert len(other.files("reports")) > 20


def test_the_version_is_what_dvc_lock_pins_and_what_the_params_mean(
    page: Page, built: Project
) -> None:
    pinned = {
        out["path"]: out["md5"]
        for stage in ("fetch_urls", "download", "clean", "split")
        for out in built.locked(stage)["outs"]
    }
    output = page.locator(".about pre").first.text_content() or ""
    shown = dict(line.split()[::-1] for line in output.strip().splitlines())
    assert shown == {path: md5 for path, md5 in pinned.items() if not path.endswith(".json")}
    params = load_params(built.folder / "params.yaml")
    digest = page.locator("#params-digest").get_attribute("title")
    assert digest == params_digest(params)
    faster = params.model_copy(update={"network": params.network.model_copy(update={"tries": 9})})
    assert params_digest(faster) == digest
    turned = params.model_copy(update={"classes": dict(reversed(params.classes.items()))})
    assert params_digest(turned) != digest


def test_the_stage_watches_all_params_that_are_in_the_version(built: Project) -> None:
    pipeline = yaml.safe_load(built.read("dvc.yaml"))
    in_command = {*pipeline["vars"][0]}  # tests/test_params.py
    watched = {*pipeline["stages"]["report"]["params"]} | in_command
    assert watched == {*Params.model_fields} - {"network"}


# Size and pages


def test_a_larger_dataset_has_several_pages(
    browser: Browser, built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(built.folder / "data", tmp_path / "data")
    monkeypatch.setattr(building, "MAX_PAGE", 240_000)
    monkeypatch.setattr(building, "_SHELL", 60_000)
    reports = make(tmp_path, load_params(built.folder / "params.yaml"))
    names = sorted(path.name for path in reports.glob("*.html"))
    assert len(names) > 2
    assert all((reports / name).stat().st_size < 240_000 for name in names)
    with watched(browser) as page:
        everything, seen = 0, 0
        for name in names[1:]:
            show(page, reports, name, "#reason=any")
            everything += result(page)
            expect(page.locator("#result")).to_contain_text("on this page")
            page.select_option("#reason", "kept")
            seen += cards(page)
        assert (everything, seen) == (260, 200)
        show(page, reports)
        assert page.locator("#pages li").count() == len(names) - 1
        for chip in ("in two classes", "near-duplicate", "corrupt"):
            show(page, reports)
            page.locator(".steps .chip", has_text=chip).click()
            assert 1 <= result(page) <= 2
            page.locator("#walls .card").first.click()
            assert chip in page.locator("#large-facts").inner_text()
        show(page, reports)
        page.locator(".steps .chip", has_text="in two classes").click()
        pair = page.locator(".pair", has_text="n03376595_010").first
        assert "n04344873_012" in pair.inner_text()  # a guest from another page


def test_ten_classes_of_300_fit_one_page(browser: Browser, built: Project, tmp_path: Path) -> None:
    params = load_params(built.folder / "params.yaml")
    crowd(ROOT / "data" / "sample", tmp_path / "data", [*params.classes], 300, 60, 1600)
    reports = make(tmp_path, params)
    assert [path.name for path in reports.glob("*.html")] == ["index.html"]
    assert 3_000_000 < (reports / "index.html").stat().st_size < 5_000_000
    with watched(browser) as page:
        show(page, reports)
        assert count(page, "#fact-photos") == result(page) == 3000
        assert page.locator("#walls .card").count() < 1500  # the others on request
        for name, photos in (("hosts", 3000), ("failures", 16000)):
            cells = page.locator(f"#chart-{name} td").all_text_contents()
            assert sum(int(cell.replace(",", "")) for cell in cells) == photos, name
        assert page.locator("#walls img").evaluate_all(
            "all => all.filter((one) => one.naturalWidth).length < all.length / 2"
        )  # and pictures only when they come near
        page.locator(".steps .chip", has_text="HTTP error").click()
        expect(page.locator("#reason")).to_have_value("download.http_error")
        assert result(page) == 750
        expect(page.locator("#walls .none").first).to_have_text(
            "325 more are in data/raw/n02109961.csv."
        )


@pytest.mark.parametrize(("classes", "reasons", "each"), [(1, 1, 300), (10, 5, 60), (1000, 5, 30)])
def test_dead_urls_leave_room_for_photos(classes: int, reasons: int, each: int) -> None:
    dead = [*Status][3 : 3 + reasons]
    one = Funnel(Counter(dict.fromkeys(dead, 9000)), Counter({Status.SURPLUS: 9}))
    assert rows_each([one] * classes) == each


REASONS = ("kept", "clean.corrupt", "clean.surplus", "download.timeout")


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(1, 12))
def test_a_sample_has_losses_and_flagged_photos_first(
    drawn: list[tuple[int, bool]], most: int
) -> None:
    found = []
    for number, (kind, flagged) in enumerate(drawn):
        image_id, url = f"{number}", f"http://h/{number}"
        row = CleanRow(image_id, Status.KEPT, sha256=f"{number * 7919:x}", blurred=int(flagged))
        raw, listed = RawRow(image_id, url, Status.OK), Candidate(image_id, url)
        stored = StoredBytes(Path("x"), 0, 1) if kind < 3 else None
        found.append(Entry("n1", REASONS[kind], raw, row, listed, stored))
    shown = sample(found, most)
    assert sorted(shown, key=found.index) == shown  # in their order
    photos = [one for one in shown if one.stored]
    every = [one for one in found if one.stored]
    assert len(photos) == min(most, len(every))
    assert [one for one in shown if not one.stored] == [one for one in found if not one.stored]
    kept = [one for one in photos if one.reason == "kept"]
    all_kept = [one for one in every if one.reason == "kept"]
    assert len(photos) - len(kept) >= min(most // 2, len(every) - len(all_kept))
    if left := [one for one in all_kept if one not in kept]:
        assert not any(one.noted for one in left) or all(one.noted for one in kept)
    again = {one.raw.image_id for one in sample(found[::-1], most)}
    assert again == {one.raw.image_id for one in shown}


def test_a_sampled_gallery_counts_what_it_leaves_out(built: Project, tmp_path: Path) -> None:
    shutil.copytree(built.folder / "data", tmp_path / "data")
    params = load_params(built.folder / "params.yaml")
    few = params.model_copy(
        update={"report": params.report.model_copy(update={"photos_per_class": 6})}
    )
    texts = [
        (make(tmp_path, one) / "index.html").read_text(encoding="utf-8") for one in (params, few)
    ]
    whole, part = (
        json.loads(
            text.partition('type="application/json" id="data">')[2].partition("</script>")[0]
        )
        for text in texts
    )
    own = [row for row in part["rows"] if len(row) < 26 or not row[25]]
    assert len(part["rows"]) < len(whole["rows"])
    assert whole["left_out"] == {}
    assert len(own) + sum(part["left_out"].values()) == 260
    assert len(texts[1]) < len(texts[0])
    tables = [re.findall(r"<t[dh].*?</t[dh]>", text) for text in texts]
    links = re.compile(' href="[^"]*"')
    assert [links.sub("", one) for one in tables[0]] == [links.sub("", one) for one in tables[1]]


def test_a_chart_of_many_classes_shows_the_smallest() -> None:
    names = {f"n{number}": f"class {number}" for number in range(1000)}
    raw, none = RawRow("1", "http://h/1", Status.OK), Candidate("1", "http://h/1")
    entries = [
        Entry(wnid, "kept", raw, None, none, split="val", file="1.jpg") for wnid in [*names][:970]
    ]
    counts = Counts()
    counts.add_photos(entries)
    bars = stats.distributions(counts, names, ["train", "val"])[0]
    assert bars.labels == [f"class {number}" for number in [*range(970, 1000), *range(10)]]
    assert bars.series["val"] == [0] * 30 + [1] * 10
    assert "1,000" in bars.note


def test_a_subtree_is_found_by_its_class_key(
    browser: Browser, built: Project, tmp_path: Path
) -> None:
    crowd(ROOT / "data" / "sample", tmp_path / "data", ["n02084071+"], 12, 3, 2)
    params = load_params(built.folder / "params.yaml")
    with watched(browser) as page:
        classes = read_classes({"n02084071+": "dog"})
        show(page, make(tmp_path, params.model_copy(update={"classes": classes})))
        page.locator("tbody .chip", has_text="surplus").click()
        expect(page.locator("#class")).to_have_value("n02084071+")
        assert result(page) == cards(page) == 3
        page.select_option("#split", "val")
        page.select_option("#reason", "kept")
        page.reload()
        assert (page.locator("#class").input_value(), result(page)) == ("n02084071+", 3)


def test_tables_of_different_builds_give_a_clear_error(built: Project, tmp_path: Path) -> None:
    shutil.copytree(built.folder / "data", tmp_path / "data")
    path = tmp_path / "data/clean/n02109961.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-3]) + "\n")
    with pytest.raises(DataError, match="tables of every stage; run dvc repro"):
        make(tmp_path, load_params(built.folder / "params.yaml"))


# Review


def lines(page: Page) -> list[list[str]]:
    return list(csv.reader(page.locator("#lines").input_value().splitlines()))


def test_marks_become_lines_for_corrections_and_survive_a_reload(
    page: Page, built: Project
) -> None:
    """By mouse and by keyboard; also where the photo lies open."""
    rows, cards_ = manifest(built), page.locator("#walls .card")
    page.keyboard.press("r")
    page.fill("#by", "Ann")
    page.fill("#why", 'a "toy", not a dog')
    page.check("input[value=exclude]")
    cards_.nth(0).click()
    expect(page.locator("#large")).to_be_hidden()
    expect(cards_.nth(0).locator(".verdict")).to_contain_text("exclude: a")
    page.select_option("#target", "n02123394")
    cards_.nth(1).focus()
    page.keyboard.press("m")
    cards_.nth(2).focus()
    page.keyboard.press("x")
    page.keyboard.press("u")  # no mark any more
    page.check("input[value=open]")
    cards_.nth(3).click()
    page.fill("#large-why", "blurred")
    page.click("#exclude")
    page.keyboard.press("Escape")
    reason = 'a "toy", not a dog'
    expected = [
        ["match", "action", "class", "reason", "by"],
        [rows[0]["sha256"], "exclude", "", reason, "Ann"],
        [rows[1]["sha256"], "move", "n02123394", reason, "Ann"],
        [rows[3]["sha256"], "exclude", "", "blurred", "Ann"],
    ]
    assert lines(page) == expected
    page.reload()
    assert lines(page) == expected
    expect(page.locator("#marked")).to_have_text("2 to exclude, 1 to move")
    page.select_option("#flag", "marked")
    assert result(page) == cards(page) == page.locator("#walls .verdict").count() == 3
    page.locator("#review summary").click()
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "marked.csv"
    assert Path(download.value.path()).read_text() == page.locator("#lines").input_value()
    page.evaluate("document.execCommand = () => document.activeElement.id === 'lines'")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.click("#copy")
    expect(page.locator("#copied")).to_have_text("Copied.")
    page.click("#forget")
    assert lines(page) == expected[:1]


def test_a_move_needs_another_class_and_an_exclusion_a_reason(page: Page) -> None:
    page.locator("#walls .card").first.click()
    said = page.locator("#large-marked")
    page.click("#move")
    expect(said).to_have_text("it is in this class already")
    page.fill("#large-why", " ")
    page.click("#exclude")
    expect(said).to_have_text("a reason is needed")
    assert len(lines(page)) == 1


def test_marks_work_where_the_browser_stores_nothing(browser: Browser, built: Project) -> None:
    with watched(browser) as page:
        page.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } })"
        )
        show(page, built.folder / "reports")
        page.locator("#walls .card").first.click()
        page.keyboard.press("x")
        assert len(lines(page)) == 2
        expect(page.locator("#kept-where")).to_contain_text("does not store")


# What the page shows first, and on paper


@pytest.fixture(scope="module")
def short(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the sample with short classes, flags, a suspect and photos excluded by hand."""
    root = tmp_path_factory.mktemp("short")
    shutil.copytree(built.folder / "data", root / "data")
    one, two, *_ = [row["sha256"] for row in manifest(built)][4:]
    path = root / "data/clean/n02109961.csv"
    change_cells(path, CleanRow, "sha256", one, blurred=1, tiny_for_class=1)
    change_cells(path, CleanRow, "sha256", two, suspect=90, suspected_class="n02123394")
    change_cells(path, CleanRow, "status", "surplus", status=Status.EXCLUDED, detail="a toy")
    params = load_params(built.folder / "params.yaml")
    return make(root, params.model_copy(update={"per_class": 300}))


def test_the_first_screen_has_photos_of_each_class_and_says_what_is_short(
    browser: Browser, short: Path
) -> None:
    with watched(browser, viewport={"width": 1280, "height": 900}) as page:
        show(page, short)
        said = "200 of 3,000 photos asked for; all 10 classes are short"
        expect(page.locator("#short")).to_have_text(said)
        bottoms = page.locator(".strip").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect().bottom)"
        )
        assert len(bottoms) == 10
        assert max(bottoms) < 900
        assert "folder data/sample" in page.locator(".version").inner_text()
        page.locator(".strips a").nth(1).click()
        expect(page.locator("#class")).to_have_value("n02123394")


def test_nothing_is_short_in_a_full_dataset(page: Page) -> None:
    assert page.locator("#short").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_chips_are_one_line_and_the_counts_need_no_scrolling(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    broken = page.locator(".chip").evaluate_all(
        """all => all.filter((one) => one.offsetHeight > 30 || one.scrollWidth > one.clientWidth)
        .map((one) => one.textContent)"""
    )
    assert broken == []
    for step in ("kept", "train", "val"):
        box = page.locator(f"td[data-step={step}]").first.bounding_box()
        assert box
        assert box["x"] + box["width"] <= width


def test_paper_has_all_columns(page: Page) -> None:
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 within its margins
    page.emulate_media(media="print")
    table_ = page.locator("table.funnel")
    assert table_.evaluate("one => one.getBoundingClientRect().right") <= 703
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    assert table_.locator("thead th").count() == 10


@pytest.mark.parametrize("status", Status)
def test_a_status_has_words_of_its_own(status: Status) -> None:
    assert "_" not in words(status)
    assert len(words(status)) <= 16
    assert [*map(words, Status)].count(words(status)) == 1


def test_flags_and_corrections_are_shown(browser: Browser, short: Path) -> None:
    with watched(browser) as page:
        show(page, short)
        first = page.locator("#walls .card").first
        expect(first.locator(".notes")).to_have_text("like Persian cat")  # suspects stand first
        for flag, text in (("suspect", "like Persian cat"), ("blurred", "blurredtiny for class")):
            page.select_option("#flag", flag)
            assert result(page) == cards(page) == 1
            expect(first.locator(".notes")).to_have_text(text)
        kind = page.locator(".kind", has=page.locator("h3", has_text="Excluded by hand"))
        assert kind.locator(".caption").all_inner_texts() == ["a toy"] * 4
