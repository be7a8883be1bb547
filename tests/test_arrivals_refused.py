"""An inbox in object storage of which something may not be read: the rest of the night goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_core import arrivals
from fer_core.store import Store
from tests import s3, test_published
from tests.conftest import Command
from tests.s3 import copy_of, settings_of

__all__ = ["bucket", "impatient", "run", "server", "there"]

bucket, server = s3.bucket, s3.server
run, there, impatient = test_published.run, test_published.there, test_published._impatient


def test_what_is_archived_fails_and_the_others_are_done(
    there: str, run: Command, tmp_path: Path
) -> None:
    name, key = there.removeprefix("s3://"), "inbox/maths/archived.mp4"
    where = {"Bucket": name, "Key": key, "StorageClass": "GLACIER"}
    s3.client().call_s3("put_object", **where, Body=b"video")
    for machine in ("one", "two"):
        code, said = run(there, machine=machine)
        assert code == 1, said
        assert "failed  archived.mp4" in said
        assert "refuses to read an object that is archived (InvalidObjectState)" in said
        assert ("done  class.mp4" if machine == "one" else "skipped  class.mp4") in said
    rows = Store(copy_of(tmp_path / "two")).all("recordings", ["status", "error_code"])
    assert sorted(rows["status"]) == ["done", "failed"]
    assert set(rows["error_code"].dropna()) == {"transient"}
    # Restored: it is tried again, and this time it is the recording's own fault.
    s3.client().pipe_file(f"{there}/{key}", b"video")
    code, said = run(there, machine="two")
    assert code == 1
    assert "refuses" not in said


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_sidecar_that_may_not_be_read_is_no_sidecar_that_is_not_there(
    there: str, tmp_path: Path, *, by_hand: bool
) -> None:
    """It may say what is to be left out."""
    for name in ("refused.toml", "open.toml", "refused.mp4", "refused.x.mp4", "open.mp4"):
        s3.client().pipe_file(f"{there}/inbox/maths/{name}", b'title = "T"')
    s3.deny(f"{there}/inbox/maths/refused.toml", "GetObject")
    address = f"{there}/inbox/maths" + ("/refused.mp4" if by_hand else "")
    root = tmp_path / "copy"
    laid = arrivals.lay_out([address], settings_of(there, tmp_path), root)
    ((path, error),) = laid.failed
    assert path.name == "refused.mp4"
    assert error.code == "transient"
    assert "'refused.toml' cannot be fetched" in error.message
    names = {found.name for found in (root / "inbox").rglob("*") if ".etags" not in found.parts}
    assert "refused.mp4" not in names
    assert "open.toml" in names
    assert by_hand == (laid.paths == ())
    assert by_hand or {"refused.x.mp4", "open.mp4", "class.mp4"} <= names


def test_a_transcript_that_may_not_be_read_is_told_of(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("fer_core.progress.tell", lambda _, text: told.append(text))
    s3.client().pipe_file(f"{there}/inbox/maths/class.vtt", b"WEBVTT\n")
    s3.deny(f"{there}/inbox/maths/class.vtt", "GetObject")
    laid = arrivals.lay_out([f"{there}/inbox"], settings_of(there, tmp_path), tmp_path / "copy")
    assert not laid.failed
    assert len(told) == 1
    assert "'class.vtt' cannot be fetched" in told[0]
