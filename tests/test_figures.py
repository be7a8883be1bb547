"""What the sections and figures of a page say of their numbers: true, and the same everywhere."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

import pandas as pd
import pytest

from fer_core import report
from fer_core.records import EMOTIONS
from fer_core.report import Material
from tests import pages, tables


def read(seconds: pd.DataFrame, **changes: Any) -> Element:
    """Render the page of a table of seconds, check it and return its tree."""
    recording = tables.recording(seconds, **changes)
    material = Material(recording, seconds, tables.moments(count=0))
    return pages.check(report.lecture_page(material, course_name="biology-101"))


def section(root: Element, name: str) -> str:
    """Return the text of a section."""
    return pages.text_of(pages.by_id(root, name))


@pytest.mark.parametrize("variant", ["expression", "expression_x_facing"])
def test_what_a_face_counts_is_its_weight_by_the_largest(variant: str) -> None:
    root = read(tables.seconds(1, 60), engagement_variant=variant)

    # The weights are 0.9 and 0.6.
    timeline = section(root, "timeline")
    assert "a neutral face counts 1 and a smile 0.67," in timeline
    assert ("1 means that every face is neutral" in timeline) == (variant == "expression")
    rows = {
        pages.text_of(row[0]): pages.text_of(row[2])
        for row in pages.by_id(root, "expressions").iter("tr")
        if len(row) == 3
    }
    assert (rows["neutral"], rows["smiling (happy)"], rows["disgust"]) == ("1", "0.67", "0.22")


def test_a_recording_that_is_cut_off_does_not_claim_to_be_whole() -> None:
    seconds = tables.seconds(1, 91, gaps=False)
    cut = {"status": "partial", "duration_s_from_header": 150.2, "duration_s_from_content": 90.04}
    root = read(seconds, **cut)

    # 91 of 150 seconds.
    minute = section(root, "minute")
    assert "In the first 1\u00a0min 31\u00a0s of 2\u00a0min 30\u00a0s, a typical second" in minute
    assert "61\u00a0% 91 of 150\u00a0s the last 59\u00a0s were not read" in minute
    notice = section(root, "notice")
    assert "It was read up to 01:31, but declares 2\u00a0min 30\u00a0s" in notice
    assert "gap" not in notice
    rows = tables.recordings(1).assign(**cut, seconds=91, seconds_scored=91)
    index = pages.check(report.index_page(rows))
    assert "61\u00a0%" in section(index, "all")


def test_what_is_missing_in_the_midst_is_drawn_as_a_gap() -> None:
    seconds = tables.seconds(1, 91, gaps=False)
    seconds.loc[40:50, ["frames", "faces"]] = 0
    root = read(seconds, status="partial")

    assert "drawn as a gap" in section(root, "notice")
    assert "were not read" not in section(root, "minute")


def test_withheld_is_also_where_enough_were_seen_but_too_few_could_be_read() -> None:
    values = ["engagement", "engagement_low", "engagement_high", "uncertain", "facing"]
    seconds = tables.seconds(1, 60, gaps=False)
    seconds.loc[:2, values] = float("nan")
    seconds.loc[:2, ["faces", "faces_scored", "suppressed"]] = [5, 3, True]
    root = read(seconds)

    assert "3\u00a0s withheld (fewer than 5 people seen or readable)" in section(root, "minute")
    assert "fewer were seen or readable are withheld" in section(root, "notice")

    few = tables.seconds(1, 60, people=4, presence=True, gaps=False)
    present = read(few, mode="presence")
    assert "withheld (fewer than 5 people seen)" in section(present, "minute")
    assert "fewer were seen are withheld" in section(present, "notice")


def test_seconds_in_which_few_could_be_read_count_as_uncertain() -> None:
    seconds = tables.seconds(1, 60, people=12, gaps=False)
    seconds["faces"], seconds["faces_scored"], seconds["uncertain"] = 9, 9, 0.0
    expressions = [f"p_{name}" for name in EMOTIONS]
    seconds[expressions] = 0.0
    seconds["p_neutral"], seconds["p_happy"] = 0.8, 0.2
    # A third of the time 3 of 9 are read: two thirds of a third, 22 %, are uncertain in all.
    seconds.loc[40:, [*expressions, "engagement", "engagement_low", "engagement_high"]] = None
    seconds.loc[40:, ["faces_scored", "uncertain", "suppressed"]] = [3, 6 / 9, True]
    root = read(seconds)

    # Of the other 78 %, four fifths are neutral and a fifth smiles.
    tile = "62\u00a0% smiling 16\u00a0% · other 0\u00a0% · uncertain 22\u00a0%"
    assert tile in section(root, "minute")
    finding = pages.text_of(pages.by_id(root, "groups-finding"))
    assert "Neutral expression 62\u00a0%, smiling 16\u00a0%" in finding


def test_a_length_is_the_same_wherever_it_stands() -> None:
    seconds = tables.seconds(1, 91, gaps=False)
    root = read(seconds, duration_s_from_content=90.04, duration_s_from_header=90.0)

    assert "1\u00a0min 31\u00a0s" in pages.text_of(pages.of_class(root, "facts")[0])
    assert "In 1\u00a0min 31\u00a0s" in section(root, "minute")
    assert "91 of 91\u00a0s" in section(root, "minute")
    assert "1\u00a0min 31\u00a0s decoded, as the header declares" in section(root, "trust")
    assert "1\u00a0min 30\u00a0s" not in pages.text_of(root)


def test_what_is_hardly_there_is_neither_0_nor_1_percent() -> None:
    seconds = tables.seconds(1, 60, gaps=False)
    seconds[[f"p_{name}" for name in EMOTIONS]] = [0, 0, 0.0004, 0.0496, 0.95, 0, 0]
    seconds["uncertain"] = 0.0049
    root = read(seconds)

    # 94.53, 4.94, 0.04 and 0.49 %; fear is 0.04 % of those read.
    tile = section(root, "minute")
    assert "95\u00a0% smiling 5\u00a0% · other <1\u00a0% · uncertain <1\u00a0%" in tile
    rows = {
        pages.text_of(row[0]): pages.text_of(row[1])
        for row in pages.by_id(root, "expressions").iter("tr")
        if len(row) == 3
    }
    assert (rows["fear"], rows["sad"]) == ("<0.1\u00a0%", "0.0\u00a0%")


def test_where_every_face_was_read_there_is_no_rest() -> None:
    seconds = tables.seconds(1, 60)

    assert "all 189 faces found" in section(read(seconds, faces=189, faces_scored=189), "trust")
    some = section(read(seconds, faces=189, faces_scored=188), "trust")
    assert ">99\u00a0% of the 189 faces found; the rest" in some


def test_nobody_has_to_agree_who_was_not_seen_and_nobody_is_to_be_asked() -> None:
    room = tables.seconds(1, 60, people=0)
    root = read(room, consent=None)

    assert "No consent statement" not in section(root, "notice")
    assert "whether its lens is free" in section(root, "minute")
    assert "Answers of the class" not in pages.text_of(root)
    failed = read(room, consent=None, status="failed", error_message="Not a video.")
    assert "No consent statement" not in section(failed, "notice")
    assert "No consent statement" in section(read(tables.seconds(1, 60), consent=None), "notice")


def test_in_presence_mode_moments_were_not_lost_for_want_of_an_index() -> None:
    root = read(tables.seconds(1, 60, presence=True), mode="presence")

    assert "Moments are looked for in expressions only" in section(root, "next")
