"""Library and Ask, on the real server: what is found, what is answered, and what nobody may ask."""

from __future__ import annotations

import io
import json
import os
import platform
import time
from collections.abc import Iterator
from typing import Any

import duckdb
import httpx
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fer_core import audit, query
from fer_core.store import Store
from fer_core.web.asked import HIDDEN, PATHLESS
from tests import lectures, pages
from tests.sites import Site, serving

pytestmark = pytest.mark.timeout(300)
SECRETS = (lectures.SECRET_FOLDER, "secret-host", "/root", "/home", "Traceback")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("library")
    lectures.write_lectures(home / "out")
    with serving(
        home, WEB__REQUESTS_PER_MINUTE="5000", WEB__QUERY_S="10", WEB__QUERY_ROWS="700"
    ) as running:
        yield running


def found(site: Site, **wanted: str) -> list[dict[str, Any]]:
    return site.client.get("/api/v1/recordings", params=wanted).json()


def asked(site: Site, sql: str) -> httpx.Response:
    return site.client.post("/api/v1/query", json={"sql": sql})


def test_the_library_lists_every_lecture_and_last_night(site: Site):
    page = site.client.get("/library")

    root = pages.parse(page.text)
    text = pages.text_of(pages.by_id(root, "main"))
    for title in lectures.TITLES:
        assert title in text
    assert lectures.BROKEN in text
    assert "<b>" not in page.text
    assert not any(secret in page.text for secret in SECRETS)


def test_every_report_that_is_listed_opens_under_its_own_policy(site: Site):
    addresses = [one["report"] for one in found(site)]
    assert len(addresses) == 4
    for address in addresses:
        report = site.client.get(address)
        assert report.status_code == 200
        policy = report.headers["Content-Security-Policy"]
        assert "sha256-" in policy and "unsafe" not in policy
        pages.check(report.text)
    assert site.client.get("/library/reports/index.html").headers["Location"] == "/library"


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        ({"search": "photo"}, {"Photosynthesis"}),
        ({"search": "BIOLOGY"}, {"Photosynthesis", "Respiration"}),
        ({"search": "2.mp4"}, {"Respiration"}),
        ({"search": "<b>"}, {lectures.TITLES[2]}),
        ({"search": ".*"}, set()),
        ({"status": "failed"}, {"broken.mp4"}),
        ({"search": "maths", "status": "done"}, {lectures.TITLES[2]}),
    ],
)
def test_lectures_are_found(site: Site, wanted: dict[str, str], titles: set[str]):
    assert {one["title"] for one in found(site, **wanted)} == titles
    page = site.client.get("/library", params=wanted)
    listed = pages.of_class(pages.parse(page.text), "lectures")
    assert bool(listed) is bool(titles)


def test_the_history_of_runs_tells_what_failed(site: Site):
    runs = site.client.get("/api/v1/runs").json()
    assert {run["name"] for run in runs} == {*lectures.TITLES, "broken.mp4"}
    (failed,) = [run for run in runs if run["status"] == "failed"]
    assert (failed["reason"], failed["wall_s"]) == (lectures.BROKEN, 61)
    page = site.client.get("/library/runs").text
    assert "1\u00a0min 1\u00a0s" in page and "moov" in page
    assert not any(secret in page for secret in SECRETS)


def test_a_running_night_is_followed(site: Site):
    assert site.client.get("/api/v1/night").json()["running"] is False
    now = {
        "pid": os.getpid(),
        "host": platform.node(),
        "began_at": "2026-11-04T02:00:00+00:00",
        "recordings": 7,
        "finished": 2,
        "name": "<i>.mp4",
        "seen_s": 30.0,
        "video_s": 60.0,
    }
    (site.out / "underway.json").write_text(json.dumps(now))
    try:
        told = site.client.get("/api/v1/night").json()
        page = site.client.get("/library").text
    finally:
        (site.out / "underway.json").unlink()

    assert (told["running"], told["finished"], told["seen_s"]) == (True, 2, 30)
    assert "pid" not in told
    assert "2 of 7 recordings are done" in page and "<i>" not in page


