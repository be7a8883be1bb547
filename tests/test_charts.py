"""The charts and what they are drawn from: nothing bridged, nothing invented, nothing lost."""

from __future__ import annotations

import math
import re
import tomllib
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core import assets, charts, svg
from fer_core.records import EMOTIONS
from fer_core.summary import GROUPS, STATES, Columns, Lecture, smooth
from fer_core.wording import Wording, clean, rounded_parts, words
from tests import factories, tables
from tests.pages import drawn

SHARES = st.lists(
    st.one_of(st.none(), st.floats(0, 1, width=32)).map(lambda v: math.nan if v is None else v),
    min_size=1,
    max_size=60,
).map(np.array)


def subpaths(path: str, span: float) -> list[list[tuple[float, float]]]:
    """Read path data back: the points of each unbroken piece, x in columns."""
    box = drawn(svg.stretched(span, 0, 100)).get("viewBox", "").split()
    wide = float(box[2]) / span
    pieces = [re.findall(r"-?[\d.]+", piece) for piece in path.split("M") if piece]
    return [
        [(float(x) / wide, float(y)) for x, y in zip(p[::2], p[1::2], strict=True)] for p in pieces
    ]


def stretches(valid: Any) -> list[tuple[int, int]]:
    """Find unbroken stretches the slow way."""
    found: list[tuple[int, int]] = []
    for index, here in enumerate(valid):
        if here and index and valid[index - 1]:
            found[-1] = (found[-1][0], index + 1)
        elif here:
            found.append((index, index + 1))
    return found


@factories.examples(100)
@given(SHARES)
def test_a_line_has_one_piece_a_stretch_and_stands_where_its_values_are(values: Any) -> None:
    pieces = subpaths(svg.line_path(values, len(values)), len(values))

    expected = stretches(~np.isnan(values))
    assert [(p[0][0], p[-1][0]) for p in pieces] == expected
    for piece, (start, stop) in zip(pieces, expected, strict=True):
        middles = piece[1:-1]
        assert [x for x, _ in middles] == [k + 0.5 for k in range(start, stop)]
        heights = [(1000 - y) / 1000 for _, y in middles]
        assert heights == pytest.approx(list(values[start:stop]), abs=0.0006)


@factories.examples(100)
@given(SHARES)
def test_a_band_never_covers_a_gap(values: Any) -> None:
    low, high = values, np.roll(values, 1)
    both = ~np.isnan(low) & ~np.isnan(high)

    pieces = subpaths(svg.band_path(low, high, len(values)), len(values))

    expected = stretches(both)
    assert [(min(x for x, _ in p), max(x for x, _ in p)) for p in pieces] == expected


def test_a_last_column_that_is_shorter_ends_at_the_edge() -> None:
    points = subpaths(svg.line_path(np.array([0.5, 0.5]), 1.25), 1.25)[0]

    assert max(x for x, _ in points) == 1.25


@factories.examples(100)
@given(SHARES, st.integers(1, 70))
def test_smoothing_is_a_mean_that_stops_at_gaps(values: Any, width: int) -> None:
    result = smooth(values, width)

    expected = np.full(len(values), math.nan)
    for start, stop in stretches(~np.isnan(values)):
        for at in range(start, stop):
            first = max(start, at - width // 2)
            last = min(stop, at + width - width // 2)
            expected[at] = values[first:last].mean()
    np.testing.assert_allclose(result, expected, atol=1e-9)


@factories.examples(100)
@given(st.integers(1, 40_000))
def test_the_time_axis_is_round_and_not_crowded(seconds: int) -> None:
    marks = svg.ticks(seconds)

    assert marks[0] == 0
    assert len(marks) <= 10
    assert marks[-1] <= seconds
    steps = set(np.diff(marks).tolist())
    assert len(steps) <= 1
    assert steps <= set(svg.TICKS_S)


@factories.examples(100)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=9))
def test_rounded_parts_add_up_to_the_rounded_whole(parts: list[float]) -> None:
    rounded = rounded_parts(parts, 1)

    assert sum(rounded) == round(sum(parts))
    assert all(abs(a - b) < 1 + 1e-6 for a, b in zip(rounded, parts, strict=True))


