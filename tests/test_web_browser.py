"""The web interface in a real Chromium: what people see, by mouse, by keyboard and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Browser, Page  # noqa: E402

from tests import lectures  # noqa: E402
from tests.sites import Site, class_clip, class_picture, encoded, serving  # noqa: E402
from tests.test_browser import barriers, browser  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]
PAGES = ("/", "/library", "/library/runs", "/ask", "/problems", "/nothing")
assert browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("web")
    lectures.write_lectures(home / "out")
    with serving(home, "--jurisdiction", "IN", WEB__REQUESTS_PER_MINUTE="5000") as running:
        yield running


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "class.jpg"
    path.write_bytes(encoded(class_picture(), ".jpg"))
    return path


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Any]:
    """Open a page; at the end, nothing was complained about and nobody else was asked."""
    opened: list[Any] = []
    complaints: list[str] = []
    foreign: list[str] = []

    def go(path: str, **options: Any) -> Page:
        given = {"viewport": {"width": 1000, "height": 800}} | options
        opened.append(browser.new_context(**given))
        page = opened[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: foreign.append(request.url))
        page.goto(site.address + path)
        return page

    yield go
    for context in opened:
        context.close()
    assert [text for text in complaints if "404 (NOT FOUND)" not in text] == []
    own = (site.address, "data:", "blob:")
    assert [url for url in foreign if not url.startswith(own)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_barrier(visit: Any, path: str, scheme: str):
    page = visit(path, color_scheme=scheme)

    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]
    assert barriers(page) == []


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_needs_no_sideways_scrolling(visit: Any, path: str):
    page = visit(path, viewport={"width": 360, "height": 700})
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    for wide in (320, 360, 700):
        page.set_viewport_size({"width": wide, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= wide


@pytest.mark.parametrize("path", ["/", "/library", "/ask"])
def test_everything_can_be_reached_and_seen_by_keyboard(visit: Any, path: str):
    page = visit(path)
    wanted = page.evaluate(
        "[...document.querySelectorAll('a[href], summary, input:not([type=hidden]), select, "
        'textarea, button, [tabindex="0"]\')].filter(e => e.checkVisibility()).length'
    )
    reached: set[int] = set()
    for _ in range(wanted):
        page.keyboard.press("Tab")
        at, seen = page.evaluate(
            "(() => { const e = document.activeElement;"
            "const seen = getComputedStyle(e).outlineStyle !== 'none';"
            "return [[...document.querySelectorAll('*')].indexOf(e), seen]; })()"
        )
        assert seen
        reached.add(at)
    assert len(reached) == wanted


def drop(page: Page, place: str, path: Path, kind: str) -> None:
    """Drop a file from outside the browser onto a place of the page."""
    content = list(path.read_bytes())
    transfer = page.evaluate_handle(
        "([bytes, name, type]) => { const t = new DataTransfer();"
        "t.items.add(new File([new Uint8Array(bytes)], name, { type })); return t; }",
        [content, path.name, kind],
    )
    for event in ("dragover", "drop"):
        page.dispatch_event(place, event, {"dataTransfer": transfer})


def test_a_picture_is_dropped_and_its_faces_are_drawn(visit: Any, picture: Path):
    page = visit("/")
    drop(page, "#picture [data-drop]", picture, "image/jpeg")
    page.get_by_role("button", name="Read the picture").click()
    page.wait_for_selector("#seen")

    assert page.locator(".picture .face").count() == 9
    box, first = page.locator(".picture").bounding_box(), page.locator(".face").first
    face = first.bounding_box()
    assert box and face
    assert box["x"] <= face["x"] and face["x"] + face["width"] <= box["x"] + box["width"]
    bars = page.locator(".bars").first.locator("tbody tr")
    assert bars.count() == 7
    widths = bars.locator("rect.area").evaluate_all("all => all.map(e => e.getBBox().width)")
    whole = bars.locator("rect.track").first.evaluate("e => e.getBBox().width")
    assert sum(widths) == pytest.approx(whole, rel=0.02)
    assert barriers(page) == []
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_video_shows_its_progress_and_becomes_its_report(visit: Any, tmp_path: Path):
    class_clip(tmp_path / "class.mp4", seconds=8)
    page = visit("/")
    page.set_input_files("#clip", tmp_path / "class.mp4")
    page.get_by_role("button", name="Make its report").click()

    page.wait_for_selector("progress")
    assert page.get_by_role("button", name="Stop and delete it").is_visible()
    page.get_by_role("link", name="Open the report").click(timeout=120_000)

    assert page.locator("#minute").is_visible()
    assert page.locator("#people .line").count() or page.locator("#curve .line").count()
    page.go_back()
    page.get_by_role("button", name="Delete the report now").click()
    assert page.locator("#ended").inner_text() == "The report is deleted."


def test_a_video_is_stopped_and_the_page_says_that_it_is_deleted(visit: Any, tmp_path: Path):
    class_clip(tmp_path / "class.mp4", seconds=8)
    page = visit("/")
    page.set_input_files("#clip", tmp_path / "class.mp4")
    page.get_by_role("button", name="Make its report").click()
    page.wait_for_selector("progress")

    page.get_by_role("button", name="Stop and delete it").click()

    assert page.locator("#ended").inner_text() == "Stopped; the video is deleted."
    assert page.locator("h1").inner_text() == "Try it before you trust it"


def test_lectures_are_searched_and_their_reports_opened(visit: Any):
    page = visit("/library")
    assert page.locator(".lectures tbody tr").count() == 4
    page.fill("#search", "photo")
    page.keyboard.press("Enter")
    page.wait_for_url("**search=photo**")
    assert page.locator(".lectures tbody tr").count() == 1

    page.locator(".lectures").get_by_role("link", name="Photosynthesis").click()

    page.wait_for_selector("#curve")
    slider = page.locator("#curve-at")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#curve-at ~ .read").inner_text()
    page.get_by_role("link", name="All lectures").click()
    page.wait_for_selector("#search")


def test_a_ready_question_is_answered_changed_and_taken_along(visit: Any):
    page = visit("/ask")
    page.get_by_role("link", name="How many people were visible").click()
    page.wait_for_selector("#answer")
    page.get_by_role("link", name="Library").click()
    page.wait_for_selector("#search")
    page.go_back()
    assert page.locator("#answer .line").count() == 1
    assert page.locator(".answer tbody tr").count() == 10
    assert "\ufffd" not in page.locator("#sql").input_value()
    assert barriers(page) == []

    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as CSV").click()

    assert waiting.value.suggested_filename == "answer.csv"
    page.fill("#sql", "select course, count(*) as n from seconds group by course order by n")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_selector("#answer .known")
    assert page.locator(".answer tbody td").all_inner_texts() == [
        "maths",
        "600",
        "biology-101",
        "1200",
    ]
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_javascript_everything_works(visit: Any, picture: Path):
    page = visit("/", java_script_enabled=False)
    page.set_input_files("#image", picture)
    page.get_by_role("button", name="Read the picture").click()
    page.wait_for_selector("#seen")
    assert page.locator(".faces > li").count() == 9
    page.get_by_role("link", name="Ask").click()
    page.get_by_role("link", name="What could not be read").click()
    page.wait_for_selector("#answer")
    page.goto(f"{page.url.split('/ask')[0]}/try/picture")
    assert page.locator("#picture").is_visible()


# The last one: what it keeps is in the library of all tests here.
def test_a_course_can_be_named_only_of_a_video_that_is_kept(visit: Any, tmp_path: Path):
    class_clip(tmp_path / "class.mp4", seconds=2)
    page = visit("/")
    assert page.locator("#keep").is_visible() and not page.locator("#course").is_visible()
    page.check("#keep")
    page.fill("#course", "Drama")
    page.set_input_files("#clip", tmp_path / "class.mp4")
    page.get_by_role("button", name="Make its report").click()

    page.wait_for_url("**/library/reports/Drama/**", timeout=120_000)
