"""Uploads that are kept: what became a recording stays, whatever happens to jobs about it later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fer_core.errors import StoreError
from fer_core.store import Place, Store
from fer_core.web import guard, kept, serving
from fer_core.web.app import create_app
from fer_core.web.jobs import Jobs, VideoJob
from tests import cameras, factories

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


def commit(job: VideoJob, source: Path) -> Store:
    """Put a recording of this very content into the tables, as read from a file."""
    store = Store(job.out)
    recording_id = job.path.parent.name
    tables = factories.tables(recording_id, source_path=str(source), source_name=source.name)
    store.commit(Place("Maths", "2026-11", recording_id), tables, {})
    return store


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


PAGE_FAILED = {
    "status": "partial",
    "message": "The tables are complete, but the page failed.",
    "hint": "h",
    "page": None,
}
BROKE_OFF = {"status": "failed", "message": "", "hint": ""}
LATE = {"status": "failed", "message": "It took too long.", "hint": "h"}


@pytest.mark.parametrize(
    ("facts", "kind", "said"),
    [
        (PAGE_FAILED, "unexpected", "The tables are complete"),
        (BROKE_OFF, "not-ready", "The tables hold it"),
        (LATE, "unreadable", "It took too long. The tables hold it"),
        (None, "not-ready", "The tables hold it"),  # killed
    ],
)
def test_what_the_tables_hold_loses_no_more_than_its_page(
    jobs: Jobs, send: Send, facts: dict[str, Any] | None, kind: str, said: str
):
    job = send()
    store = commit(job, job.path)

    jobs._conclude(job, [json.dumps(facts)] if facts else [])

    assert job.state == "failed" and job.recording_id == job.path.parent.name
    assert job.refused is not None and job.refused.kind == kind
    assert job.refused.detail.startswith(said)
    kept.forget_unfinished(store)
    assert job.path.read_bytes() == CONTENT


def test_what_is_held_is_kept_when_it_is_stopped_too_late(jobs: Jobs, send: Send):
    job = send()
    commit(job, job.path)
    job.stop.set()
    jobs._conclude(job, [])
    assert job.state == "cancelled" and job.path.exists()


def test_a_copy_of_what_the_tables_hold_from_elsewhere_goes(jobs: Jobs, send: Send, tmp_path: Path):
    job = send()
    commit(job, tmp_path / "inbox" / "maths" / job.path.name)
    told(jobs, job, "failed")
    assert job.recording_id is None and not job.path.exists()


def test_nothing_goes_while_it_is_not_known_whether_it_is_held(
    jobs: Jobs, send: Send, monkeypatch: pytest.MonkeyPatch
):
    job = send()

    def torn(*_: object) -> NoReturn:
        raise StoreError("torn")

    monkeypatch.setattr(Store, "recording", torn)
    jobs.drop(job)
    assert job.state == "cancelled" and job.path.exists()


def test_who_waits_is_told_that_it_is_kept_without_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Jobs, "_work", lambda self: None)
    settings = cameras.settings(tmp_path / "out")
    (tmp_path / "scratch").mkdir()
    app = create_app(settings, guard.access_of(settings.web), tmp_path / "scratch")
    jobs: Jobs = app.extensions["lecturepulse"].jobs
    path = jobs.reserve() / "lesson.mp4"
    path.write_bytes(CONTENT)
    job = jobs.submit(path, "Maths")
    commit(job, job.path)
    jobs._conclude(job, [json.dumps(BROKE_OFF)])

    page = app.test_client().get(f"/try/videos/{job.id}", headers={"Host": "127.0.0.1"}).text

    assert "Nothing of it is lost" in page and "The video is deleted" not in page


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
