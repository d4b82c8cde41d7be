"""Take the README's picture of the report, docs/report.png. Run it when the page has changed."""

import io
from pathlib import Path
from typing import Any, cast

from PIL import Image

from browser import chromium, show

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "report.png"
WIDTH, HEIGHT = 1000, 1200  # pixels of the window
SHOWN, GAP = 580, 8  # pixels that a window's width is scaled to, and between two of them
PARTS = (("", "light"), ("#removed", "light"), ("#gallery", "dark"))


def main() -> None:
    """Picture the top of the page, the dropped photos and the gallery in dark mode."""
    height = HEIGHT * SHOWN // WIDTH
    whole = Image.new("RGB", ((SHOWN + GAP) * len(PARTS) - GAP, height), (200, 205, 210))
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for at, (fragment, scheme) in enumerate(PARTS):
            page.emulate_media(color_scheme=cast(Any, scheme), reduced_motion="reduce")
            show(page, ROOT / "reports", fragment=fragment)
            page.wait_for_timeout(800)  # for pictures to be decoded, which no event reports
            with Image.open(io.BytesIO(page.screenshot())) as shot:
                small = shot.convert("RGB").resize((SHOWN, height), Image.Resampling.LANCZOS)
            whole.paste(small, (at * (SHOWN + GAP), 0))
    OUT.parent.mkdir(exist_ok=True)
    whole.quantize(256, dither=Image.Dither.NONE).save(OUT, "PNG", optimize=True)


if __name__ == "__main__":
    main()