def frame(**columns: Any) -> pd.DataFrame:
    """Make a few seconds by hand; values not given are NULL."""
    n = len(columns["faces"])
    nulls = [*(f"p_{e}" for e in EMOTIONS), "uncertain", "facing", "engagement"]
    blank = dict.fromkeys([*nulls, "engagement_low", "engagement_high"], [None] * n)
    rest = {
        "second": range(n),
        "frames": [1] * n,
        "suppressed": [False] * n,
        "left_out": [False] * n,
        "faces_scored": columns["faces"],
    }
    return pd.DataFrame(blank | rest | columns)


def test_every_second_is_exactly_one_thing() -> None:
    seconds = frame(
        frames=[0, 1, 1, 1, 1, 1, 1],
        faces=[0, 0, 0, 3, 9, 9, 9],
        suppressed=[False, False, True, True, False, False, False],
        engagement=[None, None, None, None, None, None, 0.7],
        # Three of nine could be read: of those, there are expressions, but there is no index.
        **{f"p_{name}": [*[None] * 5, 1 / 7, 1 / 7] for name in EMOTIONS},
        uncertain=[*[None] * 5, 2 / 3, 0],
    )

    lecture = Lecture.of(seconds, presence=False)

    assert [STATES[s] for s in lecture.state] == [
        "no_picture",
        "nobody",
        "nobody",
        "withheld",
        "unread",
        "unread",
        "values",
    ]
    assert sum(lecture.count(state) for state in STATES) == 7


def test_a_second_the_table_lacks_has_no_picture() -> None:
    lecture = Lecture.of(frame(faces=[4, 4], second=[0, 3]), presence=True)

    assert [STATES[s] for s in lecture.state] == ["values", "no_picture", "no_picture", "values"]
    assert lecture.people().tolist() == [4, 4]


def test_where_the_picture_was_left_out_nobody_counted_people() -> None:
    left_out = [True, True, False, False, True, True, True, True, True, True, False, False]
    faces = np.where(left_out, 0, 11)
    lecture = Lecture.of(frame(faces=faces, left_out=left_out), presence=True)

    assert lecture.people().tolist() == [11] * 4
    assert np.isnan(lecture.columns().people).tolist() == left_out
    people = [(row.people, row.people_low, row.people_high) for row in lecture.rows()]
    assert people[2] == (11, 11, 11)
    assert np.isnan(people[4]).all()


def test_groups_are_shares_of_everybody_visible() -> None:
    lecture = Lecture.of(tables.seconds(2, 300), presence=False)

    total = lecture.groups.sum(axis=1)
    known = lecture.state == STATES.index("values")
    np.testing.assert_allclose(total[known], 1, atol=1e-5)
    assert np.isnan(total[~known]).all()


@pytest.mark.parametrize("n", [1, 7, 899, 900, 901, 2345, 10_801])
def test_columns_are_means_of_their_seconds(n: int) -> None:
    seconds = tables.seconds(n, n)
    lecture = Lecture.of(seconds, presence=False)
    columns = lecture.columns()

    assert len(columns) == math.ceil(n / columns.step_s) <= 900
    people = seconds["faces"].where(seconds["frames"] > 0)
    group = seconds["second"] // columns.step_s
    mean = people.groupby(group).mean()
    enough = people.notna().groupby(group).mean() >= 0.5
    np.testing.assert_allclose(columns.people, mean.where(enough), atol=1e-9)


