"""Takes the pictures in ``docs/pictures``: the real report of the bundled class, in Chromium."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fer_core import config, nights, pipeline  # noqa: E402
from fer_core.store import Store  # noqa: E402
from tests.sites import class_picture, encoded, serving  # noqa: E402
from tests.test_browser import FLAGS, find_chromium  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
A4_PX = (688, 1024)  # at 96 dots an inch, less the margins


def draw(out: Path) -> Path:
    """Run the whole job on the bundled class and return its page."""
    settings = config.load(None, {"out": str(out)}).settings
    with Store(out).writing():
        night = nights.work_through(
            [ROOT / "examples"],
            settings,
            lambda source: pipeline.process_recording(source, settings),
        )
    (outcome,) = night.outcomes
    if outcome.page is None or outcome.status != "done":
        raise SystemExit(outcome.message or "No page was drawn.")
    return outcome.page


def take(
    browser: Browser, page: Path, name: str, *, media: str = "screen", **context: object
) -> None:
    """Save what a window of the given size shows first."""
    opened = browser.new_context(offline=True, **context)  # pyright: ignore[reportArgumentType]
    tab = opened.new_page()
    tab.emulate_media(media=media)  # pyright: ignore[reportArgumentType]
    tab.goto(page.as_uri())
    tab.screenshot(path=FOLDER / f"{name}.png")
    opened.close()


def take_web(browser: Browser, folder: Path) -> None:
    """Save what the web interface makes of a picture of the class."""
    picture = folder / "class.jpg"
    picture.write_bytes(encoded(class_picture(), ".jpg"))
    with serving(folder, "--jurisdiction", "IN") as site:
        tab = browser.new_page(viewport={"width": 960, "height": 1000})
        tab.goto(site.address)
        tab.set_input_files("#image", picture)
        tab.get_by_role("button", name="Read the picture").click()
        tab.wait_for_selector("#seen")
        tab.screenshot(path=FOLDER / "web.png")


def main() -> None:
    """Draw the page and take every picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = draw(Path(folder))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        wide, phone = {"width": 960, "height": 1900}, {"width": 360, "height": 1400}
        sheet = {"width": A4_PX[0], "height": A4_PX[1]}
        take(browser, page, "light", viewport=wide, color_scheme="light")
        take(browser, page, "dark", viewport=wide, color_scheme="dark")
        take(browser, page, "phone", viewport=phone, color_scheme="light")
        take(browser, page, "print", media="print", viewport=sheet)
        take_web(browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
