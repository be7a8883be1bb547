"""What other processes learn about a running night, from a file."""

import json
import os
import platform
import subprocess
import sys

from fer_core import progress, underway
from fer_core.underway import read_underway


def test_a_run_tells_how_far_it_is_and_takes_it_back_at_the_end(tmp_path):
    assert read_underway(tmp_path) is None
    with underway.telling(tmp_path / "out"):
        progress.tell("found", "", 2)
        progress.tell("started", "a.mp4")
        progress.tell("started", "a.mp4", 100)
        progress.tell("advanced", "a.mp4", 30)
        progress.tell("finished", "a.mp4")
        progress.tell("started", "b.mp4", 50)

        state = read_underway(tmp_path / "out")

        assert state is not None
        assert (state.pid, state.recordings, state.finished) == (os.getpid(), 2, 1)
        assert (state.name, state.seen_s, state.video_s) == ("b.mp4", 0, 50)
    assert read_underway(tmp_path / "out") is None
    assert not list((tmp_path / "out").iterdir())


def test_it_is_not_written_with_every_picture(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(underway.time, "monotonic", lambda: now[0])
    seen = []
    with underway.telling(tmp_path):
        now[0] = 10
        progress.tell("started", "a.mp4", 100)
        for _ in range(40):
            now[0] += 0.1
            progress.tell("advanced", "a.mp4", 1)
            state = read_underway(tmp_path)
            seen.append(state and state.seen_s)
    assert 4 <= len(set(seen)) <= 5
    assert seen[-1] >= 30


def test_what_a_killed_run_left_does_not_count(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = {"pid": gone.pid, "host": platform.node(), "began_at": "2026-11-03T02:00:00+00:00"}
    (tmp_path / "underway.json").write_text(json.dumps(left))
    assert read_underway(tmp_path) is None

    (tmp_path / "underway.json").write_text(json.dumps(left | {"host": "another"}))
    state = read_underway(tmp_path)
    assert state is not None and state.host == "another"

    for torn in ("", "{", "[]", '{"pid": 1, "other": 2}'):
        (tmp_path / "underway.json").write_text(torn)
        assert read_underway(tmp_path) is None


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with underway.telling(tmp_path / "file"):
        progress.tell("started", "a.mp4", 100)
