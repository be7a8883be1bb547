"""The section on pace: only from a transcript, only of this lecture, counted by hand."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from fer_core import report
from fer_core.report import Material
from fer_core.transcript import Cue, Transcript
from tests import pages, tables
from tests.pages import NASTY


def page(
    seconds: pd.DataFrame,
    moments: pd.DataFrame | None = None,
    transcript: Transcript | None = None,
    **options: Any,
) -> str:
    """Render the page of a table of seconds."""
    known = tables.moments(count=0) if moments is None else moments
    material = Material(tables.recording(seconds), seconds, known, transcript=transcript)
    return report.lecture_page(material, course_name="biology-101", **options)


SPOKEN = Transcript(
    (
        Cue(1, 61, "one " * 100, turn=False),
        Cue(70, 100, f"{NASTY} two", turn=True),
        Cue(300, 310, "three", turn=True),
        Cue(900, 910, "after the end", turn=True),
    ),
    named=True,
)


def test_pace_comes_from_the_transcript_and_is_absent_without_one():
    lecture = tables.seconds(1, 600)
    assert "pace" not in {e.get("id") for e in pages.check(page(lecture)).iter()}
    root = pages.check(page(lecture, transcript=SPOKEN))
    text = pages.text_of(pages.by_id(root, "pace"))
    # 101 + 2 words or so in 10 minutes; 60 + 30 + 10 seconds of speech.
    assert "17\u00a0% of the time" in text
    assert "3 pauses" not in text
    assert "2 pauses" in text
    assert "the longest 3\u00a0min 20\u00a0s, at 01:40" in text
    # The first word is at 1 s, the last ends at 310 s.
    assert "before the first word" not in text
    assert "4\u00a0min 50\u00a0s of silence after the last word, from 05:10 on" in text
    assert "the speaker changed 2 times" in text
    table = next(e for e in pages.by_id(root, "pace").iter() if e.tag == "tbody")
    assert len(list(table)) == 10


def test_what_was_left_out_is_no_silence():
    # 120 words a minute all the time, in the half that is looked at.
    cues = tuple(Cue(at, at + 10, "word " * 20, turn=False) for at in range(0, 600, 10))
    heard = Transcript(cues).without([(300, 400), (350, math.inf)])
    root = pages.check(page(tables.seconds(1, 600), transcript=heard))
    text = pages.text_of(pages.by_id(root, "pace"))
    assert "120 while somebody spoke, 120 over all that was not left out" in text
    assert "100\u00a0% of the time" in text
    assert "of silence" not in text
    cells = [
        [pages.text_of(cell).strip() for cell in row]
        for row in next(e for e in pages.by_id(root, "pace").iter() if e.tag == "tbody")
    ]
    assert cells[0] == ["00:00", "120", "1\u00a0min"]
    assert cells[9] == ["09:00", "–", "–"]


def test_silence_at_the_ends_is_told_where_it_was_listened_to():
    heard = Transcript((Cue(20, 590, "word " * 600, turn=False),))
    text = pages.text_of(
        pages.by_id(pages.check(page(tables.seconds(1, 600), transcript=heard)), "pace")
    )
    said = "no pause between speech; 20\u00a0s of silence before the first word; "
    assert f"{said}10\u00a0s of silence after the last word, from 09:50 on" in text
    half = heard.without([(0, 5)])
    assert half.silent_ends(600) == [(590, 600)]
    assert heard.silent_ends(592) == [(0, 20)]


@pytest.mark.parametrize("cues", [(), (Cue(900, 910, "after the end", turn=False),)])
def test_a_transcript_without_a_word_in_the_lecture_has_no_section(cues):
    root = pages.check(page(tables.seconds(1, 600), transcript=Transcript(cues)))
    assert "pace" not in {e.get("id") for e in root.iter()}


def test_moments_quote_what_was_said_around_them():
    moments = tables.moments(2, 600, 1)
    start, end = int(moments["start_second"].iloc[0]), int(moments["end_second"].iloc[0])
    cues = (
        Cue(start - 40, start - 30, "long before", turn=False),
        Cue(start - 15, start - 10, f"{'many ' * 60} words just before", turn=False),
        Cue(start - 2, end - 5, "in it " * 300, turn=False),
        Cue(end + 15, end + 25, "word " * 200, turn=False),
        Cue(end + 30, end + 40, "long after", turn=False),
    )
    html = page(tables.seconds(2, 600), moments, transcript=Transcript(cues))
    short, before, during, after = [
        pages.text_of(e) for e in pages.check(html).iter() if e.tag == "q"
    ]
    assert before.startswith("…") and before.endswith("words just before")
    assert len(before) <= 161
    for quote, most in ((short, 141), (during, 901), (after, 161)):
        assert quote.endswith("…")
        assert most - 8 < len(quote) <= most
    assert short.startswith("in it in it")
    assert during.startswith("in it in it")
    assert after.startswith("word word")


def test_a_colour_means_the_same_in_the_timeline_and_in_the_pace():
    root = pages.check(report.lecture_page(tables.material(7, 600), course_name="x"))

    kinds: dict[str, list[str]] = {}
    for figure in ("curve", "pace-chart"):
        kinds[figure] = [str(e.get("class")) for e in pages.by_id(root, figure).iter()]
        assert "span speech" in kinds[figure]
        assert "area speech" not in kinds[figure]
    assert "area pace" in kinds["pace-chart"] and "known" not in kinds["pace-chart"]
    assert "known" in kinds["curve"]
    # Every colour of the timeline is in its key.
    key = next(e for e in pages.of_class(pages.by_id(root, "timeline"), "key"))
    assert [e for e in key.iter() if e.get("class") == "known"]
    assert "could be read" in pages.text_of(key)
