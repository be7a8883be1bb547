"""What is deleted by age to the day, and what is left over without a row."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fer_core import pages, retention
from fer_core.store import Store
from tests.test_retention import ALL, NOW, keep, settings_of, there


def test_a_page_no_longer_shows_a_table_that_went(tmp_path: Path) -> None:
    store = keep(tmp_path, "a" * 16, 31)
    settings = settings_of(tmp_path, tables={"faces": 30, "tracks": 30})
    page = pages.write_lecture(store, "a" * 16, settings)
    assert 'id="visits"' in page.read_text("utf-8")
    with store.writing():
        retention.purge_expired(store, settings)
    assert there(store, "a" * 16) == ALL - {"faces", "tracks"}
    assert 'id="visits"' not in page.read_text("utf-8")


@pytest.mark.parametrize(("days_ago", "gone"), [(29, False), (30, False), (31, True)])
def test_the_last_day_is_the_same_for_all(days_ago: int, gone: bool, tmp_path: Path) -> None:
    """Before it is read, while it is written, and in its table: never read for nothing."""
    settings = settings_of(tmp_path, days=30, tables={"faces": 30})
    made, now_s = datetime.now(UTC) - timedelta(days_ago), datetime.now(UTC).timestamp()
    for made_at, modified_s in ((made, now_s), (None, made.timestamp())):
        assert retention.is_too_old(made_at, modified_s, settings) is gone
        assert retention.past(made_at, modified_s, settings) == ({"faces"} if gone else set())
    store = keep(tmp_path, "a" * 16, days_ago)
    alone = settings_of(tmp_path, tables={"faces": 30})
    found = retention.expired(store, alone, datetime.now(UTC))
    assert [removal.tables for removal in found] == ([("faces",)] if gone else [])


def test_a_log_whose_recording_has_no_row_goes_in_its_time(tmp_path: Path) -> None:
    store, settings = Store(tmp_path), settings_of(tmp_path, days=30)
    for recording_id, days_ago in (("a" * 16, 31), ("b" * 16, 29)):
        log = store.root / "logs" / f"{recording_id}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("It cannot be read.")
        at = (NOW - timedelta(days_ago)).timestamp()
        os.utime(log, (at, at))
    with store.writing():
        retention.purge_expired(store, settings)
    assert [path.stem for path in (store.root / "logs").iterdir()] == ["b" * 16]


def test_what_is_left_over_is_as_old_as_its_newest_file(tmp_path: Path) -> None:
    store, settings = keep(tmp_path, "a" * 16, 1), settings_of(tmp_path, days=30)
    for path in store.files("recordings"):
        path.unlink()
    old = (NOW - timedelta(40)).timestamp()
    *older, newest = sorted(store.tables.rglob(f"{'a' * 16}.parquet"))
    for path in older:
        os.utime(path, (old, old))
    assert retention.expired(store, settings, NOW) == []
    os.utime(older[0], None)
    os.utime(newest, (old, old))
    assert retention.expired(store, settings, NOW) == []
    os.utime(older[0], (old, old))
    assert [found.recording_id for found in retention.expired(store, settings, NOW)] == ["a" * 16]
