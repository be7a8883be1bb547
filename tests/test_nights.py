"""Several recordings at once: what comes of them is what comes of one after the other."""

from __future__ import annotations

import shutil
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fer_core import config, nights, pages, pipeline, stopping
from fer_core.errors import StoreError
from fer_core.inbox import Source
from fer_core.outcome import Night, Outcome
from fer_core.settings import Settings
from fer_core.store import Store
from tests import clips
from tests.test_faults import contents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an inbox: four recordings of one course, one of them a copy of another."""
    found = tmp_path_factory.mktemp("inbox") / "maths"
    found.mkdir()
    for number in (1, 2, 3):
        name = f"GMT2026110{number}-093000_Recording.mp4"
        clips.write_clip(found / name, clips.steady(Fraction(5), 10 + number))
    shutil.copy(found / "GMT20261101-093000_Recording.mp4", found / "GMT20261109-093000_copy.mp4")
    (found / "bad.mp4").write_text("<html>")
    return found


def settings_of(out: Path, at_once: int) -> Settings:
    flags = {
        "out": str(out),
        "deployment.jurisdiction": "IN",
        "discovery.settle_s": 0,
        "run.min_free_mb": 0,
        "run.recordings_at_once": at_once,
        "run.workers": 1,
    }
    return config.load(None, flags).settings


def night(folder: Path, settings: Settings, meeting: threading.Barrier | None = None) -> Night:
    def one(source: Source) -> Outcome:
        if meeting and "copy" not in source.path.name:
            meeting.wait(60)  # nobody goes on before all have come
        return pipeline.process_recording(source, settings)

    with Store(settings.out).writing():
        return nights.work_through([folder], settings, one)


def test_four_at_once_make_what_one_after_the_other_makes(folder: Path, tmp_path: Path) -> None:
    apart, together = settings_of(tmp_path / "apart", 1), settings_of(tmp_path / "together", 4)
    one = night(folder, apart)
    other = night(folder, together, threading.Barrier(4))
    told = [(o.path, o.status, o.recording_id, o.message) for o in one.outcomes]
    assert [(o.path, o.status, o.recording_id, o.message) for o in other.outcomes] == told
    assert [status for _, status, *_ in told] == ["done", "done", "done", "skipped", "failed"]
    failed = told[-1][2]
    ours, theirs = contents(apart.out), contents(together.out)
    assert {n: d for n, d in ours.items() if f"{failed}" not in n} == {
        n: d for n, d in theirs.items() if f"{failed}" not in n
    }
    assert ours.keys() == theirs.keys()
    for path in apart.out.glob("reports/maths/*.html"):
        if path.stem != failed:
            assert (together.out / path.relative_to(apart.out)).read_bytes() == path.read_bytes()


def test_a_page_that_cannot_be_drawn_again_costs_no_night(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = settings_of(tmp_path, 4)
    real, drawn = pages.write_lecture, list[str]()

    def write_lecture(store: Store, recording_id: str, settings: Settings, *more: Any) -> Path:
        drawn.append(recording_id)
        if drawn.count(recording_id) > 1:
            raise ZeroDivisionError
        return real(store, recording_id, settings, *more)

    monkeypatch.setattr(pages, "write_lecture", write_lecture)
    ended = night(folder, settings)
    assert max(map(drawn.count, drawn)) == 2
    assert [o.status for o in ended.outcomes] == ["done", "done", "done", "skipped", "failed"]
    assert ended.index.is_file()
    assert Store(settings.out).last_night() is not None
    assert caplog.text.count("cannot draw the page of") == 4
    caplog.clear()


def test_what_stops_one_stops_the_night(folder: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "out", 2)
    begun: list[str] = []

    def one(source: Source) -> Outcome:
        begun.append(source.path.name)
        if len(begun) == 1:
            assert stopping.requested.wait(60)  # as a segment that is being read does
            raise stopping.Stopped
        raise StoreError("The disk is full.")

    try:
        with Store(settings.out).writing(), pytest.raises(StoreError, match="The disk is full"):
            nights.work_through([folder], settings, one)
        assert stopping.requested.is_set()
    finally:
        stopping.requested.clear()
    assert len(begun) == 2


@pytest.mark.parametrize(
    ("runner", "asked", "expected"),
    [("processes", None, 1), ("processes", 3, 3), ("dask", None, 4), ("dask://h:1", 9, 9)],
)
def test_how_many_at_once(runner: str, asked: int | None, expected: int) -> None:
    given = {"run.runner": runner, "run.recordings_at_once": asked}
    assert nights.at_once(config.load(None, given).settings.run) == expected
