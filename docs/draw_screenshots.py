"""Draw pictures of the demo's report, as Debian's chromium shows it, into ``docs/pictures``.

Run ``make demo`` first, then ``python docs/draw_screenshots.py [RUN]``.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
SECTIONS = ("volumes", "sides", "visits", "outliers")

LOAD_PICTURES = """() => Promise.all([...document.images].map((one) => {
  one.loading = "eager";
  return one.decode();
}))"""


def main() -> None:
    """Draw each section of the start page, and the first rows of scans."""
    run = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo" / "run"
    report = (run / "results" / "report").resolve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto((report / "index.html").as_uri())
        page.wait_for_selector("html[data-ready]")
        page.evaluate(LOAD_PICTURES)
        for section in SECTIONS:
            place = page.locator(f"#{section}")
            place.scroll_into_view_if_needed()
            if place.locator(".plot").count():  # drawn when it comes into view
                place.locator(".plot").scroll_into_view_if_needed()
                page.wait_for_selector(f"#{section} .scatterlayer .point")
            _save(place.screenshot(), section)
        page.goto((report / "scans-1.html").as_uri())
        page.evaluate(LOAD_PICTURES)
        _save(page.screenshot(), "scans")
        browser.close()


def _save(png: bytes, name: str) -> None:
    with Image.open(io.BytesIO(png)) as picture:
        picture.save(ROOT / "docs" / "pictures" / f"report_{name}.webp", quality=80)


if __name__ == "__main__":
    main()
