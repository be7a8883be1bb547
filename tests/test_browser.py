"""The pages in a real Chromium, opened from disk with the network off: what people get to see.

Skipped where no Chromium is installed, except in CI. ``tests/pages.py`` checks the rest.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe

from fer_core import report
from tests import pages, tables

try:
    from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
except ImportError:
    if os.environ.get("CI"):
        raise
    pytest.skip("playwright is not installed", allow_module_level=True)

pytestmark = pytest.mark.browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update"
).split()


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    on_path = (shutil.which(program) for program in PROGRAMS)
    return next((path for path in (*on_path, *APPLICATIONS) if path and Path(path).exists()), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a Chromium: sh tools/browser.sh")
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        # Without a profile of its own folder, playwright makes a fresh one and removes it.
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


def barriers(page: Page, only: str | None = None) -> list[tuple[str, list[Any]]]:
    """Return the rules of axe that a page breaks, and where; what is closed is opened before."""
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    # Otherwise axe also describes all that is right, which takes twice as long as the rules.
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only:
        options["runOnly"] = [only]
    found = Axe().run(page, options=options).response["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]][:3]) for rule in found]


class Site:
    """A lecture and an index on disk, and the tables they were made from."""

    def __init__(self, folder: Path) -> None:
        full = tables.material(41, 1500, people=20, title="Photosynthesis")
        self.seconds = full.seconds
        self.lecture = folder / "lecture.html"
        self.lecture.write_text(
            report.lecture_page(
                full,
                course_name="biology-101",
                video_href="lecture.mp4",
                index_href="index.html",
            ),
            encoding="utf-8",
        )
        endless = dict.fromkeys(
            "title source_name consent jurisdiction layout model error_message".split(), "x" * 300
        )
        changed = full.recording | endless | {"status": "partial", "error_hint": "x " * 150}
        self.endless = folder / "endless.html"
        self.endless.write_text(
            report.lecture_page(replace(full, recording=changed), course_name="y" * 300),
            encoding="utf-8",
        )
        rows = tables.recordings(30)
        rows.loc[:2, ["title", "course", "error_message"]] = "z" * 300
        self.index = folder / "index.html"
        self.index.write_text(
            report.index_page(
                rows,
                last_night=list(rows["recording_id"][:5]),
                night_at="2026-11-04T02:40:00+00:00",
            ),
            encoding="utf-8",
        )

    def path(self, name: str) -> Path:
        return {"lecture": self.lecture, "index": self.index, "endless": self.endless}[name]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("pages with spaces & ünï"))


class Visit:
    """One open page, and everything it asked for or complained about."""

    def __init__(self, context: BrowserContext, path: Path) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Any]:
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_page(name: str, **options: Any) -> Visit:
        given = {"viewport": {"width": 1000, "height": 800}} | options
        contexts.append(browser.new_context(offline=True, **given))
        visits.append(Visit(contexts[-1], site.path(name)))
        return visits[-1]

    yield open_page
    for seen in visits:
        assert seen.complaints == []
        assert [url for url in seen.requests if not url.startswith("file:")] == []
        assert len(seen.requests) == 1, seen.requests
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["lecture", "index"])
def test_a_page_opens_from_disk_without_a_request_or_a_complaint(
    visit: Any, name: str, scheme: str
) -> None:
    page = visit(name, color_scheme=scheme).page

    assert page.locator("h1").is_visible()
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]
    inks = page.eval_on_selector_all(
        ".chart .line", "lines => lines.map(line => getComputedStyle(line).stroke)"
    )
    assert inks
    assert "none" not in inks


def test_the_policy_keeps_foreign_code_and_styles_out(browser: Browser, site: Site) -> None:
    html = site.lecture.read_text("utf-8")
    bad = "<script>document.title='owned'</script><img src=https://example.org/x.png alt=x>"
    path = site.lecture.with_name("tampered.html")
    path.write_text(html.replace("<main", f"{bad}<main", 1), encoding="utf-8")
    context = browser.new_context(offline=True)

    seen = Visit(context, path)

    assert "Photosynthesis" in seen.page.title()
    assert len([text for text in seen.complaints if "Content Security Policy" in text]) == 2
    context.close()


def test_the_cursor_reads_out_a_second_by_keyboard(visit: Any, site: Site) -> None:
    page = visit("lecture").page
    data = json.loads(pages.text_of(pages.by_id(pages.parse(page.content()), "readout")))
    slider = page.locator("#curve-at")

    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")

    second = 30 * data["step"]
    assert slider.input_value() == str(second)
    text = page.locator("#curve-at ~ .read").inner_text()
    assert text.startswith(f"{second // 60:02}:{second % 60:02} ")
    assert f"People {site.seconds['faces'][second]}, 10-second means: Engagement index" in text
    assert text.split(" ", 1)[1] in (slider.get_attribute("aria-valuetext") or "")
    link = page.locator("#curve-at ~ .read a").get_attribute("href")
    assert link == f"lecture.mp4#t={second}"
    cursor = page.locator("#curve .cursor").first
    assert cursor.get_attribute("visibility") == "visible"
    at = float((cursor.get_attribute("x1") or "")[:-1])
    assert at == pytest.approx(100 * (second + 0.5) / 1500)


def test_the_cursor_follows_the_pointer(visit: Any) -> None:
    page = visit("lecture").page
    chart = page.locator("#groups")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)

    assert re.match(r"12:[23]\d .*smiling \d+", page.locator("#groups-at ~ .read").inner_text())


def test_the_table_twin_opens_by_keyboard(visit: Any) -> None:
    page = visit("lecture").page
    table = page.locator("figure:has(#curve) table")
    assert not table.is_visible()

    page.locator("figure:has(#curve) summary").focus()
    page.keyboard.press("Enter")

    assert table.is_visible()
    assert table.locator("tbody tr").count() == 150


@pytest.mark.parametrize("name", ["lecture", "index"])
def test_axe_finds_no_barrier(visit: Any, name: str) -> None:
    assert barriers(visit(name).page) == []


@pytest.mark.parametrize("name", ["lecture", "index"])
def test_contrasts_suffice_in_the_dark_too(visit: Any, name: str) -> None:
    """Of axe's rules the only one that depends on colours."""
    assert barriers(visit(name, color_scheme="dark").page, only="color-contrast") == []