def test_a_question_is_answered_and_noted(site: Site):
    answer = asked(site, "select course, count(*) as n from seconds group by course order by 1")

    assert answer.json() == {
        "columns": ["course", "n"],
        "rows": [["biology-101", 1200], ["maths", 600]],
        "cut": False,
    }
    *_, last = audit.lines(site.out)
    assert (last["event"], last["form"], last["rows"]) == ("exported", "json", 2)


def test_an_answer_is_cut_where_the_limit_says(site: Site):
    answer = asked(site, "select recording_id, second from seconds order by all").json()
    assert (len(answer["rows"]), answer["cut"]) == (700, True)
    assert answer["rows"][-1][1] == 99


def test_every_ready_question_is_answered_with_what_the_tables_say(site: Site):
    page = pages.parse(site.client.get("/ask").text)
    links = [str(a.get("href")) for a in page.iter("a")]
    ready: dict[str, str] = {}
    for link in (link for link in links if link.startswith("/ask/")):
        name = link.removeprefix("/ask/").removesuffix("#answer")
        shown = pages.parse(site.client.get(f"/ask/{name}").text)
        assert pages.of_class(shown, "answer")
        ready[name] = pages.text_of(pages.by_id(shown, "sql"))
    assert len(ready) == 5
    answers = {name: asked(site, sql).json() for name, sql in ready.items()}
    assert all(answer["rows"] for answer in answers.values()), answers

    seconds = Store(site.out).all("seconds")
    away = answers["facing"]["rows"]
    assert sum(row[4] for row in away) == (seconds["facing"] < 0.5).sum() > 100
    assert all(row[2] >= lectures.AWAY[0] and row[3] <= lectures.AWAY[-1] for row in away)
    assert all(row[4] == row[3] - row[2] + 1 for row in away)
    smiling = seconds.groupby("recording_id")["p_happy"].mean()
    told = {row[0]: row[1] for row in answers["smiling"]["rows"]}
    assert sorted(told.values()) == pytest.approx(sorted(smiling), abs=6e-4)
    assert ["broken.mp4", "failed"] in [row[:2] for row in answers["unread"]["rows"]]


@pytest.mark.parametrize(
    ("sql", "drawn"),
    [
        ("select second, faces from seconds order by all limit 300", "line"),
        ("select course, count(*) as n from seconds group by course", "known"),
        ("select 1 as a, 2 as a union all select 3, 4 order by 1", "line"),
    ],
)
def test_an_answer_is_a_table_and_a_chart(site: Site, sql: str, drawn: str):
    page = site.client.post("/ask", data={"sql": sql})

    root = pages.parse(page.text)
    assert pages.of_class(root, "answer")
    assert pages.of_class(root, drawn)
    assert "style=" not in page.text


def test_an_answer_can_be_taken_along(site: Site):
    sql = "select second, faces, clock from seconds where course = 'maths' order by second"
    csv = site.client.post("/ask", data={"sql": sql, "form": "csv"})
    parquet = site.client.post("/ask", data={"sql": sql, "form": "parquet"})

    assert csv.headers["Content-Disposition"] == 'attachment; filename="answer.csv"'
    frame = pd.read_csv(io.BytesIO(csv.content))
    table = pq.read_table(io.BytesIO(parquet.content))
    assert list(frame["second"]) == table["second"].to_pylist() == list(range(600))
    assert str(table.schema.field("clock").type).endswith("tz=UTC]")


def test_a_wrong_question_is_told_on_its_own_page_to_be_mended(site: Site):
    for form in ("page", "csv"):
        answer = site.client.post("/ask", data={"sql": "select nothing\nfrom <b>", "form": form})
        assert answer.status_code == 422
        root = pages.parse(answer.text)
        assert "It cannot be read." in pages.text_of(pages.by_id(root, "answer"))
        assert pages.text_of(pages.by_id(root, "sql")) == "select nothing from <b>"


