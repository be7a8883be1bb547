"""What a page says of seconds that are not like the others, and of what there is too little of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer_core import report
from fer_core.records import EMOTIONS
from fer_core.report import Material
from tests import pages, tables


def drawn(seconds: pd.DataFrame, **changes: Any) -> str:
    """Render the page of a table of seconds without moments; keywords change the recording."""
    others = {name: changes.pop(name) for name in ("faces", "transcript") if name in changes}
    row = tables.recording(seconds, **changes)
    material = Material(row, seconds, tables.moments(count=0), **others)
    return report.lecture_page(material, course_name="biology-101")


def _set(seconds: pd.DataFrame, rows: Any, **values: Any) -> pd.DataFrame:
    copy = seconds.copy()
    for name, value in values.items():
        copy.loc[rows, name] = value
    return copy


def left_out(seconds: pd.DataFrame, rows: Any) -> pd.DataFrame:
    """Return a copy in which the whole picture of some rows is left out."""
    names = [*(f"p_{name}" for name in EMOTIONS), "uncertain", "facing", "engagement"]
    nulls = dict.fromkeys([*names, "engagement_low", "engagement_high"], np.nan)
    none = {"faces": 0, "faces_scored": 0, "suppressed": False, "left_out": True}
    return _set(seconds, rows, **nulls, **none)


def test_a_second_without_an_index_has_no_values_though_some_were_read() -> None:
    seconds = tables.seconds(24, 300, gaps=False)
    index = ["engagement", "engagement_low", "engagement_high"]
    seconds = _set(seconds, seconds["second"] >= 30, **dict.fromkeys(index, np.nan))
    root = pages.check(drawn(seconds))

    text = pages.text_of(pages.by_id(root, "minute")).replace("\u00a0", " ")
    assert "over the 10 % of the time that could be read" in text
    assert "30 of 300 s" in text
    assert "too few faces readable" in text
    hatched = {e.get("fill") for e in pages.by_id(root, "curve").iter() if e.get("fill")}
    assert "url(#curve-unread)" in hatched
    # What was read of some is shown with what was not, and counted.
    _, *rows = pages.csv_of(root, "groups")
    assert sum(int(row[-1]) for row in rows) == seconds["p_happy"].notna().sum() > 250


def test_seconds_that_are_left_out_are_no_empty_room() -> None:
    seconds = tables.seconds(24, 300, gaps=False)
    out = left_out(seconds, seconds["second"] < 200)
    shown = seconds.loc[200:, "faces"]
    root = pages.check(drawn(out))

    text = pages.text_of(pages.by_id(root, "minute"))
    assert f"a typical second showed {shown.median():g} people" in text
    low, high = shown.min(), shown.max()
    finding = pages.text_of(pages.by_id(root, "people-finding"))
    assert f"{shown.median():g} people visible in a typical second, {low} to {high}" in finding
    nothing = pages.check(drawn(out.head(200)))
    assert "The picture is left out of all" in pages.text_of(pages.by_id(nothing, "minute"))
    assert "in no second" in pages.text_of(pages.by_id(nothing, "people-finding"))


def test_tables_of_single_people_are_only_gone_where_there_were_some() -> None:
    given = {"per_person_reason": "seminar pilot"}
    gone = "those tables have been deleted"

    assert gone in drawn(tables.seconds(28, 60), **given)
    assert gone not in drawn(tables.seconds(28, 60, people=0), tracks=0, **given)
    assert gone not in drawn(tables.seconds(11, 0), status="failed", **given)
    shown = drawn(tables.seconds(28, 60), faces=tables.faces(28, 60), **given)
    assert "seminar pilot" in shown and gone not in shown


@pytest.mark.parametrize(
    ("count", "told", "advice"),
    [
        (None, "too few people could be read, to compare", "there was too little to compare"),
        (0, "Nothing reliable stood out", "Nothing stood out, so nothing needs to be watched"),
        (1, "One moment had stood out. It has been deleted", "had stood out have been deleted"),
        (2, "2 moments had stood out. They have been", "had stood out have been deleted"),
    ],
)
def test_that_nothing_stood_out_is_only_said_where_it_is_so(
    count: int | None, told: str, advice: str
) -> None:
    root = pages.check(drawn(tables.seconds(4, 600, gaps=False), moments=count))
    minute, more = (pages.text_of(pages.by_id(root, name)) for name in ("minute", "next"))
    finding = pages.text_of(pages.by_id(root, "curve-finding"))

    assert told in minute and advice in more
    assert ("Nothing reliable stood out" in minute) == (count == 0)
    assert ("nothing reliable stood out" in finding) == (count == 0)


def _finding(values: np.ndarray, **changes: Any) -> str:
    rows = tables.seconds(5, len(values), gaps=False)
    name = "facing" if changes else "engagement"
    rows = _set(rows, slice(None), **{name: values.astype(np.float32)})
    root = pages.check(drawn(rows, **changes))
    return pages.text_of(pages.by_id(root, "curve-finding"))


def test_the_range_is_of_the_means_it_names_whatever_gaps_there_are() -> None:
    values = 0.7 + np.random.default_rng(0).normal(0, 0.08, 1200)
    values[300:360] = 0.5
    single = pd.Series(values).where(np.arange(1200) % 2 == 0)
    means = single.rolling(60, center=True, min_periods=30).mean()
    low, high = means.min(), means.max()
    assert high - low > 0.15

    assert f", {low:.2f} to {high:.2f} in its 60-second means" in _finding(single.to_numpy())


def test_the_range_is_not_of_what_is_left_of_it_in_a_drawing_of_hours() -> None:
    values = 0.7 + np.random.default_rng(0).normal(0, 0.1, 10_800)
    means = pd.Series(values).rolling(10, center=True, min_periods=5).mean()

    finding = _finding(values, mode="presence")
    assert f", {means.min():.2f} to {means.max():.2f} in its 10-second means" in finding


def test_a_few_seconds_have_no_range() -> None:
    values = np.full(600, np.nan)
    values[100:120] = 0.6

    assert _finding(values).startswith("Engagement index 0.60 on average")
    assert "means" not in _finding(values)
