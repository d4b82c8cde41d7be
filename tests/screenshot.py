"""Takes the README's picture of the report, docs/report.png; run it when the page has changed."""

import io
from pathlib import Path

from PIL import Image

from browser import chromium, show

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "report.png"
WIDTH, HEIGHT, SHOWN = 1040, 1240, 820  # pixels of the window; the width that a half is scaled to


def main() -> None:
    """Two halves side by side: the page's top, and its gallery with what was thrown away."""
    halves = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for fragment in ("", "#thrown"):
            show(page, ROOT / "reports", fragment=fragment)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(500)  # for pictures to be decoded: nothing says when
            halves.append(Image.open(io.BytesIO(page.screenshot())))
    size = (SHOWN, HEIGHT * SHOWN // WIDTH)
    whole = Image.new("RGB", (SHOWN * 2 + 12, size[1]), (200, 205, 210))
    for at, half in enumerate(halves):
        whole.paste(
            half.convert("RGB").resize(size, Image.Resampling.LANCZOS), (at * (SHOWN + 12), 0)
        )
    OUT.parent.mkdir(exist_ok=True)
    whole.quantize(200, dither=Image.Dither.NONE).save(OUT, "PNG", optimize=True)


if __name__ == "__main__":
    main()
