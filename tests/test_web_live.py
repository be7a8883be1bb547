"""The live view over HTTP: what it takes, what it refuses, and how a recording becomes a report."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fer_core.store import Store
from tests import cameras, pages
from tests.sites import Site, serving

LIMITED = {"LIVE__VIEWERS": "2", "LIVE__IDLE_S": "3"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("live")
    with serving(home, "--jurisdiction", "IN", **LIMITED) as running:
        yield running


@pytest.fixture
def view(site: Site) -> Iterator[str]:
    """The address of a view that has begun."""
    begun = site.client.post("/api/v1/live")
    assert begun.status_code == 201, begun.text
    told = begun.json()
    assert (told["mode"], told["longest_side_px"]) == ("emotion", 1280)
    address = f"/api/v1/live/{told['view']}"
    yield address
    assert site.client.delete(address).status_code == 204


def show(site: Site, view: str, data: bytes, captured_s: float) -> httpx.Response:
    return site.client.post(
        f"{view}/pictures",
        params={"captured_s": captured_s},
        content=data,
        headers={"Content-Type": "image/jpeg"},
    )


def refused(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert told["type"] == f"/problems#{kind}"
    return told


def test_a_picture_is_answered_with_its_faces(site: Site, view: str):
    answer = show(site, view, cameras.pictures()[0], 7)

    assert answer.status_code == 200
    told = answer.json()
    assert (told["width"], told["height"], told["time_s"]) == (1280, 720, 0)
    assert len(told["faces"]) == cameras.PEOPLE
    for face in told["faces"]:
        assert face["counted"] and face["uncounted"] is None
        assert sum(face["expressions"].values()) == pytest.approx(1, abs=1e-4)
        assert set(face["landmarks"]) >= {"nose", "left_eye"}
    assert told["recorded_s"] is None and not told["full"]
    assert told["pause_ms"] >= 200
    assert answer.headers["Cache-Control"] == "no-store"
    later = show(site, view, cameras.pictures()[2], 8.2).json()
    assert [second["people"] for second in later["seconds"]] == [cameras.PEOPLE]


@pytest.mark.parametrize(
    ("made", "kind", "captured", "problem"),
    [
        (lambda _: b"", "image/jpeg", "1", (422, "unreadable")),
        (lambda _: b"\x89PNG\r\n\x1a\n", "image/jpeg", "1", (422, "unreadable")),
        (lambda good: good[:-9], "image/jpeg", "1", (422, "unreadable")),
        (lambda good: good, "image/png", "1", (415, "wrong-kind")),
        (lambda good: good, "image/jpeg", "soon", (400, "bad-request")),
        (lambda good: good, "image/jpeg", "nan", (422, "unreadable")),
        (lambda good: good + bytes(2_000_000), "image/jpeg", "1", (413, "too-large")),
    ],
)
def test_what_is_no_picture_is_refused_and_the_view_goes_on(
    site: Site, view: str, made: Any, kind: str, captured: str, problem: tuple[int, str]
):
    data = made(cameras.pictures()[0])
    answer = site.client.post(
        f"{view}/pictures?captured_s={captured}", content=data, headers={"Content-Type": kind}
    )

    told = refused(answer, *problem)
    assert str(site.out) not in str(told)
    assert show(site, view, cameras.pictures()[0], 3).status_code == 200


def test_another_sites_page_can_neither_look_nor_record(site: Site, view: str):
    foreign = {"Sec-Fetch-Site": "cross-site"}
    for method, path in (
        ("POST", "/api/v1/live"),
        ("POST", f"{view}/pictures?captured_s=1"),
        ("POST", f"{view}/recording"),
        ("DELETE", f"{view}/recording"),
        ("DELETE", view),
    ):
        refused(site.client.request(method, path, headers=foreign), 403, "foreign")


def test_more_than_may_look_are_told_to_wait(site: Site, view: str):
    other = site.client.post("/api/v1/live").json()["view"]

    answer = site.client.post("/api/v1/live")

    told = refused(answer, 429, "busy")
    assert told["detail"].startswith("2 are looking")
    assert answer.headers["Retry-After"] == "3"
    site.client.delete(f"/api/v1/live/{other}")


def test_a_view_that_has_ended_is_gone(site: Site):
    for address in ("/api/v1/live/nobody", "/api/v1/live/%2e%2e%2fx"):
        answer = show(site, address, cameras.pictures()[0], 1)
        assert answer.status_code == 404
    refused(site.client.delete("/api/v1/live/nobody/recording"), 404, "not-found")
    assert site.client.delete("/api/v1/live/nobody").status_code == 204
    for name in ("0123456789abcdef", "about.json", "%2e%2e%2fx"):
        refused(site.client.get(f"/api/v1/live/recordings/{name}"), 404, "not-found")


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"consent": false}', '{"consent": "true"}', '{"consent": 1}']
)
def test_nothing_is_recorded_without_consent(site: Site, view: str, body: str):
    answer = site.client.post(
        f"{view}/recording", content=body, headers={"Content-Type": "application/json"}
    )
    refused(answer, 422, "unreadable")
    assert show(site, view, cameras.pictures()[0], 1).json()["recorded_s"] is None


def test_a_recording_becomes_a_report_in_the_library(site: Site, view: str):
    consent = {"consent": True, "course": "Bio <&> 101"}
    begun = site.client.post(f"{view}/recording", json=consent)
    assert (begun.status_code, begun.json()["course"]) == (201, "Bio <&> 101")
    refused(site.client.post(f"{view}/recording", json=consent), 422, "unreadable")
    for number, data in enumerate(cameras.pictures()[:9]):
        assert show(site, view, data, 20 + number / cameras.RATE_HZ).status_code == 200

    with Store(site.out).writing():  # as a night would
        ended = site.client.delete(f"{view}/recording").json()
        where = f"/api/v1/live/recordings/{ended['recording_id']}"
        deadline = time.monotonic() + 60
        while not (told := site.client.get(where).json())["waits_for"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert told["state"] == "waiting" and told["waits_for"] == (
            "Another run is writing to the dataset."
        )
    while (told := site.client.get(where).json())["state"] == "waiting":
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert told["state"] == "done"
    report = site.client.get(told["report"])
    assert report.status_code == 200
    root = pages.parse(report.text)
    assert "9 people" in pages.text_of(pages.by_id(root, "minute"))
    library = site.client.get("/library").text
    assert re.search(r"live 20\d\d-\d\d-\d\d \d\d:\d\d", library)
    row = Store(site.out).recording(ended["recording_id"])
    assert row is not None
    assert (row["course"], row["seconds"], row["people_max"]) == ("Bio <&> 101", 5, 9)


def test_what_is_thrown_away_is_not_kept(site: Site, view: str):
    before = set(site.out.rglob("*.parquet"))
    site.client.post(f"{view}/recording", json={"consent": True})
    show(site, view, cameras.pictures()[0], 1)

    ended = site.client.delete(f"{view}/recording?keep=false").json()

    assert ended["recording_id"] is None
    assert set(site.out.rglob("*.parquet")) == before
    assert not list((site.out / "work").glob("*"))


def test_a_recording_that_nobody_stops_is_kept_when_the_server_ends(tmp_path: Path):
    with serving(tmp_path, "--jurisdiction", "DE") as running:
        begun = running.client.post("/api/v1/live").json()
        assert begun["mode"] == "presence"
        address = f"/api/v1/live/{begun['view']}"
        assert "Presence mode" in running.client.get("/live").text
        running.client.post(f"{address}/recording", json={"consent": True})
        told = show(running, address, cameras.pictures()[0], 1).json()
        assert told["faces"][0]["expressions"] is None

        running.stop()

        (row,) = Store(running.out).all("recordings").to_dict("records")
        assert (row["course"], row["mode"], row["people_max"]) == ("live", "presence", 9)


def test_without_a_jurisdiction_the_page_says_what_is_missing(tmp_path: Path):
    with serving(tmp_path) as running:
        refused(running.client.post("/api/v1/live"), 403, "policy")
        page = running.client.get("/live").text
        assert "A jurisdiction is required" in page
        assert re.search(r'id="start"[^>]* disabled', page)
