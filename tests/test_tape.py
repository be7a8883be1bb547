"""Live pictures on the grid of samples: the same rule as for a file, and an end to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core.records import THUMBNAIL_PX, Faces, Observations
from fer_core.tape import STALE_S, Tape
from tests import factories

HEIGHT, WIDTH = 90, 160
MOST_S = 600


def plain(level: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.full((height, width), level, np.uint8)


def recorded(times_s: list[float], rate_hz: int = 1, most_s: int = MOST_S) -> Observations | None:
    """Record pictures whose grey level is their number."""
    tape = Tape(rate_hz, most_s)
    for number, time_s in enumerate(times_s):
        tape.add(time_s, plain(number), Faces.empty())
    return tape.end()


def shown(observations: Observations) -> dict[int, int]:
    """Return which picture each sample shows."""
    return dict(
        zip(observations.samples.tolist(), observations.thumbnails[:, 0, 0].tolist(), strict=True)
    )


def expected(times_s: list[float], rate_hz: int) -> dict[int, int]:
    """The rule itself, sample by sample: the last picture not after it, unless it is too old."""
    since = [time_s - times_s[0] for time_s in times_s]
    picture: dict[int, int] = {}
    for sample in range(int(since[-1] * rate_hz) + 1):
        before = [n for n, time_s in enumerate(since) if time_s <= sample / rate_hz]
        if sample / rate_hz - since[before[-1]] <= STALE_S:
            picture[sample] = before[-1]
    return picture


@factories.examples(100)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.sampled_from([1, 2, 4]))
def test_a_sample_shows_the_last_picture_at_or_before_it(sixteenths: list[int], rate_hz: int):
    # Sixteenths of a second are exact, so that ties are ties.
    times_s = (100 + np.cumsum([0, *sixteenths]) / 16).tolist()

    observations = recorded(times_s, rate_hz)

    assert observations is not None
    assert shown(observations) == expected(times_s, rate_hz)
    assert observations.content_end_s == times_s[-1] - times_s[0]


def test_where_no_picture_came_there_is_a_gap():
    observations = recorded([0, 1, 2, 9.5, 10])

    assert observations is not None
    # 2 s shows for a second more; then nothing until the next one.
    assert shown(observations) == {0: 0, 1: 1, 2: 2, 3: 2, 10: 4}


def test_without_any_picture_there_is_nothing():
    assert Tape(1, MOST_S).end() is None


def test_a_picture_alone_is_a_recording():
    observations = recorded([55.5])
    assert observations is not None and observations.samples.tolist() == [0]


def test_it_ends_at_its_limit_and_says_so():
    tape = Tape(1, 5)
    for tenth in range(200):
        tape.add(tenth / 10, plain(tenth % 200), Faces.empty())
    assert tape.full and tape.length_s == pytest.approx(4.9)
    observations = tape.end()
    assert observations is not None and observations.samples.tolist() == [0, 1, 2, 3, 4]


def test_a_clock_that_leaps_ahead_makes_no_rows():
    observations = recorded([0, 1, 1e12, 1e12 + 1])
    assert observations is not None and observations.samples.tolist() == [0, 1]


def test_what_moved_within_a_second_is_known_and_nothing_of_one_picture_twice():
    tape = Tape(2, MOST_S)
    for number, time_s in enumerate([0, 0.5, 1.5, 4.0]):
        tape.add(time_s, plain(10 * number), factories.faces(1, height_px=40))
    observations = tape.end()

    assert observations is not None
    # A second before 0.5 there was nothing; at 2.5 and 3.0 it was the same picture; 3.5 is a gap.
    assert observations.samples.tolist() == [0, 1, 2, 3, 4, 5, 6, 8]
    nan = np.nan
    wanted = [nan, nan, 10, 10, 10, nan, nan, 10]
    assert np.array_equal(observations.faces.change, np.float32(wanted), equal_nan=True)


def test_faces_are_black_in_thumbnails_also_once_the_camera_was_turned():
    tape = Tape(1, MOST_S)
    face = factories.faces(1, corner=np.array([[64.0, 32.0]]), height_px=32)
    tape.add(0, plain(200, 96, 160), face)
    turned = factories.faces(1, corner=np.array([[32.0, 64.0]]), height_px=32)
    tape.add(1, plain(200, 160, 96), turned)
    observations = tape.end()

    assert observations is not None and tape.size_px == (160, 96)
    for thumbnail, (left, top, height, width) in zip(
        observations.thumbnails, [(64, 32, 96, 160), (32, 64, 160, 96)], strict=True
    ):
        rows, columns = (
            slice(round(low * dots / side) + 1, round((low + size) * dots / side) - 1)
            for low, size, side, dots in (
                (top, 32, height, THUMBNAIL_PX[0]),
                (left, 24, width, THUMBNAIL_PX[1]),
            )
        )
        assert not thumbnail[rows, columns].any()
        assert thumbnail[0, 0] == 200
    # In pixels of the first picture, so that boxes can be compared.
    assert observations.faces.box[1] == pytest.approx(
        [32 * 160 / 96, 64 * 0.6, 24 * 160 / 96, 19.2]
    )
    assert replace(face, sample=face.sample).box[0] == pytest.approx(observations.faces.box[0])
