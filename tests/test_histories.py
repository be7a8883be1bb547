"""Lectures in the order of time, and excerpts of one: every value where its axis says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fer_core import charts
from fer_core.histories import Dot, axis_of, history
from fer_core.summary import Lecture
from fer_core.wording import words
from tests import tables
from tests.pages import drawn


@pytest.mark.parametrize(
    ("values", "axis"),
    [
        ([(0.71, 0.66, 0.78), (0.62, 0.55, 0.69)], (0.5, 0.8)),
        ([(0.7, 0.7, 0.7)], (0.5, 0.7)),
        ([(0.98, 0.95, 1.0)], (0.8, 1.0)),
        ([(0.0, 0.0, 0.05)], (0.0, 0.2)),
        ([(0.3, None, None), (None, None, None)], (0.1, 0.3)),
        ([(None, None, None)], (0.0, 1.0)),
        ([], (0.0, 1.0)),
    ],
)
def test_a_history_s_axis_holds_every_interval_between_tenths(
    values: list[tuple[float | None, ...]], axis: tuple[float, float]
) -> None:
    dots = [Dot(*value) for value in values]

    assert axis_of(dots) == pytest.approx(axis)
    drawn(history("x", dots, words(), title="t", description="d", band=(0.5, 0.6, 0.7)))


def test_a_history_places_dots_and_whiskers_on_its_axis() -> None:
    dots = [Dot(0.5, 0.4, 0.6), Dot(None), Dot(0.6, 0.5, 0.7, joined=False, here=True)]
    chart = drawn(history("x", dots, words(), title="t", description="d", height=100))

    whiskers = [e for e in chart.iter("line") if e.get("class") == "whisker"]
    # The axis reaches from 0.4 (bottom, 108 px) to 0.7 (top, 8 px).
    ends = [(float(e.get("y1", "")), float(e.get("y2", ""))) for e in whiskers]
    assert ends == [pytest.approx((41.33, 108), abs=0.01), pytest.approx((8, 74.67), abs=0.01)]
    assert [e.get("x1") for e in whiskers] == ["16.67%", "83.33%"]
    assert len([e for e in chart.iter() if e.get("class") == "dot"]) == 1
    assert len([e for e in chart.iter() if e.get("class") == "dot here"]) == 1
    assert [
        e.get("d", "").count("M") for e in chart.iter("path") if "thin" in e.get("class", "")
    ] == [1, 1]


def test_an_excerpt_keeps_the_recording_s_own_clock() -> None:
    lecture = Lecture.of(tables.seconds(5, 600), presence=False)
    columns = lecture.part(130, 430).columns(calm_s=10)
    mark = charts.Mark(250, 310, "1")
    chart = drawn(
        charts.excerpt("x", columns, words(), begin=130, mark=mark, title="t", description="d")
    )

    labels = {e.text: e.get("x", "") for e in chart.iter("text") if ":" in (e.text or "")}
    assert {text: float(x[:-1]) for text, x in labels.items()} == {
        f"{second // 60:02}:{second % 60:02}": pytest.approx(100 * (second - 130) / 300, abs=0.01)
        for second in (180, 240, 300, 360, 420)
    }
    (area,) = [e for e in chart.iter("rect") if e.get("class") == "moment"]
    assert (area.get("x"), area.get("width")) == ("40%", "20%")


def test_a_cut_axis_holds_every_curve_and_says_what_it_shows() -> None:
    lecture = Lecture.of(tables.seconds(5, 600), presence=False)
    columns = lecture.columns()
    low, high = charts.index_axis(columns)
    known = np.concatenate([columns.low, columns.fine, columns.calm, columns.high])
    assert 0 <= low <= np.nanmin(known) and np.nanmax(known) <= high <= 1
    assert (low, high) != (0, 1)

    chart = drawn(charts.timeline("x", columns, words(), title="t", description="d"))

    texts = [e.text for e in chart.iter("text")]
    assert f"Engagement index, only {low:g} to {high:g} shown" in texts
    assert {f"{low:g}", f"{high:g}"} <= set(texts)
    line = next(e.get("d", "") for e in chart.iter("path") if e.get("class") == "line")
    first = float(line.split("L")[0].split(" ")[1])
    drawn_at = low + (1000 - first) / 1000 * (high - low)
    assert drawn_at == pytest.approx(columns.calm[0], abs=0.001)


def test_a_flat_curve_is_not_blown_up() -> None:
    flat = Lecture.of(tables.seconds(5, 200), presence=False)
    columns = dataclasses.replace(
        flat.columns(), **{name: np.full(200, 0.97) for name in ("low", "fine", "calm", "high")}
    )

    assert charts.index_axis(columns) == pytest.approx((0.8, 1.0))


def test_a_name_in_its_area_keeps_off_the_axis() -> None:
    columns = Lecture.of(tables.seconds(5, 300), presence=False).columns()
    layers = [("neutral", "neutral expression", np.ones(300))]
    chart = drawn(charts.stacked("x", columns, words(), title="t", description="d", layers=layers))

    (label,) = [e for e in chart.iter("text") if e.get("class") == "inside"]
    # On the narrowest phone, 288 px: half of 18 letters, and "100 %", at 7 px a letter.
    assert float(label.get("x", "").rstrip("%")) / 100 * 288 >= 7 * 9 + 7 * 5
