"""A purge that was cut off and cannot be carried on as it was meant: it stops no later night."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fer_core import pages, retention
from fer_core.errors import ConfigError, TransientError
from tests.test_retention import ALL, keep, mentions, settings_of, there


@pytest.mark.parametrize("left", [b"", b"{", b"\xff", b"[]", b'{"whole": []}'])
def test_a_plan_that_cannot_be_read_stops_no_night(
    left: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, settings = keep(tmp_path, "a" * 16, 40), settings_of(tmp_path, days=30, tables={})
    (tmp_path / ".purging").write_bytes(left)
    with store.writing():
        retention.purge_expired(store, settings)
    assert "cannot be read" in caplog.text
    assert there(store, "a" * 16) == set()
    assert not (tmp_path / ".purging").exists()


def test_a_table_goes_though_its_recording_lost_its_row(tmp_path: Path) -> None:
    store, settings = keep(tmp_path, "a" * 16, 40), settings_of(tmp_path, tables={"faces": 30})
    pages.write_lecture(store, "a" * 16, settings)
    plan = {"whole": [], "parts": {"a" * 16: ["faces"]}, "courses": []}
    (tmp_path / ".purging").write_text(json.dumps(plan))
    for path in store.files("recordings"):  # damaged, and set aside
        path.unlink()
    with store.writing():
        retention.purge_expired(store, settings)
    assert "faces" not in there(store, "a" * 16)
    assert not (tmp_path / ".purging").exists()


@pytest.mark.parametrize(
    "error", [ConfigError("There is no bucket 'old'."), TransientError("No answer."), KeyError()]
)
def test_a_page_that_cannot_be_drawn_stops_no_purge(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recording's inbox may be gone for good; what it showed of the others has to go."""
    keep(tmp_path, "a" * 16, 40, title="Title 0")
    store = keep(tmp_path, "b" * 16, 5)
    settings = settings_of(tmp_path, days=30, tables={"faces": 4})
    for each in "ab":
        pages.write_lecture(store, each * 16, settings)

    def gone(*_: object) -> None:
        raise error

    monkeypatch.setattr(pages.arrivals, "spoken", gone)
    with store.writing():
        retention.purge_expired(store, settings)
    assert there(store, "a" * 16) == set()
    assert there(store, "b" * 16) == ALL - {"faces"}
    assert mentions(tmp_path / "reports", "Title 0", "a" * 16) == []
    assert not (tmp_path / ".purging").exists()