@pytest.mark.parametrize("figure", ["curve", "people", "moment-1"])
def test_a_table_is_downloaded_without_any_network(visit: Any, figure: str) -> None:
    page = visit("lecture").page
    page.locator(f"figure:has(#{figure}) summary").click()

    with page.expect_download() as waiting:
        page.locator(f"figure:has(#{figure}) a[download]").click()

    file = waiting.value
    assert file.suggested_filename == f"{tables.recording_id(41)}-{figure}.csv"
    saved = pd.read_csv(file.path())
    assert saved.columns[0] == "second"
    assert len(saved) == page.locator(f"figure:has(#{figure}) tbody tr").count()


@pytest.mark.parametrize("name", ["lecture", "index"])
def test_everything_that_can_be_used_can_be_reached_and_seen_by_keyboard(
    visit: Any, name: str
) -> None:
    page = visit(name).page
    wanted = page.evaluate(
        "[...document.querySelectorAll('a[href], summary, input, [tabindex=\"0\"]')]"
        ".filter(e => e.checkVisibility()).length"
    )

    reached: list[str] = []
    for _ in range(wanted):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(() => { const e = document.activeElement, b = e.getBoundingClientRect();"
                "const style = getComputedStyle(e);"
                "return [e.tagName, [...document.querySelectorAll('*')].indexOf(e), "
                "style.outlineStyle !== 'none' && b.width > 0].join(); })()"
            )
        )

    assert len(set(reached)) == wanted
    assert all(entry.endswith("true") for entry in reached), reached
    assert reached[0].startswith("A,")


@pytest.mark.parametrize("name", ["lecture", "index", "endless"])
def test_a_narrow_page_needs_no_sideways_scrolling(visit: Any, name: str) -> None:
    page = visit(name).page
    width = "document.documentElement.scrollWidth"

    for opened in ("false", "true"):
        page.evaluate(f"document.querySelectorAll('details').forEach(d => {{ d.open = {opened} }})")
        for wide in (320, 360, 700, 840, 1000):
            page.set_viewport_size({"width": wide, "height": 700})
            assert page.evaluate(width) <= wide


def test_without_javascript_everything_is_readable(visit: Any) -> None:
    page = visit("lecture", java_script_enabled=False).page

    assert not page.locator("#curve-at").is_visible()
    for section in ("minute", "trust", "timeline", "expressions", "method"):
        assert page.locator(f"#{section}").is_visible()
    assert page.locator("#curve").is_visible()
    page.locator("figure:has(#curve) summary").click()
    assert page.locator("figure:has(#curve) table").is_visible()


@pytest.mark.parametrize("name", ["lecture", "endless"])
def test_a_lecture_prints_on_at_most_four_sheets(visit: Any, name: str) -> None:
    page = visit(name, color_scheme="dark").page

    sheets = page.pdf(prefer_css_page_size=True, print_background=True)

    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", sheets)) <= 4
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#curve-at").is_visible()
    assert page.locator("#curve").is_visible()


def test_nothing_moves_for_those_who_asked_for_it(visit: Any) -> None:
    still = visit("lecture", reduced_motion="reduce").page
    assert still.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


_COLLIDING = """() => {
  const met = [], box = (e) => e.getBoundingClientRect();
  for (const chart of document.querySelectorAll("svg.chart")) {
    const texts = [...chart.querySelectorAll("text")].filter((t) => box(t).width > 0);
    texts.forEach((one, k) => texts.slice(k + 1).forEach((other) => {
      const a = box(one), b = box(other);
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > -2 && high > 4) met.push([chart.id, one.textContent, other.textContent]);
    }));
    for (const text of chart.querySelectorAll(".inlane"))
      if (box(text).width && box(text).right > box(text.parentElement.querySelector("rect")).right)
        met.push([chart.id, "cut", text.textContent]);
  }
  return met;
}"""


@pytest.mark.parametrize(
    ("width", "media"), [(960, "screen"), (360, "screen"), (320, "screen"), (688, "print")]
)
def test_no_text_in_a_chart_meets_another_or_is_cut(
    visit: Any, width: int, media: Literal["screen", "print"]
) -> None:
    page = visit("lecture", viewport={"width": width, "height": 900}).page
    page.emulate_media(media=media)
    if media == "screen":
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

    assert page.evaluate(_COLLIDING) == []
