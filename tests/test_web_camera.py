"""The live page in Chromium with a camera that shows the bundled class: what people get to see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_core.store import Store
from tests import cameras, clips
from tests.sites import Site, serving
from tests.test_browser import FLAGS, barriers, find_chromium

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SECOND_MS = 1000


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of nine people, as Chromium's fake camera plays them again and again."""
    path = tmp_path_factory.mktemp("camera") / "class.mjpeg"
    clips.ffmpeg("-i", cameras.EXAMPLE, "-t", "8", "-r", "5", "-q:v", "4", "-an", path)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    with serving(home, "--jurisdiction", "IN", LIVE__VIEWERS="1") as running:
        yield running


@pytest.fixture(scope="module")
def chromium(camera: Path) -> Iterator[Any]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium is installed")
    fake = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ]
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=[*FLAGS, *fake])
        yield running
        running.close()


@pytest.fixture
def page(chromium: Any, site: Site) -> Iterator[Any]:
    """The live page in a context of its own; nothing it does may be complained about."""
    context = chromium.new_context(viewport={"width": 1000, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(60 * SECOND_MS)
    complaints: list[str] = []

    def note(said: Any) -> None:
        # A picture may still be on its way to a view that is ended meanwhile.
        late = "status of 404" in said.text and "/api/v1/live/" in said.location["url"]
        cut = "net::ERR_FAILED" in said.text  # by a test
        if not late and not cut:
            complaints.append(said.text)

    opened.on("console", note)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"{site.address}/live")
    yield opened
    opened.goto("about:blank")  # whoever leaves makes room for the next
    context.close()
    # What a refusal looks like in the browser's own console.
    assert [said for said in complaints if "status of 429" not in said] == []


def expect(locator: Any) -> Any:
    playwright.expect.set_options(timeout=60 * SECOND_MS)
    return playwright.expect(locator)


def start(page: Any) -> None:
    page.click("#start")
    expect(page.locator("#people")).to_have_text(str(cameras.PEOPLE))


def drawn(page: Any) -> bool:
    """Whether anything is drawn over the picture."""
    dots = "c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
    return page.locator("#overlay").evaluate(f"c => {dots}.some(value => value > 0)")


def test_faces_are_drawn_the_chart_moves_and_a_recording_becomes_a_report(page: Any, site: Site):
    start(page)
    assert drawn(page)
    expect(page.locator("#latency")).to_have_text(re.compile(r"^\d+$"))
    page.locator("#faces summary").click()
    expect(page.locator("#faces tbody tr")).to_have_count(cameras.PEOPLE)
    assert page.locator("#faces tbody tr").first.inner_text().endswith("yes")

    # Two columns of seconds at least, the newer at the right; and the same in the table.
    expect(page.locator("#plot")).to_have_attribute("data-last", re.compile(r"^[1-9]"))
    expect(page.locator("#finding")).to_have_text(re.compile("^9 people are visible; in the last"))
    page.locator("#chart summary").click()
    first, latest = page.evaluate(
        "() => [plot.dataset.last, document.querySelector('#seconds tbody th').textContent]"
    )
    assert first == latest

    page.fill("#course", "biology 101")
    page.check("#consent")
    page.click("#begin")
    expect(page.locator("#clock")).to_have_text("0:03")
    expect(page.locator("#recorded")).to_have_text("Recording for “biology 101”.")
    assert int(page.get_attribute("#plot", "data-last")) > int(first)
    page.click("#end")
    page.click("#aired a")

    page.wait_for_url(re.compile("/library/reports/biology"))
    assert "9 people" in page.locator("#minute").inner_text()
    assert page.locator("h1").inner_text().startswith("live 20")


def test_recording_needs_consent(page: Any):
    start(page)
    page.click("#begin")
    assert page.locator("#begin").is_visible()
    assert page.locator("#consent:invalid").count() == 1
    page.click("#stop")
    expect(page.locator("#state")).to_have_text("Stopped.")
    assert page.locator("#start").is_visible() and not page.locator("#stage").is_visible()


def record(page: Any, course: str) -> None:
    page.fill("#course", course)
    page.check("#consent")
    page.click("#begin")
    expect(page.locator("#recorded")).to_have_text(f"Recording for “{course}”.")


def test_a_recording_that_waits_says_so_apart_from_the_next(page: Any, site: Site):
    asked: list[str] = []
    answers = iter([False, True])

    def answer(dialog: Any) -> None:
        asked.append(dialog.message)
        if next(answers):
            dialog.accept()
        else:
            dialog.dismiss()

    page.on("dialog", answer)
    leaving = (
        "() => { const leaving = new Event('beforeunload', { cancelable: true });"
        "dispatchEvent(leaving); return leaving.defaultPrevented; }"
    )
    start(page)
    assert not page.evaluate(leaving)
    with Store(site.out).writing():  # as a night would
        record(page, "first")
        expect(page.locator("#clock")).to_have_text("0:01")
        page.click("#end")
        waiting = "“first”: Kept, and waiting: Another run is writing to the dataset."
        expect(page.locator("#aired li")).to_have_text([waiting])
        record(page, "second")
        expect(page.locator("#clock")).to_have_text("0:02")
        assert page.locator("#recorded").inner_text() == "Recording for “second”."
        assert page.evaluate(leaving)

        page.click("#discard")
        assert page.locator("#end").is_visible()
        page.click("#discard")
        expect(page.locator("#recorded")).to_have_text("Thrown away; nothing was kept.")
    assert [message.split("?")[0] for message in asked] == ["Throw away what was recorded"] * 2
    expect(page.locator("#aired li")).to_have_text(["“first”: Done. Open the report"])


def test_a_recording_whose_server_goes_away_is_over_and_says_what_became_of_it(page: Any):
    start(page)
    record(page, "lost")
    expect(page.locator("#clock")).to_have_text("0:01")
    page.route("**/api/v1/live/**", lambda route: route.abort())

    expect(page.locator("#state")).to_have_text("The server does not answer.")
    expect(page.locator("#aired li")).to_contain_text("“lost”: The connection was lost. What")
    expect(page.locator("#start")).to_be_visible()
    assert page.locator("#begin").is_visible() and not page.locator("#end").is_visible()
    assert page.locator("#course").is_enabled()

    page.unroute("**/api/v1/live/**")
    start(page)
    record(page, "next")
    expect(page.locator("#clock")).to_have_text("0:01")
    page.click("#end")
    expect(page.locator("#aired li").first).to_have_text("“next”: Done. Open the report")


def test_a_double_click_leaves_no_camera_on(page: Any):
    page.evaluate(
        "() => { const media = navigator.mediaDevices, real = media.getUserMedia.bind(media);"
        "window.lent = []; media.getUserMedia = async (wanted) => {"
        "const stream = await real(wanted); window.lent.push(...stream.getTracks());"
        "return stream; }; }"
    )
    page.locator("#start").evaluate("button => { button.click(); button.click(); }")
    expect(page.locator("#people")).to_have_text(str(cameras.PEOPLE))
    page.wait_for_function("window.lent.length === 2")
    page.click("#stop")
    expect(page.locator("#state")).to_have_text("Stopped.")

    assert page.evaluate("window.lent.map(track => track.readyState)") == ["ended", "ended"]


def test_who_stops_while_it_starts_takes_no_place(page: Any, site: Site):
    asked: list[Any] = []

    def hold(route: Any) -> None:
        asked.append(route)

    page.route("**/api/v1/live", hold)
    with page.expect_request("**/api/v1/live"):
        page.click("#start")
    page.click("#stop")
    expect(page.locator("#state")).to_have_text("Stopped.")

    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        asked[0].continue_()

    other = site.client.post("/api/v1/live")
    assert other.status_code == 201
    site.client.delete(f"/api/v1/live/{other.json()['view']}")
    assert page.locator("#start").is_visible() and not page.locator("#stage").is_visible()


def test_one_too_many_waits_and_is_let_in(page: Any, chromium: Any, site: Site):
    taken = site.client.post("/api/v1/live").json()["view"]
    page.click("#start")
    expect(page.locator("#state")).to_contain_text("no more may at once")
    site.client.delete(f"/api/v1/live/{taken}")
    expect(page.locator("#people")).to_have_text(str(cameras.PEOPLE))


def test_a_video_file_is_played_instead(page: Any, tmp_path: Path):
    film = tmp_path / "lesson.webm"
    encoder = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "16", "-b:v", "3M")
    clips.ffmpeg("-i", cameras.EXAMPLE, "-t", "4", "-r", "2", "-an", *encoder, film)
    page.set_input_files("#file", film)
    expect(page.locator("#people")).to_have_text(str(cameras.PEOPLE))
    expect(page.locator("#state")).to_have_text("The video has ended.")


def test_a_camera_that_may_not_be_used_is_told(page: Any):
    for name, said in (("NotAllowed", "may not be used"), ("NotFound", "No camera was found")):
        refusal = f"Promise.reject(new DOMException('no', '{name}Error'))"
        page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = () => {refusal}; }}")
        page.click("#start")
        expect(page.locator("#state")).to_contain_text(said)


def test_no_barrier_and_no_sideways_scrolling_while_it_looks(page: Any):
    start(page)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    expect(page.locator("#faces tbody tr")).to_have_count(cameras.PEOPLE)
    assert barriers(page) == []
    for wide in (320, 360, 700, 1000):
        page.set_viewport_size({"width": wide, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= wide
