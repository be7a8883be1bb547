"""SQL over the tables: the right rows, no others, and no way to any file or network."""

import re
from pathlib import Path

import duckdb
import pytest

from fer_core.errors import QuestionError
from fer_core.query import answer_of, ask, connect, csv_lines, json_lines, rows_of
from fer_core.schema import TABLES
from fer_core.store import Place, Store
from fer_core.web.asked import HIDDEN, PATHLESS
from tests import factories


def commit(store: Store, course: str = "101", month: str = "2026-11", number: int = 1, n: int = 3):
    recording_id = f"{number:016x}"
    store.commit(Place(course, month, recording_id), factories.tables(recording_id, n), {})
    return recording_id


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "out")
    commit(made)
    return made


def rows(store: Store, sql: str) -> list[list[object]]:
    return [list(row) for row in rows_of(ask(store, sql))]


def refused(store: Store, sql: str) -> QuestionError:
    with pytest.raises(QuestionError) as caught:
        ask(store, sql)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_dataset_has_every_view_with_its_columns(tmp_path, name):
    answer = ask(Store(tmp_path / "none"), f"select * from {name}")
    assert not answer.num_rows
    assert answer.column_names == [*TABLES[name].names, "course", "month"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", TABLES)
def test_views_have_no_other_columns_with_rows(store, name):
    answer = ask(store, f"select * from {name}")
    assert answer.column_names == [*TABLES[name].names, "course", "month"]


def test_the_views_are_the_tables_and_nothing_more(store):
    assert {name for (name,) in rows(store, "show tables")} == set(TABLES)


def test_course_and_month_are_text(store):
    kinds = "select distinct course, month, typeof(course), typeof(month) from seconds"
    assert rows(store, kinds) == [["101", "2026-11", "VARCHAR", "VARCHAR"]]
    commit(store, "1e3", "unknown", 2)
    assert rows(store, "select course from recordings order by course") == [["101"], ["1e3"]]


@pytest.mark.parametrize(
    "course",
    ["a/b", "..", "a=b", "%", "a%2Fb", "é", "'", "__HIVE_DEFAULT_PARTITION__", "null", " x"],
)
def test_any_course_is_found_by_its_name(store, course):
    commit(store, course, number=2, n=4)
    quoted = course.replace("'", "''")
    assert rows(store, f"select count(*) from seconds where course = '{quoted}'") == [[4]]
    assert rows(store, "select count(*) from seconds") == [[7]]


@pytest.mark.parametrize(
    "folder", ["out[1]", "o*t", "o?t", "o'ut", "course=x", "month=1", "lr=3", "é "]
)
def test_the_dataset_may_lie_anywhere(tmp_path, folder):
    store = Store(tmp_path / folder / "out")
    commit(store)
    found = rows(store, "select distinct course, month from seconds")
    assert found == [["101", "2026-11"]]
    assert "lr" not in ask(store, "select * from seconds").column_names


def test_numbers_are_numbers_and_null_is_null(store):
    sql = "select second, engagement, engagement is null from seconds order by second"
    assert rows(store, sql) == [[0, None, True], [1, None, True], [2, None, True]]


def test_the_clock_is_told_in_utc_wherever_the_machine_stands(store, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    text = "select distinct run_started_at::varchar from runs"
    assert rows(store, text) == [["2026-11-03 09:30:00+00"]]


def test_seconds_without_their_recordings_row_are_not_seen(store):
    cut_off = commit(store, number=2)
    for path in (store.tables / "recordings").rglob(f"{cut_off}.parquet"):
        path.unlink()
    assert rows(store, "select count(*) from seconds") == [[3]]
    assert rows(store, "select count(*) from runs") == [[1]]


def test_what_is_no_table_is_not_seen(store):
    home = next((store.tables / "seconds").rglob("*.parquet"))
    home.with_name(".part.parquet.part").write_bytes(b"half")
    (store.tables / "seconds" / "stray.parquet").write_bytes(b"half")
    assert rows(store, "select count(*) from seconds") == [[3]]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('/etc/hostname')",
        "select * from read_text('/etc/hostname')",
        "select * from '/etc/hostname'",
        "select * from glob('/etc/*')",
        "select * from sniff_csv('/etc/hostname')",
        "select * from read_parquet('{tables}/*/*/*/*.parquet')",
        "select * from read_text('{tables}/../secret.txt')",
        "select * from read_csv('http://127.0.0.1:9/x.csv')",
        "select * from read_parquet('s3://bucket/x.parquet')",
        "copy (select 1) to '{tables}/evil.csv'",
        "copy (select 1) to '{target}'",
        "copy seconds to '{tables}/seconds' (format parquet, partition_by (course))",
        "explain analyze copy (select 1) to '{tables}/evil.csv'",
        "select 1; copy (select 1) to '{tables}/evil.csv'",
        "attach '{tables}/evil.db'",
        "attach '{tables}/evil.db' as e; create table e.t as select 1",
        "export database '{tables}/evil'",
        "install httpfs",
        "load httpfs",
        "load '{tables}/evil.duckdb_extension'",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "set temp_directory = '{tables}'; select 1",
        "pragma enable_profiling = json; pragma profiling_output = '{tables}/evil'; select 1",
        "create secret (type s3, key_id 'a', secret 'b')",
    ],
)
def test_no_statement_reaches_a_file_or_the_network(store, sql):
    (store.root / "secret.txt").write_text("secret")
    target = next((store.tables / "seconds").rglob("*.parquet"))
    before = tree(store)
    refused(store, sql.format(tables=store.tables, target=target))
    assert tree(store) == before


