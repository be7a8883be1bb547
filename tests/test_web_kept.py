"""Uploads that are kept: what became a recording stays, whatever happens to jobs about it later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fer_core.errors import StoreError
from fer_core.store import Store
from fer_core.web import kept, serving
from fer_core.web.jobs import Jobs, VideoJob
from tests import cameras

CONTENT = b"a lesson"
Send = Callable[..., VideoJob]


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """A queue that nobody works on: how its jobs end is up to the test."""
    monkeypatch.setattr(Jobs, "_work", lambda self: None)
    (tmp_path / "scratch").mkdir()
    queue = Jobs(cameras.settings(tmp_path / "out"), tmp_path / "scratch")
    yield queue
    queue.close()


@pytest.fixture
def send(jobs: Jobs) -> Send:
    def one(name: str = "lesson.mp4") -> VideoJob:
        path = jobs.reserve() / name
        path.write_bytes(CONTENT)
        return jobs.submit(path, "Maths")

    return one


def told(jobs: Jobs, job: VideoJob, status: str) -> None:
    """End a job as what its child tells ends it."""
    facts = {"status": status, "recording_id": "x", "message": "m", "hint": "", "page": None}
    if status == "done":
        facts["page"] = "maths/x.html"
    jobs._conclude(job, [json.dumps(facts)])


@pytest.mark.parametrize("end", ["cancelled", "failed", "closed"])
def test_the_same_video_kept_again_takes_nothing_away(jobs: Jobs, send: Send, end: str):
    first = send()
    told(jobs, first, "done")

    again = send("another name.mp4")
    if end == "cancelled":
        jobs.drop(again)
    elif end == "failed":
        told(jobs, again, "failed")
    else:
        jobs.close()

    assert again.path == first.path and first.path.read_bytes() == CONTENT


def test_a_job_that_failed_takes_nothing_away_later(jobs: Jobs, send: Send):
    failed = send()
    told(jobs, failed, "failed")
    assert not failed.path.exists()
    later = send()
    told(jobs, later, "done")

    jobs.close()

    assert later.path == failed.path and later.path.exists()


def test_a_video_is_there_as_long_as_a_job_is_about_it(jobs: Jobs, send: Send):
    first, second = send(), send()
    jobs.drop(first)
    assert second.path.exists()
    jobs.drop(second)
    assert not second.path.parent.exists()
    third = send()
    jobs.close()
    assert not third.path.parent.exists()


def test_what_was_done_before_it_could_be_stopped_stays(jobs: Jobs, send: Send):
    job = send()
    job.stop.set()
    told(jobs, job, "done")
    assert job.state == "done" and job.path.exists()


def test_only_what_is_not_done_goes_at_the_next_start(jobs: Jobs, send: Send, tmp_path: Path):
    done = send()
    told(jobs, done, "done")  # a repair may have set its row aside since
    cut_off = tmp_path / "out" / "uploads" / "0123456789abcdef" / "b.mp4"
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "b.mp4").write_bytes(b"b")
    kept.put_in_place(tmp_path / "sent" / "b.mp4", tmp_path / "out", cut_off.parent.name)
    assert cut_off.exists()

    kept.forget_unfinished(Store(tmp_path / "out"))

    assert done.path.exists()
    assert not cut_off.parent.exists()


def test_a_folder_that_somebody_else_made_is_not_emptied(tmp_path: Path):
    settings = cameras.settings(tmp_path, web={"port": 0})
    page = tmp_path / "web" / "index.html"
    page.parent.mkdir()
    page.write_text("mine")

    with pytest.raises(StoreError, match="not of lecturepulse web"), serving.opened(settings):
        pass

    assert page.read_text() == "mine"


def test_what_a_killed_server_left_is_emptied(tmp_path: Path):
    folder = serving._emptied(tmp_path / "web")
    (folder / "upload").mkdir()
    assert serving._emptied(folder) == folder
    assert not list(folder.glob("[!.]*"))
