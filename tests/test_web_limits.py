"""How much one address may ask of the web interface, and how many videos may wait; no server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from fer_core.settings import Settings
from fer_core.web.jobs import Jobs
from fer_core.web.problems import Problem
from tests.sites import client_of

PAGES = ("/", "/live", "/library", "/problems", "/login", "/api/v1/night", "/assets/page.css")


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    return client_of(Settings(out=tmp_path, web={"requests_per_minute": 20}))


def test_requests_are_counted_whatever_they_ask_for(client: FlaskClient):
    taken = [client.get(path, buffered=True).status_code for path in islice(cycle(PAGES), 25)]

    assert [status == 429 for status in taken] == [False] * 20 + [True] * 5
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get("/problems", environ_base=elsewhere).status_code == 200


def test_pictures_videos_and_questions_share_a_fifth(client: FlaskClient):
    costly = ("/api/v1/image", "/api/v1/videos", "/api/v1/query", "/try/picture", "/try/video")
    taken = [client.post(path, data=b"").status_code for path in costly]

    assert [status == 429 for status in taken] == [False] * 4 + [True]
    assert client.post("/ask", data={"sql": ""}).status_code == 429
    assert client.get("/ask/smiling").status_code == 429
    assert client.get("/ask").status_code == 200


def test_pictures_of_a_live_view_are_not_counted(client: FlaskClient):
    def send() -> int:
        address = "/api/v1/live/none/pictures?captured_s=0"
        return client.post(address, data=b"x", content_type="image/jpeg").status_code

    assert {send() for _ in range(50)} == {404}
    assert client.get("/problems").status_code == 200
    while client.get("/problems").status_code != 429:
        pass
    assert send() == 404


def test_no_more_videos_wait_than_may_however_many_are_sent_at_once(tmp_path: Path):
    jobs = Jobs(Settings(out=tmp_path, web={"max_waiting": 2}), tmp_path)

    def reserve(_: int) -> Path | None:
        try:
            return jobs.reserve()
        except Problem:
            return None

    with ThreadPoolExecutor(12) as pool:
        folders = [folder for folder in pool.map(reserve, range(12)) if folder]

    assert len(folders) == len(set(folders)) == 3  # one has its turn at once
    folders[0].rmdir()  # as of an upload that was broken off
    assert reserve(0) and not reserve(0)
