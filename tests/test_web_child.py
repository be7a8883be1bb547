"""The child that works on one uploaded video: how long it may take, and what it leaves alone."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fer_core.errors import InputError
from fer_core.nights import work_through
from fer_core.store import Store, Worked
from fer_core.web import child
from tests import cameras

LIMIT_S = 0.3
Work = Callable[..., dict[str, Any]]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Have the child work in this process; return what it tells in the end."""

    def one(on_video: Callable[..., Any], limit_s: float = LIMIT_S) -> dict[str, Any]:
        task = {
            "path": str(tmp_path / "a.mp4"),
            "settings": cameras.settings(tmp_path / "out").model_dump(mode="json"),
            "limit_s": limit_s,
            "kept_minutes": None,
            "parent": os.getppid(),
        }
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(task)))
        monkeypatch.setattr(child.nights, "work_through", on_video)
        child.work_on_video()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return one


def test_waiting_for_another_run_takes_none_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Work
):
    writing = Store(tmp_path / "out").writing()
    writing.__enter__()
    begun = time.monotonic()

    def wait(_pause_s: float) -> None:
        if time.monotonic() - begun > 2 * LIMIT_S:
            writing.__exit__(None, None, None)
        else:
            threading.Event().wait(LIMIT_S / 4)

    def reached(*_: Any, **__: Any) -> NoReturn:
        raise InputError("It had its turn.")

    monkeypatch.setattr(child.time, "sleep", wait)

    assert work(reached)["message"] == "It had its turn."


def test_once_it_has_its_turn_its_time_is_limited(work: Work):
    def long(*_: Any, **__: Any) -> NoReturn:
        threading.Event().wait(60)
        raise InputError("nobody ended it")

    assert "longer than" in work(long)["message"]


def test_one_video_is_no_night(tmp_path: Path, work: Work):
    store, night = Store(tmp_path / "out"), Worked("2026-11-02T03:00:00+00:00", ("a" * 16,))
    store.remember_night(night)
    (tmp_path / "a.mp4").write_text("<html>")

    told = work(work_through, 60)

    assert told["status"] == "failed" and told["recording_id"]
    assert store.last_night() == night
