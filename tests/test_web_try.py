"""Try, on the real server: what a picture and a video come to, and what is never taken."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from fer_core import audit
from fer_core.records import EMOTIONS
from fer_core.store import Store
from tests import pages
from tests.hostile import archive, bomb_png, cut, damaged
from tests.sites import EXAMPLE, REPO, Site, class_clip, class_picture, encoded, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/passwd\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(
        tmp_path_factory.mktemp("try"),
        *("--jurisdiction", "IN"),
        WEB__MAX_IMAGE_MB="3",
        WEB__MAX_VIDEO_MB="4",
        WEB__MAX_WAITING="2",
        WEB__REQUESTS_PER_MINUTE="5000",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return class_clip(tmp_path_factory.mktemp("clip") / "class.mp4", seconds=8)


def send(site: Site, data: bytes, kind: str = "image/jpeg") -> httpx.Response:
    return site.client.post("/api/v1/image", content=data, headers={"Content-Type": kind})


def send_video(site: Site, data: bytes, name: str = "class.mp4", **form: str) -> httpx.Response:
    return site.client.post("/api/v1/videos", files={"video": (name, data)}, data=form)


def ended(site: Site, job: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + 120
    while job["state"] in ("waiting", "running"):
        assert time.monotonic() < until
        time.sleep(0.3)
        job = site.client.get(f"/api/v1/videos/{job['id']}").json()
    return job


def assert_problem(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems#{kind}"
    assert str(REPO) not in answer.text and "Traceback" not in answer.text
    assert answer.json().get("detail")


def test_a_picture_comes_back_as_faces(site: Site):
    answer = send(site, encoded(class_picture(), ".png"), "image/png")

    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["width"], seen["height"], seen["mode"]) == (1280, 720, "emotion")
    assert len(seen["faces"]) == 9
    for face in seen["faces"]:
        assert face["counted"] is True and face["uncounted"] is None
        assert set(face["expressions"]) == set(EMOTIONS)
        assert sum(face["expressions"].values()) == pytest.approx(1, abs=1e-5)
        inside = face["left"] < face["landmarks"]["nose"][0] < face["left"] + face["width"]
        assert inside and face["landmarks"]["nose"][1] > face["landmarks"]["left_eye"][1]
        # Right and left are the person's own.
        assert face["landmarks"]["right_eye"][0] < face["landmarks"]["left_eye"][0]


def test_a_small_face_is_told_not_to_count(site: Site):
    small = cv2.resize(class_picture(), (256, 144), interpolation=cv2.INTER_AREA)

    seen = send(site, encoded(np.asarray(small, np.uint8), ".png"), "image/png").json()

    assert len(seen["faces"]) >= 5
    for face in seen["faces"]:
        assert face["height"] < 36
        assert (face["counted"], face["uncounted"], face["expressions"]) == (False, "small", None)


def test_a_picture_is_seen_the_way_up_that_it_was_taken(site: Site):
    upright = class_picture()
    turned = Image.fromarray(np.rot90(upright[:, :, ::-1], 1))
    tags = Image.Exif()
    tags[274] = 6  # turn by a quarter to see it
    file = io.BytesIO()
    turned.save(file, "JPEG", quality=95, exif=tags)

    seen = send(site, file.getvalue()).json()

    assert (seen["width"], seen["height"], len(seen["faces"])) == (1280, 720, 9)


def test_nothing_of_a_picture_stays_but_a_line_in_the_audit_log(site: Site):
    before = {path for path in site.out.rglob("*") if path.is_file()}
    send(site, encoded(class_picture(), ".jpg"))

    assert {path for path in site.out.rglob("*") if path.is_file()} == before
    *_, last = audit.lines(site.out)
    assert (last["event"], last["what"], last["mode"]) == ("tried", "picture", "emotion")


def test_the_page_draws_each_face_and_its_bars(site: Site):
    file = {"image": ("a <b>.jpg", encoded(class_picture(), ".jpg"), "image/jpeg")}

    page = site.client.post("/try/picture", files=file)

    assert page.status_code == 200
    root = pages.parse(page.text)
    assert len(pages.of_class(root, "face")) == 9
    assert len(pages.of_class(root, "point")) == 45
    assert len(pages.of_class(root, "bars")) == 9
    assert "9 faces were found" in page.text
    assert "<b>" not in page.text.replace("<bdi>", "")


PICTURES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "nothing": (lambda: b"", 400, "empty"),
    "HTML": (lambda: b"<html><script>alert(1)</script>", 415, "wrong-kind"),
    "SVG": (
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        415,
        "wrong-kind",
    ),
    "a playlist": (lambda: PLAYLIST, 415, "wrong-kind"),
    "an archive": (archive, 415, "wrong-kind"),
    "a GIF": (lambda: b"GIF89a" + b"\0" * 40, 415, "wrong-kind"),
    "an archive behind a JPEG": (
        lambda: encoded(class_picture(), ".jpg") + archive(),
        415,
        "wrong-kind",
    ),
    "a page behind a PNG": (
        lambda: encoded(class_picture(), ".png") + b"<script>alert(1)</script>",
        415,
        "wrong-kind",
    ),
    "half a JPEG": (lambda: cut(encoded(class_picture(), ".jpg")), 422, "unreadable"),
    "a torn PNG": (lambda: damaged(encoded(class_picture(), ".png")), 422, "unreadable"),
    "only a beginning": (lambda: b"\xff\xd8\xff\xe0\xff\xd9", 422, "unreadable"),
    "10,000 x 10,000": (lambda: bomb_png(10_000), 413, "too-large"),
    "4 MB": (lambda: b"\xff\xd8\xff" + b"\0" * 4_000_000, 413, "too-large"),
}


@pytest.mark.parametrize("what", PICTURES)
def test_a_hostile_picture_is_refused(site: Site, what: str):
    make, status, kind = PICTURES[what]
    data = make()

    for name in ("image/jpeg", "image/png", "application/octet-stream"):
        assert_problem(send(site, data, name), status, kind)
    in_a_form = site.client.post("/api/v1/image", files={"image": ("a.jpg", data)})
    assert_problem(in_a_form, status, kind)
    page = site.client.post("/try/picture", files={"image": ("a.jpg", data)})
    assert page.status_code == status and 'role="alert"' in page.text


def test_a_bomb_is_refused_before_it_goes_off(site: Site):
    data = bomb_png(10_000)
    peak = Path(f"/proc/{site.process.pid}/status")
    if not peak.exists():
        pytest.skip("needs /proc")

    def most_mb() -> float:
        (line,) = [line for line in peak.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1000

    send(site, encoded(class_picture(), ".jpg"))
    before = most_mb()
    assert_problem(send(site, data, "image/png"), 413, "too-large")
    assert most_mb() - before < 100  # its 300 MB of pixels were never there


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/json", ""])
def test_a_picture_declared_as_something_else_is_refused(site: Site, kind: str):
    assert_problem(send(site, encoded(class_picture(), ".jpg"), kind), 415, "wrong-kind")


VIDEOS: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "empty"),
    "HLS": (PLAYLIST, 415, "wrong-kind"),
    "concat": (CONCAT, 415, "wrong-kind"),
    "HTML": (b"<html>", 415, "wrong-kind"),
    "an archive": (archive(), 415, "wrong-kind"),
    "5 MB": (b"\0\0\0\x18ftypisom" + b"\0" * 5_000_000, 413, "too-large"),
}


@pytest.mark.parametrize("what", VIDEOS)
def test_a_hostile_video_is_refused(site: Site, what: str):
    data, status, kind = VIDEOS[what]
    assert_problem(send_video(site, data), status, kind)
    assert not list((site.out / "web").glob("[!.]*"))


def test_a_video_that_only_begins_as_one_fails_and_is_gone(site: Site):
    job = ended(
        site, send_video(site, b"\0\0\0\x18ftypisom" + b"\0" * 2000, "../../x<y>.mp4").json()
    )

    assert job["state"] == "failed"
    assert job["problem"]["type"] == "/problems#unreadable"
    assert "x_y_.mp4" in job["problem"]["detail"]
    assert str(site.out) not in json.dumps(job)
    assert not list((site.out / "web" / job["id"]).glob("*.mp4"))
    page = site.client.get(f"/try/videos/{job['id']}")
    assert 'role="alert"' in page.text


def test_a_video_becomes_a_report_and_goes(site: Site, clip: bytes):
    answer = send_video(site, clip)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"/api/v1/videos/{job['id']}"

    told: list[dict[str, Any]] = []
    with site.client.stream("GET", f"/api/v1/videos/{job['id']}/events") as events:
        assert events.headers["Content-Type"].startswith("text/event-stream")
        told += [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]

    assert [shape["state"] for shape in told][-1] == "done"
    assert "running" in {shape["state"] for shape in told}
    job = told[-1]
    assert (job["seen_s"], job["video_s"]) == (8, 8)
    folder = site.out / "web" / job["id"]
    assert not list(folder.glob("*.mp4"))
    report = site.client.get(job["report"])
    assert report.status_code == 200
    assert "sha256-" in report.headers["Content-Security-Policy"]
    assert "unsafe" not in report.headers["Content-Security-Policy"]
    root = pages.parse(report.text)
    assert pages.text_of(pages.by_id(root, "main"))
    # The file is gone, so nothing links to its seconds.
    assert "#t=" not in report.text and "gone:" not in report.text
    # Nor are its tables there for anybody to ask.
    assert "tables/seconds" not in report.text and "lecturepulse query" not in report.text
    assert "no retention period" not in report.text and "then this page is deleted" in report.text
    about = site.client.get(f"/try/videos/{job['id']}").text
    told = re.search(r"the report will be on (.+)\.</p>", about)
    assert told and told[1].endswith("UTC")
    assert not (site.out / "tables").exists()

    assert site.client.delete(f"/api/v1/videos/{job['id']}").status_code == 204
    assert not folder.exists()
    assert_problem(site.client.get(f"/api/v1/videos/{job['id']}"), 404, "not-found")
    assert site.client.get(job["report"]).status_code == 404


@pytest.mark.parametrize(
    "name", ["../../../audit.jsonl", "%2e%2e/out/audit.jsonl", "..%2f..%2fa.html", "x/y.html"]
)
def test_a_report_s_address_leads_nowhere_else(site: Site, name: str):
    job = send_video(site, b"GIF89a").json()
    for top in (f"/try/videos/{job['id']}/report", "/library/reports", "/library/uploads"):
        answer = site.client.get(f"{top}/{name}")
        assert answer.status_code in (302, 404)
        assert "tried" not in answer.text
    site.client.delete(f"/api/v1/videos/{job['id']}")


def test_work_is_stopped_when_nobody_wants_it_any_more(site: Site, tmp_path: Path):
    long = class_clip(tmp_path / "long.mp4", seconds=25)
    first = send_video(site, long, "first.mp4").json()
    waiting = [send_video(site, long, f"{k}.mp4").json() for k in range(2)]
    try:
        until = time.monotonic() + 60
        while first["state"] != "running":
            assert time.monotonic() < until
            first = site.client.get(f"/api/v1/videos/{first['id']}").json()
        one_more = [send_video(site, long).status_code for _ in range(2)]
        assert 429 in one_more
        assert site.client.get(f"/api/v1/videos/{waiting[1]['id']}").json()["ahead"] >= 1

        for job in (waiting[1], waiting[0], first):
            assert site.client.delete(f"/api/v1/videos/{job['id']}").status_code == 204
    finally:
        for folder in (site.out / "web").glob("[!.]*"):
            site.client.delete(f"/api/v1/videos/{folder.name}")
    assert not list((site.out / "web").glob("[!.]*"))


def test_a_video_that_is_kept_is_like_any_recording(
    tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch, command: Any
):
    with serving(tmp_path, "--jurisdiction", "IN") as site:
        job = ended(site, send_video(site, clip, keep="true", course="Maths & more").json())

        assert job["state"] == "done"
        page = site.client.get(job["report"])
        assert page.status_code == 200 and "Maths &amp; more" in page.text
        (row,) = Store(site.out).all("recordings").to_dict("records")
        assert (row["course"], row["status"], row["people_median"]) == ("Maths & more", "done", 9)
        assert site.client.get("/api/v1/recordings").json()[0]["report"] == job["report"]
        video = site.client.get(f"/library/uploads/{row['recording_id']}/class.mp4")
        assert video.content == clip
        assert f"uploads/{row['recording_id']}/class.mp4" in page.text or "#t=" not in page.text

    assert not (tmp_path / "out" / "web").exists()
    monkeypatch.chdir(tmp_path)
    assert command("purge", "--recording", row["recording_id"], "--yes")[0] == 0
    assert not list((tmp_path / "out" / "uploads").iterdir())


def test_the_law_decides_here_too(tmp_path: Path, clip: bytes):
    picture = encoded(class_picture(), ".jpg")
    with serving(tmp_path / "nowhere") as unset:
        assert_problem(send(unset, picture), 403, "policy")
        assert_problem(send_video(unset, clip), 403, "policy")
        assert not list((unset.out / "web").glob("[!.]*"))
        assert "A jurisdiction is required" in unset.client.get("/").text
        # Nobody's faces: known by their content.
        bundled = send_video(unset, EXAMPLE.read_bytes(), EXAMPLE.name)
        assert bundled.status_code == 202
        assert unset.client.delete(bundled.headers["Location"]).status_code == 204

    with serving(tmp_path / "germany", "--jurisdiction", "DE") as germany:
        seen = send(germany, picture).json()
        assert (seen["mode"], seen["model"], len(seen["faces"])) == ("presence", None, 9)
        assert all(face["expressions"] is None for face in seen["faces"])
        assert {face["uncounted"] for face in seen["faces"]} == {"presence"}
        page = germany.client.post("/try/picture", files={"image": ("a.jpg", picture)}).text
        assert "Presence mode" in page and 'class="bars"' not in page
        job = ended(germany, send_video(germany, clip).json())
        report = germany.client.get(job["report"]).text
        assert "Presence mode" in report and "Engagement index" not in report


def test_a_killed_server_leaves_uploads_only_until_the_next(tmp_path: Path, clip: bytes):
    with serving(tmp_path, "--jurisdiction", "IN") as site:
        job = send_video(site, clip, keep="true").json()
        assert job["state"] in ("waiting", "running")
        site.process.kill()
        site.process.wait()
    uploads = tmp_path / "out" / "uploads"
    assert list(uploads.rglob("*.mp4"))
    clips_left = list((tmp_path / "out" / "web").glob("[!.]*"))
    assert clips_left

    until = time.monotonic() + 30
    while True:  # the child of the killed server ends by itself, and lets go of the dataset
        with serving(tmp_path, "--jurisdiction", "IN") as again:
            left = list(uploads.rglob("*.mp4"))
            if not left and not list((again.out / "web").glob("[!.]*")):
                break
        assert time.monotonic() < until


def test_pictures_are_read_many_at_once_or_told_to_wait(site: Site):
    picture = encoded(class_picture(), ".jpg")
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: send(site, picture), range(12)))

    assert {answer.status_code for answer in answers} <= {200, 429}
    assert sum(answer.status_code == 200 for answer in answers) >= 8
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["Retry-After"]) > 0
