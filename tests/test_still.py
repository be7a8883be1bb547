"""Pictures of faces are told from people by what their pixels do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_core import segment, still, track, video
from fer_core.planes import Planes
from fer_core.records import Faces, Frame, Observations, Segment
from fer_core.settings import Tracking
from fer_core.tape import Tape
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
    # One second less counts than is seen: the first has none before it.
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


def test_a_face_that_was_not_there_a_second_before_does_not_count() -> None:
    # At four samples a second, in and out of sight every second: each sample follows another,
    # but nothing is known of what it was compared with.
    seen = lesson({2: 0.0}, seconds=60, rate_hz=4)
    away = (linked(seen).track == 2) & (seen.faces.sample // 4 % 2 == 1)
    flickers = seen.with_faces(~away)
    assert linked(flickers).count == linked(seen).count
    assert not still.still_tracks(flickers, linked(flickers)).any()
    assert still.still_tracks(seen, linked(seen)).nonzero()[0].tolist() == [2]


class _Brightening:
    """Stands for a sampler: each picture is one grey level lighter than the one before."""

    content_end_s = 4
    cpu_s = 0.0

    def __init__(self, _: object, part: Segment, rate_hz: int, *__: object) -> None:
        self._samples = range(part.start_s * rate_hz, 4 * rate_hz)
        self._rate_hz = rate_hz

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Frame]:
        for sample in self._samples:
            image = np.full((96, 96, 3), 50 + sample, np.uint8)
            yield Frame(sample, Fraction(sample, self._rate_hz), Planes.of_image(image))

    def failures_between(self, *_: object) -> int:
        return 0

    def stale(self, samples: NDArray[np.int64], _: float) -> NDArray[np.bool_]:
        return np.zeros(len(samples), np.bool_)


class _Finder:
    def detect(self, frame: Frame) -> Faces:
        return factories.faces(1, sample=frame.sample)


@pytest.mark.parametrize("rate_hz", [1, 4, 10])
@pytest.mark.parametrize("start_s", [0, 2])
def test_a_picture_is_compared_with_the_one_a_second_before(
    rate_hz: int, start_s: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(video, "Sampler", _Brightening)
    monkeypatch.setattr(segment, "YuNet", lambda *_, **__: _Finder())
    settings = factories.settings(sampling={"rate_hz": rate_hz})
    nothing: Any = None
    footage = segment.Footage("x", nothing, 1, None, nothing, tmp_path, settings, ())

    seen, _, _ = segment._see(footage, Segment(0, start_s, None))  # pyright: ignore[reportPrivateUsage]

    first, rest = np.split(seen.faces.change, [0 if start_s else rate_hz])
    assert np.isnan(first).all()
    assert rest.tolist() == [rate_hz] * (4 - start_s - (not start_s)) * rate_hz


@pytest.mark.parametrize("rate_hz", [1, 4])
def test_a_camera_s_picture_is_compared_with_the_one_a_second_before(rate_hz: int) -> None:
    live = Tape(rate_hz, 60)
    for sample in range(4 * rate_hz):
        grey = np.full((96, 96), 50 + sample, np.uint8)
        live.add(sample / rate_hz, grey, factories.faces(1, sample=sample))
    seen = live.end()
    assert seen is not None
    assert np.isnan(seen.faces.change[:rate_hz]).all()
    assert seen.faces.change[rate_hz:].tolist() == [rate_hz] * 3 * rate_hz


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
