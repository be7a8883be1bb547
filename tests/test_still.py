"""Pictures of faces are told from people by what their pixels do."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fer_core import still, track
from fer_core.records import Observations
from fer_core.settings import Tracking
from tests import factories

TRACKING = Tracking()  # pyright: ignore[reportCallIssue]


def lesson(pictures: dict[int, float], seconds: int = 40, rate_hz: int = 1) -> Observations:
    """Script a class of six of whom some are pictures that change so many grey levels."""
    made = factories.lesson(3, people=6, seconds=seconds, rate_hz=rate_hz)
    change = made.observations.faces.change.copy()
    for person, level in pictures.items():
        change[made.person == person] = level
    return replace(made.observations, faces=replace(made.observations.faces, change=change))


def linked(seen: Observations) -> track.Tracks:
    return track.link(seen, TRACKING)


def test_what_never_changes_is_a_picture() -> None:
    seen = lesson({1: 0.0, 4: 1.2})
    assert still.still_tracks(seen, linked(seen)).nonzero()[0].tolist() == [1, 4]


@pytest.mark.parametrize("rate_hz", [1, 3])
def test_a_picture_seen_for_a_short_time_may_be_a_person(rate_hz: int) -> None:
    # One sample less counts than is seen: the first has none before it.
    for seconds, picture in ((still.STILL_S, False), (still.STILL_S + 1, True)):
        seen = lesson({2: 0.0}, seconds=seconds, rate_hz=rate_hz)
        assert still.still_tracks(seen, linked(seen)).any() == picture


def test_a_picture_somebody_walks_past_is_still_one() -> None:
    seen = lesson({2: 0.0})
    change = seen.faces.change.copy()
    mine = np.flatnonzero(linked(seen).track == 2)
    change[mine[[5, 20]]] = 80
    seen = replace(seen, faces=replace(seen.faces, change=change))
    assert still.still_tracks(seen, linked(seen)).nonzero()[0].tolist() == [2]


def test_what_is_left_out_leaves_the_others_as_they_are() -> None:
    whole = lesson({})
    seen = lesson({0: 0.0, 3: 0.0})
    tracks = linked(seen)
    rest, others = still.without(seen, tracks, still.still_tracks(seen, tracks))
    assert others.count == 4
    assert sorted(set(others.track.tolist())) == [0, 1, 2, 3]
    assert len(rest.samples) == len(whole.samples)
    kept = np.isin(tracks.track, [1, 2, 4, 5])
    assert np.array_equal(rest.faces.box, seen.faces.box[kept])
    assert np.array_equal(np.unique(tracks.track[kept])[others.track], tracks.track[kept])


def test_nobody_at_all() -> None:
    seen = factories.observations(factories.faces(0), seconds=5)
    tracks = linked(seen)
    left = still.still_tracks(seen, tracks)
    assert left.shape == (0,)
    assert still.without(seen, tracks, left)[1].count == 0


def test_change_is_the_mean_difference_inside_the_box() -> None:
    before = np.full((100, 100), 100, np.uint8)
    image = before.copy()
    image[10:60, 10:60] = 110
    boxes = np.array([[10, 10, 49, 49], [60, 60, 30, 30], [-20, -20, 29, 29], [200, 0, 9, 9]])
    found = still.change(before, image, boxes.astype(np.float32))
    assert found[0] == pytest.approx(10, abs=0.1)
    assert found[1] == 0
    assert found[2] == 0
    assert np.isnan(found[3])
    assert np.isnan(still.change(None, image, boxes.astype(np.float32))).all()
    assert np.isnan(still.change(before[:50], image, boxes.astype(np.float32))).all()


def test_noise_alone_is_no_movement() -> None:
    random = np.random.default_rng(1)
    face = random.integers(30, 220, (80, 60, 3)).astype(float)
    box = np.array([[0, 0, 59, 79]], np.float32)
    # A camera's noise at four grey levels; a change of light by one.
    noisy = [
        cv2.cvtColor(
            np.clip(face + random.normal(light, 4, face.shape), 0, 255).astype(np.uint8),
            cv2.COLOR_BGR2GRAY,
        )
        for light in (0, 1)
    ]
    assert still.change(noisy[0], noisy[1], box)[0] < still.STILL_GREY
    moved = np.roll(noisy[0], 2, axis=1)
    assert still.change(noisy[0], moved, box)[0] > 3 * still.STILL_GREY