def test_a_gap_is_a_gap_in_every_curve() -> None:
    seconds = tables.seconds(3, 200, gaps=False, people=20)
    nulls = [*(f"p_{e}" for e in EMOTIONS), "uncertain", "facing", "engagement"]
    seconds.loc[50:59, [*nulls, "engagement_low", "engagement_high"]] = np.nan
    seconds.loc[50:59, ["frames", "faces"]] = 0
    columns = Lecture.of(seconds, presence=False).columns()
    text = words()

    picture = charts.timeline("t", columns, text, title="x", description="y")
    stack = charts.stacked(
        "s",
        columns,
        text,
        title="x",
        description="y",
        layers=[(name, name, columns.groups[:, i]) for i, name in enumerate(GROUPS)],
    )

    for chart, count in ((picture, 5), (stack, 4)):
        paths = [
            e.get("d", "") for e in drawn(chart).iter("path") if "ink" not in e.get("class", "")
        ]
        assert len(paths) == count
        for path in paths:
            before, after = subpaths(path, 200)
            assert max(x for x, _ in before) == 50
            assert min(x for x, _ in after) == 60
    for chart in (picture, stack):
        hatched = [e for e in drawn(chart).iter("rect") if "no_picture" in e.get("fill", "")]
        assert {(e.get("x"), e.get("width")) for e in hatched} == {("25%", "5%")}


def test_moments_are_marked_where_they_are_and_numbered_apart() -> None:
    columns = Lecture.of(tables.seconds(4, 1000), presence=False).columns()
    marks = [charts.Mark(500, 560, "1"), charts.Mark(505, 560, "2"), charts.Mark(0, 60, "3")]

    chart = drawn(charts.timeline("t", columns, words(), title="x", description="y", marks=marks))

    areas = [e for e in chart.iter("rect") if e.get("class") == "moment"]
    assert sorted((e.get("x"), e.get("width")) for e in areas) == [
        ("0%", "6%"),
        ("50%", "6%"),
        ("50.5%", "5.5%"),
    ]
    flags = [float(e.get("cx", "")[:-1]) for e in chart.iter("circle")]
    assert min(np.diff(flags)) >= 5.9
    assert [e.text for e in chart.iter("text") if e.get("class") == "flag-label"] == ["3", "1", "2"]


def test_the_stack_reaches_its_top() -> None:
    columns = Lecture.of(tables.seconds(5, 100, gaps=False, people=20), presence=False).columns()
    layers = [(name, name, columns.probs[:, i]) for i, name in enumerate(EMOTIONS)]

    chart = drawn(charts.stacked("s", columns, words(), title="x", description="y", layers=layers))

    bottom, *_, top = [e.get("d", "") for e in chart.iter("path") if "area" in e.get("class", "")]
    assert max(y for _, y in subpaths(bottom, 100)[0]) == 1000
    assert min(y for _, y in subpaths(top, 100)[0]) <= 1


@factories.examples(100)
@given(SHARES)
def test_a_label_stands_in_its_layer_or_nowhere(values: Any) -> None:
    n = len(values)
    state = np.where(np.isnan(values), STATES.index("no_picture"), 0).astype(np.uint8)
    empty, table = np.full(n, math.nan), np.full((n, 4), math.nan)
    columns = Columns(n, 1, state, empty, empty, empty, empty, empty, empty, 10, table, table)
    layers = [("low", "below", values), ("high", "above", 1 - values)]

    chart = drawn(charts.stacked("s", columns, words(), title="x", description="y", layers=layers))

    for label in (e for e in chart.iter("text") if e.get("class") == "inside"):
        share = values[int(float(label.get("x", "")[:-1]) / 100 * n)]
        above_zero = (210 - (float(label.get("y", "")) - 4)) / 200
        middle = share / 2 if label.text == "below" else (1 + share) / 2
        assert above_zero == pytest.approx(middle, abs=0.001)


def test_foreign_text_stays_text() -> None:
    nasty = "</title><script>\x00\ud800\u202e\"'&"

    element = drawn(svg.tag("text", nasty, x=nasty))

    assert element.text == element.get("x") == "</title><script>���\"'&"
    assert list(element) == []


