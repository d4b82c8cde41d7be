"""Headless Chromium for tests, and a page that fails a test if it sends a request."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS])
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, **options: Any) -> Iterator[Page]:
    """Yield a page; then check that it logged no errors and sent no requests."""
    context = browser.new_context(reduced_motion="reduce", **options)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert said == []
    assert [url[:80] for url in asked if not url.startswith(("file:///", "data:"))] == []


def show(page: Page, folder: Path, name: str = "index.html", fragment: str = "") -> None:
    """Open a report, as from disk."""
    page.goto("about:blank")
    page.goto((folder / name).resolve().as_uri() + fragment)


def count(page: Page, selector: str) -> int:
    """The number that an element shows."""
    return int(page.locator(selector).first.inner_text().replace(",", "").replace("\u2212", ""))


def result(page: Page) -> int:
    """How many photos the gallery says it shows."""
    said = page.locator("#result")
    expect(said).not_to_be_empty()  # a click that leads to another page does not wait for it
    words = said.inner_text().split()
    return int(words[1].replace(",", "")) if words[0] == "Showing" else 0


def cards(page: Page) -> int:
    """Show all photos of the gallery and return their number."""
    while page.locator("#walls .more").count():
        page.locator("#walls .more").first.click()
    return page.locator("#walls .card").count()
