"""The audit log: what is written down, under whose account, and what never is."""

from __future__ import annotations

import getpass
import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from fer_core import audit
from tests import clips
from tests.conftest import Command
from tests.test_retention import keep


def test_the_log_tells_under_which_settings_and_account(command: Command, tmp_path: Path) -> None:
    keep(tmp_path / "out", "a" * 16, 40)
    (tmp_path / "lecturepulse.toml").write_text("[retention]\ndays = 30\n")
    assert command("purge", "--all-expired", "--yes")[0] == 0
    first, second = audit.lines(tmp_path / "out")
    assert (first["event"], first["settings"]["retention"]["days"]) == ("settings", 30)
    assert second["event"] == "expired"
    assert first["by"] == second["by"] == getpass.getuser()


def test_the_audit_log_only_grows_and_survives_a_torn_line(tmp_path: Path) -> None:
    audit.note(tmp_path, "purged", why="asked", recordings=["r"], tables={})
    first = (tmp_path / audit.LOG).read_bytes()
    with (tmp_path / audit.LOG).open("ab") as file:
        file.write(b'{"at": "2026-')  # a power cut
    audit.note(tmp_path, "exported", form="csv", rows=3, sql_sha256="x")
    assert (tmp_path / audit.LOG).read_bytes().startswith(first)
    assert [line["event"] for line in audit.lines(tmp_path)] == ["purged", "exported"]


def test_changes_of_privacy_settings_are_noted_once(command: Command, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    clips.write_clip(inbox / "one.mp4", clips.steady(Fraction(5), 3))
    night = ("run", "inbox", "--no-prefect")
    (tmp_path / "lecturepulse.toml").write_text('[deployment]\njurisdiction = "IN"\n')
    command(*night)
    command(*night)
    (tmp_path / "lecturepulse.toml").write_text(
        '[deployment]\njurisdiction = "IN"\n[privacy]\nmin_group = 3\n[run]\nretries = 1\n'
    )
    command(*night)
    noted = [line for line in audit.lines(tmp_path / "out") if line["event"] == "settings"]
    assert len(noted) == 2
    assert noted[1]["changed"] == ["privacy"]
    assert noted[1]["settings"]["privacy"]["min_group"] == 3
    kinds = [line["event"] for line in audit.lines(tmp_path / "out")]
    assert kinds == ["settings", "processed", "settings", "processed"]


def test_exports_are_noted_without_what_was_asked(command: Command, tmp_path: Path) -> None:
    keep(tmp_path / "out", "a" * 16, 1)
    sql = "select count(*) as n from seconds where recording_id <> 'secret'"
    for form in ([], ["--csv"], ["--json"]):
        assert command("query", sql, *form)[0] == 0
    lines = list(audit.lines(tmp_path / "out"))
    assert [(line["event"], line["form"], line["rows"]) for line in lines] == [
        ("exported", "text", 1),
        ("exported", "csv", 1),
        ("exported", "json", 1),
    ]
    assert "secret" not in json.dumps(lines)
    assert len({line["sql_sha256"] for line in lines}) == 1


def test_somebody_who_may_only_read_can_export_and_is_told(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path / "out", "a" * 16, 1)
    (tmp_path / "out" / audit.LOG).mkdir()
    code, said = command("query", "select 1 as one", "--csv")
    assert code == 0
    assert "one\n1\n" in said
    assert "Not noted in the audit log" in said
    shutil.rmtree(tmp_path / "out" / audit.LOG)
