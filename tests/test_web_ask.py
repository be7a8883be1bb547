"""Questions to the tables: within their memory, and many at once: those who wait are few."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from fer_core import query
from fer_core.course import ALIKE
from fer_core.process import Ended
from fer_core.store import Place, Store
from fer_core.web import ask, guard, turns
from fer_core.web.app import create_app
from tests import cameras, factories
from tests.sites import client_of


def ready(store: Store, name: str) -> list[tuple[Any, ...]]:
    return list(query.rows_of(query.ask(store, ask.saved_questions()[name].sql)))


def test_people_are_not_counted_where_nobody_looked(tmp_path: Path):
    store = Store(tmp_path)
    seconds = {
        "frames": [2, 2, 0, 2, 2],
        "faces": [9, 7, 0, 0, 8],
        "left_out": [False, False, False, True, False],
    }
    held = factories.tables("0" * 16, 5, status="done")
    held["seconds"] = factories.row_table("seconds", "0" * 16, 5, second=list(range(5)), **seconds)
    store.commit(Place("101", "2026-11", "0" * 16), held, {})

    assert ready(store, "people") == [(0, 8.0, 9)]


@pytest.mark.parametrize("column", ALIKE)
def test_only_indexes_that_compare_are_averaged(tmp_path: Path, column: str):
    store = Store(tmp_path)
    # The latest has no index, the one before sets what is alike.
    lectures = [(1, 0.5, "a"), (2, 0.9, "b"), (3, 0.7, "a"), (4, None, "c")]
    for day, index, kind in lectures:
        recording_id = f"{day:016x}"
        alike = dict.fromkeys(ALIKE, "a") | {column: kind}
        start = datetime(2026, 11, day, tzinfo=UTC)
        held = factories.tables(recording_id, 10, started_at=start, engagement_mean=index, **alike)
        held["seconds"] = factories.row_table(
            "seconds", recording_id, 10, second=list(range(10)), engagement=index
        )
        store.commit(Place("101", "2026-11", recording_id), held, {})

    # Means of 0.5 and 0.7; 0.9 is another kind of index.
    assert ready(store, "course") == [(tenth, 0.6, 2) for tenth in range(1, 11)]


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """Return a client of a dataset of more recordings than there are threads to read them."""
    store = Store(tmp_path)
    for number in range(20):
        recording_id = f"{number:016x}"
        tables = factories.tables(recording_id, 60)
        store.commit(Place("101", "2026-11", recording_id), tables, {})
    return client_of(cameras.settings(tmp_path))


def asked(client: FlaskClient, sql: str) -> TestResponse:
    return client.post("/api/v1/query", json={"sql": sql})


@pytest.mark.slow
def test_ready_questions_to_many_recordings_are_answered_within_the_usual_memory(
    client: FlaskClient,
):
    answers = [asked(client, one.sql) for one in ask.saved_questions().values()]

    assert [one.status_code for one in answers] == [200] * len(answers), answers[-1].text


def test_the_database_draws_no_progress_into_an_answer_that_takes_long(client: FlaskClient):
    answer = asked(client, "select current_setting('enable_progress_bar') as drawn")

    assert answer.json["rows"] == [[False]]


@pytest.mark.parametrize(
    ("rows", "told", "name"),
    [
        (9_000, "9,000 rows. The first 500 are shown; downloads have all.", "answer"),
        (20_000, "downloads have these 10,000.", "answer-first-10000-rows"),
    ],
)
def test_whether_a_download_is_whole_is_said_on_the_page_and_in_its_name(
    client: FlaskClient, rows: int, told: str, name: str
):
    question = {"sql": f"select i from range({rows}) t(i)"}

    page = client.post("/ask", data=question).text
    csv = client.post("/ask", data=question | {"form": "csv"})

    assert told in page
    assert csv.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    assert len(csv.text.splitlines()) == 1 + min(rows, 10_000)


def test_a_question_that_broke_off_is_not_told_as_an_answer_that_is_too_large(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    ended = Ended(-6, 1.0, ("mimalloc: cannot allocate memory: ABORT",))
    monkeypatch.setattr(ask.process, "run", lambda *_, **__: (b"", ended))

    answer = asked(client, "select 1")

    assert answer.status_code == 413
    assert "2,048 MB" in answer.json["detail"] and "ABORT" not in answer.text
    assert "status -6" in caplog.text and "ABORT" in caplog.text


def test_who_would_wait_behind_many_questions_is_sent_away_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "tables").mkdir()
    settings = cameras.settings(tmp_path)
    app = create_app(settings, guard.access_of(settings.web), tmp_path)
    answered = threading.Event()

    def slow(*_: Any, **__: Any) -> NoReturn:
        assert answered.wait(120)
        raise TimeoutError

    monkeypatch.setattr(ask.process, "run", slow)
    monkeypatch.setattr(turns, "_LONGEST_WAIT_S", 120)

    def question(_number: int) -> TestResponse:
        headers = {"Host": "127.0.0.1"}
        return app.test_client().post("/api/v1/query", json={"sql": "select 1"}, headers=headers)

    most = ask._AT_ONCE + ask._WAITING
    assert most < settings.web.threads // 2
    with ThreadPoolExecutor(most + 2) as pool:
        asked = [pool.submit(question, k) for k in range(most + 2)]
        try:
            first = as_completed(asked, timeout=30)
            sent_away = [next(first).result() for _ in range(2)]
        finally:
            answered.set()
    statuses = sorted(one.result().status_code for one in asked)

    assert statuses == [422] * most + [429] * 2
    assert all(int(one.headers["Retry-After"]) > 0 for one in sent_away)
