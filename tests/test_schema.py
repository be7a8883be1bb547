"""The tables' columns, as the plan of the house and the README promise them."""

import pyarrow as pa
import pytest

from fer_core.records import EMOTIONS
from fer_core.schema import SCHEMA_VERSION, TABLES

# Word for word from the plan, and one more; `?` is a column in which NULL may stand.
SECONDS = (
    "recording_id second clock? frames faces faces_scored p_angry? p_disgust? p_fear? p_happy? "
    "p_neutral? p_sad? p_surprise? uncertain? facing? engagement? engagement_low? "
    "engagement_high? suppressed left_out"
)


def test_the_seconds_table_is_the_one_promised():
    marked = [f"{c.name}{'?' if c.nullable else ''}" for c in TABLES["seconds"]]
    assert marked == SECONDS.split()


def test_the_tables_are_those_of_the_plan():
    assert set(TABLES) == {
        *("seconds", "moments", "marks", "recordings", "runs"),
        *("faces", "tracks"),
    }


@pytest.mark.parametrize("name", TABLES)
def test_every_column_says_what_it_is_in_one_line(name):
    for field in TABLES[name]:
        doc = field.metadata[b"doc"].decode()
        assert doc.strip() == doc
        assert len(doc) > 8
        assert "\n" not in doc


@pytest.mark.parametrize("name", TABLES)
def test_columns_have_different_names_and_begin_with_the_recording(name):
    names = TABLES[name].names
    assert len(set(names)) == len(names)
    assert names[0] == "recording_id"
    # These two are the partition, read from the folders' names.
    assert not {"course", "month"} & set(names)


def test_nothing_counted_can_be_null_and_everything_measured_can():
    for name in ("seconds", "faces"):
        for field in TABLES[name]:
            if field.name.startswith("p_"):
                assert field.nullable
                assert field.type == pa.float32()
            if pa.types.is_integer(field.type):
                assert not field.nullable


def test_expressions_stand_in_the_order_of_the_arrays():
    for name in ("seconds", "faces"):
        columns = [c for c in TABLES[name].names if c.startswith("p_")]
        assert columns == [f"p_{emotion}" for emotion in EMOTIONS]


def test_wall_clock_times_are_utc():
    stamps = [f for schema in TABLES.values() for f in schema if pa.types.is_timestamp(f.type)]
    assert len(stamps) >= 3
    assert all(field.type == pa.timestamp("ms", tz="UTC") for field in stamps)


def test_a_recording_says_how_it_ended_and_from_what_it_was_made():
    promised = (
        "status error_code error_message error_hint duration_s_from_header "
        "duration_s_from_content layout source_sha256 settings_hash model_sha256 "
        "detector_sha256 schema_version version mode jurisdiction"
    )
    assert set(promised.split()) <= set(TABLES["recordings"].names)


def test_the_version_is_a_number_that_fits_its_column():
    assert pa.scalar(SCHEMA_VERSION, TABLES["recordings"].field("schema_version").type).is_valid


def test_no_table_names_or_pictures_a_person():
    for schema in TABLES.values():
        assert not [c for c in schema.names if any(w in c for w in ("embedding", "crop", "image"))]
