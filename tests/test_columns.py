"""A lecture's columns and its charts: every stretch in the state and at the height it has."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fer_core import charts
from fer_core.records import EMOTIONS
from fer_core.summary import STATES, Columns, Lecture
from fer_core.wording import words
from tests import tables
from tests.pages import drawn
from tests.test_charts import frame


def long_lecture(n: int = 2000) -> tuple[pd.DataFrame, Columns]:
    """Make a lecture so long that a column is several seconds, and its columns."""
    seconds = tables.seconds(6, n, gaps=False, people=20)
    noise = np.random.default_rng(6).uniform(0.2, 0.9, n).astype(np.float32)
    seconds["engagement"], seconds["facing"] = noise, noise[::-1].copy()
    seconds["engagement_low"], seconds["engagement_high"] = noise - 0.2, noise + 0.1
    return seconds, Lecture.of(seconds, presence=False).columns()


@pytest.mark.parametrize("n", [100, 179, 180, 600, 900, 2000])
def test_each_curve_is_the_mean_that_its_key_names(n: int) -> None:
    seconds, columns = long_lecture(n)
    step, calm_s = math.ceil(n / 900), 60 if n >= 180 else 10

    def expected(name: str, width: int) -> np.ndarray:
        values = seconds[name].to_numpy(float)
        means = [
            values[max(0, at - width // 2) : at + width - width // 2].mean() for at in range(n)
        ]
        return np.array([np.mean(means[k : k + step]) for k in range(0, n, step)])

    for found, name, width in (
        (columns.fine, "engagement", 10),
        (columns.calm, "engagement", calm_s),
        (columns.low, "engagement_low", calm_s),
        (columns.high, "engagement_high", calm_s),
        (columns.facing, "facing", 10),
    ):
        np.testing.assert_allclose(found, expected(name, width), atol=1e-6, err_msg=name)


def test_a_column_is_what_most_of_its_seconds_are() -> None:
    faces = np.full(2000, 9)
    frames = np.ones(2000, int)
    frames[1::3] = 0  # the middle one of three
    frames[600:1200] = 0
    frames[600:1200:3] = 1  # the first one of three
    columns = Lecture.of(frame(faces=faces * frames, frames=frames), presence=True).columns()
    assert columns.step_s == 3
    states = [STATES[k] for k in columns.state[:-1]]
    assert states == ["values"] * 200 + ["no_picture"] * 200 + ["values"] * 266


def test_in_presence_mode_too_few_people_are_withheld() -> None:
    lecture = Lecture.of(frame(faces=[0, 3, 9], suppressed=[False, True, False]), presence=True)
    assert [STATES[k] for k in lecture.state] == ["nobody", "withheld", "values"]


def test_a_lost_picture_in_what_is_left_out_is_a_lost_picture() -> None:
    lecture = Lecture.of(frame(faces=[0, 0], frames=[0, 1], left_out=[True, True]), presence=True)
    assert [STATES[k] for k in lecture.state] == ["no_picture", "left_out"]


def test_a_row_counts_the_seconds_with_an_index_and_those_with_shares() -> None:
    known = [None, 0.5, 0.5, 0.5]
    read = {f"p_{name}": known for name in EMOTIONS}
    lecture = Lecture.of(
        frame(
            faces=[9, 9, 9, 9],
            engagement=[None, None, None, 0.7],
            uncertain=[1, 0.5, 0.5, 0],
            **read,
        ),
        presence=False,
    )
    # Of the first nobody could be read: that is no share of people who could not.
    assert np.isnan(lecture.groups[0]).all()
    row = lecture._row(0, 4)
    assert (row.with_values, row.with_shares) == (1, 3)


def test_the_last_hatching_ends_at_the_edge() -> None:
    frames = np.ones(2000, int)
    frames[1990:] = 0
    columns = Lecture.of(frame(faces=frames * 9, frames=frames), presence=True).columns()
    chart = drawn(charts.timeline("t", columns, words(), title="x", description="y", presence=True))
    hatched = [e for e in chart.iter("rect") if "no_picture" in e.get("fill", "")]
    assert hatched
    for e in hatched:
        x, width = (float(e.get(name, "")[:-1]) for name in ("x", "width"))
        assert x + width == pytest.approx(100, abs=0.011)


def test_words_per_minute_stand_in_their_minute_at_their_height() -> None:
    rates = np.array([120.0, math.nan, 60.0])
    chart = drawn(charts.pace_bars("p", rates, [(0, 30)], 150, words(), title="x", description="y"))
    bars = [e for e in chart.iter("rect") if e.get("class") == "area pace"]
    places = [tuple(e.get(name) for name in ("x", "width", "y", "height")) for e in bars]
    # The axis ends at 150 words, and 96 px are its height, from 24 on.
    assert places == [("0%", "37.6%", "43.2", "76.8"), ("80%", "18.8%", "81.6", "38.4")]


def test_an_excerpt_marks_its_moment_where_it_is() -> None:
    lecture = Lecture.of(tables.seconds(5, 600), presence=False)
    columns = lecture.part(130, 430).columns(calm_s=10)
    mark = charts.Mark(250, 310, "1")
    chart = drawn(
        charts.excerpt("x", columns, words(), begin=130, mark=mark, title="t", description="d")
    )
    (area,) = [e for e in chart.iter("rect") if e.get("class") == "moment"]
    assert (area.get("x"), area.get("width")) == ("40%", "20%")