def test_another_sites_link_to_a_ready_question_computes_nothing(site: Site):
    shown = site.client.get("/ask/smiling", headers={"Sec-Fetch-Site": "cross-site"})
    assert shown.status_code == 200
    assert not pages.of_class(pages.parse(shown.text), "answer")
    assert site.client.get("/ask/nothing").status_code == 404


FORBIDDEN = (
    "copy (select 1) to '{out}/x.csv'",
    "copy seconds to '{out}/tables/seconds/x.parquet'",
    "attach '{out}/x.db'",
    "export database '{out}/x'",
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/proc/self/environ')",
    "select * from '/etc/passwd'",
    "select * from glob('/*')",
    "select * from read_parquet('{out}/tables/runs/*/*/*.parquet')",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "pragma enable_external_access = true",
    "set memory_limit = '100GB'",
    "select source_path from recordings",
    "select error_log from recordings",
    "select host from runs",
    "insert into seconds select * from seconds",
    "create table x as select 1; copy x to '{out}/x.csv'",
    "select",
)


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_no_question_reads_or_writes_a_file_or_a_secret(site: Site, sql: str):
    connection = query.connect(Store(site.out), HIDDEN, PATHLESS)
    before = {path for path in site.out.rglob("*") if path.is_file()}

    with pytest.raises(duckdb.Error):
        connection.sql(sql.format(out=site.out)).fetchall()

    assert {path for path in site.out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("sql", [FORBIDDEN[0], FORBIDDEN[4], "nonsense \x00 ü"])
def test_such_a_question_is_a_problem_without_a_path(site: Site, sql: str):
    answer = asked(site, sql.format(out=site.out))

    assert (answer.status_code, answer.json()["status"]) == (422, 422)
    assert "root:" not in answer.text
    assert not any(secret in answer.text for secret in (*SECRETS, str(site.out)))


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select no_such_column from seconds", "no_such_column"),
        ("select 1 +", "syntax error"),
        ("select 'x'::integer", "Could not convert"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong_in_it(site: Site, sql: str, said: str):
    answer = asked(site, sql)

    assert answer.json()["detail"].startswith("The query failed: ")
    assert said in answer.json()["detail"]


WHOLE = 9_007_199_254_740_993  # no double


def test_whole_numbers_stay_whole_where_one_is_missing(site: Site):
    sql = f"select {WHOLE} as n, [null, {WHOLE}] as more union all select null, null order by 1"

    assert asked(site, sql).json()["rows"] == [[WHOLE, [None, WHOLE]], [None, None]]
    csv = site.client.post("/ask", data={"sql": sql, "form": "csv"}).text
    assert csv.splitlines()[1] == f'{WHOLE},"[null, {WHOLE}]"'
    page = site.client.post(
        "/ask", data={"sql": f"select 1 as k, {WHOLE} as n union select 2, null"}
    )
    assert str(WHOLE) in page.text and pages.of_class(pages.parse(page.text), "line")


E_TYPE = "create type e as enum ('a', 'b'); "


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("select '\\xff'::blob as x", "\\xFF"),
        ("select '101'::bit as x", "101"),
        ("select union_value(k := 1) as x", "1"),
        ("select interval 3 month as x", "3 months"),
        (E_TYPE + "select 'a'::e as x", "a"),
        (E_TYPE + "select ['a'::e] as x", ["a"]),
        (E_TYPE + "select array_value('a'::e, 'b') as x", ["a", "b"]),
        (E_TYPE + """select {'a "b"': ['a'::e], 'n': 2} as x""", {'a "b"': ["a"], "n": 2}),
        (E_TYPE + "select map(['a'::e], [1]) as x", [["a", 1]]),
    ],
)
def test_values_of_rare_kinds_are_told_as_text(site: Site, sql: str, value: Any):
    assert asked(site, sql).json()["rows"] == [[value]]
    for form in ("page", "csv", "parquet"):
        assert site.client.post("/ask", data={"sql": sql, "form": form}).status_code == 200


