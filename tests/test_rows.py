"""Arrow rows: one for each second without a gap, NaN become NULL, nothing counted twice."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_core import engagement, rows
from fer_core.errors import InputError
from fer_core.records import EMOTIONS, Chapter, Faces
from fer_core.schema import TABLES
from fer_core.settings import Settings
from fer_core.summary import Lecture
from fer_core.track import link
from tests import factories
from tests.factories import examples

ID = "0123456789abcdef"
START = datetime(2026, 11, 3, 23, 59, 58, tzinfo=UTC)


def worked_out(seen, settings=None, seconds=None):
    settings = settings or factories.settings(engagement={"replicates": 100})
    tracks = link(seen, settings.tracking)
    people = engagement.by_person(seen, tracks, seconds or int(seen.content_end_s), settings)
    return engagement.aggregate(seen, people, settings), tracks, people


@examples(25)
@given(st.integers(0, 10_000), st.integers(1, 12), st.sets(st.integers(0, 11), max_size=11))
def test_one_row_a_second_and_no_gap(seed, seconds, lost):
    lost = {second for second in lost if second < seconds}
    whole = factories.lesson(seed, people=6, seconds=seconds).observations.faces
    kept = ~np.isin(whole.sample, list(lost))
    names = ("sample", "box", "score", "landmarks", "probs", "change")
    faces = Faces(*(getattr(whole, name)[kept] for name in names))
    values, _, _ = worked_out(factories.observations(faces, seconds=seconds, lost=lost))

    table = rows.seconds(ID, START, values)

    assert table.schema.equals(TABLES["seconds"])
    assert table["second"].to_pylist() == list(range(seconds))
    assert table["frames"].to_pylist() == [0 if k in lost else 1 for k in range(seconds)]
    clock = table["clock"].to_pylist()
    assert clock == [START + timedelta(seconds=k) for k in range(seconds)]
    for row in table.to_pylist():
        if row["faces"] == 0:
            empty = [name for name in row if row[name] is None]
            assert {"uncertain", "facing", "engagement", "p_happy", "p_sad"} <= set(empty)


def test_nan_becomes_null_in_every_column():
    values, _, _ = worked_out(factories.observations(Faces.empty(), seconds=3))
    table = rows.seconds(ID, None, values)
    for field in TABLES["seconds"]:
        assert table[field.name].null_count == (3 if field.nullable else 0), field.name


def test_the_faces_and_tracks_tables_of_per_person_mode():
    seen = factories.lesson(1, people=6, seconds=4, rate_hz=2, leaves={0: 2}).observations
    values, tracks, people = worked_out(seen)
    faces = rows.faces(ID, seen, tracks, people, values)
    assert faces.num_rows == len(seen.faces) == 5 * 8 + 4
    assert faces["second"].to_pylist() == [s // 2 for s in seen.faces.sample.tolist()]
    assert sum(faces["scored"].to_pylist()) == int(people.face_scored.sum())
    table = rows.tracks(ID, people, values).to_pylist()
    (gone,) = [row for row in table if row["last_second"] == 1]
    assert (gone["first_second"], gone["seconds_visible"]) == (0, 2)
    assert [row["track"] for row in table] == list(range(6))
    assert sum(row["seconds_visible"] for row in table) == int(values.faces.sum())
    assert sum(row["seconds_scored"] for row in table) == int(values.faces_scored.sum())


def test_a_second_that_is_withheld_counts_as_scored_for_no_track():
    settings = factories.settings(engagement={"replicates": 100}, privacy={"min_group": 5})
    # Two of six leave after 6 of 9 seconds: the other four are alone in the last three.
    seen = factories.lesson(2, people=6, seconds=9, leaves={0: 6, 1: 6}, unreadable=0).observations
    values, tracks, people = worked_out(seen, settings)
    table = rows.tracks(ID, people, values).to_pylist()
    assert sorted(row["seconds_visible"] for row in table) == [6, 6, 9, 9, 9, 9]
    assert [row["seconds_scored"] for row in table] == [6] * 6
    faces = rows.faces(ID, seen, tracks, people, values).to_pylist()
    assert len({(row["track"], row["second"]) for row in faces if row["scored"]}) == 36


def test_what_the_class_s_row_withholds_is_in_no_face_s_row():
    big = factories.faces(2, height_px=80)
    corner = np.stack([1000 + 200.0 * np.arange(4), np.zeros(4)], axis=1)
    small = factories.faces(4, height_px=20, corner=corner)
    settings = factories.settings(engagement={"replicates": 100}, privacy={"min_group": 5})
    # Six are there, two of them large enough to say where they look; in presence mode, and not.
    nothing_read = Faces.concat([big, small])
    nothing_read.probs[:] = np.nan
    for faces in (nothing_read, Faces.concat([big, small])):
        seen = factories.observations(faces, seconds=1)
        values, tracks, people = worked_out(seen, settings)
        table = rows.faces(ID, seen, tracks, people, values)
        assert np.isnan(values.facing).all()
        assert table["facing"].null_count == 6


def test_the_summary_counts_what_the_tables_hold():
    settings = factories.settings(engagement={"replicates": 100}, privacy={"min_group": 5})
    seen = factories.lesson(2, people=6, seconds=9, leaves={0: 6, 1: 6}, unreadable=0).observations
    values, tracks, people = worked_out(seen, settings)
    table = rows.seconds(ID, START, values).to_pandas()
    row = rows.summary(values, seen, tracks, people, settings)
    assert row["seconds"] == 9
    assert row["seconds_suppressed"] == 3
    assert row["seconds_scored"] == table["p_happy"].notna().sum() == 6
    assert row["seconds_without_frames"] == 0
    assert (row["people_median"], row["people_max"]) == (6, 6)
    assert row["faces"] == row["faces_scored"] == 6 * 6 + 3 * 4
    assert row["tracks"] == 6
    assert row["engagement_mean"] == pytest.approx(table["engagement"].mean(), abs=1e-6)
    assert row["face_height_px_p10"] == row["face_height_px_p90"] == 64
    assert json.loads(row["engagement_weights"]) == settings.engagement.weights


def test_seconds_with_values_are_those_a_page_counts():
    five, seven = factories.faces(5, height_px=80), factories.faces(7, height_px=20)
    settings = factories.settings(
        engagement={"replicates": 100, "min_coverage": 0.5}, privacy={"min_group": 5}
    )
    four, one = factories.faces(4, height_px=80), factories.faces(1, height_px=20)
    for faces, presence, expected in (
        (Faces.concat([five, seven]), False, 0),  # expressions of 5 of 12: too few for an index
        (five, False, 1),
        (four, False, 0),
        (
            Faces.concat([four, one]),
            True,
            1,
        ),  # 5 are there, 4 so large that it shows where they look
        (four, True, 0),
    ):
        if presence:
            faces.probs[:] = np.nan
        seen = factories.observations(faces, seconds=1)
        values, tracks, people = worked_out(seen, settings)
        row = rows.summary(values, seen, tracks, people, settings, presence=presence)
        page = Lecture.of(rows.seconds(ID, START, values).to_pandas(), presence=presence)
        assert row["seconds_scored"] == page.count("values") == expected


def test_a_summary_of_nobody_is_null_where_nothing_was_measured():
    seen = factories.observations(Faces.empty(), seconds=2, lost=[1])
    values, tracks, people = worked_out(seen)
    row = rows.summary(values, seen, tracks, people, Settings())
    assert row["engagement_mean"] is None
    assert row["face_height_px_median"] is None
    assert (row["people_median"], row["people_max"], row["seconds_without_frames"]) == (0, 0, 1)


def test_what_is_not_named_is_null_and_names_that_are_no_text_are_kept_readable():
    table = rows.row("recordings", {"recording_id": ID, "source_name": "caf\udce9.mp4"})
    (row,) = table.to_pylist()
    assert row["source_name"].startswith("caf")
    assert row["source_name"].endswith("e9.mp4")
    assert row["title"] is None
    assert table.schema.equals(TABLES["recordings"])


def test_a_fault_is_told_in_three_columns():
    told = rows.fault(InputError("It is empty.", hint="Copy it again."))
    assert told == {
        "error_code": "input",
        "error_message": "It is empty.",
        "error_hint": "Copy it again.",
    }
    assert set(rows.fault(None).values()) == {None}


def test_marks_stand_in_the_order_of_time_and_within_the_recording():
    chapters = [Chapter(30.9, 60, "Late"), Chapter(0, 30.9, ""), Chapter(100, 200, "Beyond")]

    table = rows.marks(ID, chapters=chapters, slides=[12, 40], layouts=[40], length=100)

    assert table.schema.equals(TABLES["marks"])
    found = [(row["second"], row["kind"], row["title"]) for row in table.to_pylist()]
    assert found == [
        (0, "chapter", None),
        (12, "slide", None),
        (30, "chapter", "Late"),
        (40, "layout", None),
        (40, "slide", None),
    ]
    assert len(rows.marks(ID, chapters=[], slides=[], layouts=[], length=0)) == 0


def test_a_face_s_row_says_where_and_when_it_was():
    seen = factories.lesson(1, people=6, seconds=3, rate_hz=2, unreadable=0).observations
    values, tracks, people = worked_out(seen)
    table = rows.faces(ID, seen, tracks, people, values).to_pandas()
    assert table["sample"].tolist() == seen.faces.sample.tolist()
    assert table["second"].tolist() == [sample // 2 for sample in seen.faces.sample.tolist()]
    assert np.array_equal(table[["left", "top", "width", "height"]], seen.faces.box)
    assert table["score"].tolist() == seen.faces.score.tolist()
    assert np.array_equal(table[[f"p_{name}" for name in EMOTIONS]], seen.faces.probs)


def test_the_summary_says_how_large_faces_were_and_how_often_the_layout_changed():
    heights = np.arange(40, 141, 10.0)
    parts = [factories.faces(1, height_px=height) for height in heights]
    for at, part in enumerate(parts):
        part.box[:, 0] += 300 * at
    still = Faces.concat(parts)
    moved = replace(still, sample=still.sample + 1, box=still.box + np.float32([0, 900, 0, 0]))
    seen = factories.observations(Faces.concat([still, moved]), seconds=2)
    values, tracks, people = worked_out(seen)
    row = rows.summary(values, seen, tracks, people, Settings())
    assert [row[f"face_height_px_{name}"] for name in ("p10", "median", "p90")] == [50, 90, 130]
    assert row["layout_changes"] == 1


def test_of_presence_the_seconds_that_tell_where_people_look_count():
    seen = factories.lesson(2, people=6, seconds=5, leaves={0: 3, 1: 3}).observations
    seen.faces.probs[:] = np.nan
    values, tracks, people = worked_out(seen)
    row = rows.summary(values, seen, tracks, people, Settings(), presence=True)
    assert row["seconds_scored"] == 3


def test_people_are_counted_where_somebody_looked():
    # Three seconds of six people, then four left out, and four whose pictures are lost.
    seen = factories.lesson(2, people=6, seconds=3).observations
    seen = factories.observations(seen.faces, seconds=11, lost=range(7, 11))
    values, tracks, people = worked_out(seen)
    left_out = (np.arange(11) >= 3) & (np.arange(11) < 7)
    row = rows.summary(values, seen, tracks, people, Settings(), left_out=left_out)
    assert (row["people_median"], row["seconds_without_frames"]) == (6, 4)
    # Nobody in the room is another thing.
    assert rows.summary(values, seen, tracks, people, Settings())["people_median"] == 0
