"""What a live view says of each picture and each second, and what it may not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_core import live, segment
from fer_core.errors import InputError, PolicyError
from fer_core.live import Seen, View
from tests import cameras


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def view(out: Path, **sections: Any) -> View:
    return View(cameras.settings(out, **sections), Clock())


def watch(looking: View, count: int, start_s: float = 50.0) -> list[Seen]:
    """Show pictures as a camera would; its clock has nothing to do with ours."""
    seen: list[Seen] = []
    for number, data in enumerate(cameras.pictures()[:count]):
        looking._clock.now += 1 / cameras.RATE_HZ
        seen.append(looking.see(data, start_s + number / cameras.RATE_HZ))
    return seen


def test_a_picture_gives_its_faces_and_what_was_read_in_each(tmp_path: Path):
    (first, *_) = watch(view(tmp_path), 1)

    assert first.reading.size_px == (1280, 720)
    assert len(first.reading.faces) == cameras.PEOPLE
    assert first.reading.uncounted == (None,) * cameras.PEOPLE
    assert np.allclose(first.reading.faces.probs.sum(axis=1), 1, atol=1e-5)
    left, top, width, height = first.reading.faces.box.T[:, :, None]
    x, y = np.moveaxis(first.reading.faces.landmarks, 2, 0)
    assert ((left < x) & (x < left + width) & (top < y) & (y < top + height)).all()
    assert ((first.reading.facing >= 0) & (first.reading.facing <= 1)).all()
    assert (first.time_s, first.seconds, first.recorded_s) == (0, (), None)


def test_a_second_is_the_mean_over_the_faces_scored_in_it(tmp_path: Path):
    seen = watch(view(tmp_path), 7)

    seconds = [second for one in seen for second in one.seconds]
    assert [second.second for second in seconds] == [0, 1, 2]
    for second in seconds:
        mine = seen[2 * second.second : 2 * second.second + 2]
        probs = np.concatenate(
            [
                one.reading.faces.probs[[why is None for why in one.reading.uncounted]]
                for one in mine
            ]
        )
        assert second.probs is not None
        assert np.allclose(second.probs, probs.mean(axis=0), atol=1e-6)
        assert second.people == cameras.PEOPLE
        assert second.engagement is not None and 0 < second.engagement < 1
        assert not second.withheld


def test_with_fewer_people_than_the_minimum_a_second_has_no_values(tmp_path: Path):
    seen = watch(view(tmp_path, privacy={"min_group": 10}), 3)

    (second,) = [second for one in seen for second in one.seconds]
    assert second.withheld and second.people == cameras.PEOPLE
    assert (second.probs, second.facing, second.engagement) == (None, None, None)


def test_in_presence_mode_no_model_is_loaded_and_no_expression_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(segment, "classifier", None)
    looking = view(tmp_path, deployment={"jurisdiction": "DE"})
    seen = watch(looking, 3)

    assert looking.permission.mode == "presence" and looking.model is None
    assert all(np.isnan(one.reading.faces.probs).all() for one in seen)
    assert seen[0].reading.uncounted == ("presence",) * cameras.PEOPLE
    (second,) = [second for one in seen for second in one.seconds]
    assert (second.probs, second.engagement, second.scored) == (None, None, 0)
    assert second.facing is not None


def test_without_a_jurisdiction_nobody_looks(tmp_path: Path):
    with pytest.raises(PolicyError, match="jurisdiction"):
        view(tmp_path, deployment={})


def test_faces_that_would_not_count_say_why(tmp_path: Path):
    small = watch(view(tmp_path, classification={"min_face_px": 400}), 1)[0]
    assert small.reading.uncounted == ("small",) * cameras.PEOPLE
    assert np.isnan(small.reading.faces.probs).all(), "reading them is work for nothing"
    turned = watch(view(tmp_path, classification={"min_facing": 1}), 1)[0]
    assert turned.reading.uncounted == ("turned",) * cameras.PEOPLE
    unclear = watch(view(tmp_path, classification={"min_confidence": 1}), 1)[0]
    assert unclear.reading.uncounted == ("unclear",) * cameras.PEOPLE


def test_what_is_left_out_is_seen_by_nobody_live_either(tmp_path: Path):
    left_out = {"exclude": [{"what": "lecturer", "tile": [1, 1], "grid": [3, 3]}]}
    assert len(watch(view(tmp_path, privacy=left_out), 1)[0].reading.faces) == cameras.PEOPLE - 1


@pytest.mark.parametrize("captured_s", [50.0, 49.0, 50.5 + live._AHEAD_S, 1e300, float("nan")])
def test_pictures_come_in_order_and_none_from_the_future(tmp_path: Path, captured_s: float):
    looking = view(tmp_path)
    watch(looking, 1)

    with pytest.raises(InputError, match="taken before the last one"):
        looking.see(cameras.pictures()[1], captured_s)

    looking.see(cameras.pictures()[1], 50.2)  # it goes on


@pytest.mark.parametrize("captured_s", [40.0, float("nan")])
def test_a_first_picture_that_is_refused_does_not_count(tmp_path: Path, captured_s: float):
    looking = view(tmp_path)
    with pytest.raises(InputError):
        looking.see(b"" if captured_s == 40.0 else cameras.pictures()[0], captured_s)

    assert watch(looking, 3)[-1].time_s == 1.0


def test_recording_begins_and_ends_when_it_is_told(tmp_path: Path):
    looking = view(tmp_path)
    watch(looking, 2)
    looking.record(600)
    assert looking.stop() is None, "nothing came"
    looking.record(600)
    looking._clock.now += 30
    seen = watch(looking, len(cameras.pictures()), start_s=80)

    take = looking.stop()

    assert looking.stop() is None, "it was stopped"
    assert seen[-1].recorded_s == pytest.approx(11.5)
    assert take is not None and not take.full
    assert take.size_px == (1280, 720)
    assert take.observations.samples.tolist() == list(range(12))
    counts = np.bincount(take.observations.faces.sample, minlength=12)
    assert (counts == cameras.PEOPLE).all()
    # The pictures themselves are those at whole seconds: every second one.
    wanted = [one.reading.faces.box[0, 0] for one in seen[::2]]
    assert take.observations.faces.box[:: cameras.PEOPLE, 0].tolist() == wanted


def test_what_is_left_out_for_a_time_is_counted_from_the_first_recorded_picture(tmp_path: Path):
    left_out = {"exclude": [{"what": "the beginning", "end": "0:02"}]}
    looking = view(tmp_path, privacy=left_out)
    assert [len(one.reading.faces) for one in watch(looking, 6)] == [0] * 4 + [cameras.PEOPLE] * 2
    looking.record(600)
    looking._clock.now += 30
    watch(looking, 6, start_s=80)

    take = looking.stop()

    assert take is not None and take.observations.samples.tolist() == [0, 1, 2]
    counts = np.bincount(take.observations.faces.sample, minlength=3)
    assert counts.tolist() == [0, 0, cameras.PEOPLE]