def test_no_setting_can_be_changed(store):
    assert "locked" in refused(store, "set timezone = 'Asia/Kolkata'; select 1").message


def tree(store: Store) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in store.root.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "sql",
    [
        "drop view seconds",
        "delete from seconds",
        "insert into seconds by name select 1 as second",
        "update seconds set second = 1",
        "create or replace table seconds as select 1",
    ],
)
def test_whatever_is_done_to_a_view_the_tables_stay(store, sql):
    before = tree(store)
    try:
        ask(store, sql)
    except QuestionError as error:
        assert error.hint  # noqa: PT017 - either way is good
    assert tree(store) == before
    assert rows(store, "select count(*) from seconds") == [[3]]


def test_the_recipes_keep_a_course_as_it_is_named(store, monkeypatch):
    courses = ["007", "101", "1e3", "2026-11-03", "null", "true"]
    for number, course in enumerate(courses, start=1):
        commit(store, course, number=number)
    folder = Path(__file__).parents[1]
    monkeypatch.chdir(store.root.parent)
    store.root.rename("lecturepulse-out")
    readme, operation = (
        (folder / name).read_text(encoding="utf-8") for name in ("README.md", "docs/operation.md")
    )

    (pandas,) = re.findall(r"^```python\n(import pandas.+?)^```", readme, re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(pandas, names)
    assert sorted(names["seconds"]["course"].unique()) == courses
    assert set(names["seconds"]["month"]) == {"2026-11"}
    for text in (readme, operation.replace("s3://school/pulse", "lecturepulse-out")):
        (source,) = re.findall(r"read_parquet\([^)]+seconds[^)]+hive_partitioning[^)]+\)", text)
        found = duckdb.sql(f"select distinct course, month from {source} order by all").fetchall()
        assert found == [(course, "2026-11") for course in courses]


@pytest.mark.parametrize("name", ["store", "sql", "answer", "os", "TABLES"])
def test_a_python_variable_is_no_table(store, name):
    assert "does not exist" in refused(store, f"select * from {name}").message


@pytest.mark.parametrize(
    "sql",
    [
        "selekt 1",
        "select nothing from seconds",
        "select * from nowhere",
        "select * from seconds where",
        "select 'open",
        "\0",
        "select '\udcff'",
        "select error('stop\nthere')",
        "select cast('x' as int)",
        "select cast(course || 'x' as int) from seconds",
    ],
)
def test_wrong_sql_is_one_sentence_with_the_views_in_the_hint(store, sql):
    error = refused(store, sql)
    assert error.message.startswith("The query failed: ")
    assert error.exit_code == 2
    assert "seconds" in error.hint


@pytest.mark.parametrize("sql", ["", "   ", ";", "-- only words"])
def test_a_statement_without_an_answer_says_so(store, sql):
    assert "no rows" in refused(store, sql).message


def test_a_damaged_table_is_told_and_the_others_still_answer(store):
    next((store.tables / "seconds").rglob("*.parquet")).write_bytes(b"PAR1 damaged")
    assert refused(store, "select engagement from seconds")
    assert rows(store, "select count(*) from recordings") == [[1]]


@pytest.mark.parametrize(
    "sql",
    [
        "select second, p_happy from seconds order by second limit 5",
        "describe seconds",
        "summarize recordings",
        "with a as (select * from seconds) select count(*) from a",
        "from seconds limit 1",
        "select title, avg(facing) from seconds join recordings using (recording_id) group by 1",
    ],
)
def test_what_people_ask_is_answered(store, sql):
    assert ask(store, sql).num_rows


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("list(engagement order by second)", "[null,null,null]"),
        ("[null::int, 1]", "[null,1]"),
        ("[null::boolean, true]", "[null,true]"),
        ("[date '2020-01-01', null]", '["2020-01-01",null]'),
        ("array_value(1, null)", "[1,null]"),
        ("{'a': [null::float, 0.1::float]}", '{"a":[null,0.1]}'),
        ("map(['a'], [null::int])", '[["a",null]]'),
        ("[timestamptz '2020-01-01 10:00:00+02']", '["2020-01-01T08:00:00Z"]'),
        ("sum(second)", "3"),
        ("list(sum(second)) over ()", "[3]"),
        ("170141183460469231731687303715884105727", '"170141183460469231731687303715884105727"'),
        ("9223372036854775807::hugeint", "9223372036854775807"),
        ("1e-12", "1e-12"),
        ("1.5", "1.5"),
        ("'nan'::double", "null"),
        ("date '2020-01-01'", '"2020-01-01"'),
        ("timetz '10:00:00+02'", '"10:00:00+02"'),
        ("timestamptz '2020-01-01 00:00:00.123456'", '"2020-01-01T00:00:00.123456Z"'),
        ("timestamp_ns '2020-01-01 00:00:00.123456789'", '"2020-01-01T00:00:00.123456789"'),
    ],
)
def test_json_has_every_value_as_it_is(store, sql, said):
    answer = ask(store, f"select {sql} as x from seconds group by ()")
    assert "".join(json_lines(answer)) == f'[{{"x":{said}}}]\n'