@factories.examples(100)
@given(st.text(max_size=50))
def test_cleaned_text_is_printable_and_no_longer(text: str) -> None:
    shown = clean(text, 20)

    assert len(shown) <= 20
    shown.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (0.0001, "<1"), (0.01, "1"), (0.5, "50"), (0.9999, ">99"), (1, "100")],
)
def test_a_share_that_is_there_is_never_nothing(share: float, text: str) -> None:
    assert words().percent(share) == f"{text}\u00a0%"


@pytest.mark.parametrize(
    ("second", "at", "long"),
    [
        (0, "00:00", "0 s"),
        (59.4, "00:59", "59 s"),
        (60, "01:00", "1 min"),
        (3599.7, "59:59", "1 h"),
        (3600, "1:00:00", "1 h"),
        (5400, "1:30:00", "1 h 30 min"),
        (3661, "1:01:01", "1 h 1 min"),
    ],
)
def test_times_are_written_as_people_read_them(second: float, at: str, long: str) -> None:
    assert words().at(second) == at
    assert words().duration(second).replace("\u00a0", " ") == long


def test_values_in_a_string_are_never_templates() -> None:
    text = Wording({"x": "a {v} b", "n": {"one": "{n} {v}", "other": "{n} of {v}"}})

    assert text("x", v="{v.__class__}") == "a {v.__class__} b"
    assert text("n", n=1, v="{n}") == "1 {n}"
    assert text("n", n=1200, v="{n}") == "1,200 of {n}"


def _luminance(colour: str) -> float:
    colour = colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(params=[0, 1, 2], ids=["light", "dark", "print"])
def colours(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the colours of one theme of the stylesheet, by name."""
    css = (assets.templates() / "page.css").read_text("utf-8")
    blocks = [b for b in re.findall(r":root \{(.*?)\}", css, re.DOTALL) if "--paper" in b]
    assert len(blocks) == 3
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", blocks[request.param]))


def test_colours_can_be_told_from_their_paper(colours: dict[str, str]) -> None:
    for text in ("ink", "muted", "accent", "warn"):
        for paper in ("paper", "raised"):
            assert _contrast(colours[text], colours[paper]) >= 4.5, text
    assert _contrast(colours["warn"], colours["warn-paper"]) >= 4.5
    assert _contrast(colours["flag"], colours["paper"]) >= 4.5
    for shape in (*EMOTIONS, "other", "known", "edge", "crowd-line", "pace"):
        assert _contrast(colours[shape], colours["paper"]) >= 3, shape


def test_a_copy_without_colour_still_tells_areas_apart(colours: dict[str, str]) -> None:
    # Three to one between all of them and their paper is more than black and white hold; the
    # lines between areas have the paper's colour, and of each area that is three to one.
    for one, other in combinations(("neutral", "happy", "other"), 2):
        assert _contrast(colours[one], colours[other]) >= 2, (one, other)
    # The edges of the interval and of a moment, wherever they cross.
    for ground in ("paper", "band", "moment"):
        assert _contrast(colours["fine"], colours[ground]) >= 3, ground
        assert _contrast(colours["flag"], colours[ground]) >= 3, ground


def test_names_and_order_of_expressions_are_complete() -> None:
    path = assets.templates() / "strings" / "en.toml"
    catalogue = tomllib.loads(path.read_text("utf-8"))

    assert sorted(charts.SEVEN) == sorted(EMOTIONS) == sorted(catalogue["emotions"])
    assert set(GROUPS) == set(catalogue["groups"])
    assert set(STATES) <= set(catalogue["states"])


def test_columns_of_one_second_draw_something() -> None:
    columns: Columns = Lecture.of(tables.seconds(6, 1), presence=False).columns()

    chart = drawn(charts.timeline("t", columns, words(), title="x", description="y"))

    line = next(e.get("d", "") for e in chart.iter("path") if e.get("class") == "line")
    assert [x for x, _ in subpaths(line, 1)[0]] == [0, 0.5, 1]
