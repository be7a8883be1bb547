"""Recordings that are not what their length says: pauses in them, and two copies of one."""

import json
from fractions import Fraction

import pytest

from fer_core.store import Store
from tests import clips

PLACE = ("--out", "out", "--jurisdiction", "IN", "--no-prefect")


@pytest.fixture
def command(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return program


def test_where_no_picture_came_for_long_there_is_a_gap(command, tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREPULSE_SAMPLING__STALE_S", "3")
    times = (*clips.steady(Fraction(5), 4), *(12 + time for time in clips.steady(Fraction(5), 4)))
    clips.write_clip(tmp_path / "paused.mp4", times)
    assert command("run", tmp_path / "paused.mp4", *PLACE)[0] == 0
    store = Store(tmp_path / "out")
    (row,) = store.all("recordings").to_dict("records")
    assert (row["status"], row["seconds"], row["seconds_without_frames"]) == ("done", 16, 5)
    # The last picture before the pause is of 3.8 s.
    seconds = store.read("seconds", row["recording_id"])
    assert seconds["frames"].tolist() == [1] * 7 + [0] * 5 + [1] * 4


def test_what_a_second_copy_leaves_out_is_left_out(command, tmp_path):
    inbox = tmp_path / "maths"
    inbox.mkdir()
    good, copy = inbox / "good.mp4", inbox / "copy.mp4"
    clips.write_clip(good, clips.steady(Fraction(5), 12))
    copy.write_bytes(good.read_bytes())
    left_out = 'exclude = [{ what = "opt-out", area = [0.0, 0.0, 0.5, 0.5] }]'
    copy.with_suffix(".toml").write_text(left_out, encoding="utf-8")
    command("run", inbox, *PLACE)
    command("run", inbox, *PLACE)
    (row,) = Store(tmp_path / "out").all("recordings").to_dict("records")
    assert json.loads(row["exclusions"])[0]["area"] == [0, 0, 0.5, 0.5]
    code, out, _ = command("run", inbox, *PLACE)
    assert code == 0
    assert out.count("skipped") == 2
    # Both leave out something else: neither is passed over in silence.
    other = 'exclude = [{ what = "opt-out", area = [0.5, 0.5, 1.0, 1.0] }]'
    good.with_suffix(".toml").write_text(other, encoding="utf-8")
    code, out, _ = command("run", inbox, *PLACE)
    assert code == 1
    assert "leaves out other parts" in out
    found = Store(tmp_path / "out").all("recordings").set_index("source_name")
    assert found.loc["copy.mp4", "status"] == "done"