def test_an_answer_without_rows_is_an_array_and_a_head(store):
    answer = ask(store, "select second, clock from seconds where 1 = 0")
    assert "".join(json_lines(answer)) == "[]\n"
    assert "".join(csv_lines(answer)) == "second,clock\n"


def test_csv_tells_nothing_from_an_empty_text(store):
    sql = """select '' as f, null::varchar as g, 1e-12 as h, 'a,"b' as i, [null, 'x'] as j,
             sum(second) * 49008821 as n from seconds"""
    told = "".join(csv_lines(ask(store, sql)))
    assert told == 'f,g,h,i,j,n\n"",,1e-12,"a,""b","[null, ""x""]",147026463\n'


def test_columns_of_one_name_stay_apart(store):
    assert "".join(json_lines(ask(store, "select 1 as x, 2 as x"))) == '[{"x":1,"x_1":2}]\n'


@pytest.mark.parametrize("sql", ["date 'infinity'", "[date '12000-01-01']"])
def test_a_value_that_nobody_can_show_is_told(store, sql):
    with pytest.raises(QuestionError, match="cannot be shown"):
        list(rows_of(ask(store, f"select {sql}")))


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("error_message as reason", "'…' is cut off; see … and a/b."),
        ("list(error_message)", ["'…' is cut off; see … and a/b."]),
        ("replace(error_message, '/', '|')", "'…' is cut off; see … and a|b."),
        ("error_hint", "…"),
        ("source_name", "1.mp4"),
    ],
)
def test_an_earlier_row_s_paths_are_not_seen_where_they_are_to_be_left_out(tmp_path, sql, said):
    store = Store(tmp_path / "out")
    row = {
        "error_message": "'/srv/secret/1.mp4' is cut off; see /var/log/x.log and a/b.",
        "error_hint": "/srv/secret/1.toml",
        "source_name": "1.mp4",
    }
    store.commit(Place("101", "2026-11", "0" * 16), factories.tables("0" * 16, **row), {})
    connection = connect(store, HIDDEN, PATHLESS)
    answer = answer_of(connection, f"select {sql} from recordings group by all")
    assert list(rows_of(answer)) == [(said,)]
    columns = [name for (name,) in rows(store, "select column_name from (describe recordings)")]
    seen = connection.sql("describe recordings").fetchall()
    assert [row[0] for row in seen] == [c for c in columns if c not in HIDDEN["recordings"]]
    assert {name for (name,) in connection.sql("show tables").fetchall()} == set(TABLES)


def test_nothing_is_written_beside_the_tables(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask(store, "select * from seconds s1, seconds s2 order by random()")
    assert list(tmp_path.iterdir()) == [store.root]