def test_sums_lists_and_small_numbers_are_told_as_they_are(site: Site):
    sql = "select sum(n) as total, [null::int, 1] as l, 1e-12 as small, date '2020-01-01' as day"
    sql += ", '' as nothing, null::varchar as none from (values (1), (2)) t(n)"
    assert asked(site, sql).json()["rows"] == [[3, [None, 1], 1e-12, "2020-01-01", "", None]]
    csv = site.client.post("/ask", data={"sql": sql, "form": "csv"}).text
    assert csv.splitlines()[1] == '3,"[null, 1]",1e-12,2020-01-01,"",'
    parquet = site.client.post("/ask", data={"sql": sql, "form": "parquet"}).content
    assert str(pq.read_schema(io.BytesIO(parquet)).field("total").type) == "int64"


def test_columns_of_one_name_stay_apart(site: Site):
    answer = asked(site, """select 1 as "a ""b", '\\xff'::blob as "a ""b" """).json()
    assert (answer["columns"], answer["rows"]) == (['a "b', 'a "b_1'], [[1, "\\xFF"]])


@pytest.mark.parametrize("sql", ["select 'infinity'::date as x", "select ['infinity'::date] as x"])
def test_a_value_that_nobody_can_show_is_a_problem(site: Site, sql: str):
    answer = asked(site, sql)
    assert answer.status_code == 422 and "cannot be shown" in answer.json()["detail"]
    assert site.client.post("/ask", data={"sql": sql}).status_code == 422
    assert asked(site, "select 'infinity'::date::varchar").json()["rows"] == [["infinity"]]


def test_an_answer_that_says_much_in_few_bytes_is_too_large(site: Site):
    sql = "create type e as enum (select repeat('x', 1000000)); "
    sql += "select [enum_range(null::e)[1]::e] as x from range(100)"

    assert asked(site, sql).json()["type"] == "/problems#too-large"


def test_what_a_database_knows_about_its_machine_is_not_told(site: Site):
    answer = asked(site, "select name, value from duckdb_settings() order by name")
    assert answer.status_code == 200
    assert str(site.out.parent) not in answer.text
    assert os.environ.get("HOME", "/root") + "/" not in answer.text


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        (
            "with recursive t as (select 1 a union all select a + 1 from t) select count(*) from t",
            "unreadable",
        ),
        ("select list(a) from range(3000000000) t(a)", "unreadable"),
        ("select repeat('x', 400000) from range(250)", "too-large"),
    ],
)
def test_a_question_without_end_is_ended(site: Site, sql: str, kind: str):
    began = time.monotonic()
    answer = asked(site, sql)
    assert answer.json()["type"] == f"/problems#{kind}"
    assert time.monotonic() - began < 60
    assert asked(site, "select 1").json()["rows"] == [[1]]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"sql": 1}', b'{"sql": ""}', b'{"sql": "select 1", "more": 1}', b"\xff"],
)
def test_what_is_no_question_is_a_problem(site: Site, body: bytes):
    answer = site.client.post("/api/v1/query", content=body)
    assert (answer.status_code, answer.json()["status"]) == (422, 422)


def test_a_dataset_without_tables_is_no_fault(tmp_path):
    with serving(tmp_path) as empty:
        assert empty.client.get("/library").status_code == 200
        assert empty.client.get("/library?search=x").status_code == 200
        assert empty.client.get("/library/runs").status_code == 200
        assert empty.client.get("/api/v1/recordings").json() == []
        assert empty.client.get("/api/v1/runs").json() == []
        assert asked(empty, "select 1").status_code == 404
